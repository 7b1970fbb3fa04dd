//! `ringload null-sink` and `null-source`: a broker that does nothing, to measure the generator.
//!
//! It has one topic, of whatever name is asked for. The sink acknowledges at once and drops the
//! bytes without copying them; the source answers each fetch with the same few prepared batches,
//! stamped with the offsets asked for. One blocking thread for each connection.

mod replies;

use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::batch::{BatchHead, Body, HEAD_BYTES, Payloads, Templates};
use crate::client::codec::{Decoder, Encoder};
use crate::client::errors::ErrorCode;
use crate::client::requests::{
    ALL, API_VERSIONS, Api, CREATE_TOPICS, FETCH, INIT_PRODUCER_ID, METADATA, PRODUCE,
    TOPIC_IDS_FROM,
};
use crate::failure::Failure;
use crate::options::{Compression, Cpus, NullOptions};
use crate::system::discard;
use replies::{Named, list_offsets, metadata, read_fetch};

/// What all connections share.
#[derive(Debug)]
struct Served {
    host: String,
    port: i32,
    /// Records in each partition.
    ends: Vec<AtomicI64>,
    /// Prepared batches with their heads; empty in a sink.
    batches: Vec<(Vec<u8>, Body)>,
    records_per_batch: i64,
    crc: bool,
    producer_ids: AtomicI64,
}

const TOPIC_ID: [u8; 16] = *b"ringload's topic";

/// Serves until the process ends.
pub(crate) fn run(options: &NullOptions, source: bool) -> Result<(), Failure> {
    let (listener, served) = bind(options, source)?;
    let kind = if source { "null-source" } else { "null-sink" };
    eprintln!("{kind} on {}:{}, {} partitions", served.host, served.port, options.partitions);
    accept(&listener, &served, &options.cpus)
        .map_err(|error| Failure::Local(format!("{}: {error}", options.listen)))
}

fn bind(options: &NullOptions, source: bool) -> Result<(TcpListener, Arc<Served>), Failure> {
    let local = |error: io::Error| Failure::Local(format!("{}: {error}", options.listen));
    let listener = TcpListener::bind(&options.listen).map_err(local)?;
    let address = listener.local_addr().map_err(local)?;
    let records_per_batch = (options.batch_bytes / options.record_bytes.max(1)).max(1);
    let mut batches = Vec::new();
    if source {
        let payloads = Payloads {
            record_bytes: options.record_bytes as usize,
            compressible: 0.5,
            keys: 0,
            compression: Compression::None,
        };
        let made = Templates::new(&payloads, records_per_batch as usize, 1, 1);
        for body in made.bodies {
            let mut head = Vec::new();
            BatchHead::plain(1_700_000_000_000).encode(&body, &mut head);
            batches.push((head, body));
        }
    }
    // Whole batches only: all of them are alike.
    let records = (options.records - options.records % records_per_batch) as i64;
    let records = if source { records } else { 0 };
    let served = Served {
        host: address.ip().to_string(),
        port: i32::from(address.port()),
        ends: (0..options.partitions).map(|_| AtomicI64::new(records)).collect(),
        batches,
        records_per_batch: records_per_batch as i64,
        crc: options.crc,
        producer_ids: AtomicI64::new(1),
    };
    Ok((listener, Arc::new(served)))
}

fn accept(listener: &TcpListener, served: &Arc<Served>, cpus: &Cpus) -> io::Result<()> {
    for (index, stream) in listener.incoming().enumerate() {
        let stream = stream?;
        let (served, cpus) = (Arc::clone(served), cpus.clone());
        std::thread::Builder::new().spawn(move || {
            if let Err(failure) = cpus.pin(index) {
                eprintln!("ringload: {failure}");
            }
            let peer = stream.peer_addr().map_or_else(|_| "?".to_owned(), |peer| peer.to_string());
            match Session::new(stream, served).serve() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                Err(error) => eprintln!("ringload: connection from {peer}: {error}"),
            }
        })?;
    }
    Ok(())
}

fn malformed(failure: Failure) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, failure.to_string())
}

/// What gets the bytes that pass; `None` drops them.
type Each<'a> = Option<&'a mut dyn FnMut(&[u8])>;

/// One connection.
struct Session {
    stream: TcpStream,
    served: Arc<Served>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the current frame not yet taken.
    frame_left: usize,
}

impl Session {
    fn new(stream: TcpStream, served: Arc<Served>) -> Session {
        let _ = stream.set_nodelay(true);
        Session { stream, served, buffer: vec![0; 16 * 1024], start: 0, end: 0, frame_left: 0 }
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut taken = [0; N];
        for byte in &mut taken {
            if self.start == self.end {
                self.start = 0;
                self.end = self.stream.read(&mut self.buffer)?;
                if self.end == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            *byte = self.buffer.get(self.start).copied().unwrap_or_default();
            self.start += 1;
        }
        self.frame_left = self.frame_left.wrapping_sub(N);
        Ok(taken)
    }

    /// Takes `count` bytes, handing them to `each` in pieces, or dropping them unseen.
    fn pass(&mut self, count: usize, mut each: Each<'_>) -> io::Result<()> {
        if count > self.frame_left {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a field ends past the frame"));
        }
        self.frame_left -= count;
        let mut left = count;
        while left > 0 {
            if self.start == self.end {
                if each.is_none() && left > self.buffer.len() {
                    let dropped = discard(&self.stream, left)?;
                    if dropped == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    left -= dropped;
                    continue;
                }
                self.start = 0;
                self.end = self.stream.read(&mut self.buffer)?;
                if self.end == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let step = left.min(self.end - self.start);
            if let Some(each) = each.as_deref_mut() {
                each(self.buffer.get(self.start..self.start + step).unwrap_or_default());
            }
            self.start += step;
            left -= step;
        }
        Ok(())
    }

    fn collect(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut collected = Vec::new();
        self.pass(count, Some(&mut |piece: &[u8]| collected.extend_from_slice(piece)))?;
        Ok(collected)
    }

    fn varint(&mut self) -> io::Result<usize> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take::<1>()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a varint is too long"))
    }

    /// The length of a string (`wide` is false), array or bytes field; null counts as 0.
    fn length(&mut self, flexible: bool, wide: bool) -> io::Result<usize> {
        if flexible {
            return Ok(self.varint()?.saturating_sub(1));
        }
        let length = if wide {
            i32::from_be_bytes(self.take()?)
        } else {
            i32::from(i16::from_be_bytes(self.take()?))
        };
        Ok(usize::try_from(length).unwrap_or(0))
    }

    fn tags(&mut self, flexible: bool) -> io::Result<()> {
        if flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let length = self.varint()?;
                self.pass(length, None)?;
            }
        }
        Ok(())
    }

    fn serve(mut self) -> io::Result<()> {
        loop {
            let length = u32::from_be_bytes(self.take()?) as usize;
            self.frame_left = length;
            let key = i16::from_be_bytes(self.take()?);
            let version = i16::from_be_bytes(self.take()?);
            let correlation_id = i32::from_be_bytes(self.take()?);
            let client_id = self.length(false, false)?;
            self.pass(client_id, None)?;
            let Some(api) = ALL.iter().find(|api| api.key == key) else {
                let text = format!("API key {key}, which a null broker does not serve");
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            };
            let known = (api.lowest..=api.highest).contains(&version);
            if !known && key != API_VERSIONS.key {
                let text = format!("{} version {version}", api.name);
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
            let flexible = api.is_flexible(version);
            self.tags(flexible)?;
            let mut header = Encoder::new(vec![0; 4], flexible && key != API_VERSIONS.key);
            header.i32(correlation_id);
            header.tags();
            let reply = Encoder::new(header.bytes, flexible);
            if key == PRODUCE.key {
                self.produce(version, reply)?;
                continue;
            }
            let body = self.collect(self.frame_left)?;
            if key == FETCH.key {
                self.fetch(version, &body, reply)?;
                continue;
            }
            let mut reply = reply;
            self.answer(api, version, &body, &mut reply).map_err(malformed)?;
            self.send(reply.bytes, &[])?;
        }
    }

    fn send(&mut self, mut head: Vec<u8>, pieces: &[Bytes]) -> io::Result<()> {
        let outside: usize = pieces.iter().map(Bytes::len).sum();
        let length = (head.len() - 4 + outside) as u32;
        if let Some(slot) = head.first_chunk_mut::<4>() {
            *slot = length.to_be_bytes();
        }
        let mut slices: Vec<IoSlice<'_>> = vec![IoSlice::new(&head)];
        slices.extend(pieces.iter().map(|piece| IoSlice::new(piece)));
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            // The kernel takes at most 1,024 buffers in one call.
            let window = rest.get(..rest.len().min(1024)).unwrap_or_default();
            match self.stream.write_vectored(window) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn produce(&mut self, version: i16, mut reply: Encoder) -> io::Result<()> {
        let flexible = PRODUCE.is_flexible(version);
        let transactional_id = self.length(flexible, false)?;
        self.pass(transactional_id, None)?;
        let acks = i16::from_be_bytes(self.take()?);
        self.take::<4>()?; // timeout
        let topics = self.length(flexible, true)?;
        reply.array(topics);
        for _ in 0..topics {
            if version >= TOPIC_IDS_FROM {
                reply.uuid(&self.take()?);
            } else {
                let length = self.length(flexible, false)?;
                let name = self.collect(length)?;
                reply.string(&String::from_utf8_lossy(&name));
            }
            let partitions = self.length(flexible, true)?;
            reply.array(partitions);
            for _ in 0..partitions {
                let partition = i32::from_be_bytes(self.take()?);
                let length = self.length(flexible, true)?;
                let base_offset = self.batch(partition, length)?;
                self.tags(flexible)?;
                reply.i32(partition);
                reply.i16(0);
                reply.i64(base_offset);
                reply.i64(-1);
                if version >= 5 {
                    reply.i64(0);
                }
                if version >= 8 {
                    reply.array(0);
                    reply.nullable_string(None);
                }
                reply.tags();
            }
            self.tags(flexible)?;
            reply.tags();
        }
        self.tags(flexible)?;
        reply.i32(0);
        reply.tags();
        if acks == 0 { Ok(()) } else { self.send(reply.bytes, &[]) }
    }

    /// Takes a batch of `length` bytes; its base offset.
    fn batch(&mut self, partition: i32, length: usize) -> io::Result<i64> {
        let Some(rest) = length.checked_sub(HEAD_BYTES) else {
            self.pass(length, None)?;
            return Ok(-1);
        };
        let head = self.take::<HEAD_BYTES>()?;
        let (_, count) = head.split_at(HEAD_BYTES - 4);
        let count = count.first_chunk().map_or(0, |count| i32::from_be_bytes(*count));
        if self.served.crc {
            let (outside, covered) = head.split_at(21);
            let mut crc = crc32c::crc32c(covered);
            self.pass(rest, Some(&mut |piece: &[u8]| crc = crc32c::crc32c_append(crc, piece)))?;
            if outside.last_chunk() != Some(&crc.to_be_bytes()) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a batch with a wrong CRC"));
            }
        } else {
            self.pass(rest, None)?;
        }
        let end = self.served.ends.get(partition as usize);
        Ok(end.map_or(-1, |end| end.fetch_add(i64::from(count), Ordering::Relaxed)))
    }

    fn fetch(&mut self, version: i16, body: &[u8], mut reply: Encoder) -> io::Result<()> {
        let mut body = Decoder::new(body, FETCH.is_flexible(version));
        let asked = read_fetch(version, &mut body).map_err(malformed)?;
        let served = Arc::clone(&self.served);
        reply.i32(0);
        if version >= 7 {
            reply.i16(0);
            reply.i32(0);
        }
        let mut left = asked.bytes_max;
        let mut any = false;
        // Replies alternate between owned bytes and shared records.
        let mut pieces: Vec<(usize, Bytes)> = Vec::new();
        reply.array(asked.topics.len());
        for (name, partitions) in &asked.topics {
            match name {
                Named::Id(id) => reply.uuid(id),
                Named::Name(name) => reply.string(name),
            }
            reply.array(partitions.len());
            for asked in partitions {
                let end = served.ends.get(asked.partition as usize);
                let end = end.map_or(0, |end| end.load(Ordering::Relaxed));
                let mut chosen = Vec::new();
                let mut bytes = 0;
                if !served.batches.is_empty() {
                    let mut base = asked.offset - asked.offset % served.records_per_batch;
                    while base < end {
                        let index = (base / served.records_per_batch) as usize;
                        let Some(batch) = served.batches.get(index % served.batches.len()) else {
                            break;
                        };
                        let next = bytes + batch.1.batch_bytes();
                        if (any || bytes > 0) && (next > asked.bytes_max || next > left) {
                            break;
                        }
                        chosen.push((base, batch));
                        bytes = next;
                        base += served.records_per_batch;
                    }
                }
                left = left.saturating_sub(bytes);
                any |= bytes > 0;
                reply.i32(asked.partition);
                reply.i16(0);
                reply.i64(end);
                reply.i64(end);
                if version >= 5 {
                    reply.i64(0);
                }
                reply.array(0);
                if version >= 11 {
                    reply.i32(-1);
                }
                reply.bytes_length(bytes);
                for (base, (head, body)) in chosen {
                    reply.i64(base);
                    reply.bytes.extend_from_slice(head.get(8..).unwrap_or_default());
                    pieces.push((reply.bytes.len(), body.records.clone()));
                }
                reply.tags();
            }
            reply.tags();
        }
        reply.tags();
        if !any {
            std::thread::sleep(Duration::from_millis(asked.wait_ms_max));
        }
        self.send_in_turn(reply.bytes, pieces)
    }

    fn send_in_turn(&mut self, owned: Vec<u8>, cuts: Vec<(usize, Bytes)>) -> io::Result<()> {
        let Some(first) = cuts.first().map(|(cut, _)| *cut) else {
            return self.send(owned, &[]);
        };
        let mut rest = Bytes::from(owned);
        let head = rest.split_to(first).to_vec();
        let mut done = first;
        let mut pieces = Vec::with_capacity(cuts.len() * 2 + 1);
        for (cut, records) in cuts {
            if cut > done {
                pieces.push(rest.split_to(cut - done));
                done = cut;
            }
            pieces.push(records);
        }
        pieces.push(rest);
        self.send(head, &pieces)
    }

    fn answer(
        &mut self,
        api: &Api,
        version: i16,
        body: &[u8],
        reply: &mut Encoder,
    ) -> Result<(), Failure> {
        let mut body = Decoder::new(body, api.is_flexible(version));
        let served = &self.served;
        match api.key {
            key if key == API_VERSIONS.key => {
                let known = version <= API_VERSIONS.highest;
                // A version that is not known is refused in the form of version 0.
                let mut plain =
                    Encoder::new(std::mem::take(&mut reply.bytes), known && version >= 3);
                plain.i16(if known { 0 } else { ErrorCode::UNSUPPORTED_VERSION.0 });
                plain.array(ALL.len());
                for api in ALL {
                    plain.i16(api.key);
                    plain.i16(api.lowest);
                    plain.i16(api.highest);
                    plain.tags();
                }
                if known && version >= 1 {
                    plain.i32(0);
                }
                plain.tags();
                reply.bytes = plain.bytes;
            }
            key if key == METADATA.key => {
                let mut names = Vec::new();
                for _ in 0..body.array()? {
                    if version >= 10 {
                        body.uuid()?;
                    }
                    names.push(body.nullable_string()?.unwrap_or_default());
                    body.tags()?;
                }
                metadata(served, version, &names, reply);
            }
            key if key == CREATE_TOPICS.key => {
                reply.i32(0);
                reply.array(0);
                reply.tags();
            }
            key if key == INIT_PRODUCER_ID.key => {
                reply.i32(0);
                reply.i16(0);
                reply.i64(served.producer_ids.fetch_add(1, Ordering::Relaxed));
                reply.i16(0);
                reply.tags();
            }
            _ => list_offsets(served, version, &mut body, reply)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

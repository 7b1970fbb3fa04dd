//! One non-blocking connection: bytes queued to be written, whole frames read.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::Bytes;

use crate::failure::Failure;

/// Frames above this are a broker's mistake, not a reply.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 30;
/// Most buffers handed to the kernel in one call.
const GATHER_MAX: usize = 64;

/// Connects, trying each address of the name.
pub(crate) fn connect(address: &str, timeout: Duration) -> Result<TcpStream, Failure> {
    let addresses =
        address.to_socket_addrs().map_err(|error| Failure::connection(address, &error))?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in addresses {
        match TcpStream::connect_timeout(&candidate, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(|error| Failure::connection(address, &error))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(Failure::connection(address, &last))
}

/// A non-blocking connection to one broker.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    address: String,
    queue: VecDeque<Bytes>,
    /// Bytes ever handed to [`Connection::send`].
    queued_total: u64,
    /// Bytes ever accepted by the kernel.
    written_total: u64,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

impl Connection {
    pub(crate) fn open(
        address: &str,
        timeout: Duration,
        input_bytes: usize,
    ) -> Result<Connection, Failure> {
        let stream = connect(address, timeout)?;
        stream.set_nonblocking(true).map_err(|error| Failure::connection(address, &error))?;
        Ok(Connection {
            stream,
            address: address.to_owned(),
            queue: VecDeque::new(),
            queued_total: 0,
            written_total: 0,
            input: vec![0; input_bytes.max(4096)],
            start: 0,
            end: 0,
        })
    }

    /// Queues bytes behind those queued before; [`Connection::flush`] writes them.
    pub(crate) fn send(&mut self, piece: Bytes) {
        self.queued_total += piece.len() as u64;
        self.queue.push_back(piece);
    }

    /// Position in the stream behind all that is queued.
    pub(crate) fn queued_total(&self) -> u64 {
        self.queued_total
    }

    /// Position in the stream up to which the kernel has taken the bytes.
    pub(crate) fn written_total(&self) -> u64 {
        self.written_total
    }

    /// Writes what is queued until done or the socket is full; then a writable event must call
    /// again.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); GATHER_MAX];
            let count = self.queue.len().min(GATHER_MAX);
            for (slice, piece) in slices.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(piece);
            }
            let slices = slices.get(..count).unwrap_or_default();
            match (&self.stream).write_vectored(slices) {
                Ok(0) => return Err(self.broken(&io::ErrorKind::WriteZero.into())),
                Ok(written) => self.consume(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Ok(())
    }

    fn consume(&mut self, mut written: usize) {
        self.written_total += written as u64;
        while let Some(front) = self.queue.front_mut() {
            if front.len() > written {
                let _ = front.split_to(written);
                return;
            }
            written -= front.len();
            self.queue.pop_front();
        }
    }

    fn broken(&self, error: &io::Error) -> Failure {
        Failure::connection(&self.address, error)
    }

    /// Reads until the socket is empty and hands each whole frame (without its length) to
    /// `on_frame`.
    pub(crate) fn receive(
        &mut self,
        mut on_frame: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            self.make_room()?;
            let space = self.input.get_mut(self.end..).unwrap_or_default();
            let asked = space.len();
            let count = match (&self.stream).read(space) {
                Ok(0) => {
                    return Err(self.broken(&io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the broker closed the connection",
                    )));
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(&error)),
            };
            self.end += count;
            while let Some(frame) = self.next_frame()? {
                on_frame(self.input.get(frame).unwrap_or_default())?;
            }
            // A short read has emptied the socket: with edge-triggered events there is no need to
            // ask once more (epoll(7)).
            if count < asked {
                return Ok(());
            }
        }
    }

    fn next_frame(&mut self) -> Result<Option<std::ops::Range<usize>>, Failure> {
        let have = self.input.get(self.start..self.end).unwrap_or_default();
        let Some(head) = have.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(Failure::Malformed(format!("a frame of {length} bytes")));
        }
        if have.len() < 4 + length {
            return Ok(None);
        }
        let frame = self.start + 4..self.start + 4 + length;
        self.start = frame.end;
        Ok(Some(frame))
    }

    /// Makes sure that the frame at the front fits, and that there is space to read into.
    fn make_room(&mut self) -> Result<(), Failure> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            return Ok(());
        }
        let have = self.input.get(self.start..self.end).unwrap_or_default();
        let needed = match have.first_chunk::<4>() {
            Some(head) => 4 + u32::from_be_bytes(*head) as usize,
            None => 4,
        };
        if needed > FRAME_BYTES_MAX + 4 {
            return Err(Failure::Malformed(format!("a frame of {needed} bytes")));
        }
        if self.start + needed > self.input.len() || self.end == self.input.len() {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if needed > self.input.len() {
                self.input.resize(needed.next_power_of_two(), 0);
            }
        }
        Ok(())
    }
}

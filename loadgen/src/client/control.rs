//! A blocking connection for what happens once: versions, metadata, topics, producer ids, offsets.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::codec::{Decoder, Encoder};
use super::connection::{FRAME_BYTES_MAX, connect};
use super::errors::ErrorCode;
use super::requests::{
    API_VERSIONS, Api, CREATE_TOPICS, INIT_PRODUCER_ID, LIST_OFFSETS, begin, finish, reply,
};
use crate::failure::Failure;

/// Which versions of each API a broker serves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Versions {
    served: BTreeMap<i16, (i16, i16)>,
    /// By API key, the highest version the user wants to be used.
    caps: Vec<(i16, i16)>,
}

impl Versions {
    /// The highest version that both sides speak.
    pub(crate) fn pick(&self, api: &Api) -> Result<i16, Failure> {
        let Some((low, high)) = self.served.get(&api.key) else {
            return Err(Failure::Usage(format!("the broker does not serve {}", api.name)));
        };
        let cap = self.caps.iter().find(|(key, _)| *key == api.key).map(|(_, cap)| *cap);
        let version = api.highest.min(*high).min(cap.unwrap_or(i16::MAX));
        if version < api.lowest.max(*low) {
            return Err(Failure::Usage(format!(
                "the broker serves {} {low} to {high}, ringload would speak {} to {}",
                api.name,
                api.lowest,
                cap.unwrap_or(api.highest)
            )));
        }
        Ok(version)
    }
}

/// A producer's identity for idempotence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerIdentity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// A blocking connection to one broker.
#[derive(Debug)]
pub(crate) struct Control {
    stream: TcpStream,
    address: String,
    correlation_id: i32,
    pub(crate) versions: Versions,
}

impl Control {
    /// Another connection, to another broker of the same cluster.
    pub(crate) fn open_other(&self, address: &str, timeout: Duration) -> Result<Control, Failure> {
        Control::open(address, timeout, &self.versions.caps)
    }

    /// Connects and asks for the broker's versions; `caps` limits them by API key.
    pub(crate) fn open(
        address: &str,
        timeout: Duration,
        caps: &[(i16, i16)],
    ) -> Result<Control, Failure> {
        let stream = connect(address, timeout)?;
        stream
            .set_read_timeout(Some(timeout))
            .and_then(|()| stream.set_write_timeout(Some(timeout)))
            .map_err(|error| Failure::connection(address, &error))?;
        let mut control = Control {
            stream,
            address: address.to_owned(),
            correlation_id: 0,
            versions: Versions { served: BTreeMap::new(), caps: caps.to_vec() },
        };
        control.versions.served = control.api_versions()?;
        Ok(control)
    }

    /// Sends a whole frame.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(frame).map_err(|error| self.broken(error))
    }

    /// Receives a whole frame, without its length.
    pub(crate) fn receive(&mut self) -> Result<Vec<u8>, Failure> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).map_err(|error| self.broken(error))?;
        let length = u32::from_be_bytes(head) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(Failure::Malformed(format!("a frame of {length} bytes")));
        }
        let mut frame = Vec::new();
        let read = (&self.stream).take(length as u64).read_to_end(&mut frame);
        match read {
            Ok(count) if count == length => Ok(frame),
            Ok(_) => Err(self.broken(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn broken(&self, error: io::Error) -> Failure {
        let error = match error.kind() {
            io::ErrorKind::WouldBlock => {
                io::Error::new(io::ErrorKind::TimedOut, "no reply in time")
            }
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection")
            }
            _ => error,
        };
        Failure::connection(&self.address, &error)
    }

    /// One request and its reply.
    pub(crate) fn call<T>(
        &mut self,
        api: &Api,
        version: i16,
        encode: impl FnOnce(&mut Encoder),
        decode: impl FnOnce(&mut Decoder<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.correlation_id += 1;
        let mut encoder = begin(api, version, self.correlation_id, Vec::new());
        encode(&mut encoder);
        finish(&mut encoder.bytes, 0);
        self.send(&encoder.bytes)?;
        let frame = self.receive()?;
        let (correlation_id, mut body) = reply(api, version, &frame)?;
        if correlation_id != self.correlation_id {
            return Err(Failure::Malformed(format!(
                "a reply to request {correlation_id} instead of {}",
                self.correlation_id
            )));
        }
        decode(&mut body)
    }

    fn api_versions(&mut self) -> Result<BTreeMap<i16, (i16, i16)>, Failure> {
        let read = |body: &mut Decoder<'_>| {
            let code = ErrorCode(body.i16()?);
            let mut versions = BTreeMap::new();
            if !code.is_error() {
                for _ in 0..body.array()? {
                    versions.insert(body.i16()?, (body.i16()?, body.i16()?));
                    body.tags()?;
                }
            }
            Ok((code, versions))
        };
        let first = self.call(
            &API_VERSIONS,
            3,
            |encoder| {
                encoder.string("ringload");
                encoder.string(env!("CARGO_PKG_VERSION"));
                encoder.tags();
            },
            read,
        );
        let (mut code, mut versions) = match first {
            // A broker that does not know version 3 answers in the form of version 0.
            Err(Failure::Malformed(_)) => (ErrorCode::UNSUPPORTED_VERSION, BTreeMap::new()),
            other => other?,
        };
        if code == ErrorCode::UNSUPPORTED_VERSION {
            (code, versions) = self.call(&API_VERSIONS, 0, |_| {}, read)?;
        }
        refuse("ApiVersions", code)?;
        Ok(versions)
    }

    /// Creates a topic; a topic that is there already is left alone.
    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        replication: i16,
        configs: &[(String, String)],
    ) -> Result<(), Failure> {
        let version = self.versions.pick(&CREATE_TOPICS)?;
        let code = self.call(
            &CREATE_TOPICS,
            version,
            |encoder| {
                encoder.array(1);
                encoder.string(name);
                encoder.i32(partitions);
                // Before version 4 there is no "the broker's default".
                encoder.i16(if version < 4 { replication.max(1) } else { replication });
                encoder.array(0);
                encoder.array(configs.len());
                for (key, value) in configs {
                    encoder.string(key);
                    encoder.nullable_string(Some(value));
                    encoder.tags();
                }
                encoder.tags();
                encoder.i32(30_000);
                encoder.bool(false);
                encoder.tags();
            },
            |body| {
                body.i32()?;
                body.array()?;
                body.string()?;
                if version >= 7 {
                    body.uuid()?;
                }
                Ok(ErrorCode(body.i16()?))
            },
        )?;
        if code == ErrorCode::TOPIC_ALREADY_EXISTS {
            return Ok(());
        }
        refuse(&format!("creating topic {name} with {partitions} partitions"), code)
    }

    /// A new producer id, as soon as the broker has one to give.
    pub(crate) fn init_producer_id(&mut self) -> Result<ProducerIdentity, Failure> {
        let give_up = Instant::now() + Duration::from_secs(10);
        loop {
            match self.try_init_producer_id() {
                Err(Failure::Refused { code, .. })
                    if code.is_retriable() && Instant::now() < give_up =>
                {
                    std::thread::sleep(Duration::from_millis(50));
                }
                other => return other,
            }
        }
    }

    fn try_init_producer_id(&mut self) -> Result<ProducerIdentity, Failure> {
        let version = self.versions.pick(&INIT_PRODUCER_ID)?;
        let (code, identity) = self.call(
            &INIT_PRODUCER_ID,
            version,
            |encoder| {
                encoder.nullable_string(None);
                encoder.i32(60_000);
                if version >= 3 {
                    encoder.i64(-1);
                    encoder.i16(-1);
                }
                encoder.tags();
            },
            |body| {
                body.i32()?;
                let code = ErrorCode(body.i16()?);
                Ok((code, ProducerIdentity { id: body.i64()?, epoch: body.i16()? }))
            },
        )?;
        refuse("InitProducerId", code)?;
        Ok(identity)
    }

    /// The offset that `timestamp` stands for in each partition: -2 is the earliest, -1 the end.
    pub(crate) fn list_offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
        timestamp: i64,
    ) -> Result<Vec<(i32, ErrorCode, i64)>, Failure> {
        let version = self.versions.pick(&LIST_OFFSETS)?;
        self.call(
            &LIST_OFFSETS,
            version,
            |encoder| {
                encoder.i32(-1);
                if version >= 2 {
                    encoder.i8(0);
                }
                encoder.array(1);
                encoder.string(topic);
                encoder.array(partitions.len());
                for partition in partitions {
                    encoder.i32(*partition);
                    if version >= 4 {
                        encoder.i32(-1);
                    }
                    encoder.i64(timestamp);
                    encoder.tags();
                }
                encoder.tags();
                encoder.tags();
            },
            |body| {
                if version >= 2 {
                    body.i32()?;
                }
                let mut offsets = Vec::new();
                for _ in 0..body.array()? {
                    body.string()?;
                    for _ in 0..body.array()? {
                        let partition = body.i32()?;
                        let code = ErrorCode(body.i16()?);
                        body.i64()?;
                        offsets.push((partition, code, body.i64()?));
                        if version >= 4 {
                            body.i32()?;
                        }
                        body.tags()?;
                    }
                    body.tags()?;
                }
                Ok(offsets)
            },
        )
    }
}

/// An error code as a failure that names what was asked.
pub(crate) fn refuse(asked: &str, code: ErrorCode) -> Result<(), Failure> {
    if code.is_error() { Err(Failure::Refused { asked: asked.to_owned(), code }) } else { Ok(()) }
}

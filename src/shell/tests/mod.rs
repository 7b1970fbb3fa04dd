//! The shell under a small engine, over real sockets, files and signals. Nothing here judges by
//! time, except that a test that hangs ends after [`HANG`].

mod echo;
mod engine;
mod files;
mod lifecycle;
mod pauses;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::boot::{self, Running, ShellOptions};
use super::data_directory::DataDirectory;
use super::scratch::Scratch;
use engine::{Record, TestEngine};

/// No single step of any test takes that long unless something hangs.
const HANG: Duration = Duration::from_secs(60);

/// A shell at work in this process.
struct Host {
    running: Option<Running>,
    address: SocketAddr,
    record: Record,
    scratch: Scratch,
}

impl Host {
    fn start(shards: u16) -> Host {
        let scratch = Scratch::new();
        let record = Record::default();
        let mut options = ShellOptions::new(
            SocketAddr::from(([127, 0, 0, 1], 0)),
            DataDirectory::open(scratch.path()).unwrap(),
            shards,
        );
        options.journal_file_bytes = 1 << 20;
        let seed = record.clone();
        let running =
            boot::start(options, move |shard| Ok(TestEngine::new(shard, shards, seed.clone())))
                .unwrap();
        Host { address: running.address, running: Some(running), record, scratch }
    }

    fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.switch().stop();
            assert_eq!(running.join(), super::fatal::ExitStatus::Stopped);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// A blocking client.
struct Client {
    stream: TcpStream,
}

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        stream.set_write_timeout(Some(HANG)).unwrap();
        Client { stream }
    }

    fn send(&mut self, frame: &[u8]) {
        self.stream.write_all(&framed(frame)).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).unwrap();
        let mut frame = vec![0; i32::from_be_bytes(prefix) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        frame
    }

    fn ask(&mut self, frame: &[u8]) -> Vec<u8> {
        self.send(frame);
        self.receive()
    }

    /// True if the peer closed the connection (in whatever way) without sending more.
    fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let mut bytes = (frame.len() as i32).to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    bytes
}

/// Bytes that differ at every position, so that a misplaced one shows.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    crate::stdx::prng::Prng::new(seed).fill(&mut bytes);
    bytes
}

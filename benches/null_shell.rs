//! What the shell costs by itself: engines that do nothing, under a small closed-loop client.
//!
//! `cargo bench --bench null_shell [-- <case> ...]`, on a machine that does nothing else. The server
//! is pinned to the first processor, the client to the second. Server CPU is the scheduler's run
//! time of all threads but the client's.
//!
//! - echo: 256-byte frames, 64-byte answers, by connections and depth
//! - receive: 256 KiB frames, CRC32C, no answers
//! - ingest: the same, and every frame through a journal with direct, durable writes; the journal
//!   copies each frame into its group and sums it again, as it does in the broker
#![allow(unsafe_code, clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant as Clock};

use bytes::{Bytes, BytesMut};
use ringmain::ids::{
    ConnectionId, Incarnation, LeaderEpoch, Offset, PartitionId, ShardId, TopicId, TopicPartition,
};
use ringmain::journal::{
    Entry, EntryKind, FileNumber, GroupBuffer, GroupSequence, Journal, JournalOptions, Lane,
};
use ringmain::limits;
use ringmain::shard::engine::{Action, DiskError, Engine, FileOutcome, JobId, Piece, Reply};
use ringmain::shell::boot::{self, ShellOptions};
use ringmain::shell::data_directory::DataDirectory;
use ringmain::time::{Instant, Now};

const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_millis(2500);
const REQUEST_BYTES: usize = 256;
const ANSWER_BYTES: usize = 64;
const LARGE_BYTES: usize = 256 * 1024;

/// What an engine does with a frame.
#[derive(Clone, Copy)]
enum Kind {
    Echo,
    Receive,
    Ingest,
}

struct NullEngine {
    kind: Kind,
    answer: Bytes,
    actions: VecDeque<Action<()>>,
    journal: Journal,
    /// Frames the journal had no room for.
    held: VecDeque<Bytes>,
    offset: i64,
    checked: u32,
}

impl NullEngine {
    fn new(kind: Kind, shard: ShardId) -> NullEngine {
        let mut answer = (ANSWER_BYTES as i32).to_be_bytes().to_vec();
        answer.resize(4 + ANSWER_BYTES, 1);
        NullEngine {
            kind,
            answer: answer.into(),
            actions: VecDeque::new(),
            journal: Journal::new(JournalOptions {
                shard,
                lane: Lane::Flushed,
                incarnation: Incarnation(1),
                file_bytes: limits::JOURNAL_FILE_BYTES,
                depth: limits::JOURNAL_DEPTH,
                group_bytes_max: limits::JOURNAL_GROUP_BYTES_MAX,
                files_max: 4,
            }),
            held: VecDeque::new(),
            offset: 0,
            checked: 0,
        }
    }

    fn append_held(&mut self) {
        let at = TopicPartition { topic: TopicId([1; 16]), partition: PartitionId(0) };
        while let Some(frame) = self.held.front() {
            let entry = Entry {
                kind: EntryKind::Batch,
                at,
                base_offset: Offset(self.offset),
                next_offset: Offset(self.offset + 1),
                leader_epoch: LeaderEpoch(0),
                payload: frame,
                checked: None,
            };
            if self.journal.append(&entry).is_err() {
                break;
            }
            self.offset += 1;
            self.held.pop_front();
        }
    }
}

impl Engine for NullEngine {
    type Message = ();

    fn on_accept(&mut self, _: ConnectionId, _: SocketAddr, _: Now) -> bool {
        true
    }

    fn on_frame(&mut self, connection: ConnectionId, frame: BytesMut, _: Now) {
        match self.kind {
            Kind::Echo => {
                let reply = Reply { pieces: vec![Piece::Bytes(self.answer.clone())] };
                self.actions.push_back(Action::Reply { connection, reply });
            }
            Kind::Receive => self.checked ^= crc32c::crc32c(&frame),
            Kind::Ingest => {
                self.checked ^= crc32c::crc32c(&frame);
                self.held.push_back(frame.freeze());
                self.append_held();
            }
        }
    }

    fn on_bad_frame(&mut self, _: ConnectionId, length: i32, _: Now) {
        panic!("the client sent a frame of {length} bytes");
    }

    fn on_progress(&mut self, _: ConnectionId, _: usize, _: Now) {}

    fn on_sent(&mut self, _: ConnectionId, _: Now) {}

    fn on_closed(&mut self, _: ConnectionId, _: Now) {}

    fn on_message(&mut self, _: ShardId, (): (), _: Now) {}

    fn on_journal_written(
        &mut self,
        _: Lane,
        group: GroupSequence,
        buffer: GroupBuffer,
        result: Result<(), DiskError>,
        _: Now,
    ) {
        result.unwrap();
        self.journal.on_written(group, buffer);
        let end = self.offset;
        self.journal.release(self.journal.durable(), |_| Some(Offset(end)));
        self.append_held();
    }

    fn on_journal_file(
        &mut self,
        _: Lane,
        file: FileNumber,
        result: Result<(), DiskError>,
        _: Now,
    ) {
        result.unwrap();
        self.journal.on_file_ready(file);
        self.append_held();
    }

    fn on_file(&mut self, _: JobId, _: Result<FileOutcome, DiskError>, _: Now) {}

    fn on_time(&mut self, _: Now) {}

    fn on_stop(&mut self, _: Now) {
        self.actions.push_back(Action::Stopped);
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn poll_action(&mut self) -> Option<Action<()>> {
        let action = self.actions.pop_front();
        action.or_else(|| match self.kind {
            Kind::Ingest => Some(Action::Journal(Lane::Flushed, self.journal.poll_action()?)),
            Kind::Echo | Kind::Receive => None,
        })
    }

    fn may_read(&self) -> bool {
        self.held.len() < 4
    }
}

/// Run time of this process's threads but one, in nanoseconds.
fn server_nanos(client: i32) -> u64 {
    let mut total = 0;
    for entry in std::fs::read_dir("/proc/self/task").unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy() == client.to_string() {
            continue;
        }
        let text = std::fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
        total += text.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    }
    total
}

/// The calling thread.
fn thread_id() -> i32 {
    // SAFETY: no pointers.
    unsafe { libc::gettid() }
}

/// A client's connection: requests outstanding, and bytes of answers not yet a whole one.
struct Peer {
    stream: TcpStream,
    answered: usize,
}

/// Keeps `depth` requests open on each connection; returns requests, seconds, server CPU seconds
/// and the latencies of requests in microseconds (at depth 1).
fn echo_client(address: SocketAddr, connections: usize, depth: usize) -> (u64, f64, f64, Vec<u32>) {
    let mut request = (REQUEST_BYTES as i32).to_be_bytes().to_vec();
    request.resize(4 + REQUEST_BYTES, 7);
    let burst = request.repeat(depth);
    // SAFETY: no pointers.
    let epoll = unsafe { libc::epoll_create1(0) };
    let mut peers: Vec<Peer> = (0..connections)
        .map(|_| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            Peer { stream, answered: 0 }
        })
        .collect();
    for (at, peer) in peers.iter_mut().enumerate() {
        peer.stream.set_nonblocking(true).unwrap();
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: at as u64 };
        // SAFETY: the event outlives the call.
        unsafe {
            libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, peer.stream.as_raw_fd(), &raw mut event);
        }
        peer.stream.write_all(&burst).unwrap();
    }
    let mut sent_at = vec![Clock::now(); connections];
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; 256];
    let mut bytes = vec![0; 64 * 1024];
    let me = thread_id();
    let (mut requests, mut latencies) = (0, Vec::new());
    let mut began = Clock::now();
    let mut nanos = 0;
    let mut warm = false;
    loop {
        if !warm && began.elapsed() >= WARM_UP {
            (warm, requests, began, nanos) = (true, 0, Clock::now(), server_nanos(me));
            latencies.clear();
        }
        if warm && began.elapsed() >= MEASURED {
            break;
        }
        // SAFETY: the events outlive the call and their number is given.
        let count =
            unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as i32, 100) };
        for event in &events[..count.max(0) as usize] {
            let at = event.u64 as usize;
            let peer = &mut peers[at];
            let Ok(read) = peer.stream.read(&mut bytes) else { continue };
            assert!(read > 0, "the server closed a connection");
            peer.answered += read;
            let whole = peer.answered / (4 + ANSWER_BYTES);
            peer.answered %= 4 + ANSWER_BYTES;
            requests += whole as u64;
            if depth == 1 && whole == 1 {
                latencies.push(sent_at[at].elapsed().as_micros() as u32);
                sent_at[at] = Clock::now();
            }
            if whole > 0 {
                peer.stream.write_all(&burst[..whole * request.len()]).unwrap();
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = (server_nanos(me) - nanos) as f64 / 1e9;
    // SAFETY: made above, closed once.
    unsafe { libc::close(epoll) };
    (requests, seconds, cpu, latencies)
}

/// Sends large frames on each connection as fast as they are taken.
fn stream_client(address: SocketAddr, connections: usize) -> (u64, f64, f64) {
    let mut frame = (LARGE_BYTES as i32).to_be_bytes().to_vec();
    frame.resize(4 + LARGE_BYTES, 7);
    // SAFETY: no pointers.
    let epoll = unsafe { libc::epoll_create1(0) };
    let mut peers: Vec<(TcpStream, usize)> =
        (0..connections).map(|_| (TcpStream::connect(address).unwrap(), 0)).collect();
    for (at, (stream, _)) in peers.iter_mut().enumerate() {
        stream.set_nonblocking(true).unwrap();
        let mut event = libc::epoll_event { events: libc::EPOLLOUT as u32, u64: at as u64 };
        // SAFETY: the event outlives the call.
        unsafe {
            libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, stream.as_raw_fd(), &raw mut event);
        }
    }
    let me = thread_id();
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; 64];
    let (mut sent, mut began, mut nanos, mut warm) = (0_u64, Clock::now(), 0, false);
    loop {
        if !warm && began.elapsed() >= WARM_UP {
            (warm, sent, began, nanos) = (true, 0, Clock::now(), server_nanos(me));
        }
        if warm && began.elapsed() >= MEASURED {
            break;
        }
        // SAFETY: the events outlive the call and their number is given.
        let count =
            unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as i32, 100) };
        for event in &events[..count.max(0) as usize] {
            let (stream, at) = &mut peers[event.u64 as usize];
            if let Ok(written) = stream.write(&frame[*at..]) {
                *at = (*at + written) % frame.len();
                sent += written as u64;
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = (server_nanos(me) - nanos) as f64 / 1e9;
    // SAFETY: made above, closed once.
    unsafe { libc::close(epoll) };
    (sent, seconds, cpu)
}

fn with_shell<T>(kind: Kind, client: impl FnOnce(SocketAddr) -> T) -> T {
    let path = std::env::current_dir().unwrap().join("target").join("null_shell");
    let _ = std::fs::remove_dir_all(&path);
    let data = DataDirectory::open(&path).unwrap();
    boot::prepare_process();
    let options = ShellOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)), data, 1);
    let running = boot::start(options, move |shard| Ok(NullEngine::new(kind, shard))).unwrap();
    let result = client(running.address);
    running.switch().stop();
    running.join();
    let _ = std::fs::remove_dir_all(&path);
    result
}

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wish| name.contains(wish));
    let on_second = |work: Box<dyn FnOnce() -> String + Send>| {
        let cpus = boot::online_cpus();
        let id = cpus.get(1).copied().unwrap_or(cpus[0]);
        std::thread::spawn(move || {
            core_affinity::set_for_current(core_affinity::CoreId { id });
            work()
        })
        .join()
        .unwrap()
    };
    for (connections, depth) in [(1, 1), (16, 1), (64, 1), (64, 5), (1000, 1)] {
        let name = format!("echo {connections},{depth}");
        if !wants(&name) {
            continue;
        }
        let line = with_shell(Kind::Echo, |address| {
            on_second(Box::new(move || {
                let (requests, seconds, cpu, mut latencies) =
                    echo_client(address, connections, depth);
                latencies.sort_unstable();
                let at = |share: f64| {
                    latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or(0)
                };
                format!(
                    "{:8.1} k requests/s {:7.2} us CPU/request   p50 {} p99 {} us",
                    requests as f64 / seconds / 1e3,
                    cpu * 1e6 / requests as f64,
                    at(0.5),
                    at(0.99)
                )
            }))
        });
        println!("{name:12} {line}");
    }
    for (kind, label) in [(Kind::Receive, "receive"), (Kind::Ingest, "ingest")] {
        for connections in [1, 16] {
            let name = format!("{label} {connections}");
            if !wants(&name) {
                continue;
            }
            let line = with_shell(kind, |address| {
                on_second(Box::new(move || {
                    let (bytes, seconds, cpu) = stream_client(address, connections);
                    let gigabytes = bytes as f64 / 1e9;
                    format!(
                        "{:8.0} MB/s {:7.2} CPU-s/GB",
                        gigabytes * 1e3 / seconds,
                        cpu / gigabytes
                    )
                }))
            });
            println!("{name:12} {line}");
        }
    }
}

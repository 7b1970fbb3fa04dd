//! An engine that answers frames in ways the tests ask for. The first byte of a frame says how:
//!
//! | byte | answer |
//! |---|---|
//! | `e` | the frame itself |
//! | `m` | the frame itself, by way of another shard |
//! | `f` | `f`, then a file range named by the frame, then `g` |
//! | `p` | nothing is read for 50 ms, then the frame itself |
//! | `c` | the frame itself, and the connection is closed behind it |
//! | `j` | the frame itself, once the engine's journal has it on disk |
//! | `n` | nothing |

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::ids::{
    ConnectionId, Incarnation, LeaderEpoch, Offset, PartitionId, ShardId, TopicId, TopicPartition,
};
use crate::journal::{
    Entry, EntryKind, FileNumber, GroupBuffer, GroupSequence, Journal, JournalOptions, Lane,
};
use crate::limits;
use crate::shard::engine::{
    Action, DiskError, Engine, FileJob, FileOutcome, FileRange, FileWork, JobId,
    PartitionDirectory, Piece, Reply,
};
use crate::time::{Instant, Now, earlier};

/// What the engines of all shards saw, for the test to look at.
#[derive(Clone, Default)]
pub(super) struct Record(Arc<Mutex<Recorded>>);

#[derive(Default)]
pub(super) struct Recorded {
    pub(super) accepted: usize,
    pub(super) closed: usize,
    pub(super) frames: usize,
    pub(super) sent: usize,
    pub(super) progress: usize,
    pub(super) bad: Vec<i32>,
    pub(super) files: Vec<(JobId, Result<String, DiskError>)>,
    /// Jobs the engine of shard 0 is to ask for on its next turn.
    pub(super) ask: Vec<FileJob>,
}

impl Record {
    pub(super) fn see<T>(&self, f: impl FnOnce(&mut Recorded) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    /// Waits until something is true of the record.
    pub(super) fn until(&self, what: &str, f: impl Fn(&Recorded) -> bool) {
        let began = std::time::Instant::now();
        while !self.see(|seen| f(seen)) {
            assert!(began.elapsed() < super::HANG, "waiting for: {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What the test engines say to each other.
pub(super) enum Message {
    Ask(ConnectionId, u64, Bytes),
    Answer(ConnectionId, u64, Bytes),
}

/// Replies of one connection in order of their requests, filled in as they are ready.
#[derive(Default)]
struct Pipeline {
    first: u64,
    replies: VecDeque<Option<Reply>>,
}

pub(super) struct TestEngine {
    shard: ShardId,
    shards: u16,
    record: Record,
    actions: VecDeque<Action<Message>>,
    pipelines: BTreeMap<ConnectionId, Pipeline>,
    resumes: VecDeque<(Instant, ConnectionId, u64, Bytes)>,
    journal: Journal,
    committing: VecDeque<(GroupSequence, ConnectionId, u64, Bytes)>,
    next_offset: i64,
    poll_at: Instant,
    stopping: bool,
}

/// A range of the test partition's first segment.
pub(super) fn range(segment: i64, position: u32, length: u32) -> FileRange {
    FileRange { directory: directory(), segment: Offset(segment), generation: 0, position, length }
}

pub(super) fn directory() -> Arc<PartitionDirectory> {
    let at = TopicPartition { topic: TopicId([7; 16]), partition: PartitionId(0) };
    Arc::new(PartitionDirectory { name: "test-0".to_owned(), at })
}

fn framed(body: Bytes) -> Reply {
    let prefix = Bytes::copy_from_slice(&(body.len() as i32).to_be_bytes());
    Reply { pieces: vec![Piece::Bytes(prefix), Piece::Bytes(body)] }
}

impl TestEngine {
    pub(super) fn new(shard: ShardId, shards: u16, record: Record) -> TestEngine {
        let journal = Journal::new(JournalOptions {
            shard,
            lane: Lane::Flushed,
            incarnation: Incarnation(1),
            file_bytes: 1 << 20,
            depth: limits::JOURNAL_DEPTH,
            group_bytes_max: 64 * 1024,
            files_max: 4,
        });
        TestEngine {
            shard,
            shards,
            record,
            actions: VecDeque::new(),
            pipelines: BTreeMap::new(),
            resumes: VecDeque::new(),
            journal,
            committing: VecDeque::new(),
            next_offset: 0,
            poll_at: Instant::default(),
            stopping: false,
        }
    }

    fn answer(&mut self, connection: ConnectionId, number: u64, reply: Reply) {
        let Some(pipeline) = self.pipelines.get_mut(&connection) else { return };
        pipeline.replies[(number - pipeline.first) as usize] = Some(reply);
        while let Some(Some(reply)) = pipeline.replies.front_mut().map(Option::take) {
            pipeline.replies.pop_front();
            pipeline.first += 1;
            self.actions.push_back(Action::Reply { connection, reply });
        }
    }

    fn on_committed(&mut self) {
        let durable = self.journal.durable();
        while self.committing.front().is_some_and(|(group, ..)| *group <= durable) {
            let (_, connection, number, frame) = self.committing.pop_front().unwrap();
            self.answer(connection, number, framed(frame));
        }
        let end = self.next_offset;
        self.journal.release(self.journal.durable(), |_| Some(Offset(end)));
    }
}

impl Engine for TestEngine {
    type Message = Message;

    fn on_accept(&mut self, connection: ConnectionId, _peer: SocketAddr, _now: Now) -> bool {
        self.record.see(|seen| seen.accepted += 1);
        self.pipelines.insert(connection, Pipeline::default());
        true
    }

    fn on_frame(&mut self, connection: ConnectionId, frame: BytesMut, now: Now) {
        self.record.see(|seen| seen.frames += 1);
        let frame = frame.freeze();
        let pipeline = self.pipelines.get_mut(&connection).expect("frames come from connections");
        let number = pipeline.first + pipeline.replies.len() as u64;
        let kind = frame.first().copied().unwrap_or(b'e');
        if kind == b'n' {
            return;
        }
        pipeline.replies.push_back(None);
        match kind {
            b'm' if self.shards > 1 => {
                let to = ShardId((self.shard.0 + 1) % self.shards);
                let message = Message::Ask(connection, number, frame);
                self.actions.push_back(Action::Message { to, message });
            }
            b'f' => {
                let text = std::str::from_utf8(&frame[1..]).unwrap();
                let mut numbers =
                    text.trim_end().split(',').map(|number| number.parse::<u32>().unwrap());
                let segment = numbers.next().unwrap();
                let position = numbers.next().unwrap();
                let length = numbers.next().unwrap();
                let total = length as i32 + 2;
                let mut header = total.to_be_bytes().to_vec();
                header.push(b'f');
                let pieces = vec![
                    Piece::Bytes(header.into()),
                    Piece::File(range(segment.into(), position, length)),
                    Piece::Bytes(Bytes::from_static(b"g")),
                ];
                self.answer(connection, number, Reply { pieces });
            }
            b'p' => {
                self.actions.push_back(Action::Pause(connection));
                let at = now.instant + Duration::from_millis(50);
                self.resumes.push_back((at, connection, number, frame));
            }
            b'c' => {
                self.answer(connection, number, framed(frame));
                self.actions.push_back(Action::Close { connection, flush: true });
            }
            b'j' => {
                let base = Offset(self.next_offset);
                self.next_offset += 1;
                let entry = Entry {
                    kind: EntryKind::Batch,
                    at: directory().at,
                    base_offset: base,
                    next_offset: base.plus(1),
                    leader_epoch: LeaderEpoch(0),
                    payload: &frame,
                    checked: None,
                };
                let group = self.journal.append(&entry).expect("the tests keep within the groups");
                self.committing.push_back((group, connection, number, frame));
            }
            _ => self.answer(connection, number, framed(frame)),
        }
    }

    fn on_bad_frame(&mut self, connection: ConnectionId, length: i32, _now: Now) {
        self.record.see(|seen| seen.bad.push(length));
        self.actions.push_back(Action::Close { connection, flush: true });
    }

    fn on_progress(&mut self, _connection: ConnectionId, received: usize, _now: Now) {
        assert!(received > 0);
        self.record.see(|seen| seen.progress += 1);
    }

    fn on_sent(&mut self, _connection: ConnectionId, _now: Now) {
        self.record.see(|seen| seen.sent += 1);
    }

    fn on_closed(&mut self, connection: ConnectionId, _now: Now) {
        self.record.see(|seen| seen.closed += 1);
        self.pipelines.remove(&connection).expect("a connection is closed once");
    }

    fn on_message(&mut self, from: ShardId, message: Message, _now: Now) {
        match message {
            Message::Ask(connection, number, frame) => {
                let message = Message::Answer(connection, number, frame);
                self.actions.push_back(Action::Message { to: from, message });
            }
            Message::Answer(connection, number, frame) => {
                self.answer(connection, number, framed(frame));
            }
        }
    }

    fn on_journal_written(
        &mut self,
        _lane: Lane,
        group: GroupSequence,
        buffer: GroupBuffer,
        result: Result<(), DiskError>,
        _now: Now,
    ) {
        result.unwrap();
        self.journal.on_written(group, buffer);
        self.on_committed();
    }

    fn on_journal_file(
        &mut self,
        _lane: Lane,
        file: FileNumber,
        result: Result<(), DiskError>,
        _now: Now,
    ) {
        result.unwrap();
        self.journal.on_file_ready(file);
    }

    fn on_file(&mut self, job: JobId, result: Result<FileOutcome, DiskError>, _now: Now) {
        let shown = result.map(|outcome| match outcome {
            FileOutcome::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            other => format!("{other:?}"),
        });
        self.record.see(|seen| seen.files.push((job, shown)));
    }

    fn on_time(&mut self, now: Now) {
        while self.resumes.front().is_some_and(|(at, ..)| *at <= now.instant) {
            let (_, connection, number, frame) = self.resumes.pop_front().unwrap();
            self.actions.push_back(Action::Resume(connection));
            self.answer(connection, number, framed(frame));
        }
        if self.shard == ShardId(0) {
            for job in self.record.see(|seen| std::mem::take(&mut seen.ask)) {
                self.actions.push_back(Action::File(job));
            }
        }
        self.poll_at = now.instant + Duration::from_millis(20);
    }

    fn on_stop(&mut self, _now: Now) {
        self.stopping = true;
        self.actions.push_back(Action::Stopped);
    }

    fn next_deadline(&self) -> Option<Instant> {
        earlier(Some(self.poll_at), self.resumes.front().map(|(at, ..)| *at))
    }

    fn poll_action(&mut self) -> Option<Action<Message>> {
        self.actions
            .pop_front()
            .or_else(|| Some(Action::Journal(Lane::Flushed, self.journal.poll_action()?)))
    }

    fn may_read(&self) -> bool {
        true
    }
}

/// A job by number.
pub(super) fn job(id: u64, work: FileWork) -> FileJob {
    FileJob { id: JobId(id), work }
}

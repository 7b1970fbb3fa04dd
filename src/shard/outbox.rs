//! What the rooms of a shard want done, collected in order until the host drains it.

use std::collections::VecDeque;

use crate::ids::ShardId;

use crate::api::work::Answers;

use super::engine::{Action, DiskError, Fatal, FileJob, FileWork, JobId};
use super::message::{Message, RequestId};

/// All answers to one question: who asked, for which request, and each answer with its index.
pub(super) type Answered = (ShardId, RequestId, Answers);

/// See the module.
#[derive(Debug, Default)]
pub struct Outbox {
    /// For the host.
    pub actions: VecDeque<Action<Message>>,
    /// From this shard's partitions to whoever asked, this shard included.
    pub answers: VecDeque<Answered>,
    /// Long polls to wake, this shard's included.
    pub wakes: VecDeque<(ShardId, RequestId)>,
    next_job: u64,
}

impl Outbox {
    /// The disk is broken: nothing more may be acknowledged.
    pub fn fatal(&mut self, error: DiskError) {
        self.actions.push_back(Action::Fatal(Fatal::Disk(error)));
    }

    /// Asks the host for file work.
    pub fn file(&mut self, work: FileWork) -> JobId {
        let id = JobId(self.next_job);
        self.next_job += 1;
        self.actions.push_back(Action::File(FileJob { id, work }));
        id
    }
}

//! What shards say to each other. Plain owned values: they cross cores by queue and the simulator's
//! mesh alike.

use std::sync::Arc;

use crate::api::command::{Command, CommandOutcome};
use crate::api::work::{Answers, Question};
use crate::catalog::Image;
use crate::ids::{Offset, ShardId, TopicPartition};
use crate::stdx::few::Few;

/// A request of a client, as its connection's shard numbers it. Unique for the life of the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// From one shard to another.
#[derive(Debug)]
pub enum Message {
    /// Work on partitions that the receiver owns.
    Ask {
        /// Comes back with the answers.
        request: RequestId,
        /// What.
        question: Question,
    },
    /// Answers to an `Ask`, all of them, in no particular order.
    Answer {
        /// Of the `Ask`.
        request: RequestId,
        /// With the index that each item had in the question.
        answers: Answers,
    },
    /// Say `Wake` once any of these has so many bytes beyond the offset beside it.
    Watch {
        /// Comes back with the wake.
        request: RequestId,
        /// Partition and the high watermark seen.
        partitions: Few<(TopicPartition, Offset)>,
        /// How many.
        bytes: usize,
    },
    /// A watched partition moved.
    Wake {
        /// Of the `Watch`.
        request: RequestId,
    },
    /// The waiter of a `Watch` is gone.
    Unwatch {
        /// Of the `Watch`.
        request: RequestId,
    },
    /// A change of the catalog, for the controller's shard.
    Command {
        /// Comes back with the outcome.
        request: RequestId,
        /// What.
        command: Command,
    },
    /// What became of a `Command`. Every shard has applied the change by now.
    CommandDone {
        /// Of the `Command`.
        request: RequestId,
        /// What.
        outcome: CommandOutcome,
    },
    /// The catalog changed.
    Image(Arc<Image>),
    /// The sender serves by this version of the catalog now.
    ImageApplied {
        /// `Image::version`
        version: u64,
    },
    /// Everything the sender replayed at start is in flushed segments and its checkpoint says so.
    Settled,
}

/// The shard that owns the catalog on one node.
pub const CONTROLLER: ShardId = ShardId(0);

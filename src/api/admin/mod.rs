//! Administration: topics, configs, and what the cluster and its logs look like. One file per API
//! key.
//!
//! Three shapes. What only reads the catalog is answered at once. What changes it becomes a
//! [`Command`](super::command::Command), and the reply is made of the outcome of every single item.
//! What concerns logs asks the owners of the partitions.
//!
//! It knows neither how a change is planned (that is the catalog's) nor how logs are moved (the
//! owners'). Invariants: every item of a request is answered, in the order of the request; an item
//! that is refused here never reaches the catalog or an owner; a reply to a change that could not
//! be stored says so for each item that waited for it.
//!
//! Timeouts in requests are not looked at: a change is made before its answer, and nothing here
//! waits for another broker.

mod alter_configs;
mod create_partitions;
mod create_topics;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_log_dirs;
mod describe_topic_partitions;
mod incremental_alter_configs;
mod offset_for_leader_epoch;

mod refused;
mod resource;

#[cfg(test)]
pub(super) mod scene;

use super::asked::Asked;
use super::command::CommandOutcome;
use super::work::Answers;
use super::{Context, Next};
use crate::wire::api_key::ApiKey;
use crate::wire::primitive::DecodeError;

/// An administrative request that waits for something.
#[derive(Debug)]
pub enum Admin {
    /// Topics being created.
    CreateTopics(create_topics::CreateTopics),
    /// Topics being deleted.
    DeleteTopics(delete_topics::DeleteTopics),
    /// Topics being given more partitions.
    CreatePartitions(create_partitions::CreatePartitions),
    /// Configs being replaced.
    AlterConfigs(alter_configs::AlterConfigs),
    /// Configs being changed.
    IncrementalAlterConfigs(incremental_alter_configs::IncrementalAlterConfigs),
    /// Log starts being moved.
    DeleteRecords(delete_records::DeleteRecords),
    /// Ends of epochs being looked up.
    OffsetForLeaderEpoch(offset_for_leader_epoch::OffsetForLeaderEpoch),
    /// Logs being measured.
    DescribeLogDirs(describe_log_dirs::DescribeLogDirs),
}

/// Begins a request.
///
/// # Errors
/// The body is not well formed.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    match asked.key {
        ApiKey::CreateTopics => create_topics::begin(asked, body),
        ApiKey::DeleteTopics => delete_topics::begin(asked, body, context),
        ApiKey::DeleteRecords => delete_records::begin(asked, body, context),
        ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch::begin(asked, body, context),
        ApiKey::DescribeConfigs => describe_configs::answer(asked, body, context),
        ApiKey::AlterConfigs => alter_configs::begin(asked, body),
        ApiKey::DescribeLogDirs => describe_log_dirs::begin(asked, body, context),
        ApiKey::CreatePartitions => create_partitions::begin(asked, body),
        ApiKey::IncrementalAlterConfigs => incremental_alter_configs::begin(asked, body, context),
        ApiKey::DescribeCluster => describe_cluster::answer(asked, body, context),
        ApiKey::DescribeTopicPartitions => describe_topic_partitions::answer(asked, body, context),
        other => panic!("{other:?} is served, but nobody answers it"),
    }
}

impl Admin {
    /// Answers of one owner arrived. What follows, once nothing is missing any more.
    pub fn on_answers(&mut self, answers: Answers, context: &Context<'_>) -> Option<Next> {
        match self {
            Admin::DeleteRecords(records) => records.on_answers(answers),
            Admin::OffsetForLeaderEpoch(epochs) => epochs.on_answers(answers),
            Admin::DescribeLogDirs(sizes) => sizes.on_answers(answers, context),
            other => panic!("asked no owner: {other:?}"),
        }
    }

    /// The change it asked for is made, and this shard serves by it; or it was refused.
    pub fn on_outcome(&mut self, outcome: CommandOutcome, _: &Context<'_>) -> Next {
        Next::Reply(match self {
            Admin::CreateTopics(topics) => topics.on_outcome(outcome),
            Admin::DeleteTopics(topics) => topics.on_outcome(outcome),
            Admin::CreatePartitions(topics) => topics.on_outcome(outcome),
            Admin::AlterConfigs(configs) => configs.on_outcome(outcome),
            Admin::IncrementalAlterConfigs(configs) => configs.on_outcome(outcome),
            other => panic!("asked for no change: {other:?}"),
        })
    }
}

//! Changes of the catalog, as the api asks the controller for them.

use crate::catalog::{
    ConfigAlteration, CreatedPartitions, CreatedTopic, DeletedTopic, IncrementalAlteration,
    PartitionsCreation, ProducerIdBlock, Refusal, TopicCreation, TopicSelector,
};

/// A change of the catalog.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make topics.
    CreateTopics {
        /// As sent.
        topics: Vec<TopicCreation>,
        /// Only say what would become of them.
        validate_only: bool,
    },
    /// Delete topics.
    DeleteTopics(Vec<TopicSelector>),
    /// Give topics more partitions.
    CreatePartitions {
        /// As sent.
        topics: Vec<PartitionsCreation>,
        /// Only say what would become of them.
        validate_only: bool,
    },
    /// Replace configs.
    AlterConfigs {
        /// As sent.
        resources: Vec<ConfigAlteration>,
        /// Only say what would become of them.
        validate_only: bool,
    },
    /// Change single configs.
    IncrementalAlterConfigs {
        /// As sent.
        resources: Vec<IncrementalAlteration>,
        /// Only say what would become of them.
        validate_only: bool,
    },
    /// Reserve producer ids.
    AllocateProducerIds {
        /// How many.
        count: u32,
    },
}

/// What became of a command, item by item where it had items.
#[derive(Clone, Debug)]
pub enum CommandOutcome {
    /// Of `CreateTopics`.
    TopicsCreated(Vec<Result<CreatedTopic, Refusal>>),
    /// Of `DeleteTopics`.
    TopicsDeleted(Vec<Result<DeletedTopic, Refusal>>),
    /// Of `CreatePartitions`.
    PartitionsCreated(Vec<Result<CreatedPartitions, Refusal>>),
    /// Of `AlterConfigs` and `IncrementalAlterConfigs`.
    ConfigsAltered(Vec<Result<(), Refusal>>),
    /// Of `AllocateProducerIds`.
    ProducerIds(Result<ProducerIdBlock, Refusal>),
    /// It could not be made durable, and nothing has changed.
    NotStored,
}

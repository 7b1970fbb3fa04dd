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

/// What an item takes beside its text, about.
const ITEM_BYTES: usize = 128;

impl Command {
    /// About how much memory it takes while it waits.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Command::CreateTopics { topics, .. } => topics
                .iter()
                .map(|topic| {
                    let assigned = topic.assignments.iter().map(|one| 4 * one.replicas.len());
                    let configs = topic.configs.iter().map(|(key, value)| text(key, value));
                    let each = assigned.chain(configs).map(|bytes| bytes + ITEM_BYTES);
                    topic.name.len() + ITEM_BYTES + each.sum::<usize>()
                })
                .sum(),
            Command::DeleteTopics(topics) => topics
                .iter()
                .map(|topic| match topic {
                    TopicSelector::Name(name) => name.len() + ITEM_BYTES,
                    TopicSelector::Id(_) => ITEM_BYTES,
                })
                .sum(),
            Command::CreatePartitions { topics, .. } => topics
                .iter()
                .map(|topic| {
                    let assigned = topic.assignments.iter().flatten();
                    let assigned = assigned.map(|replicas| 4 * replicas.len() + ITEM_BYTES);
                    topic.name.len() + ITEM_BYTES + assigned.sum::<usize>()
                })
                .sum(),
            Command::AlterConfigs { resources, .. } => resources
                .iter()
                .map(|resource| {
                    let configs = resource.configs.iter().map(|(key, value)| text(key, value));
                    ITEM_BYTES + configs.map(|bytes| bytes + ITEM_BYTES).sum::<usize>()
                })
                .sum(),
            Command::IncrementalAlterConfigs { resources, .. } => resources
                .iter()
                .map(|resource| {
                    let changes =
                        resource.changes.iter().map(|change| text(&change.key, &change.value));
                    ITEM_BYTES + changes.map(|bytes| bytes + ITEM_BYTES).sum::<usize>()
                })
                .sum(),
            Command::AllocateProducerIds { .. } => 0,
        }
    }
}

fn text(key: &str, value: &Option<String>) -> usize {
    key.len() + value.as_ref().map_or(0, String::len)
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
    /// Too many changes wait already, and nothing has changed.
    Busy,
}

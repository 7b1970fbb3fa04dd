//! Why an item of a request is not granted.

use std::fmt;

/// One variant for each answer a client can tell apart; the text is for people, in Kafka's words
/// where Kafka has them. `api` maps the variants to error codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The topic's name is not legal, or collides with another one.
    InvalidTopic(String),
    /// There is a topic of that name.
    TopicExists(String),
    /// There is no topic of that name.
    UnknownTopic(String),
    /// There is no topic with that id.
    UnknownTopicId(String),
    /// Topics may not be deleted (`delete.topic.enable=false`).
    TopicDeletionDisabled(String),
    /// The number of partitions is not possible.
    InvalidPartitions(String),
    /// The replication factor is not possible.
    InvalidReplicationFactor(String),
    /// A manual assignment of replicas is not possible.
    InvalidReplicaAssignment(String),
    /// A config key or value is not possible.
    InvalidConfig(String),
    /// The request contradicts itself or names what does not exist.
    InvalidRequest(String),
    /// A limit of this broker.
    PolicyViolation(String),
    /// A limit on what one request may ask for; another request may have it.
    TooMuchAtOnce(String),
}

impl Refusal {
    /// The text for people.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Refusal::InvalidTopic(text)
            | Refusal::TopicExists(text)
            | Refusal::UnknownTopic(text)
            | Refusal::UnknownTopicId(text)
            | Refusal::TopicDeletionDisabled(text)
            | Refusal::InvalidPartitions(text)
            | Refusal::InvalidReplicationFactor(text)
            | Refusal::InvalidReplicaAssignment(text)
            | Refusal::InvalidConfig(text)
            | Refusal::InvalidRequest(text)
            | Refusal::PolicyViolation(text)
            | Refusal::TooMuchAtOnce(text) => text,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

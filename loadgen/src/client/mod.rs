//! A small Kafka client: enough to find out who leads what, to create a topic, to get a producer
//! id, and to exchange Produce and Fetch at full speed. Knows no groups and no transactions.

pub(crate) mod codec;
pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod errors;
pub(crate) mod metadata;
pub(crate) mod requests;

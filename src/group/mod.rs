//! Consumer groups: what is kept of them, and what their members tell each other.

pub mod consumer_protocol;
pub mod records;

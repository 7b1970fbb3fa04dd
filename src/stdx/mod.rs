//! What std lacks and is free of Kafka. Knows no other room.

pub mod few;
pub mod map;
pub mod prng;

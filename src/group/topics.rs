//! What groups are told of topics. Which of them exist is decided elsewhere.

use std::fmt;

use crate::ids::TopicId;

/// The topics that exist, as of one moment.
pub trait TopicView: fmt::Debug + Send + Sync {
    /// A topic's id and its number of partitions.
    fn by_name(&self, name: &str) -> Option<(TopicId, i32)>;
    /// Calls for every topic's name, in order.
    fn each_name(&self, call: &mut dyn FnMut(&str));
}

/// None exist.
#[derive(Debug)]
pub(super) struct NoTopics;

impl TopicView for NoTopics {
    fn by_name(&self, _: &str) -> Option<(TopicId, i32)> {
        None
    }

    fn each_name(&self, _: &mut dyn FnMut(&str)) {}
}

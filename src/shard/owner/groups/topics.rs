//! The catalog's topics, as groups see them.

use std::sync::Arc;

use crate::catalog::Topics;
use crate::group::TopicView;
use crate::ids::TopicId;

/// See the module.
#[derive(Debug)]
pub(super) struct View(pub Arc<Topics>);

impl TopicView for View {
    fn by_name(&self, name: &str) -> Option<(TopicId, i32)> {
        let topic = self.0.get(name)?;
        Some((topic.id, i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)))
    }

    fn each_name(&self, call: &mut dyn FnMut(&str)) {
        self.0.iter().for_each(|topic| call(&topic.name));
    }
}

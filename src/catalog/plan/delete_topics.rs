//! DeleteTopics, by name or by id.

use super::super::apply::Catalog;
use super::super::layers::Layers;
use super::super::record::Record;
use super::super::topic_name::printable;
use super::{Plan, Refusal, occurrences};
use crate::ids::TopicId;

/// How a request names a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicSelector {
    /// By name.
    Name(String),
    /// By id (DeleteTopics v6).
    Id(TopicId),
}

/// A topic that is gone once the plan is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub id: TopicId,
}

impl Catalog {
    /// Plans the deletion of topics.
    #[must_use]
    pub fn plan_delete_topics(&self, topics: &[TopicSelector]) -> Plan<DeletedTopic> {
        let counts = occurrences(topics.iter());
        self.plan_each(topics.iter(), false, |draft, selector| {
            if counts.get(selector).is_some_and(|count| *count > 1) {
                return Err(Refusal::InvalidRequest(match selector {
                    TopicSelector::Name(_) => "Duplicate topic name.".to_owned(),
                    TopicSelector::Id(_) => "Duplicate topic id.".to_owned(),
                }));
            }
            draft.plan_delete_topic(selector)
        })
    }

    fn plan_delete_topic(
        &self,
        selector: &TopicSelector,
    ) -> Result<(Vec<Record>, DeletedTopic), Refusal> {
        let layers = Layers::new(&self.image, self.image.node_id, &self.statics);
        if layers.value("delete.topic.enable") == Some("false") {
            return Err(Refusal::TopicDeletionDisabled("Topic deletion is disabled.".to_owned()));
        }
        let topic = match selector {
            TopicSelector::Name(name) => self.image.topic(name).ok_or_else(|| {
                Refusal::UnknownTopic(format!("There is no topic '{}'.", printable(name)))
            }),
            TopicSelector::Id(id) => (self.image.topic_by_id(*id)).ok_or_else(|| {
                Refusal::UnknownTopicId(format!("There is no topic with the id {id}."))
            }),
        }?;
        let deleted = DeletedTopic { name: topic.name.to_string(), id: topic.id };
        Ok((vec![Record::TopicDeleted { id: topic.id }], deleted))
    }
}

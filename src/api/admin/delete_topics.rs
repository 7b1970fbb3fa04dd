//! DeleteTopics (key 20), versions 1 to 6.
//!
//! - 3: TOPIC_DELETION_DISABLED has a code of its own (KIP-322); before it is INVALID_REQUEST.
//! - 4: flexible. 5: error messages. 6: topics by name or by id (KIP-516), but not by both.
//!
//! What stands in the request twice is refused and has one result, as from Kafka. Kafka shuffles
//! the results so that their order says nothing about topics a client may not see; here they keep
//! the order of the request.

use std::collections::BTreeMap;

use crate::api::command::{Command, CommandOutcome};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next, Pending};
use crate::catalog::{DeletedTopic, TopicSelector};
use crate::ids::TopicId;
use crate::wire::delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

use super::Admin;
use super::refused::{Refused, results};

/// Topics being deleted.
#[derive(Debug)]
pub struct DeleteTopics {
    asked: Asked,
    items: Vec<Item>,
    waiting: usize,
}

/// One result to be.
#[derive(Debug)]
struct Item {
    name: Option<String>,
    id: TopicId,
    /// `None` while the catalog is being asked.
    result: Option<Result<(), Refused>>,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = DeleteTopicsRequest::decode_from(body, asked.version)?;
    let by_name = request.topic_names.iter().map(|name| (Some(name), TopicId::ZERO));
    let by_either = request.topics.iter().map(|topic| (topic.name, TopicId(topic.topic_id)));
    let wanted: Vec<_> = by_name.chain(by_either).collect();

    let mut selectors = Vec::new();
    let mut pending = DeleteTopics { asked, items: Vec::new(), waiting: 0 };
    for (item, selector) in items(&wanted, context) {
        selectors.extend(selector);
        pending.items.push(item);
    }
    pending.waiting = selectors.len();
    if selectors.is_empty() {
        return Ok(Next::Reply(pending.reply()));
    }
    let command = Command::DeleteTopics(selectors);
    Ok(Next::Change { pending: Pending::Admin(Admin::DeleteTopics(pending)), command })
}

/// The results to be, and what the catalog is asked for those that are not refused at once.
fn items(
    wanted: &[(Option<&str>, TopicId)],
    context: &Context<'_>,
) -> Vec<(Item, Option<TopicSelector>)> {
    // How often each is named, until its result is in its place.
    let mut names = BTreeMap::new();
    let mut ids = BTreeMap::new();
    for (name, id) in wanted {
        match name {
            Some(name) if *id == TopicId::ZERO => *names.entry(*name).or_insert(0) += 1,
            None if *id != TopicId::ZERO => *ids.entry(*id).or_insert(0) += 1,
            _ => {}
        }
    }
    // A topic that is named both ways is not deleted; Kafka answers for the name only.
    let mut named_by_both = BTreeMap::new();
    for name in names.iter().filter(|(_, count)| **count == 1).map(|(name, _)| *name) {
        if let Some(topic) = context.image.topic(name).filter(|topic| ids.contains_key(&topic.id)) {
            named_by_both.insert(name, topic.id);
        }
    }
    for id in named_by_both.values() {
        if ids.get(id) == Some(&1) {
            ids.remove(id);
        }
    }
    let refused = |name: Option<&str>, id, message| {
        let result = Some(Err(Refused::invalid_request(message)));
        (Item { name: name.map(str::to_owned), id, result }, None)
    };
    let mut items = Vec::new();
    for &(name, id) in wanted {
        match name {
            None if id == TopicId::ZERO => {
                items.push(refused(None, id, "Neither topic name nor id were specified."));
            }
            Some(_) if id != TopicId::ZERO => {
                items.push(refused(name, id, "You may not specify both topic name and topic id."));
            }
            Some(text) => match (names.remove(text), named_by_both.get(text)) {
                (None, _) => {}
                (Some(1), Some(id)) => items.push(refused(
                    name,
                    *id,
                    "The provided topic name maps to an ID that was already supplied.",
                )),
                (Some(1), None) => {
                    let item = Item { name: Some(text.to_owned()), id, result: None };
                    items.push((item, Some(TopicSelector::Name(text.to_owned()))));
                }
                (Some(_), _) => items.push(refused(name, id, "Duplicate topic name.")),
            },
            None => match ids.remove(&id) {
                None => {}
                Some(1) => {
                    let item = Item { name: None, id, result: None };
                    items.push((item, Some(TopicSelector::Id(id))));
                }
                Some(_) => items.push(refused(None, id, "Duplicate topic id.")),
            },
        }
    }
    items
}

impl DeleteTopics {
    pub(super) fn on_outcome(&mut self, outcome: CommandOutcome) -> Reply {
        let outcomes = match outcome {
            CommandOutcome::TopicsDeleted(outcomes) => Ok(outcomes),
            CommandOutcome::NotStored => Err(Refused::not_stored()),
            CommandOutcome::Busy => Err(Refused::busy(self.asked.version, Some(5))),
            other => panic!("not an outcome of DeleteTopics: {other:?}"),
        };
        let results: Vec<Result<DeletedTopic, Refused>> = results(outcomes, self.waiting);
        let waiting = self.items.iter_mut().filter(|item| item.result.is_none());
        for (item, result) in waiting.zip(results) {
            item.result = Some(result.map(|deleted| {
                item.name = Some(deleted.name);
                item.id = deleted.id;
            }));
        }
        self.reply()
    }

    fn reply(&self) -> Reply {
        let responses: Vec<_> = self
            .items
            .iter()
            .map(|item| {
                let refused = item.result.as_ref().and_then(|result| result.as_ref().err());
                let error = refused.map_or(ErrorCode::NONE, |refused| refused.error);
                DeletableTopicResult {
                    name: item.name.as_deref(),
                    topic_id: item.id.0,
                    error_code: self.in_version(error).code(),
                    error_message: refused.map(|refused| refused.message.as_str()),
                }
            })
            .collect();
        let response = DeleteTopicsResponse { responses: responses.into(), ..Default::default() };
        self.asked.reply(&response)
    }

    fn in_version(&self, error: ErrorCode) -> ErrorCode {
        if error == ErrorCode::TOPIC_DELETION_DISABLED && self.asked.version < 3 {
            ErrorCode::INVALID_REQUEST
        } else {
            error
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;
    use crate::wire::delete_topics::DeleteTopicState;

    fn by_names<'a>(names: &[&'a str]) -> DeleteTopicsRequest<'a> {
        DeleteTopicsRequest { topic_names: names.to_vec().into(), ..Default::default() }
    }

    fn codes(body: &[u8], version: i16) -> Vec<(String, ErrorCode)> {
        let response = DeleteTopicsResponse::decode_whole(body, version).unwrap();
        let results = response.responses.iter().map(|result| {
            assert!(version < 5 || (result.error_code == 0) == result.error_message.is_none());
            (result.name.unwrap_or("-").to_owned(), ErrorCode::from_code(result.error_code))
        });
        results.collect()
    }

    fn named(expected: &[(&str, ErrorCode)]) -> Vec<(String, ErrorCode)> {
        expected.iter().map(|(name, error)| ((*name).to_owned(), *error)).collect()
    }

    #[test]
    fn topics_go_by_name() {
        for version in [1, 4, 5] {
            let mut scene = Scene::new(&[("a", 1), ("b", 1), ("c", 1)]);
            let body = scene.answer(version, &by_names(&["a", "nope", "b", "b"]));
            let expected = [
                ("a", ErrorCode::NONE),
                ("nope", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                ("b", ErrorCode::INVALID_REQUEST),
            ];
            assert_eq!(codes(&body, version), named(&expected));
            let left: Vec<_> = scene.image().topics.iter().map(|topic| &*topic.name).collect();
            assert_eq!(left, ["b", "c"]);
        }
    }

    #[test]
    fn topics_go_by_id_or_name_but_not_by_both() {
        let mut scene = Scene::new(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
        let id = |name| scene.image().topic(name).unwrap().id.0;
        let state = |name, topic_id| DeleteTopicState { name, topic_id };
        let topics = vec![
            state(None, id("a")),
            state(None, [0; 16]),
            state(Some("b"), id("b")),
            state(Some("c"), [0; 16]),
            state(None, id("c")),
            state(None, [5; 16]),
            state(None, id("d")),
            state(None, id("d")),
        ];
        let (id_a, id_c) = (id("a"), id("c"));
        let request = DeleteTopicsRequest { topics: topics.into(), ..Default::default() };
        let body = scene.answer(6, &request);
        let expected = [
            ("a", ErrorCode::NONE),
            ("-", ErrorCode::INVALID_REQUEST),
            ("b", ErrorCode::INVALID_REQUEST),
            ("c", ErrorCode::INVALID_REQUEST),
            ("-", ErrorCode::UNKNOWN_TOPIC_ID),
            ("-", ErrorCode::INVALID_REQUEST),
        ];
        assert_eq!(codes(&body, 6), named(&expected));
        let response = DeleteTopicsResponse::decode_whole(&body, 6).unwrap();
        let ids: Vec<_> = response.responses.iter().map(|result| result.topic_id).collect();
        assert_eq!((ids[0], ids[3], ids[4]), (id_a, id_c, [5; 16]));
        let left: Vec<_> = scene.image().topics.iter().map(|topic| &*topic.name).collect();
        assert_eq!(left, ["b", "c", "d"]);
    }

    #[test]
    fn deletion_that_is_disabled_has_a_code_from_version_3() {
        let mut scene = Scene::with_statics(&[("a", 1)], &[("delete.topic.enable", "false")]);
        let body = scene.answer(2, &by_names(&["a"]));
        assert_eq!(codes(&body, 2), named(&[("a", ErrorCode::INVALID_REQUEST)]));
        let body = scene.answer(3, &by_names(&["a"]));
        assert_eq!(codes(&body, 3), named(&[("a", ErrorCode::TOPIC_DELETION_DISABLED)]));
        assert!(scene.image().topic("a").is_some());
    }

    #[test]
    fn what_is_not_stored_is_said() {
        let scene = Scene::new(&[("a", 1)]);
        let body = scene.not_stored(5, &by_names(&["a", "b", "b"]));
        let expected = [("a", ErrorCode::KAFKA_STORAGE_ERROR), ("b", ErrorCode::INVALID_REQUEST)];
        assert_eq!(codes(&body, 5), named(&expected));
    }
}

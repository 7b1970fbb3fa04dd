//! OffsetFetch (key 9), versions 1 to 10.
//!
//! - 2: all offsets of a group, an error of the whole. 5: leader epochs (KIP-320). 6: flexible.
//! - 7: only stable offsets (KIP-447), which all are while there are no transactions. 8: several
//!   groups (KIP-709). 9: member and epoch, which a consumer group looks at (KIP-848). 10: topic ids.

use super::{Group, ask_all, group_error};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next};
use crate::group::{FetchOffsetsRequest, FetchedOffset, Refusal, Request, Topics};
use crate::ids::TopicId;
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use crate::wire::primitive::DecodeError;

/// Offsets being looked up.
#[derive(Debug)]
pub struct OffsetFetch {
    asked: Asked,
    groups: Vec<Asking>,
    missing: usize,
}

/// One group.
#[derive(Debug)]
struct Asking {
    group: Box<str>,
    member: Option<(Box<str>, i32)>,
    /// `None` is all.
    topics: Option<Vec<Wanted>>,
    found: Option<Found>,
}

#[derive(Debug)]
struct Wanted {
    /// Empty if there is no topic with the id.
    name: Box<str>,
    id: TopicId,
    partitions: Vec<i32>,
}

/// What is known of one group, ready to be told.
#[derive(Debug)]
struct Found {
    error: ErrorCode,
    topics: Vec<(Box<str>, TopicId, Vec<Partition>)>,
}

#[derive(Debug)]
struct Partition {
    offset: FetchedOffset,
    error: ErrorCode,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = OffsetFetchRequest::decode_from(body, asked.version)?;
    let mut groups = Vec::new();
    if asked.version < 8 {
        let topics = request.topics.as_ref().map(|topics| {
            let wanted = topics.iter().map(|topic| Wanted {
                name: topic.name.into(),
                id: TopicId::ZERO,
                partitions: topic.partition_indexes.iter().collect(),
            });
            wanted.collect()
        });
        let group = request.group_id.into();
        groups.push(Asking { group, member: None, topics, found: None });
    }
    for group in request.groups.iter() {
        let topics = group.topics.as_ref().map(|topics| {
            let wanted = topics.iter().map(|topic| {
                let id = TopicId(topic.topic_id);
                let name = match asked.version {
                    10.. => context.image.topic_by_id(id).map_or("", |topic| &*topic.name),
                    _ => topic.name,
                };
                Wanted {
                    name: name.into(),
                    id,
                    partitions: topic.partition_indexes.iter().collect(),
                }
            });
            wanted.collect()
        });
        let asks = group.member_id.is_some() || group.member_epoch >= 0;
        let member = asks.then(|| (group.member_id.unwrap_or_default().into(), group.member_epoch));
        groups.push(Asking { group: group.group_id.into(), member, topics, found: None });
    }
    let requests: Vec<_> = (0..)
        .zip(&groups)
        .map(|(index, asking)| {
            let known = |topics: &Vec<Wanted>| {
                let known = topics.iter().filter(|topic| !topic.name.is_empty());
                known.map(|topic| (topic.name.clone(), topic.partitions.clone())).collect()
            };
            let topics = asking.topics.as_ref().map(known);
            let group = (*asking.group).into();
            let member = asking.member.clone();
            (index, Request::FetchOffsets(FetchOffsetsRequest { group, member, topics }))
        })
        .collect();
    let missing = requests.len();
    let fetch = OffsetFetch { asked, groups, missing };
    if missing == 0 {
        return Ok(Next::Reply(fetch.reply()));
    }
    Ok(ask_all(Group::Fetch(fetch), requests, context))
}

impl OffsetFetch {
    /// Takes one group's offsets in; the reply once all are there.
    pub(super) fn on_offsets(
        &mut self,
        index: u32,
        offsets: Result<Topics<FetchedOffset>, Refusal>,
        context: &Context<'_>,
    ) -> Option<Reply> {
        let version = self.asked.version;
        let asking = self.groups.get_mut(index as usize);
        let asking = asking.expect("answers carry the index of their item");
        assert!(asking.found.is_none(), "one item has one answer");
        asking.found = Some(asking.found(offsets, version, context));
        self.missing -= 1;
        (self.missing == 0).then(|| self.reply())
    }

    fn reply(&self) -> Reply {
        let found = self.groups.iter().map(|asking| {
            let found = asking.found.as_ref();
            (&*asking.group, found.expect("the reply is made when nothing is missing"))
        });
        if self.asked.version >= 8 {
            let groups: Vec<_> = found.map(|(group, found)| found.group(group)).collect();
            let response = OffsetFetchResponse { groups: groups.into(), ..Default::default() };
            return self.asked.reply(&response);
        }
        let mut found = found;
        let (_, found) = found.next().expect("these versions ask for one group");
        self.asked.reply(&found.response())
    }
}

impl Asking {
    fn found(
        &self,
        offsets: Result<Topics<FetchedOffset>, Refusal>,
        version: i16,
        context: &Context<'_>,
    ) -> Found {
        let offsets = match offsets {
            Ok(offsets) => offsets,
            Err(refusal) => return self.refused(group_error(refusal), version),
        };
        let fine = |offsets: Vec<FetchedOffset>| {
            let fine =
                offsets.into_iter().map(|offset| Partition { offset, error: ErrorCode::NONE });
            fine.collect::<Vec<_>>()
        };
        let Some(wanted) = &self.topics else {
            let known = offsets.into_iter().filter_map(|(name, offsets)| {
                let id = context.image.topic(&name).map(|topic| topic.id);
                // A topic that is no more has no id to be told by.
                let id = if version >= 10 { id? } else { id.unwrap_or_default() };
                Some((name, id, fine(offsets)))
            });
            return Found { error: ErrorCode::NONE, topics: known.collect() };
        };
        let mut offsets = offsets.into_iter();
        let topics = wanted.iter().map(|topic| {
            let partitions = if topic.name.is_empty() {
                topic.all(ErrorCode::UNKNOWN_TOPIC_ID)
            } else {
                fine(offsets.next().map(|(_, offsets)| offsets).unwrap_or_default())
            };
            (topic.name.clone(), topic.id, partitions)
        });
        Found { error: ErrorCode::NONE, topics: topics.collect() }
    }

    /// Version 1 has no place for an error but beside every partition.
    fn refused(&self, error: ErrorCode, version: i16) -> Found {
        let wanted = self.topics.iter().flatten().filter(|_| version < 2);
        let topics = wanted.map(|topic| (topic.name.clone(), topic.id, topic.all(error)));
        Found { error, topics: topics.collect() }
    }
}

impl Wanted {
    fn all(&self, error: ErrorCode) -> Vec<Partition> {
        let none = |partition| FetchedOffset { partition, committed: None };
        self.partitions.iter().map(|index| Partition { offset: none(*index), error }).collect()
    }
}

impl Found {
    fn group<'a>(&'a self, group_id: &'a str) -> OffsetFetchResponseGroup<'a> {
        let topics: Vec<_> = (self.topics.iter())
            .map(|(name, id, partitions)| OffsetFetchResponseTopics {
                name,
                topic_id: id.0,
                partitions: partitions
                    .iter()
                    .map(|partition| {
                        let (committed_offset, committed_leader_epoch, metadata) =
                            partition.committed();
                        OffsetFetchResponsePartitions {
                            partition_index: partition.offset.partition,
                            committed_offset,
                            committed_leader_epoch,
                            metadata: Some(metadata),
                            error_code: partition.error.code(),
                        }
                    })
                    .collect(),
            })
            .collect();
        OffsetFetchResponseGroup { group_id, topics: topics.into(), error_code: self.error.code() }
    }

    fn response(&self) -> OffsetFetchResponse<'_> {
        let topics: Vec<_> = (self.topics.iter())
            .map(|(name, _, partitions)| OffsetFetchResponseTopic {
                name,
                partitions: partitions
                    .iter()
                    .map(|partition| {
                        let (committed_offset, committed_leader_epoch, metadata) =
                            partition.committed();
                        OffsetFetchResponsePartition {
                            partition_index: partition.offset.partition,
                            committed_offset,
                            committed_leader_epoch,
                            metadata: Some(metadata),
                            error_code: partition.error.code(),
                        }
                    })
                    .collect(),
            })
            .collect();
        OffsetFetchResponse {
            topics: topics.into(),
            error_code: self.error.code(),
            ..Default::default()
        }
    }
}

impl Partition {
    fn committed(&self) -> (i64, i32, &str) {
        match &self.offset.committed {
            Some((offset, leader_epoch, metadata)) => (*offset, *leader_epoch, metadata),
            None => (-1, -1, ""),
        }
    }
}

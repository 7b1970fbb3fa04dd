//! A client that commits offsets for a group of its own, without being a member of it, and reads them
//! back: what was acknowledged, or read once, is never gone and never goes back.

use std::collections::BTreeMap;

use ringmain::wire::error_code::ErrorCode;
use ringmain::wire::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use ringmain::wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse,
};
use ringmain::wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchResponse,
};

use super::client::{Desk, KnownTopic, Link, LinkId, decode};

const FIND: i16 = 2;
const COMMIT: i16 = 8;
const FETCH: i16 = 7;
/// A note that makes a log of small entries roll.
const NOTE: &str = "................................................................";

#[derive(Debug)]
enum Asked {
    Coordinator,
    Commit(i32, i64),
    Fetch(i32),
}

/// What a committed offset may be.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    /// It was acknowledged or read.
    least: i64,
    /// No more was ever sent.
    most: i64,
}

/// See the module.
pub(crate) struct Committer {
    group: String,
    link: Link<Asked>,
    pause: u64,
    found: bool,
    partitions: BTreeMap<i32, Bounds>,
}

impl Committer {
    pub(crate) fn new(id: u32, pause: u64) -> Committer {
        let (group, partitions) = (format!("group-{id}"), BTreeMap::new());
        Committer { group, link: Link::new(), pause, found: false, partitions }
    }

    pub(crate) fn owns(&self, link: LinkId) -> bool {
        self.link.is(link)
    }

    pub(crate) fn on_closed(&mut self) {
        self.link.closed();
    }

    pub(crate) fn on_wake(&mut self, desk: &mut Desk<'_>) {
        desk.wake_in(1, 2 * self.pause);
        if self.link.pending_count() > 0 || desk.finishing {
            return;
        }
        let known = desk.topics.iter().find(|topic| !topic.fleeting).cloned();
        let Some(topic) = known else { return };
        if !self.link.is_open() {
            self.link.connect(desk);
        }
        if !self.found {
            let request = FindCoordinatorRequest { key: &self.group, ..Default::default() };
            self.link.send(desk, FIND, &request, Some(Asked::Coordinator));
            return;
        }
        let partition = desk.random.below(topic.partitions as u64) as i32;
        if desk.random.chance(1, 3) {
            self.fetch(&topic, partition, desk);
        } else {
            self.commit(&topic, partition, desk);
        }
    }

    fn commit(&mut self, topic: &KnownTopic, partition: i32, desk: &mut Desk<'_>) {
        let bounds = self.partitions.entry(partition).or_default();
        bounds.most += desk.random.between(1, 5) as i64;
        let offset = bounds.most;
        let partitions = vec![OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: offset,
            committed_metadata: Some(NOTE),
            ..Default::default()
        }];
        let topics = vec![OffsetCommitRequestTopic {
            name: &topic.name,
            partitions: partitions.into(),
            ..Default::default()
        }];
        let request = OffsetCommitRequest {
            group_id: &self.group,
            topics: topics.into(),
            ..Default::default()
        };
        self.link.send(desk, COMMIT, &request, Some(Asked::Commit(partition, offset)));
    }

    fn fetch(&mut self, topic: &KnownTopic, partition: i32, desk: &mut Desk<'_>) {
        let topics = vec![OffsetFetchRequestTopic {
            name: &topic.name,
            partition_indexes: vec![partition].into(),
        }];
        let request = OffsetFetchRequest {
            group_id: &self.group,
            topics: Some(topics.into()),
            ..Default::default()
        };
        self.link.send(desk, FETCH, &request, Some(Asked::Fetch(partition)));
    }

    pub(crate) fn on_reply(&mut self, frame: &[u8], desk: &mut Desk<'_>) {
        match self.link.take(frame, desk) {
            None => {}
            Some(Asked::Coordinator) => {
                let reply = decode::<FindCoordinatorResponse<'_>>(frame, FIND, desk);
                let Some(reply) = reply else { return };
                match ErrorCode::from_code(reply.error_code) {
                    ErrorCode::NONE => self.found = true,
                    // There was no room for the topic.
                    ErrorCode::COORDINATOR_NOT_AVAILABLE => {}
                    other => desk.violation(format!("no coordinator: {other}")),
                }
            }
            Some(Asked::Commit(partition, offset)) => {
                let reply = decode::<OffsetCommitResponse<'_>>(frame, COMMIT, desk);
                let Some(reply) = reply else { return };
                let mut results =
                    reply.topics.iter().flat_map(|topic| topic.partitions.iter().next());
                let Some(result) = results.next() else {
                    return desk.violation("a commit is answered with nothing".to_owned());
                };
                let error = ErrorCode::from_code(result.error_code);
                if !self.may_wait(error, desk) {
                    desk.coverage.hit("an offset is committed");
                    let bounds = self.partitions.entry(partition).or_default();
                    bounds.least = offset;
                }
            }
            Some(Asked::Fetch(partition)) => {
                let reply = decode::<OffsetFetchResponse<'_>>(frame, FETCH, desk);
                let Some(reply) = reply else { return };
                if self.may_wait(ErrorCode::from_code(reply.error_code), desk) {
                    return;
                }
                let mut results =
                    reply.topics.iter().flat_map(|topic| topic.partitions.iter().next());
                let found = results.next().map_or(-2, |result| result.committed_offset);
                let bounds = self.partitions.entry(partition).or_default();
                let allowed =
                    if bounds.least == 0 { -1..=bounds.most } else { bounds.least..=bounds.most };
                if !allowed.contains(&found) || found == 0 {
                    let group = &self.group;
                    desk.violation(format!(
                        "{group} finds {found} committed of partition {partition}, not {bounds:?}"
                    ));
                    return;
                }
                desk.coverage.hit("a committed offset is read");
                bounds.least = bounds.least.max(found);
            }
        }
    }

    /// Whether the coordinator says to come back later; anything else that is wrong is.
    fn may_wait(&self, error: ErrorCode, desk: &mut Desk<'_>) -> bool {
        match error {
            ErrorCode::NONE => return false,
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => desk.coverage.hit("a coordinator loads"),
            ErrorCode::COORDINATOR_NOT_AVAILABLE => desk.coverage.hit("a coordinator resigns"),
            other => desk.violation(format!("{} is told {other}", self.group)),
        }
        true
    }
}

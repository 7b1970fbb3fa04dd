//! Consumer groups and their offsets. One file per API key.
//!
//! Every request goes to the coordinator of its group, which runs on the shard that owns the
//! group's partition of `__consumer_offsets`; where that topic does not exist, nobody coordinates,
//! and clients are told to look for the coordinator, which creates it. What can be refused without
//! the coordinator is refused here: empty group ids, and topics that do not exist.
//!
//! Not here: share groups, and offsets in transactions.

mod consumer_group_describe;
mod consumer_group_heartbeat;
mod delete_groups;
mod describe_groups;
mod heartbeat;
mod join_group;
mod leave_group;
mod list_groups;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod sync_group;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::asked::Asked;
use super::reply::Reply;
use super::work::{Answer, Answers, GroupItem, Question};
use super::{Context, Next, Pending};
use crate::catalog::GROUP_METADATA_TOPIC;
use crate::group::{self, MemberClaim, Refusal, partition_of};
use crate::ids::{PartitionId, ShardId, TopicPartition};
use crate::stdx::few::Few;
use crate::wire::api_key::ApiKey;
use crate::wire::error_code::ErrorCode;
use crate::wire::primitive::DecodeError;

/// A request that waits for coordinators.
#[derive(Debug)]
pub enum Group {
    /// A member waits to be let in.
    Join(Asked),
    /// A member waits for its assignment.
    Sync(Asked),
    /// A sign of life.
    Heartbeat(Asked),
    /// Members leave.
    Leave(leave_group::LeaveGroup),
    /// Offsets on their way to durability.
    Commit(offset_commit::OffsetCommit),
    /// Offsets being looked up.
    Fetch(offset_fetch::OffsetFetch),
    /// Offsets being forgotten.
    DeleteOffsets(offset_delete::OffsetDelete),
    /// A member of a consumer group waits for what it may use.
    ConsumerHeartbeat(Asked),
    /// Consumer groups being described.
    DescribeConsumers(consumer_group_describe::ConsumerGroupDescribe),
    /// Groups being described.
    Describe(describe_groups::DescribeGroups),
    /// Groups being collected.
    List(list_groups::ListGroups),
    /// Groups being deleted.
    Delete(delete_groups::DeleteGroups),
}

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    /// How it calls itself.
    pub id: &'a str,
    /// From where.
    pub address: IpAddr,
}

/// Begins a request to groups; `None` if it is of another API.
pub(super) fn begin(
    asked: Asked,
    body: &[u8],
    client: Client<'_>,
    context: &Context<'_>,
) -> Option<Result<Next, DecodeError>> {
    Some(match asked.key {
        ApiKey::OffsetCommit => offset_commit::begin(asked, body, context),
        ApiKey::OffsetFetch => offset_fetch::begin(asked, body, context),
        ApiKey::JoinGroup => join_group::begin(asked, body, client, context),
        ApiKey::Heartbeat => heartbeat::begin(asked, body, context),
        ApiKey::LeaveGroup => leave_group::begin(asked, body, context),
        ApiKey::SyncGroup => sync_group::begin(asked, body, context),
        ApiKey::DescribeGroups => describe_groups::begin(asked, body, context),
        ApiKey::ListGroups => list_groups::begin(asked, body, context),
        ApiKey::DeleteGroups => delete_groups::begin(asked, body, context),
        ApiKey::OffsetDelete => offset_delete::begin(asked, body, context),
        ApiKey::ConsumerGroupHeartbeat => {
            consumer_group_heartbeat::begin(asked, body, client, context)
        }
        ApiKey::ConsumerGroupDescribe => consumer_group_describe::begin(asked, body, context),
        _ => return None,
    })
}

impl Group {
    /// Answers of one coordinator, or of one shard's, arrived. What follows, once nothing is
    /// missing any more.
    pub fn on_answers(&mut self, answers: Answers, context: &Context<'_>) -> Option<Next> {
        for (index, answer) in answers {
            let reply = match answer {
                Answer::Group(reply) => self.on_reply(index, reply, context),
                Answer::Groups(listed) => match self {
                    Group::List(list) => list.on_listed(listed),
                    other => panic!("asked for no list: {other:?}"),
                },
                other => panic!("not an answer to a request to groups: {other:?}"),
            };
            if reply.is_some() {
                return reply.map(Next::Reply);
            }
        }
        None
    }

    fn on_reply(
        &mut self,
        index: u32,
        reply: group::Reply,
        context: &Context<'_>,
    ) -> Option<Reply> {
        use crate::group::Reply as Of;
        match (self, reply) {
            (Group::Join(asked), Of::Join(joined)) => Some(join_group::reply(*asked, &joined)),
            (Group::Sync(asked), Of::Sync(synced)) => Some(sync_group::reply(*asked, &synced)),
            (Group::Heartbeat(asked), Of::Heartbeat(alive)) => {
                Some(heartbeat::reply(*asked, alive))
            }
            (Group::Leave(leave), Of::Leave(left)) => Some(leave.reply(&left)),
            (Group::Commit(commit), Of::Commit(committed)) => Some(commit.reply(committed)),
            (Group::Fetch(fetch), Of::Offsets(offsets)) => {
                fetch.on_offsets(index, offsets, context)
            }
            (Group::DeleteOffsets(delete), Of::OffsetsDeleted(deleted)) => {
                Some(delete.reply(deleted))
            }
            (Group::ConsumerHeartbeat(asked), Of::ConsumerHeartbeat(stands)) => {
                Some(consumer_group_heartbeat::reply(*asked, &stands))
            }
            (Group::DescribeConsumers(describe), Of::ConsumersDescribed(group)) => {
                describe.on_described(index, group, context)
            }
            (Group::Describe(describe), Of::Described(group)) => {
                describe.on_described(index, group)
            }
            (Group::Delete(delete), Of::Deleted(deleted)) => delete.on_deleted(index, deleted),
            (pending, reply) => panic!("{pending:?} was answered with {reply:?}"),
        }
    }
}

/// The partition that a group belongs to; `None` while there is nothing to coordinate groups with.
fn place_of(group: &str, context: &Context<'_>) -> Option<TopicPartition> {
    let topic = context.image.topic(GROUP_METADATA_TOPIC)?;
    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let partition: PartitionId = partition_of(group, count);
    Some(TopicPartition { topic: topic.id, partition })
}

/// Asks the coordinator of one group.
fn ask(mut pending: Group, request: group::Request, context: &Context<'_>) -> Next {
    let Some(at) = place_of(request.group(), context) else {
        let refused = group::Reply::refused(&request, Refusal::NotCoordinator);
        let reply = pending.on_reply(0, refused, context);
        return Next::Reply(reply.expect("one request has one answer"));
    };
    let shard = at.shard(context.shard_count);
    let question = Question::Groups(vec![GroupItem { index: 0, at, request }]);
    let questions = Few::from_buf([(shard, question)]);
    Next::Ask { pending: Pending::Group(pending), questions, silent: false }
}

/// Asks the coordinators of several groups, whose requests come with the index of their answers.
fn ask_all(
    mut pending: Group,
    requests: Vec<(u32, group::Request)>,
    context: &Context<'_>,
) -> Next {
    let mut items: BTreeMap<ShardId, Vec<GroupItem>> = BTreeMap::new();
    for (index, request) in requests {
        if let Some(at) = place_of(request.group(), context) {
            let shard = at.shard(context.shard_count);
            items.entry(shard).or_default().push(GroupItem { index, at, request });
            continue;
        }
        let refused = group::Reply::refused(&request, Refusal::NotCoordinator);
        if let Some(reply) = pending.on_reply(index, refused, context) {
            return Next::Reply(reply);
        }
    }
    let questions = items.into_iter().map(|(shard, items)| (shard, Question::Groups(items)));
    let questions = questions.collect();
    Next::Ask { pending: Pending::Group(pending), questions, silent: false }
}

/// An address as Java prints it.
fn host(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => {
            let parts = address.segments().map(|part| format!("{part:x}"));
            format!("/{}", parts.join(":"))
        }
    }
}

fn claim(id: &str, instance: Option<&str>) -> MemberClaim {
    MemberClaim { id: id.into(), instance: instance.map(Into::into) }
}

/// The groups that a request names, each no more than so many times: to describe a group again for
/// every time that it is named would let a small request make a reply of any size.
fn at_most<'a>(times: usize, named: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeMap::new();
    let is_wanted = |group: &&'a str| {
        let count = seen.entry(*group).or_insert(0_usize);
        *count += 1;
        *count <= times
    };
    named.filter(is_wanted).collect()
}

/// The error code of a request that a coordinator refuses.
fn group_error(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::Loading => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        Refusal::NotAvailable => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        Refusal::NotCoordinator => ErrorCode::NOT_COORDINATOR,
        Refusal::UnknownMember => ErrorCode::UNKNOWN_MEMBER_ID,
        Refusal::FencedInstance => ErrorCode::FENCED_INSTANCE_ID,
        Refusal::IllegalGeneration => ErrorCode::ILLEGAL_GENERATION,
        Refusal::RebalanceInProgress => ErrorCode::REBALANCE_IN_PROGRESS,
        Refusal::InconsistentProtocol => ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        Refusal::MemberIdRequired => ErrorCode::MEMBER_ID_REQUIRED,
        Refusal::GroupFull => ErrorCode::GROUP_MAX_SIZE_REACHED,
        Refusal::InvalidSessionTimeout => ErrorCode::INVALID_SESSION_TIMEOUT,
        Refusal::GroupNotFound => ErrorCode::GROUP_ID_NOT_FOUND,
        Refusal::NonEmptyGroup => ErrorCode::NON_EMPTY_GROUP,
        Refusal::SubscribedToTopic => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
        Refusal::MetadataTooLarge => ErrorCode::OFFSET_METADATA_TOO_LARGE,
        // What Kafka makes of a record that is too large for its topic.
        Refusal::StateTooLarge => ErrorCode::UNKNOWN_SERVER_ERROR,
        Refusal::OtherProtocol => ErrorCode::GROUP_ID_NOT_FOUND,
        Refusal::Disabled => ErrorCode::UNSUPPORTED_VERSION,
        Refusal::FencedMemberEpoch => ErrorCode::FENCED_MEMBER_EPOCH,
        Refusal::StaleMemberEpoch => ErrorCode::STALE_MEMBER_EPOCH,
        Refusal::UnreleasedInstance => ErrorCode::UNRELEASED_INSTANCE_ID,
        Refusal::UnsupportedAssignor => ErrorCode::UNSUPPORTED_ASSIGNOR,
        Refusal::InvalidPattern => ErrorCode::INVALID_REGULAR_EXPRESSION,
        Refusal::TooManyPatterns => ErrorCode::GROUP_MAX_SIZE_REACHED,
    }
}

fn error_code<T>(result: &Result<T, Refusal>) -> i16 {
    result.as_ref().err().map_or(ErrorCode::NONE, |refusal| group_error(*refusal)).code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_counts_no_more_often_than_allowed() {
        let named = || ["b", "a", "b", "", "b", "a", ""].into_iter();
        assert_eq!(at_most(1, named()), ["b", "a", ""]);
        assert_eq!(at_most(2, named()), ["b", "a", "b", "", "a", ""]);
    }

    #[test]
    fn addresses_look_as_on_a_jvm() {
        for (address, printed) in [
            ("127.0.0.1", "/127.0.0.1"),
            ("::ffff:10.1.2.3", "/10.1.2.3"),
            ("::1", "/0:0:0:0:0:0:0:1"),
            ("fe80::ab", "/fe80:0:0:0:0:0:0:ab"),
        ] {
            assert_eq!(host(address.parse().unwrap()), printed);
        }
    }
}

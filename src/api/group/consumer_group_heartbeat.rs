//! ConsumerGroupHeartbeat (key 68), versions 0 and 1: all that a member of a consumer group says
//! (KIP-848).
//!
//! - 1: subscription by pattern; the member brings its id (KIP-1082).
//!
//! What cannot be meant is refused here; what the group says against it, there.

use super::{Client, Group, ask, claim, group_error, host};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next};
use crate::group::{ConsumerHeartbeat, ConsumerHeartbeatRequest, Refusal, Request};
use crate::ids::TopicId;
use crate::wire::consumer_group_heartbeat::{
    self as wire, Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

/// The longest id that the key of a record in the group's log holds, in bytes.
const ID_BYTES_MAX: usize = i16::MAX as usize;

/// Begins a request.
pub(super) fn begin(
    asked: Asked,
    body: &[u8],
    client: Client<'_>,
    context: &Context<'_>,
) -> Result<Next, DecodeError> {
    let request = wire::ConsumerGroupHeartbeatRequest::decode_from(body, asked.version)?;
    if let Some(wrong) = wrong(&request, asked.version) {
        return Ok(Next::Reply(refused(asked, ErrorCode::INVALID_REQUEST, wrong)));
    }
    let partitions = |topic: TopicPartitions<'_>| {
        (TopicId(topic.topic_id), topic.partitions.iter().collect::<Vec<_>>())
    };
    let heartbeat = ConsumerHeartbeatRequest {
        group: request.group_id.into(),
        member: claim(request.member_id, request.instance_id),
        epoch: request.member_epoch,
        rack: request.rack_id.map(Into::into),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topics: request.subscribed_topic_names.map(|names| names.iter().map(Into::into).collect()),
        pattern: request.subscribed_topic_regex.map(Into::into),
        assignor: request.server_assignor.map(Into::into),
        owned: request.topic_partitions.map(|topics| topics.iter().map(partitions).collect()),
        client_id: client.id.into(),
        client_host: host(client.address).into(),
    };
    Ok(ask(Group::ConsumerHeartbeat(asked), Request::ConsumerHeartbeat(heartbeat), context))
}

/// What is wrong with a request by itself.
fn wrong(request: &wire::ConsumerGroupHeartbeatRequest<'_>, version: i16) -> Option<&'static str> {
    let epoch = request.member_epoch;
    let needs_id = version >= 1 || epoch != 0;
    if needs_id && request.member_id.is_empty() {
        return Some("MemberId can't be empty.");
    }
    if request.group_id.is_empty() {
        return Some("GroupId can't be empty.");
    }
    if request.group_id.len() > ID_BYTES_MAX {
        return Some("GroupId is too long.");
    }
    if request.member_id.len() > ID_BYTES_MAX {
        return Some("MemberId is too long.");
    }
    if request.instance_id == Some("") {
        return Some("InstanceId can't be empty.");
    }
    if request.rack_id == Some("") {
        return Some("RackId can't be empty.");
    }
    match epoch {
        0 if request.rebalance_timeout_ms < 0 => {
            Some("RebalanceTimeoutMs must be provided in first request.")
        }
        0 if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            Some("TopicPartitions must be empty when (re-)joining.")
        }
        0 if request.subscribed_topic_names.is_none()
            && request.subscribed_topic_regex.is_none() =>
        {
            Some("SubscribedTopicNames or SubscribedTopicRegex must be set in first request.")
        }
        -2 if request.instance_id.is_none() => Some("InstanceId can't be null."),
        ..-2 => Some("MemberEpoch is invalid."),
        _ => None,
    }
}

pub(super) fn reply(asked: Asked, stands: &Result<ConsumerHeartbeat, Refusal>) -> Reply {
    let stands = match stands {
        Ok(stands) => stands,
        Err(refusal) => return refused(asked, group_error(*refusal), reason(*refusal)),
    };
    let assignment = stands.assignment.as_ref().map(|topics| Assignment {
        topic_partitions: topics
            .iter()
            .map(|(topic, partitions)| TopicPartitions {
                topic_id: topic.0,
                partitions: partitions.iter().copied().collect(),
            })
            .collect(),
    });
    asked.reply(&ConsumerGroupHeartbeatResponse {
        member_id: Some(&stands.member),
        member_epoch: stands.epoch,
        heartbeat_interval_ms: i32::try_from(stands.interval.as_millis()).unwrap_or(i32::MAX),
        assignment,
        ..Default::default()
    })
}

fn refused(asked: Asked, error: ErrorCode, message: &str) -> Reply {
    asked.reply(&ConsumerGroupHeartbeatResponse {
        error_code: error.code(),
        error_message: Some(message),
        ..Default::default()
    })
}

/// What clients show to people.
fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Loading => "The coordinator is loading the group.",
        Refusal::NotCoordinator => "This broker does not coordinate the group.",
        Refusal::UnknownMember => "The group has no such member; it has to join anew.",
        Refusal::FencedInstance => "Another member has taken this group.instance.id.",
        Refusal::UnreleasedInstance => {
            "Another member has this group.instance.id and has not left the group."
        }
        Refusal::FencedMemberEpoch => {
            "The member is not in this epoch; it has to give up its partitions and join anew."
        }
        Refusal::GroupFull => "The group has group.consumer.max.size members.",
        Refusal::GroupNotFound => "The group does not exist.",
        Refusal::OtherProtocol => {
            "The group is not a consumer group: members of it follow the classic protocol."
        }
        Refusal::Disabled => {
            "The consumer group protocol is switched off by group.coordinator.rebalance.protocols."
        }
        Refusal::UnsupportedAssignor => "The assignor is not among group.consumer.assignors.",
        Refusal::InvalidPattern => {
            "SubscribedTopicRegex is not a regular expression in the syntax of RE2, or too large."
        }
        Refusal::TooManyPatterns => {
            "The members of the group subscribe by as many patterns as a group may have."
        }
        Refusal::StateTooLarge => {
            "The group reads, or its members say of themselves, more than fits into a record."
        }
        _ => "The coordinator is not available.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ConsumerGroupHeartbeatRequest as Of;

    fn join() -> Of<'static> {
        Of {
            group_id: "g",
            member_id: "m",
            rebalance_timeout_ms: 1000,
            subscribed_topic_names: Some(vec!["t"].into()),
            topic_partitions: Some(Vec::new().into()),
            ..Default::default()
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let owned = TopicPartitions { topic_id: [1; 16], partitions: vec![0].into() };
        let later = || Of { member_epoch: 3, ..join() };
        let long = "x".repeat(ID_BYTES_MAX + 1);
        for (request, version, word) in [
            (Of { member_id: "", ..join() }, 1, "MemberId"),
            (Of { member_id: "", ..later() }, 0, "MemberId"),
            (Of { member_id: "", member_epoch: -1, ..join() }, 0, "MemberId"),
            (
                Of { member_id: "", member_epoch: -2, instance_id: Some("i"), ..join() },
                0,
                "MemberId",
            ),
            (Of { member_id: &long, ..join() }, 1, "MemberId"),
            (Of { group_id: &long, ..join() }, 1, "GroupId"),
            (Of { group_id: "", ..join() }, 1, "GroupId"),
            (Of { instance_id: Some(""), ..join() }, 1, "InstanceId"),
            (Of { rack_id: Some(""), ..join() }, 1, "RackId"),
            (Of { rebalance_timeout_ms: -1, ..join() }, 1, "RebalanceTimeoutMs"),
            (Of { topic_partitions: None, ..join() }, 1, "TopicPartitions"),
            (Of { topic_partitions: Some(vec![owned].into()), ..join() }, 1, "TopicPartitions"),
            (Of { subscribed_topic_names: None, ..join() }, 1, "SubscribedTopic"),
            (Of { member_epoch: -2, ..join() }, 1, "InstanceId"),
            (Of { member_epoch: -3, ..join() }, 1, "MemberEpoch"),
        ] {
            let wrong = wrong(&request, version);
            assert!(wrong.is_some_and(|text| text.contains(word)), "{word}: {wrong:?}");
        }
    }

    #[test]
    fn what_can_be_meant_is_asked() {
        let long = "x".repeat(ID_BYTES_MAX);
        let by_pattern =
            Of { subscribed_topic_names: None, subscribed_topic_regex: Some("a.*"), ..join() };
        let bare = Of { group_id: "g", member_id: "m", member_epoch: 3, ..Default::default() };
        for (request, version) in [
            (join(), 1),
            (Of { member_id: "", ..join() }, 0),
            (Of { group_id: &long, member_id: &long, ..join() }, 1),
            (by_pattern, 1),
            (bare.clone(), 1),
            (Of { member_epoch: -1, ..bare.clone() }, 1),
            (Of { member_epoch: -2, instance_id: Some("i"), ..bare }, 1),
        ] {
            assert_eq!(wrong(&request, version), None, "{request:?}");
        }
    }
}

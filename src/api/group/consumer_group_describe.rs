//! ConsumerGroupDescribe (key 69), versions 0 and 1: consumer groups and their members (KIP-848).
//!
//! - 1: by which protocol each member takes part (KIP-1099).

use super::describe_groups::{OPERATIONS_OF_GROUPS, OPERATIONS_UNKNOWN};
use super::{Group, ask_all, at_most, group_error};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next};
use crate::group::{self, DescribedConsumerGroup, Partitions, Refusal, Request};
use crate::wire::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
    Member, TopicPartitions,
};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

/// How the reply names members of the consumer protocol.
const BY_CONSUMER_PROTOCOL: i8 = 1;

/// What a group is; `None` until its coordinator has answered, and if it has no name.
type Outcome = Option<Result<DescribedConsumerGroup, Refusal>>;

/// Groups being described.
#[derive(Debug)]
pub struct ConsumerGroupDescribe {
    asked: Asked,
    authorized_operations: i32,
    groups: Vec<(Box<str>, Outcome)>,
    missing: usize,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = ConsumerGroupDescribeRequest::decode_from(body, asked.version)?;
    let mut groups: Vec<(Box<str>, Outcome)> = Vec::new();
    let mut requests = Vec::new();
    for (index, group) in (0..).zip(at_most(1, request.group_ids.iter())) {
        groups.push((group.into(), None));
        if !group.is_empty() {
            requests.push((index, Request::DescribeConsumers(group.into())));
        }
    }
    let missing = requests.len();
    let authorized_operations = match request.include_authorized_operations {
        true => OPERATIONS_OF_GROUPS,
        false => OPERATIONS_UNKNOWN,
    };
    let describe = ConsumerGroupDescribe { asked, authorized_operations, groups, missing };
    if missing == 0 {
        return Ok(Next::Reply(describe.reply(context)));
    }
    Ok(ask_all(Group::DescribeConsumers(describe), requests, context))
}

impl ConsumerGroupDescribe {
    /// Takes one group in; the reply once all are there.
    pub(super) fn on_described(
        &mut self,
        index: u32,
        described: Result<DescribedConsumerGroup, Refusal>,
        context: &Context<'_>,
    ) -> Option<Reply> {
        match self.groups.get_mut(index as usize) {
            Some((_, slot)) if slot.is_none() => *slot = Some(described),
            _ => panic!("one item has one answer"),
        }
        self.missing -= 1;
        (self.missing == 0).then(|| self.reply(context))
    }

    fn reply(&self, context: &Context<'_>) -> Reply {
        let messages: Vec<_> = (self.groups.iter())
            .map(|(group, described)| match described {
                Some(Err(Refusal::GroupNotFound)) => Some(format!("Group {group} not found.")),
                Some(Err(Refusal::OtherProtocol)) => {
                    Some(format!("Group {group} is not a consumer group."))
                }
                _ => None,
            })
            .collect();
        let groups: Vec<_> = (self.groups.iter().zip(&messages))
            .map(|((group_id, described), message)| match described {
                Some(Ok(described)) => self.told(group_id, described, context),
                Some(Err(refusal)) => DescribedGroup {
                    error_code: group_error(*refusal).code(),
                    error_message: message.as_deref(),
                    group_id,
                    ..Default::default()
                },
                None if group_id.is_empty() => DescribedGroup {
                    error_code: ErrorCode::INVALID_GROUP_ID.code(),
                    ..Default::default()
                },
                None => panic!("the reply is made when nothing is missing"),
            })
            .collect();
        let response =
            ConsumerGroupDescribeResponse { groups: groups.into(), ..Default::default() };
        self.asked.reply(&response)
    }

    fn told<'a>(
        &self,
        group_id: &'a str,
        group: &'a DescribedConsumerGroup,
        context: &Context<'a>,
    ) -> DescribedGroup<'a> {
        let member = |member: &'a group::DescribedConsumer| Member {
            member_id: &member.id,
            instance_id: member.instance.as_deref(),
            rack_id: member.rack.as_deref(),
            member_epoch: member.epoch,
            client_id: &member.client_id,
            client_host: &member.client_host,
            subscribed_topic_names: member.topics.iter().map(|topic| &**topic).collect(),
            // Kafka says nothing by an empty one.
            subscribed_topic_regex: Some(member.pattern.as_deref().unwrap_or_default()),
            assignment: assignment(&member.assigned, context),
            target_assignment: assignment(&member.target, context),
            member_type: BY_CONSUMER_PROTOCOL,
        };
        DescribedGroup {
            error_code: ErrorCode::NONE.code(),
            group_id,
            group_state: group.state.name(),
            group_epoch: group.epoch,
            assignment_epoch: group.target_epoch,
            assignor_name: group.assignor.name(),
            members: group.members.iter().map(member).collect(),
            authorized_operations: self.authorized_operations,
            ..Default::default()
        }
    }
}

/// Topics that are no more have no name to be told by.
fn assignment<'a>(partitions: &Partitions, context: &Context<'a>) -> Assignment<'a> {
    let image = context.image;
    let topics = partitions.iter().filter_map(|(id, partitions)| {
        let topic = image.topic_by_id(*id)?;
        let partitions = partitions.iter().copied().collect();
        Some(TopicPartitions { topic_id: id.0, topic_name: &topic.name, partitions })
    });
    Assignment { topic_partitions: topics.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::admin::scene::Scene;
    use crate::api::reply::Piece;
    use crate::wire::api_key::ApiKey;
    use crate::wire::primitive::Writer;

    /// Nobody coordinates groups here; each that is asked for is answered with that.
    fn told(groups: &[&str]) -> Vec<(String, i16)> {
        let request = ConsumerGroupDescribeRequest {
            group_ids: groups.to_vec().into(),
            ..Default::default()
        };
        let mut body = bytes::BytesMut::new();
        request.encode(&mut Writer::new(&mut body), 1);
        let asked = Asked { key: ApiKey::ConsumerGroupDescribe, version: 1, correlation_id: 7 };
        let scene = Scene::new(&[]);
        let next = begin(asked, &body, &scene.context()).unwrap();
        let Next::Reply(reply) = next else { panic!("not a reply: {next:?}") };
        let mut frame = Vec::new();
        for piece in &reply.pieces {
            let Piece::Bytes(bytes) = piece else { panic!("a file in a description") };
            frame.extend_from_slice(bytes);
        }
        // Behind the length, the correlation id and no tagged fields.
        let response = ConsumerGroupDescribeResponse::decode_from(&frame[9..], 1).unwrap();
        response.groups.iter().map(|group| (group.group_id.into(), group.error_code)).collect()
    }

    #[test]
    fn each_group_is_told_once_and_none_without_a_name() {
        let nobody = ErrorCode::NOT_COORDINATOR.code();
        let nameless = (String::new(), ErrorCode::INVALID_GROUP_ID.code());
        assert_eq!(told(&[]), []);
        assert_eq!(told(&[""]).len(), 1, "there is nobody to ask");
        assert_eq!(
            told(&["b", "", "a", "b", "", "b"]),
            [("b".into(), nobody), nameless, ("a".into(), nobody)]
        );
    }
}

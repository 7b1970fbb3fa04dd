//! AlterConfigs (key 33), versions 0 to 2: replaces all configs of a resource (KIP-133).
//!
//! - 2: flexible.
//!
//! Results stand in the order of the request, one for each resource, also for one that is named
//! twice.

use crate::api::command::{Command, CommandOutcome};
use crate::api::reply::Reply;
use crate::api::{Asked, Next, Pending};
use crate::catalog::ConfigAlteration;
use crate::wire::alter_configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

use super::Admin;
use super::refused::Refused;
use super::resource::{ResourceType, Resources, alterable, named_twice, occurrences};

/// Configs being replaced.
#[derive(Debug)]
pub struct AlterConfigs {
    asked: Asked,
    resources: Resources,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8]) -> Result<Next, DecodeError> {
    let request = AlterConfigsRequest::decode_from(body, asked.version)?;
    let named = request.resources.iter();
    let counts = occurrences(named.map(|named| (named.resource_type, named.resource_name)));
    let mut pending = AlterConfigs { asked, resources: Resources::default() };
    let mut alterations = Vec::new();
    for named in request.resources.iter() {
        let (kind, name) = (named.resource_type, named.resource_name);
        let resource = match counts.get(&(kind, name)) {
            Some(1) => ResourceType::from_number(kind).and_then(|kind| alterable(kind, name)),
            _ => Err(named_twice()),
        };
        let refused = match resource {
            Ok(resource) => {
                let configs = named
                    .configs
                    .iter()
                    .map(|config| (config.name.to_owned(), config.value.map(str::to_owned)));
                alterations.push(ConfigAlteration { resource, configs: configs.collect() });
                None
            }
            Err(refused) => Some(Err(refused)),
        };
        pending.resources.push(kind, name, refused);
    }
    if alterations.is_empty() {
        return Ok(Next::Reply(pending.reply()));
    }
    let command =
        Command::AlterConfigs { resources: alterations, validate_only: request.validate_only };
    Ok(Next::Change { pending: Pending::Admin(Admin::AlterConfigs(pending)), command })
}

impl AlterConfigs {
    pub(super) fn on_outcome(&mut self, outcome: CommandOutcome) -> Reply {
        self.resources.resolve(match outcome {
            CommandOutcome::ConfigsAltered(outcomes) => Ok(outcomes),
            CommandOutcome::NotStored => Err(Refused::not_stored()),
            CommandOutcome::Busy => Err(Refused::busy(self.asked.version, None)),
            other => panic!("not an outcome of AlterConfigs: {other:?}"),
        });
        self.reply()
    }

    fn reply(&self) -> Reply {
        let responses: Vec<_> = self
            .resources
            .iter()
            .map(|(resource_type, resource_name, error_code, error_message)| {
                AlterConfigsResourceResponse {
                    error_code,
                    error_message,
                    resource_type,
                    resource_name,
                }
            })
            .collect();
        let response = AlterConfigsResponse { responses: responses.into(), ..Default::default() };
        self.asked.reply(&response)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;
    use crate::wire::alter_configs::{AlterConfigsResource, AlterableConfig};
    use crate::wire::error_code::ErrorCode;

    fn resource<'a>(
        resource_type: i8,
        resource_name: &'a str,
        configs: &[(&'a str, Option<&'a str>)],
    ) -> AlterConfigsResource<'a> {
        let configs = configs.iter().map(|(name, value)| AlterableConfig { name, value: *value });
        let configs: Vec<_> = configs.collect();
        AlterConfigsResource { resource_type, resource_name, configs: configs.into() }
    }

    fn request<'a>(resources: Vec<AlterConfigsResource<'a>>) -> AlterConfigsRequest<'a> {
        AlterConfigsRequest { resources: resources.into(), ..Default::default() }
    }

    fn codes(body: &[u8], version: i16) -> Vec<ErrorCode> {
        let response = AlterConfigsResponse::decode_whole(body, version).unwrap();
        let codes = response.responses.iter().map(|response| {
            assert_eq!(response.error_code == 0, response.error_message.is_none());
            ErrorCode::from_code(response.error_code)
        });
        codes.collect()
    }

    #[test]
    fn what_is_not_named_goes_back_to_its_default() {
        for version in [0, 2] {
            let mut scene = Scene::new(&[("t", 1)]);
            let first = resource(2, "t", &[("retention.ms", Some("5")), ("flush.ms", Some("6"))]);
            assert_eq!(
                codes(&scene.answer(version, &request(vec![first])), version),
                [ErrorCode::NONE]
            );
            let second = resource(2, "t", &[("flush.ms", Some("7"))]);
            let only = AlterConfigsRequest { validate_only: true, ..request(vec![second.clone()]) };
            assert_eq!(codes(&scene.answer(version, &only), version), [ErrorCode::NONE]);
            assert_eq!(scene.image().topic("t").unwrap().configs.len(), 2);
            scene.answer(version, &request(vec![second]));
            let configs = &scene.image().topic("t").unwrap().configs;
            let configs: Vec<_> = configs.iter().map(|(key, value)| (&**key, &**value)).collect();
            assert_eq!(configs, [("flush.ms", "7")]);
        }
    }

    #[test]
    fn each_resource_is_refused_for_its_own_reason() {
        let mut scene = Scene::new(&[("t", 1), ("twice", 1)]);
        let resources = vec![
            resource(2, "nope", &[]),
            resource(2, "bad/name", &[]),
            resource(2, "twice", &[]),
            resource(2, "t", &[("retention.ms", None)]),
            resource(4, "7", &[]),
            resource(4, "seven", &[]),
            resource(8, "1", &[]),
            resource(16, "metrics", &[]),
            resource(99, "what", &[]),
            resource(2, "twice", &[]),
            resource(4, "", &[("log.retention.ms", Some("5"))]),
        ];
        let body = scene.answer(1, &request(resources));
        let mut expected = [ErrorCode::INVALID_REQUEST; 11];
        expected[0] = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        expected[1] = ErrorCode::INVALID_TOPIC_EXCEPTION;
        expected[10] = ErrorCode::NONE;
        assert_eq!(codes(&body, 1), expected);
        let response = AlterConfigsResponse::decode_whole(&body, 1).unwrap();
        let last = response.responses.iter().last().unwrap();
        assert_eq!((last.resource_type, last.resource_name), (4, ""));
        assert_eq!(scene.image().cluster_configs.get("log.retention.ms").unwrap(), "5");
    }

    #[test]
    fn what_is_not_stored_is_said_of_what_waited() {
        let scene = Scene::new(&[("t", 1)]);
        let resources = vec![resource(16, "x", &[]), resource(2, "t", &[])];
        let body = scene.not_stored(2, &request(resources));
        let expected = [ErrorCode::INVALID_REQUEST, ErrorCode::KAFKA_STORAGE_ERROR];
        assert_eq!(codes(&body, 2), expected);
    }
}

//! IncrementalAlterConfigs (key 44), versions 0 and 1: changes single configs (KIP-339).
//!
//! - 1: flexible.
//!
//! Results stand in the order of the request, one for each resource, also for one that is named
//! twice. Log levels (KIP-412) are configs of loggers, of which this broker offers none.

use crate::api::command::{Command, CommandOutcome};
use crate::api::reply::Reply;
use crate::api::{Asked, Context, Next, Pending};
use crate::catalog::{ConfigChange, ConfigOperation, IncrementalAlteration};
use crate::wire::error_code::ErrorCode;
use crate::wire::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

use super::Admin;
use super::refused::Refused;
use super::resource::{ResourceType, Resources, alterable, broker_id, named_twice, occurrences};

/// Configs being changed.
#[derive(Debug)]
pub struct IncrementalAlterConfigs {
    asked: Asked,
    resources: Resources,
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8], context: &Context<'_>) -> Result<Next, DecodeError> {
    let request = IncrementalAlterConfigsRequest::decode_from(body, asked.version)?;
    let named = request.resources.iter();
    let counts = occurrences(named.map(|named| (named.resource_type, named.resource_name)));
    let mut pending = IncrementalAlterConfigs { asked, resources: Resources::default() };
    let mut alterations = Vec::new();
    for named in request.resources.iter() {
        let (kind, name) = (named.resource_type, named.resource_name);
        let alteration = match counts.get(&(kind, name)) {
            Some(1) => alteration(&named, context),
            _ => Err(named_twice()),
        };
        let result = match alteration {
            Ok(Some(alteration)) => {
                alterations.push(alteration);
                None
            }
            Ok(None) => Some(Ok(())),
            Err(refused) => Some(Err(refused)),
        };
        pending.resources.push(kind, name, result);
    }
    if alterations.is_empty() {
        return Ok(Next::Reply(pending.reply()));
    }
    let command = Command::IncrementalAlterConfigs {
        resources: alterations,
        validate_only: request.validate_only,
    };
    let pending = Pending::Admin(Admin::IncrementalAlterConfigs(pending));
    Ok(Next::Change { pending, command })
}

/// What the catalog is to be asked for one resource, if anything.
fn alteration(
    named: &AlterConfigsResource<'_>,
    context: &Context<'_>,
) -> Result<Option<IncrementalAlteration>, Refused> {
    let kind = ResourceType::from_number(named.resource_type)?;
    if kind == ResourceType::BrokerLogger {
        return check_loggers(named, context).map(|()| None);
    }
    let resource = alterable(kind, named.resource_name)?;
    let changes: Result<Vec<_>, Refused> = named.configs.iter().map(change).collect();
    Ok(Some(IncrementalAlteration { resource, changes: changes? }))
}

fn change(config: AlterableConfig<'_>) -> Result<ConfigChange, Refused> {
    let number = config.config_operation;
    let Some(operation) = ConfigOperation::from_number(number) else {
        return Err(Refused::invalid_request(format!("Unknown operations type {number}")));
    };
    let value = config.value.map(str::to_owned);
    Ok(ConfigChange { key: config.name.to_owned(), operation, value })
}

/// No logger can be changed, but a request for this broker that changes none is right.
fn check_loggers(named: &AlterConfigsResource<'_>, context: &Context<'_>) -> Result<(), Refused> {
    let node = broker_id(named.resource_name)?;
    if node != context.node {
        return Err(Refused::invalid_request(format!(
            "Unexpected node id. Expected {}, but received {node}",
            context.node
        )));
    }
    let Some(config) = named.configs.iter().next() else { return Ok(()) };
    let change = change(config)?;
    let operation = match change.operation {
        ConfigOperation::Append => "APPEND",
        ConfigOperation::Subtract => "SUBTRACT",
        ConfigOperation::Set | ConfigOperation::Delete => {
            return Err(Refused::new(
                ErrorCode::INVALID_CONFIG,
                format!("Logger {} does not exist!", change.key),
            ));
        }
    };
    Err(Refused::invalid_request(format!(
        "{operation} operation is not allowed for the BROKER_LOGGER resource"
    )))
}

impl IncrementalAlterConfigs {
    pub(super) fn on_outcome(&mut self, outcome: CommandOutcome) -> Reply {
        self.resources.resolve(match outcome {
            CommandOutcome::ConfigsAltered(outcomes) => Ok(outcomes),
            CommandOutcome::NotStored => Err(Refused::not_stored()),
            CommandOutcome::Busy => Err(Refused::busy(self.asked.version, None)),
            other => panic!("not an outcome of IncrementalAlterConfigs: {other:?}"),
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
        let responses = responses.into();
        self.asked.reply(&IncrementalAlterConfigsResponse { responses, ..Default::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;

    fn resource<'a>(
        resource_type: i8,
        resource_name: &'a str,
        configs: &[(&'a str, i8, Option<&'a str>)],
    ) -> AlterConfigsResource<'a> {
        let configs: Vec<_> = configs
            .iter()
            .map(|(name, operation, value)| AlterableConfig {
                name,
                config_operation: *operation,
                value: *value,
            })
            .collect();
        AlterConfigsResource { resource_type, resource_name, configs: configs.into() }
    }

    fn request<'a>(resources: Vec<AlterConfigsResource<'a>>) -> IncrementalAlterConfigsRequest<'a> {
        IncrementalAlterConfigsRequest { resources: resources.into(), ..Default::default() }
    }

    fn codes(body: &[u8], version: i16) -> Vec<ErrorCode> {
        let response = IncrementalAlterConfigsResponse::decode_whole(body, version).unwrap();
        let codes = response.responses.iter().map(|response| {
            assert_eq!(response.error_code == 0, response.error_message.is_none());
            ErrorCode::from_code(response.error_code)
        });
        codes.collect()
    }

    #[test]
    fn all_four_operations() {
        let mut scene = Scene::new(&[("t", 1)]);
        let policy = |scene: &Scene| {
            scene.image().topic("t").unwrap().configs.get("cleanup.policy").cloned()
        };
        let steps = [
            (0, Some("compact"), Some("compact")),
            (2, Some("delete"), Some("compact,delete")),
            (3, Some("compact"), Some("delete")),
            (1, None, None),
        ];
        for (operation, value, after) in steps {
            let change = resource(2, "t", &[("cleanup.policy", operation, value)]);
            let only = IncrementalAlterConfigsRequest {
                validate_only: true,
                ..request(vec![change.clone()])
            };
            let before = policy(&scene);
            assert_eq!(codes(&scene.answer(0, &only), 0), [ErrorCode::NONE]);
            assert_eq!(policy(&scene), before);
            assert_eq!(codes(&scene.answer(1, &request(vec![change])), 1), [ErrorCode::NONE]);
            assert_eq!(policy(&scene).as_deref(), after);
        }
    }

    #[test]
    fn each_resource_is_refused_for_its_own_reason() {
        let mut scene = Scene::new(&[("t", 1), ("u", 1), ("v", 1), ("w", 1), ("twice", 1)]);
        let resources = vec![
            resource(2, "t", &[("retention.ms", 9, Some("1"))]),
            resource(2, "u", &[("retention.ms", 0, None)]),
            resource(2, "v", &[("retention.ms", 2, Some("1"))]),
            resource(2, "w", &[("no.such.key", 0, Some("1"))]),
            resource(2, "twice", &[]),
            resource(2, "nope", &[]),
            resource(4, "2", &[]),
            resource(8, "1", &[]),
            resource(8, "1x", &[]),
            resource(8, "2", &[]),
            resource(8, "01", &[("root", 0, Some("INFO"))]),
            resource(8, "+1", &[("root", 2, Some("INFO"))]),
            resource(32, "group", &[]),
            resource(2, "twice", &[]),
        ];
        let body = scene.answer(1, &request(resources));
        let mut expected = [ErrorCode::INVALID_REQUEST; 14];
        expected[2] = ErrorCode::INVALID_CONFIG;
        expected[3] = ErrorCode::INVALID_CONFIG;
        expected[5] = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        expected[7] = ErrorCode::NONE;
        expected[10] = ErrorCode::INVALID_CONFIG;
        assert_eq!(codes(&body, 1), expected);
    }

    #[test]
    fn what_is_not_stored_is_said_of_what_waited() {
        let scene = Scene::new(&[("t", 1)]);
        let resources = vec![resource(8, "1", &[]), resource(2, "t", &[])];
        let body = scene.not_stored(0, &request(resources));
        assert_eq!(codes(&body, 0), [ErrorCode::NONE, ErrorCode::KAFKA_STORAGE_ERROR]);
    }
}

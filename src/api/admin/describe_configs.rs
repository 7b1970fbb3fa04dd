//! DescribeConfigs (key 32), versions 1 to 4 (KIP-133).
//!
//! - 1: sources and synonyms (KIP-226). 3: types and documentation (KIP-569). 4: flexible.
//!
//! Topics, this broker, and what is set for all brokers. Log levels (KIP-412) are configs of
//! loggers, of which this broker offers none. A resource of a kind that is not known is refused by
//! itself; Kafka refuses the whole request for it.

use std::collections::BTreeSet;

use crate::api::{Asked, Context, Next};
use crate::catalog::config_keys::{broker_key, topic_key};
use crate::catalog::{ConfigEntry, DescribeOptions, invalid_topic_name};
use crate::wire::array::Array;
use crate::wire::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

use super::refused::Refused;
use super::resource::{ResourceType, broker_id, named_twice};

/// Answers a request.
pub(super) fn answer(
    asked: Asked,
    body: &[u8],
    context: &Context<'_>,
) -> Result<Next, DecodeError> {
    let request = DescribeConfigsRequest::decode_from(body, asked.version)?;
    let options = DescribeOptions {
        synonyms: request.include_synonyms,
        documentation: request.include_documentation && asked.version >= 3,
    };
    let mut described = BTreeSet::new();
    let outcomes: Vec<_> = request
        .resources
        .iter()
        .map(|resource| {
            // A few bytes ask for many kilobytes; asking for the same ones again is no use to any
            // client, but could make a reply of any size.
            let first = described.insert((resource.resource_type, resource.resource_name));
            let outcome =
                if first { describe(&resource, options, context) } else { Err(named_twice()) };
            (resource, outcome)
        })
        .collect();
    let results: Vec<_> =
        outcomes.iter().map(|(resource, outcome)| one(resource, outcome)).collect();
    let response = DescribeConfigsResponse { results: results.into(), ..Default::default() };
    Ok(Next::Reply(asked.reply(&response)))
}

fn describe(
    resource: &DescribeConfigsResource<'_>,
    options: DescribeOptions,
    context: &Context<'_>,
) -> Result<Vec<ConfigEntry>, Refused> {
    let (image, statics) = (context.image, context.statics);
    let name = resource.resource_name;
    let keys = resource.configuration_keys.as_ref().map(known_keys);
    let keys = keys.as_deref();
    match ResourceType::from_number(resource.resource_type)? {
        ResourceType::Topic => {
            if let Some(reason) = invalid_topic_name(name) {
                return Err(Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, reason));
            }
            image.describe_topic(name, statics, keys, options).ok_or_else(|| {
                let message = format!("The topic '{name}' does not exist.");
                Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
            })
        }
        ResourceType::Broker if name.is_empty() => {
            Ok(image.describe_cluster(statics, keys, options))
        }
        ResourceType::Broker => {
            check_broker(name, " or empty string,", context)?;
            Ok(image.describe_broker(context.node, statics, keys, options))
        }
        ResourceType::BrokerLogger if name.is_empty() => {
            Err(Refused::invalid_request("Broker id must not be empty"))
        }
        ResourceType::BrokerLogger => {
            check_broker(name, "", context)?;
            Ok(Vec::new())
        }
    }
}

/// The keys asked for, without those that are in no table: a list of any length is then walked once
/// and not for each key. An empty list asks for all, so one that names nothing known stays
/// non-empty.
fn known_keys(keys: &Array<'_, &str>) -> Vec<String> {
    let known = keys.iter().filter(|key| topic_key(key).is_some() || broker_key(key).is_some());
    let known: BTreeSet<&str> = known.collect();
    if known.is_empty() {
        return keys.iter().take(1).map(str::to_owned).collect();
    }
    known.into_iter().map(str::to_owned).collect()
}

fn check_broker(name: &str, or_what: &str, context: &Context<'_>) -> Result<(), Refused> {
    if broker_id(name)? == context.node {
        return Ok(());
    }
    Err(Refused::invalid_request(format!(
        "Unexpected broker id, expected {}{or_what} but received {name}",
        context.node
    )))
}

fn one<'a>(
    resource: &DescribeConfigsResource<'a>,
    outcome: &'a Result<Vec<ConfigEntry>, Refused>,
) -> DescribeConfigsResult<'a> {
    let result = DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        ..Default::default()
    };
    match outcome {
        Ok(entries) => {
            let configs: Vec<_> = entries.iter().map(entry).collect();
            // Not null here, as from Kafka.
            DescribeConfigsResult { error_message: Some(""), configs: configs.into(), ..result }
        }
        Err(refused) => DescribeConfigsResult {
            error_code: refused.error.code(),
            error_message: Some(&refused.message),
            ..result
        },
    }
}

fn entry(entry: &ConfigEntry) -> DescribeConfigsResourceResult<'_> {
    let synonyms: Vec<_> = entry
        .synonyms
        .iter()
        .map(|synonym| DescribeConfigsSynonym {
            name: &synonym.name,
            value: synonym.value.as_deref(),
            source: synonym.source.number(),
        })
        .collect();
    DescribeConfigsResourceResult {
        name: &entry.name,
        value: entry.value.as_deref(),
        read_only: entry.read_only,
        config_source: entry.source.number(),
        is_sensitive: entry.sensitive,
        synonyms: synonyms.into(),
        config_type: entry.config_type.number(),
        documentation: entry.documentation.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;
    use crate::catalog::config_keys::{broker_keys, topic_keys};
    use crate::catalog::{ConfigResource, Record};

    fn resource<'a>(
        resource_type: i8,
        resource_name: &'a str,
        keys: Option<&[&'a str]>,
    ) -> DescribeConfigsResource<'a> {
        let configuration_keys = keys.map(|keys| keys.to_vec().into());
        DescribeConfigsResource { resource_type, resource_name, configuration_keys }
    }

    fn request<'a>(resources: Vec<DescribeConfigsResource<'a>>) -> DescribeConfigsRequest<'a> {
        DescribeConfigsRequest { resources: resources.into(), ..Default::default() }
    }

    #[test]
    fn a_topic_is_described_with_sources_synonyms_and_documentation() {
        let mut scene = Scene::with_statics(&[("t", 1)], &[("log.segment.bytes", "2097152")]);
        scene.apply(&[Record::ConfigSet {
            resource: ConfigResource::Topic("t".into()),
            key: "retention.ms".into(),
            value: "5".into(),
        }]);
        let full = DescribeConfigsRequest {
            include_synonyms: true,
            include_documentation: true,
            ..request(vec![resource(2, "t", None)])
        };
        let body = scene.answer(4, &full);
        let response = DescribeConfigsResponse::decode_whole(&body, 4).unwrap();
        let result = response.results.iter().next().unwrap();
        assert_eq!((result.error_code, result.error_message), (0, Some("")));
        assert_eq!((result.resource_type, result.resource_name), (2, "t"));
        let configs: Vec<_> = result.configs.iter().collect();
        assert_eq!(configs.len(), topic_keys().len());
        assert!(configs.iter().all(|config| config.documentation.is_some()));
        let find = |name| configs.iter().find(|config| config.name == name).unwrap();
        let retention = find("retention.ms");
        assert_eq!((retention.value, retention.config_source), (Some("5"), 1));
        assert_eq!((retention.config_type, retention.read_only), (5, false));
        let first = retention.synonyms.iter().next().unwrap();
        assert_eq!((first.name, first.value, first.source), ("retention.ms", Some("5"), 1));
        let segment = find("segment.bytes");
        assert_eq!((segment.value, segment.config_source), (Some("2097152"), 4));
        assert_eq!(segment.synonyms.iter().next().unwrap().name, "log.segment.bytes");

        let body = scene.answer(1, &request(vec![resource(2, "t", None)]));
        let response = DescribeConfigsResponse::decode_whole(&body, 1).unwrap();
        let result = response.results.iter().next().unwrap();
        assert_eq!(result.configs.len(), topic_keys().len());
        assert!(result.configs.iter().all(|config| config.synonyms.is_empty()));
    }

    #[test]
    fn only_the_keys_asked_for_are_described() {
        let mut scene = Scene::new(&[("t", 1), ("u", 1), ("v", 1)]);
        let resources = vec![
            resource(2, "t", Some(&["flush.ms", "no.such.key", "cleanup.policy", "flush.ms"])),
            resource(2, "u", Some(&["no.such.key"])),
            resource(2, "v", Some(&[])),
        ];
        let body = scene.answer(3, &request(resources));
        let response = DescribeConfigsResponse::decode_whole(&body, 3).unwrap();
        let counts: Vec<_> = response.results.iter().map(|result| result.configs.len()).collect();
        assert_eq!(counts, [2, 0, topic_keys().len()]);
    }

    #[test]
    fn brokers_are_described_by_id_or_all_at_once() {
        let mut scene = Scene::new(&[]);
        scene.apply(&[Record::ConfigSet {
            resource: ConfigResource::Cluster,
            key: "log.retention.ms".into(),
            value: "5".into(),
        }]);
        let resources = vec![resource(4, "1", None), resource(4, "", None), resource(8, "1", None)];
        let body = scene.answer(4, &request(resources));
        let response = DescribeConfigsResponse::decode_whole(&body, 4).unwrap();
        let results: Vec<_> = response.results.iter().collect();
        assert!(results.iter().all(|result| result.error_code == 0));
        assert_eq!(results[0].configs.len(), broker_keys().len());
        for config in results[0].configs.iter().filter(|config| config.is_sensitive) {
            assert_eq!(config.value, None);
        }
        let set: Vec<_> = results[1].configs.iter().collect();
        assert_eq!((set.len(), set[0].name, set[0].config_source), (1, "log.retention.ms", 3));
        assert!(results[2].configs.is_empty());
    }

    #[test]
    fn each_resource_is_refused_for_its_own_reason() {
        let mut scene = Scene::new(&[("t", 1)]);
        let expected = [
            (resource(2, "nope", None), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (resource(2, "bad/name", None), ErrorCode::INVALID_TOPIC_EXCEPTION),
            (resource(2, "", None), ErrorCode::INVALID_TOPIC_EXCEPTION),
            (resource(4, "2", None), ErrorCode::INVALID_REQUEST),
            (resource(4, "one", None), ErrorCode::INVALID_REQUEST),
            (resource(8, "", None), ErrorCode::INVALID_REQUEST),
            (resource(8, "2", None), ErrorCode::INVALID_REQUEST),
            (resource(16, "x", None), ErrorCode::INVALID_REQUEST),
            (resource(0, "x", None), ErrorCode::INVALID_REQUEST),
            (resource(2, "t", None), ErrorCode::NONE),
            (resource(2, "t", None), ErrorCode::INVALID_REQUEST),
        ];
        let resources = expected.iter().map(|(resource, _)| resource.clone()).collect();
        let body = scene.answer(2, &request(resources));
        let response = DescribeConfigsResponse::decode_whole(&body, 2).unwrap();
        assert_eq!(response.results.len(), expected.len());
        for (result, (resource, error)) in response.results.iter().zip(expected) {
            assert_eq!(result.error_code, error.code(), "{resource:?}");
            assert_eq!(result.error_message == Some(""), error == ErrorCode::NONE);
            assert_eq!(result.configs.is_empty(), error != ErrorCode::NONE);
        }
    }
}

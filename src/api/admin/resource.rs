//! What configs belong to, as requests name it: a number for the kind, and a name.

use std::collections::BTreeMap;

use crate::catalog::{ConfigResource, Refusal};
use crate::ids::NodeId;

use super::refused::{Refused, code_and_message, results};

/// Kinds of resources whose configs this broker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResourceType {
    /// 2: a topic, by name.
    Topic,
    /// 4: a broker, by id; all brokers if the name is empty.
    Broker,
    /// 8: the log levels of a broker, by id (KIP-412).
    BrokerLogger,
}

impl ResourceType {
    /// From Kafka's number.
    pub(super) fn from_number(number: i8) -> Result<ResourceType, Refused> {
        match number {
            2 => Ok(ResourceType::Topic),
            4 => Ok(ResourceType::Broker),
            8 => Ok(ResourceType::BrokerLogger),
            16 => Err(unsupported("CLIENT_METRICS")),
            32 => Err(unsupported("GROUP")),
            other => Err(Refused::invalid_request(format!("Unknown resource type {other}"))),
        }
    }
}

fn unsupported(name: &str) -> Refused {
    Refused::invalid_request(format!("Unsupported resource type: {name}"))
}

/// The id in the name of a broker's resource.
pub(super) fn broker_id(name: &str) -> Result<NodeId, Refused> {
    name.parse().map(NodeId).map_err(|_| {
        Refused::invalid_request(format!("Broker id must be an integer, but it is: {name}"))
    })
}

/// The resource that configs are to be altered of; the catalog looks whether it exists.
pub(super) fn alterable(kind: ResourceType, name: &str) -> Result<ConfigResource, Refused> {
    match kind {
        ResourceType::Topic => Ok(ConfigResource::Topic(name.to_owned())),
        ResourceType::Broker if name.is_empty() => Ok(ConfigResource::Cluster),
        ResourceType::Broker => Ok(ConfigResource::Broker(broker_id(name)?)),
        // Kafka's old AlterConfigs does not know them; the incremental one looks at them before.
        ResourceType::BrokerLogger => Err(unsupported("BROKER_LOGGER")),
    }
}

/// How often each resource is named. Kafka refuses to alter one that is named twice.
pub(super) fn occurrences<'a>(
    resources: impl Iterator<Item = (i8, &'a str)>,
) -> BTreeMap<(i8, &'a str), usize> {
    let mut counts = BTreeMap::new();
    for resource in resources {
        *counts.entry(resource).or_insert(0) += 1;
    }
    counts
}

/// For a resource that is named twice.
pub(super) fn named_twice() -> Refused {
    Refused::invalid_request("Each resource must appear at most once.")
}

/// The resources of an alteration, some of which wait for the catalog.
#[derive(Debug, Default)]
pub(super) struct Resources {
    items: Vec<Resource>,
    waiting: usize,
}

#[derive(Debug)]
struct Resource {
    kind: i8,
    name: String,
    /// `None` while the catalog is being asked.
    result: Option<Result<(), Refused>>,
}

impl Resources {
    /// The next one in the order of the request; it waits for the catalog unless it has a result.
    pub(super) fn push(&mut self, kind: i8, name: &str, result: Option<Result<(), Refused>>) {
        self.waiting += usize::from(result.is_none());
        self.items.push(Resource { kind, name: name.to_owned(), result });
    }

    /// The catalog has decided about those that wait, or was not asked.
    pub(super) fn resolve(&mut self, outcomes: Result<Vec<Result<(), Refusal>>, Refused>) {
        let waiting = self.items.iter_mut().filter(|item| item.result.is_none());
        for (item, result) in waiting.zip(results(outcomes, self.waiting)) {
            item.result = Some(result);
        }
        self.waiting = 0;
    }

    /// Kind, name, error code and message of each, in the order of the request.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i8, &str, i16, Option<&str>)> {
        assert!(self.waiting == 0, "the catalog was asked about every resource");
        self.items.iter().map(|item| {
            let (error_code, message) = item.result.as_ref().map_or((0, None), code_and_message);
            (item.kind, item.name.as_str(), error_code, message)
        })
    }
}

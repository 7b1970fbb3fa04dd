//! AlterConfigs (replaces all) and IncrementalAlterConfigs (KIP-339).

use std::collections::BTreeMap;

use super::super::apply::Catalog;
use super::super::config_keys::{
    ConfigType, broker_key, check_batch_bytes, check_broker_configs, check_topic_configs, topic_key,
};
use super::super::layers::Layers;
use super::super::record::{ConfigResource, Record};
use super::super::topic_name::{invalid_topic_name, printable};
use super::{Plan, Refusal, occurrences};
use crate::ids::NodeId;

/// One resource of an AlterConfigs request: what it is to have from now on, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigAlteration {
    /// The resource.
    pub resource: ConfigResource,
    /// Keys and values, as sent.
    pub configs: Vec<(String, Option<String>)>,
}

/// What an incremental change does to a value; the numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// 0: give it this value.
    Set,
    /// 1: remove it, so that the default holds.
    Delete,
    /// 2: add to a list.
    Append,
    /// 3: take from a list.
    Subtract,
}

impl ConfigOperation {
    /// From Kafka's number.
    #[must_use]
    pub fn from_number(number: i8) -> Option<ConfigOperation> {
        match number {
            0 => Some(ConfigOperation::Set),
            1 => Some(ConfigOperation::Delete),
            2 => Some(ConfigOperation::Append),
            3 => Some(ConfigOperation::Subtract),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            ConfigOperation::Set => "SET",
            ConfigOperation::Delete => "DELETE",
            ConfigOperation::Append => "APPEND",
            ConfigOperation::Subtract => "SUBTRACT",
        }
    }
}

/// One change of an incremental alteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The key, as sent.
    pub key: String,
    /// What to do.
    pub operation: ConfigOperation,
    /// The value, as sent; ignored by [`ConfigOperation::Delete`].
    pub value: Option<String>,
}

/// One resource of an IncrementalAlterConfigs request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncrementalAlteration {
    /// The resource.
    pub resource: ConfigResource,
    /// What to change; keys that are not named stay as they are.
    pub changes: Vec<ConfigChange>,
}

impl Catalog {
    /// Plans the replacement of whole configs.
    #[must_use]
    pub fn plan_alter_configs(
        &self,
        alterations: &[ConfigAlteration],
        validate_only: bool,
    ) -> Plan<()> {
        let counts = occurrences(alterations.iter().map(|alteration| &alteration.resource));
        self.plan_each(alterations.iter(), validate_only, |draft, alteration| {
            check_once(&counts, &alteration.resource)?;
            check_keys_once(alteration.configs.iter().map(|(key, _)| key.as_str()))?;
            check_not_null(
                (alteration.configs.iter()).map(|(key, value)| (key.as_str(), value.is_some())),
            )?;
            let wanted = (alteration.configs.iter())
                .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
                .collect();
            draft.plan_configs(&alteration.resource, wanted)
        })
    }

    /// Plans changes of single keys.
    #[must_use]
    pub fn plan_incremental_alter_configs(
        &self,
        alterations: &[IncrementalAlteration],
        validate_only: bool,
    ) -> Plan<()> {
        let counts = occurrences(alterations.iter().map(|alteration| &alteration.resource));
        self.plan_each(alterations.iter(), validate_only, |draft, alteration| {
            check_once(&counts, &alteration.resource)?;
            check_keys_once(alteration.changes.iter().map(|change| change.key.as_str()))?;
            check_not_null(alteration.changes.iter().map(|change| {
                let given = change.operation == ConfigOperation::Delete || change.value.is_some();
                (change.key.as_str(), given)
            }))?;
            let mut wanted = draft.current_configs(&alteration.resource)?.clone();
            for change in &alteration.changes {
                apply_change(&mut wanted, &alteration.resource, change)?;
            }
            draft.plan_configs(&alteration.resource, wanted)
        })
    }

    /// Records that turn a resource's configs into `wanted`, if these are valid as a whole.
    fn plan_configs(
        &self,
        resource: &ConfigResource,
        wanted: BTreeMap<String, String>,
    ) -> Result<(Vec<Record>, ()), Refusal> {
        let current = self.current_configs(resource)?;
        let layers = Layers::new(&self.image, self.image.node_id, &self.statics);
        match resource {
            ConfigResource::Topic(_) => {
                check_topic_configs(&wanted, layers).map_err(Refusal::InvalidConfig)?;
            }
            // Kafka answers INVALID_REQUEST here, and its tools know no other answer.
            ConfigResource::Broker(_) => {
                check_broker_configs(&wanted, true).map_err(Refusal::InvalidRequest)?;
            }
            ConfigResource::Cluster => {
                check_broker_configs(&wanted, false).map_err(Refusal::InvalidRequest)?;
            }
        }
        check_batch_bytes("message.max.bytes", &wanted, layers).map_err(Refusal::InvalidConfig)?;
        let removed = current.keys().filter(|key| !wanted.contains_key(*key));
        let mut records: Vec<Record> = removed
            .map(|key| Record::ConfigRemoved { resource: resource.clone(), key: key.clone() })
            .collect();
        for (key, value) in wanted {
            if current.get(&key) != Some(&value) {
                records.push(Record::ConfigSet { resource: resource.clone(), key, value });
            }
        }
        Ok((records, ()))
    }

    fn current_configs(
        &self,
        resource: &ConfigResource,
    ) -> Result<&BTreeMap<String, String>, Refusal> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        match resource {
            ConfigResource::Topic(name) if name.is_empty() => {
                Err(Refusal::InvalidRequest("Default topic resources are not allowed.".to_owned()))
            }
            ConfigResource::Topic(name) => match self.image.topic(name) {
                Some(topic) => Ok(&topic.configs),
                None => Err(match invalid_topic_name(name) {
                    Some(reason) => Refusal::InvalidTopic(reason),
                    None => Refusal::UnknownTopic(format!("The topic '{name}' does not exist.")),
                }),
            },
            ConfigResource::Broker(node) => {
                self.check_broker(*node)?;
                Ok(self.image.broker_configs.get(node).unwrap_or(&NONE))
            }
            ConfigResource::Cluster => Ok(&self.image.cluster_configs),
        }
    }

    fn check_broker(&self, node: NodeId) -> Result<(), Refusal> {
        if node == self.image.node_id {
            return Ok(());
        }
        Err(Refusal::InvalidRequest(format!(
            "Unexpected broker id, expected {} or empty string, but received {node}",
            self.image.node_id
        )))
    }
}

fn check_once(
    counts: &BTreeMap<&ConfigResource, usize>,
    resource: &ConfigResource,
) -> Result<(), Refusal> {
    if counts.get(resource).is_some_and(|count| *count > 1) {
        return Err(Refusal::InvalidRequest("Each resource must appear at most once.".to_owned()));
    }
    Ok(())
}

fn check_keys_once<'a>(keys: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    if occurrences(keys).values().any(|count| *count > 1) {
        return Err(Refusal::InvalidRequest("Error due to duplicate config keys".to_owned()));
    }
    Ok(())
}

fn check_not_null<'a>(keys: impl Iterator<Item = (&'a str, bool)>) -> Result<(), Refusal> {
    let null: Vec<String> =
        keys.filter(|(_, given)| !given).map(|(key, _)| printable(key)).collect();
    if null.is_empty() {
        return Ok(());
    }
    Err(Refusal::InvalidRequest(format!("Null value not supported for : {}", null.join(", "))))
}

fn apply_change(
    configs: &mut BTreeMap<String, String>,
    resource: &ConfigResource,
    change: &ConfigChange,
) -> Result<(), Refusal> {
    let value = change.value.as_deref().unwrap_or_default();
    match change.operation {
        ConfigOperation::Set => {
            configs.insert(change.key.clone(), value.to_owned());
        }
        ConfigOperation::Delete => {
            configs.remove(&change.key);
        }
        ConfigOperation::Append | ConfigOperation::Subtract => {
            let key = match resource {
                ConfigResource::Topic(_) => topic_key(&change.key),
                ConfigResource::Broker(_) | ConfigResource::Cluster => broker_key(&change.key),
            };
            let Some(key) = key.filter(|key| key.config_type == ConfigType::List) else {
                return Err(Refusal::InvalidConfig(format!(
                    "Can't {} to key {} because its type is not LIST.",
                    change.operation.name(),
                    printable(&change.key)
                )));
            };
            // As Kafka does: a list that is not set starts from the key's default.
            let current = configs.get(&change.key).map(String::as_str).or(key.default);
            let mut parts: Vec<&str> =
                current.unwrap_or_default().split(',').filter(|part| !part.is_empty()).collect();
            for part in value.split(',') {
                if change.operation == ConfigOperation::Subtract {
                    parts.retain(|existing| *existing != part);
                } else if !part.is_empty() && !parts.contains(&part) {
                    parts.push(part);
                }
            }
            let joined = parts.join(",");
            configs.insert(change.key.clone(), joined);
        }
    }
    Ok(())
}

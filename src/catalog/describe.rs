//! DescribeConfigs: every key with its value in force, where that comes from, and what stands
//! behind it.
//!
//! The order is that of the names; Kafka's own is that of a hash table. Everything else follows
//! Kafka's ConfigHelper, two oddities included: synonyms that stand before the key's own name in
//! precedence are dropped, so `retention.ms` of an unconfigured broker has none and counts as a
//! default even if `log.retention.hours` was set; and describing the cluster-wide resource lists
//! only what is set there.

use std::collections::BTreeMap;

use super::config_keys::{
    ConfigKey, broker_key, broker_keys, broker_synonyms, topic_keys, topic_synonyms,
};
use super::config_keys::{ConfigType, DynamicScope};
use super::image::Image;
use super::layers::{Layers, StaticConfigs};
use super::topic_config::resolve_text;
use crate::ids::NodeId;

/// Where a value comes from; the numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic = 1,
    /// Set on the broker while it runs.
    DynamicBroker = 2,
    /// Set for all brokers while they run.
    DynamicDefaultBroker = 3,
    /// From the file or the command line.
    StaticBroker = 4,
    /// From the table.
    Default = 5,
}

impl ConfigSource {
    /// The layers of a broker's configuration, strongest first.
    pub(super) const BROKER_LAYERS: [ConfigSource; 4] = [
        ConfigSource::DynamicBroker,
        ConfigSource::DynamicDefaultBroker,
        ConfigSource::StaticBroker,
        ConfigSource::Default,
    ];

    /// Kafka's number.
    #[must_use]
    pub fn number(self) -> i8 {
        self as i8
    }
}

/// A key that gives, or would give, a described key its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Its name.
    pub name: String,
    /// Its value; `None` if secret.
    pub value: Option<String>,
    /// Where that value is set.
    pub source: ConfigSource,
}

/// One key as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value in force; `None` if it has none, or if it is secret.
    pub value: Option<String>,
    /// True if it can only be changed in the file.
    pub read_only: bool,
    /// True if the value is the table's.
    pub is_default: bool,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// True if the value is a secret.
    pub sensitive: bool,
    /// Strongest first; empty unless asked for.
    pub synonyms: Vec<ConfigSynonym>,
    /// Type of the value.
    pub config_type: ConfigType,
    /// What it means; only if asked for.
    pub documentation: Option<String>,
}

/// What a request wants to see of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescribeOptions {
    /// Include synonyms.
    pub synonyms: bool,
    /// Include documentation.
    pub documentation: bool,
}

impl Image {
    /// Describes a topic's configs; `None` if there is no such topic. `keys` limits the answer to
    /// these names; names that are no topic keys are left out, as Kafka does.
    #[must_use]
    pub fn describe_topic(
        &self,
        name: &str,
        statics: &StaticConfigs,
        keys: Option<&[String]>,
        options: DescribeOptions,
    ) -> Option<Vec<ConfigEntry>> {
        let topic = self.topic(name)?;
        Some(self.describe_topic_configs(&topic.configs, statics, keys, options))
    }

    /// As [`Image::describe_topic`], for overrides that no topic has yet.
    pub(super) fn describe_topic_configs(
        &self,
        overrides: &BTreeMap<String, String>,
        statics: &StaticConfigs,
        keys: Option<&[String]>,
        options: DescribeOptions,
    ) -> Vec<ConfigEntry> {
        let layers = Layers::new(self, self.node_id, statics);
        let entries = topic_keys().iter().filter(|key| wanted(keys, key.name)).map(|key| {
            let value = resolve_text(overrides, layers, key.name);
            let mut synonyms = match topic_synonyms(key.name).first() {
                Some(synonym) => synonyms_of(synonym.name, layers),
                None => Vec::new(),
            };
            if overrides.contains_key(key.name) {
                let own = ConfigSynonym {
                    name: key.name.to_owned(),
                    value: Some(value.clone()),
                    source: ConfigSource::DynamicTopic,
                };
                synonyms.insert(0, own);
            }
            entry(key, Some(value), false, synonyms, options)
        });
        entries.collect()
    }

    /// Describes a broker's configs as far as this broker knows them.
    #[must_use]
    pub fn describe_broker(
        &self,
        node: NodeId,
        statics: &StaticConfigs,
        keys: Option<&[String]>,
        options: DescribeOptions,
    ) -> Vec<ConfigEntry> {
        let layers = Layers::new(self, node, statics);
        let entries = broker_keys().iter().filter(|key| wanted(keys, key.name)).map(|key| {
            let value = layers.value(key.name);
            let value = value.map(|value| key.normalized(value).unwrap_or(value.to_owned()));
            let read_only = key.scope == DynamicScope::ReadOnly;
            entry(key, value, read_only, synonyms_of(key.name, layers), options)
        });
        entries.collect()
    }

    /// Describes the dynamic configs that hold for all brokers: only those that are set.
    #[must_use]
    pub fn describe_cluster(
        &self,
        statics: &StaticConfigs,
        keys: Option<&[String]>,
        options: DescribeOptions,
    ) -> Vec<ConfigEntry> {
        let layers = Layers::new(self, self.node_id, statics);
        let set = self.cluster_configs.iter().filter(|(name, _)| wanted(keys, name));
        let entries = set.filter_map(|(name, value)| {
            let key = broker_key(name)?;
            let mut synonyms = synonyms_of(name, layers);
            synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
            let read_only = key.scope == DynamicScope::ReadOnly;
            Some(entry(key, Some(value.clone()), read_only, synonyms, options))
        });
        entries.collect()
    }
}

/// No names at all, or an empty list of them, asks for everything.
fn wanted(keys: Option<&[String]>, name: &str) -> bool {
    keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| key == name))
}

/// Every layer of a broker key and its synonyms that has a value, strongest first, from the key's
/// own name on.
fn synonyms_of(name: &str, layers: Layers<'_>) -> Vec<ConfigSynonym> {
    let names: Vec<&str> = match broker_synonyms(name) {
        Some(synonyms) => synonyms.iter().map(|synonym| synonym.name).collect(),
        None => vec![name],
    };
    let mut found = Vec::new();
    for source in ConfigSource::BROKER_LAYERS {
        for key in names.iter().filter_map(|name| broker_key(name)) {
            if let Some(value) = layers.at(source, key) {
                let value = (!key.is_sensitive()).then(|| value.to_owned());
                found.push(ConfigSynonym { name: key.name.to_owned(), value, source });
            }
        }
    }
    let own = found.iter().position(|synonym| synonym.name == name).unwrap_or(found.len());
    found.split_off(own)
}

fn entry(
    key: &ConfigKey,
    value: Option<String>,
    read_only: bool,
    synonyms: Vec<ConfigSynonym>,
    options: DescribeOptions,
) -> ConfigEntry {
    let source = synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source);
    ConfigEntry {
        name: key.name.to_owned(),
        value: value.filter(|_| !key.is_sensitive()),
        read_only,
        is_default: source == ConfigSource::Default,
        source,
        sensitive: key.is_sensitive(),
        synonyms: if options.synonyms { synonyms } else { Vec::new() },
        config_type: key.config_type,
        documentation: options.documentation.then(|| key.full_documentation()),
    }
}

//! Where a config value comes from: the layers of Kafka's precedence, and a look-up through them.

use std::collections::BTreeMap;

use super::config_keys::{BrokerKey, broker_key};
use super::describe::ConfigSource;
use super::image::Image;
use crate::ids::NodeId;

/// The broker's static configuration (file and command line), checked: every key is in the table
/// and every value is valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticConfigs(BTreeMap<String, String>);

impl StaticConfigs {
    /// Takes checked values.
    #[must_use]
    pub fn new(values: BTreeMap<String, String>) -> StaticConfigs {
        StaticConfigs(values)
    }

    /// The value of a key, if it was given.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Every key that was given, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// The layers of one broker's configuration.
#[derive(Clone, Copy)]
pub(super) struct Layers<'a> {
    pub(super) node: Option<&'a BTreeMap<String, String>>,
    pub(super) cluster: &'a BTreeMap<String, String>,
    pub(super) statics: &'a StaticConfigs,
}

impl<'a> Layers<'a> {
    pub(super) fn new(image: &'a Image, node: NodeId, statics: &'a StaticConfigs) -> Layers<'a> {
        Layers { node: image.broker_configs.get(&node), cluster: &image.cluster_configs, statics }
    }

    /// The value of `key` in one layer.
    pub(super) fn at(self, source: ConfigSource, key: &BrokerKey) -> Option<&'a str> {
        match source {
            ConfigSource::DynamicBroker => self.node?.get(key.name).map(String::as_str),
            ConfigSource::DynamicDefaultBroker => self.cluster.get(key.name).map(String::as_str),
            ConfigSource::StaticBroker => self.statics.get(key.name),
            ConfigSource::Default => key.default,
            ConfigSource::DynamicTopic => None,
        }
    }

    /// The value in force for exactly this key, without its synonyms.
    pub(super) fn value(self, name: &str) -> Option<&'a str> {
        let key = broker_key(name)?;
        ConfigSource::BROKER_LAYERS.into_iter().find_map(|source| self.at(source, key))
    }
}

//! The broker's keys: all tables as one.

use std::sync::LazyLock;

use super::ConfigKey;
use super::{cleaner_keys, group_keys, log_keys, own_keys, server_keys};

static BROKER_KEYS: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| {
    let mut keys: Vec<ConfigKey> = [
        cleaner_keys::CLEANER_KEYS,
        group_keys::GROUP_KEYS,
        log_keys::LOG_KEYS,
        own_keys::OWN_KEYS,
        server_keys::SERVER_KEYS,
    ]
    .concat();
    keys.sort_by_key(|key| key.name);
    keys
});

/// Every broker key, in the order of the names.
#[must_use]
pub fn broker_keys() -> &'static [ConfigKey] {
    &BROKER_KEYS
}

/// A broker key by name.
#[must_use]
pub fn broker_key(name: &str) -> Option<&'static ConfigKey> {
    let keys = broker_keys();
    keys.get(keys.binary_search_by(|key| key.name.cmp(name)).ok()?)
}

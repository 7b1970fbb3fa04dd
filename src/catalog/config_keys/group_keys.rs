//! group

use super::ConfigKey;
use super::table::keys;

pub(super) static GROUP_KEYS: &[ConfigKey] = keys! {};

//! log

use super::ConfigKey;
use super::table::keys;

pub(super) static LOG_KEYS: &[ConfigKey] = keys! {};

//! server

use super::ConfigKey;
use super::table::keys;

pub(super) static SERVER_KEYS: &[ConfigKey] = keys! {};

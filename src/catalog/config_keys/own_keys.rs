//! own

use super::ConfigKey;
use super::table::keys;

pub(super) static OWN_KEYS: &[ConfigKey] = keys! {};

//! cleaner

use super::ConfigKey;
use super::table::keys;

pub(super) static CLEANER_KEYS: &[ConfigKey] = keys! {};

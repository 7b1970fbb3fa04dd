//! What is wrong with a configuration.

use std::fmt;

/// One error, with as much of its place as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Line of the file, from 1; `None` if it is not of the file.
    pub line: Option<usize>,
    /// The key, if it concerns one.
    pub key: Option<String>,
    /// What is wrong and, where known, what would be right.
    pub message: String,
}

impl ConfigError {
    pub(super) fn new(line: Option<usize>, key: &str, message: impl Into<String>) -> ConfigError {
        ConfigError { line, key: Some(key.to_owned()), message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.message)
    }
}

//! Why a run could not be done, in one line, and the exit status that says so.

use std::fmt;
use std::io;

use crate::client::errors::ErrorCode;

/// A reason to stop. Shown to the user as one line.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// Options that contradict each other or the broker.
    Usage(String),
    /// No connection, or one that broke.
    Unreachable(String),
    /// The broker answered with an error code.
    Refused {
        /// What was asked of the broker.
        asked: String,
        /// Kafka's error code.
        code: ErrorCode,
    },
    /// The broker's bytes make no sense.
    Malformed(String),
    /// A local file or system call failed.
    Local(String),
    /// A verification found violations, or could not be completed.
    Violated(String),
}

impl Failure {
    /// The process exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Failure::Violated(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Unreachable(_) => 3,
            Failure::Refused { .. } => 4,
            Failure::Malformed(_) => 5,
            Failure::Local(_) => 6,
        }
    }

    /// A connection to `address` failed with `error`.
    pub(crate) fn connection(address: &str, error: &io::Error) -> Failure {
        Failure::Unreachable(format!("{address}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) | Failure::Violated(text) => f.write_str(text),
            Failure::Unreachable(text) => write!(f, "broker unreachable: {text}"),
            Failure::Refused { asked, code } => write!(f, "{asked}: the broker answered {code}"),
            Failure::Malformed(text) => write!(f, "the broker's reply makes no sense: {text}"),
            Failure::Local(text) => f.write_str(text),
        }
    }
}

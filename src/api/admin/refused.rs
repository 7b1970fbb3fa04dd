//! Why an item of an administrative request is not done: an error code, and words for people.

use crate::api::catalog_error;
use crate::catalog::Refusal;
use crate::wire::error_code::ErrorCode;

/// An item that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// For the client.
    pub(super) error: ErrorCode,
    /// For people.
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(error: ErrorCode, message: impl Into<String>) -> Refused {
        Refused { error, message: message.into() }
    }

    pub(super) fn invalid_request(message: impl Into<String>) -> Refused {
        Refused::new(ErrorCode::INVALID_REQUEST, message)
    }

    /// For each item of a change that could not be made durable.
    pub(super) fn not_stored() -> Refused {
        Refused::new(
            ErrorCode::KAFKA_STORAGE_ERROR,
            "The change could not be written to disk. Nothing was changed.",
        )
    }
}

impl Refused {
    /// For each item of a change that there was no room to wait for. `throttled_from` is the
    /// version from which on clients know what THROTTLING_QUOTA_EXCEEDED is (KIP-599), if any does;
    /// older ones know how to go on after a timeout.
    pub(super) fn busy(version: i16, throttled_from: Option<i16>) -> Refused {
        let error = match throttled_from {
            Some(from) if from <= version => ErrorCode::THROTTLING_QUOTA_EXCEEDED,
            _ => ErrorCode::REQUEST_TIMED_OUT,
        };
        Refused::new(error, "Too many changes are waiting already. Nothing was changed.")
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        Refused::new(catalog_error(&refusal), refusal.message())
    }
}

/// The two fields that an item's result has in every response.
pub(super) fn code_and_message<T>(result: &Result<T, Refused>) -> (i16, Option<&str>) {
    match result {
        Ok(_) => (ErrorCode::NONE.code(), None),
        Err(refused) => (refused.error.code(), Some(&refused.message)),
    }
}

/// Results of the items that the catalog was asked about, or why it was not.
pub(super) fn results<T>(
    outcomes: Result<Vec<Result<T, Refusal>>, Refused>,
    count: usize,
) -> Vec<Result<T, Refused>> {
    match outcomes {
        Ok(outcomes) => {
            assert!(outcomes.len() == count, "every item has one outcome");
            outcomes.into_iter().map(|outcome| outcome.map_err(Refused::from)).collect()
        }
        Err(refused) => (0..count).map(|_| Err(refused.clone())).collect(),
    }
}

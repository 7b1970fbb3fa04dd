//! API key 22, InitProducerId: gives a producer its id and epoch (KIP-98).
//!
//! Versions 0-5.
//!
//! - 1: a throttled reply is sent before the wait, not after it (KIP-219).
//! - 2: flexible.
//! - 3: a producer may go on with the id it has, at the next epoch (KIP-360).
//! - 4: the reply may say `PRODUCER_FENCED` (KIP-588).
//! - 5: `TRANSACTION_ABORTABLE` (KIP-890).

use super::message::message;

message! {
    /// Asks for a producer id and epoch.
    request InitProducerIdRequest<'a>(InitProducerId, 0..=5, flexible 2..) {
        /// The transaction's id; null if the producer is only idempotent.
        transactional_id: Option<&'a str>, 0.., nullable 0..;
        /// After how long the broker aborts an idle transaction, in milliseconds.
        transaction_timeout_ms: i32, 0..;
        /// The id the producer has; -1 for none.
        producer_id: i64 = -1, 3..;
        /// The epoch the producer has; -1 for none.
        producer_epoch: i16 = -1, 3..;
    }
}

message! {
    /// The producer's id and epoch.
    #[derive(Copy)]
    response InitProducerIdResponse(InitProducerId, 0..=5, flexible 2..) {
        /// How long the client is throttled, in milliseconds.
        throttle_time_ms: i32, 0.., ignorable;
        /// 0 if id and epoch are good.
        error_code: i16, 0..;
        /// The id; -1 on errors.
        producer_id: i64 = -1, 0..;
        /// The epoch.
        producer_epoch: i16, 0..;
    }
}

//! InitProducerId (key 22), versions 0 to 5, for idempotent producers (KIP-98).
//!
//! - 2: flexible. 3: the producer names the id and epoch it had (KIP-360); without a transactional
//!   id that makes no difference: it gets a new id, as from Kafka. 4, 5: error codes of
//!   transactions.
//!
//! Not here: transactional ids. They are refused with INVALID_REQUEST; clients that follow the
//! protocol never come so far, since FindCoordinator is not offered.

use crate::ids::ProducerId;
use crate::wire::error_code::ErrorCode;
use crate::wire::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use crate::wire::message::Message;
use crate::wire::primitive::DecodeError;

use super::asked::Asked;
use super::reply::Reply;
use super::{Next, Pending};

/// Producer ids that this shard may give out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProducerIds {
    next: i64,
    end: i64,
}

/// No block of producer ids could be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoProducerId;

impl ProducerIds {
    /// Ids asked for from the controller at a time (Kafka's `ProducerIdsBlock` size).
    pub const BLOCK_COUNT: u32 = 1000;

    /// The next id; `None` when a new block is needed.
    pub fn take(&mut self) -> Option<ProducerId> {
        (self.next < self.end).then(|| {
            self.next += 1;
            ProducerId(self.next - 1)
        })
    }

    /// A new block.
    pub fn refill(&mut self, first: ProducerId, count: u32) {
        self.next = first.0;
        self.end = first.0 + i64::from(count);
    }
}

/// Begins a request.
pub(super) fn begin(asked: Asked, body: &[u8]) -> Result<Next, DecodeError> {
    let request = InitProducerIdRequest::decode_from(body, asked.version)?;
    if request.transactional_id.is_some() {
        return Ok(Next::Reply(answer(asked, Err(ErrorCode::INVALID_REQUEST))));
    }
    if (request.producer_id < 0) != (request.producer_epoch < 0) {
        // Kafka: an id without an epoch, or the other way round, is a broken client.
        return Ok(Next::Reply(answer(asked, Err(ErrorCode::INVALID_REQUEST))));
    }
    Ok(Next::ProducerId { pending: Pending::InitProducerId(asked) })
}

/// The reply once an id is there.
pub(super) fn granted(asked: Asked, id: Result<ProducerId, NoProducerId>) -> Reply {
    answer(asked, id.map_err(|NoProducerId| ErrorCode::KAFKA_STORAGE_ERROR))
}

fn answer(asked: Asked, id: Result<ProducerId, ErrorCode>) -> Reply {
    let response = match id {
        Ok(id) => {
            InitProducerIdResponse { producer_id: id.0, producer_epoch: 0, ..Default::default() }
        }
        Err(error) => InitProducerIdResponse {
            error_code: error.code(),
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        },
    };
    asked.reply(&response)
}

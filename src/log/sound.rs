//! Whether bytes that were read from a segment are to the last one what was appended.
//!
//! A batch's checksum leaves out its offset, length and leader epoch. The log knows what they must
//! be: offsets follow each other, without a gap unless the segment was compacted, and every offset
//! has its epoch.

use super::Log;
use crate::batch::{BatchHeader, HEADER_BYTES, check};
use crate::ids::Offset;

impl Log {
    /// How many bytes at the start of `data` are whole, undamaged batches of a segment of this
    /// generation, of which the first holds the record `first`, or the next one after it that
    /// compaction has left. What is behind them is damaged, or not all there.
    #[must_use]
    pub fn sound_bytes(&self, data: &[u8], first: Offset, generation: u32) -> usize {
        // Compaction leaves gaps, before the first batch too.
        let gaps = generation > 0;
        let mut sound = 0;
        let mut expected = None;
        while let Some(rest) = data.get(sound..).filter(|rest| rest.len() >= HEADER_BYTES) {
            let size = BatchHeader::parse(rest).map_or(0, |header| header.size());
            let Some(Ok(header)) = rest.get(..size).map(check) else { break };
            let next_offset = header.next_offset();
            let follows = match expected {
                None => (gaps || header.base_offset <= first) && first < next_offset,
                Some(expected) if gaps => expected <= header.base_offset,
                Some(expected) => header.base_offset == expected,
            };
            // The history may begin in the middle of a batch, after DeleteRecords.
            let epoch = self.epochs.epoch_for(header.last_offset());
            if !follows || epoch != Some(header.leader_epoch) {
                break;
            }
            expected = Some(next_offset);
            sound += size;
        }
        sound
    }
}

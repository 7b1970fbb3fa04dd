//! Planted faults, each in the world around the core, that the checks must catch.

use bytes::Bytes;
use ringmain::ids::{Incarnation, LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition};
use ringmain::journal::{EntryKind, ReplayedEntry};
use ringmain::shard::recovery::{Recovery, RecoveryFault, RecoveryNote};

use super::disk::{Disk, Inode};

/// What is wrong with the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Writes of the flushed lane end in the page cache.
    NoFlush,
    /// Journal writes are reported before they are carried out.
    EarlyAck,
    /// The broker is not told that a batch comes from an idempotent producer.
    NoDedup,
    /// Replay takes every group it finds, whoever wrote it and whatever came before.
    BlindReplay,
    /// What compaction has written is put in place without having been flushed.
    UnflushedCleaning,
}

impl Mutant {
    pub(crate) const ALL: [Mutant; 5] = [
        Mutant::NoFlush,
        Mutant::EarlyAck,
        Mutant::NoDedup,
        Mutant::BlindReplay,
        Mutant::UnflushedCleaning,
    ];
}

/// Offers the entries of everything that looks like a group: no incarnation, no sequence, no chain.
pub(crate) fn replay_blindly(
    disk: &Disk,
    files: &[(String, Inode)],
    recovery: &mut Recovery,
) -> Result<(), String> {
    for (_, inode) in files {
        let content = disk.read(*inode, 0, disk.length(*inode) as usize);
        for block in content.chunks(4096).enumerate().filter(|(_, b)| b.starts_with(b"RMGROUP\0")) {
            offer_group(&content[block.0 * 4096..], recovery).map_err(|fault| fault.to_string())?;
        }
    }
    recovery.end_incarnation();
    let gap =
        recovery.notes().iter().map(|RecoveryNote::UnflushedLost { directory, .. }| directory);
    match gap.into_iter().next() {
        Some(directory) => Err(format!("{directory} has a gap")),
        None => Ok(()),
    }
}

fn offer_group(group: &[u8], recovery: &mut Recovery) -> Result<(), RecoveryFault> {
    let word = |at: usize| u32::from_le_bytes(group[at..at + 4].try_into().expect("four bytes"));
    let long = |at: usize| i64::from_le_bytes(group[at..at + 8].try_into().expect("eight bytes"));
    let _ = Incarnation(long(8) as u64);
    let mut at = 72;
    for _ in 0..word(52) {
        if group.len() < at + 48 {
            return Ok(());
        }
        let length = word(at) as usize;
        let Some(payload) = group.get(at + 48..at + 48 + length) else { return Ok(()) };
        let kind = match group[at + 4] {
            1 => EntryKind::Batch,
            2 => EntryKind::LogStart,
            _ => return Ok(()),
        };
        let topic = group[at + 8..at + 24].try_into().expect("sixteen bytes");
        recovery.offer(ReplayedEntry {
            kind,
            at: TopicPartition {
                topic: TopicId(topic),
                partition: PartitionId(word(at + 24) as i32),
            },
            base_offset: Offset(long(at + 32)),
            next_offset: Offset(long(at + 40)),
            leader_epoch: LeaderEpoch(word(at + 28) as i32),
            payload: Bytes::copy_from_slice(payload),
        })?;
        at += 48 + length;
    }
    Ok(())
}

//! One broker process: its shards, and what the shell would have under way for them.

use std::collections::{BTreeMap, VecDeque};

use ringmain::ids::{Incarnation, ShardId};
use ringmain::journal::{FileNumber, GroupBuffer, GroupSequence, Lane, Slot};
use ringmain::shard::engine::FileJob;
use ringmain::shard::{Message, Shard, ShardSeed};
use ringmain::stdx::prng::Prng;
use ringmain::time::{Instant, Now};

use super::disk::{Disk, Inode};
use super::files::{Directory, Files};

/// A shard and what its host remembers of it.
pub(crate) struct Hosted {
    pub(crate) engine: Shard,
    /// Facts came in since the actions were drained.
    pub(crate) drain_planned: bool,
    /// When it is to be told the time.
    pub(crate) wake: Option<Instant>,
    pub(crate) stopped: bool,
    /// Times that it was told the time without any passing.
    pub(crate) spins: u32,
}

/// A journal write under way.
pub(crate) struct JournalWrite {
    pub(crate) shard: u16,
    pub(crate) lane: Lane,
    pub(crate) group: GroupSequence,
    pub(crate) buffer: GroupBuffer,
    pub(crate) inode: Inode,
    pub(crate) position: u64,
}

/// A write that was reported before it was carried out.
pub(crate) struct LateWrite {
    pub(crate) inode: Inode,
    pub(crate) position: u64,
    pub(crate) bytes: Vec<u8>,
}

/// A journal file being made ready.
pub(crate) struct JournalPreparation {
    pub(crate) shard: u16,
    pub(crate) lane: Lane,
    pub(crate) slot: Slot,
    pub(crate) file: FileNumber,
    pub(crate) create: bool,
    pub(crate) header: GroupBuffer,
}

/// See the module.
pub(crate) struct Process {
    pub(crate) incarnation: Incarnation,
    pub(crate) shards: Vec<Hosted>,
    pub(crate) mesh: BTreeMap<(u16, u16), VecDeque<Message>>,
    pub(crate) journal_files: BTreeMap<(u16, Lane, Slot), Inode>,
    pub(crate) journal_writes: BTreeMap<u64, JournalWrite>,
    pub(crate) late_writes: BTreeMap<u64, LateWrite>,
    pub(crate) preparations: BTreeMap<u64, JournalPreparation>,
    pub(crate) jobs: BTreeMap<(u16, Directory), VecDeque<FileJob>>,
    pub(crate) reads: BTreeMap<u64, (u16, FileJob)>,
    pub(crate) files: Vec<Files>,
    journal_file_bytes: u64,
    next_operation: u64,
}

impl Process {
    pub(crate) fn new(incarnation: Incarnation, seeds: Vec<ShardSeed>, now: Now) -> Process {
        let journal_file_bytes =
            seeds.first().map_or(0, |seed| seed.options.owner.journal_file_bytes);
        let count = seeds.len();
        let hosted = |seed| Hosted {
            engine: Shard::new(seed, now),
            drain_planned: false,
            wake: None,
            stopped: false,
            spins: 0,
        };
        Process {
            incarnation,
            shards: seeds.into_iter().map(hosted).collect(),
            mesh: BTreeMap::new(),
            journal_files: BTreeMap::new(),
            journal_writes: BTreeMap::new(),
            late_writes: BTreeMap::new(),
            preparations: BTreeMap::new(),
            jobs: BTreeMap::new(),
            reads: BTreeMap::new(),
            files: (0..count).map(|_| Files::default()).collect(),
            journal_file_bytes,
            next_operation: 0,
        }
    }

    pub(crate) fn shard_count(&self) -> u16 {
        self.shards.len() as u16
    }

    pub(crate) fn operation(&mut self) -> u64 {
        self.next_operation += 1;
        self.next_operation
    }

    /// Where the process stood with its files when it died: each job under way gets as far as
    /// chance will have it, and submitted writes land or do not, some of them late.
    pub(crate) fn die(mut self, disk: &mut Disk, random: &mut Prng, delay: u64) -> u64 {
        let mut late = 0;
        for ((shard, _), mut queue) in std::mem::take(&mut self.jobs) {
            // Jobs of a directory run one after the other: only the first can be half done.
            let Some(job) = queue.pop_front() else { continue };
            disk.plan_crash(Some(random.below(16)));
            let files = &mut self.files[usize::from(shard)];
            let _ = files.carry_out(disk, ShardId(shard), self.incarnation, job.work);
        }
        for preparation in self.preparations.into_values() {
            disk.plan_crash(Some(random.below(6)));
            let JournalPreparation { shard, lane, slot, create, header, .. } = preparation;
            let path = super::files::journal_path(self.incarnation, lane, ShardId(shard), slot);
            let bytes = header.as_slice();
            let _ = super::files::prepare_journal_file(
                disk,
                &path,
                create,
                self.journal_file_bytes,
                bytes,
            );
        }
        disk.plan_crash(None);
        for write in self.journal_writes.into_values() {
            let through = write.lane == Lane::Flushed;
            let bytes = write.buffer.as_slice();
            late += u64::from(disk.abandon(write.inode, write.position, bytes, through, delay));
        }
        for write in self.late_writes.into_values() {
            late += u64::from(disk.abandon(write.inode, write.position, &write.bytes, true, delay));
        }
        late
    }
}

//! For tests: a directory of journal files in memory that loses, tears and reorders whatever was
//! not reported as written, in sectors of 512 bytes; and a driver that plays the shell.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Action, Chain, Coverage, Entry, EntryKind, FileHeader, FileNumber, GroupBuffer, GroupSequence,
    Journal, JournalOptions, Lane, Plan, Refusal, Replay, ReplayEnd, ReplayedEntry, Slot, plan,
};
use crate::ids::{Incarnation, LeaderEpoch, Offset, PartitionId, ShardId, TopicId, TopicPartition};
use crate::limits::JOURNAL_BLOCK_BYTES;

pub(super) const SECTOR_BYTES: usize = 512;
pub(super) const BLOCK: u64 = JOURNAL_BLOCK_BYTES as u64;

pub(super) fn partition(index: i32) -> TopicPartition {
    TopicPartition { topic: TopicId([3; 16]), partition: PartitionId(index) }
}

pub(super) fn options(incarnation: u64, lane: Lane) -> JournalOptions {
    JournalOptions {
        shard: ShardId(0),
        lane,
        incarnation: Incarnation(incarnation),
        file_bytes: 8 * BLOCK,
        depth: 3,
        group_bytes_max: 3 * JOURNAL_BLOCK_BYTES,
        files_max: 4,
    }
}

/// The files of both lanes.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) files: BTreeMap<(Lane, Slot), Vec<u8>>,
}

/// A write that was handed to the disk and not reported yet.
pub(super) enum Pending {
    Prepare { slot: Slot, file: FileNumber, create: bool, header: GroupBuffer, bytes: usize },
    Group { slot: Slot, position: u64, group: GroupSequence, buffer: GroupBuffer },
}

impl Pending {
    fn bytes(&self) -> &[u8] {
        match self {
            Pending::Prepare { header, .. } => header.as_slice(),
            Pending::Group { buffer, .. } => buffer.as_slice(),
        }
    }

    pub(super) fn sectors(&self) -> usize {
        self.bytes().len() / SECTOR_BYTES
    }

    /// Brings those sectors to the disk that `reaches` says do.
    pub(super) fn write(
        &self,
        disk: &mut Disk,
        lane: Lane,
        mut reaches: impl FnMut(usize) -> bool,
    ) {
        let (slot, position) = match self {
            Pending::Prepare { slot, create, bytes, .. } => {
                if *create && !disk.files.contains_key(&(lane, *slot)) {
                    disk.files.insert((lane, *slot), vec![0; *bytes]);
                }
                (*slot, 0)
            }
            Pending::Group { slot, position, .. } => (*slot, *position as usize),
        };
        let file = disk.files.get_mut(&(lane, slot)).expect("written files were prepared");
        for (index, sector) in self.bytes().chunks(SECTOR_BYTES).enumerate() {
            if reaches(index) {
                let at = position + index * SECTOR_BYTES;
                file[at..at + SECTOR_BYTES].copy_from_slice(sector);
            }
        }
    }
}

/// A journal and what it has in flight.
pub(super) struct Driver {
    pub(super) journal: Journal,
    pub(super) options: JournalOptions,
    pub(super) pending: Vec<Pending>,
}

impl Driver {
    pub(super) fn new(options: JournalOptions) -> Driver {
        Driver { journal: Journal::new(options), options, pending: Vec::new() }
    }

    pub(super) fn append(
        &mut self,
        at: TopicPartition,
        base: i64,
        next: i64,
        payload: &[u8],
    ) -> Result<GroupSequence, Refusal> {
        self.journal.append(&Entry {
            kind: EntryKind::Batch,
            at,
            base_offset: Offset(base),
            next_offset: Offset(next),
            leader_epoch: LeaderEpoch(self.options.incarnation.0 as i32),
            payload,
            checked: None,
        })
    }

    /// Takes all actions; returns the groups that were issued.
    pub(super) fn poll(&mut self) -> Vec<GroupSequence> {
        let mut issued = Vec::new();
        while let Some(action) = self.journal.poll_action() {
            match action {
                Action::PrepareFile { slot, file, create, header } => {
                    let bytes = self.options.file_bytes as usize;
                    self.pending.push(Pending::Prepare { slot, file, create, header, bytes });
                }
                Action::Write { slot, position, group, buffer, .. } => {
                    assert!(position.is_multiple_of(BLOCK) && position >= BLOCK);
                    issued.push(group);
                    self.pending.push(Pending::Group { slot, position, group, buffer });
                }
            }
        }
        issued
    }

    /// Finishes one pending write.
    pub(super) fn complete(&mut self, index: usize, disk: &mut Disk) {
        let pending = self.pending.remove(index);
        pending.write(disk, self.options.lane, |_| true);
        match pending {
            Pending::Prepare { file, .. } => self.journal.on_file_ready(file),
            Pending::Group { group, buffer, .. } => self.journal.on_written(group, buffer),
        }
    }

    /// Finishes everything until nothing is left to do.
    pub(super) fn settle(&mut self, disk: &mut Disk) {
        loop {
            self.poll();
            if self.pending.is_empty() {
                return;
            }
            while !self.pending.is_empty() {
                self.complete(0, disk);
            }
        }
    }
}

/// What one chain gave.
pub(super) struct Recovered {
    pub(super) chain: Chain,
    pub(super) entries: Vec<ReplayedEntry>,
    pub(super) end: ReplayEnd,
    pub(super) coverage: Vec<(usize, Coverage)>,
}

impl Disk {
    /// The files in a fixed order, as plan and replay know them by index.
    pub(super) fn listing(&self) -> Vec<(Lane, Slot)> {
        self.files.keys().copied().collect()
    }

    pub(super) fn plan(&self) -> Plan {
        plan(self.files.values().map(|file| FileHeader::parse(file)).enumerate())
    }

    pub(super) fn replay(&self, chain: Chain, read_bytes: usize) -> Recovered {
        self.replay_until(chain, read_bytes, None)
    }

    pub(super) fn replay_until(
        &self,
        chain: Chain,
        read_bytes: usize,
        limit: Option<GroupSequence>,
    ) -> Recovered {
        let files: Vec<_> = self.files.values().collect();
        let mut replay = Replay::new(chain, read_bytes).until(limit);
        let mut entries = Vec::new();
        loop {
            entries.extend(std::iter::from_fn(|| replay.poll_entry()));
            let Some(request) = replay.poll_read() else { break };
            let file = files[request.file];
            let start = (request.position as usize).min(file.len());
            let end = (start + request.bytes).min(file.len());
            replay.on_read(&Bytes::copy_from_slice(&file[start..end]));
        }
        let end = replay.end().expect("nothing is left to read");
        let chain = replay.chain().clone();
        Recovered { chain, entries, end, coverage: replay.into_coverage() }
    }

    pub(super) fn recover(&self) -> (Plan, Vec<Recovered>) {
        let plan = self.plan();
        let chains = plan.chains.iter().map(|chain| self.replay(chain.clone(), 2 * BLOCK as usize));
        let recovered = chains.collect();
        (plan, recovered)
    }
}

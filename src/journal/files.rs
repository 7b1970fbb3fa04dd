//! The ring of files of one journal: which slot holds what, what comes next, what is free.

use std::collections::VecDeque;

use super::coverage::Coverage;
use super::entry::{FileNumber, GroupSequence, Slot};
use crate::ids::{Incarnation, Offset, TopicPartition};

/// What has to reach the segments so that the oldest file can be used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointDemand {
    /// Each partition with the offset up to which, at least, its segments must be durable, in the
    /// order of partitions.
    pub partitions: Vec<(TopicPartition, Offset)>,
}

/// A file that must not be overwritten yet.
#[derive(Debug)]
struct InUse {
    slot: Slot,
    incarnation: Incarnation,
    number: FileNumber,
    coverage: Coverage,
    /// The last group that was issued to it. Segments can be durable before the journal is, and a
    /// write that is still in flight must not land in a file that was given away.
    group_last: GroupSequence,
    demanded: bool,
}

impl InUse {
    fn new(slot: Slot, id: (Incarnation, FileNumber), coverage: Coverage) -> InUse {
        let (incarnation, number) = id;
        let group_last = GroupSequence(0);
        InUse { slot, incarnation, number, coverage, group_last, demanded: false }
    }
}

/// The file after the current one.
#[derive(Clone, Copy, Debug)]
enum Next {
    None,
    Preparing(FileNumber, Slot),
    /// There was no space for it; asked for again once the caller says so.
    Failed,
    Ready(FileNumber, Slot),
}

/// The files of one journal. Files are released strictly in their order: replay then finds an
/// unbroken run of file numbers, and a missing one is always a fault.
#[derive(Debug)]
pub(super) struct Files {
    incarnation: Incarnation,
    files_max: usize,
    /// Oldest first; files of earlier incarnations before the own ones. The last own one is the
    /// file being written.
    in_use: VecDeque<InUse>,
    next: Next,
    /// Prepared before and released since: overwriting them needs no new blocks.
    free: VecDeque<Slot>,
    /// Slots whose file could not be made.
    unmade: Vec<Slot>,
    /// The lowest slot that has no file yet.
    slot_new: u32,
    number_last: FileNumber,
    durable: GroupSequence,
    /// Files of earlier incarnations were taken over: what is not among them is not needed.
    adopted: bool,
}

impl Files {
    pub(super) fn new(incarnation: Incarnation, files_max: usize) -> Files {
        Files {
            incarnation,
            files_max,
            in_use: VecDeque::new(),
            next: Next::None,
            free: VecDeque::new(),
            unmade: Vec::new(),
            slot_new: 0,
            number_last: FileNumber(0),
            durable: GroupSequence(0),
            adopted: false,
        }
    }

    /// Takes over a file that an earlier incarnation left. Also one without entries waits for its
    /// turn: if a crash left two of them behind the end of a chain and the first was recycled
    /// alone, the next replay would miss a file between two others.
    pub(super) fn adopt(
        &mut self,
        slot: Slot,
        kept: Option<((Incarnation, FileNumber), Coverage)>,
    ) {
        assert!(
            self.number_last == FileNumber(0),
            "files are adopted before the first is prepared"
        );
        let known = self.in_use.iter().any(|file| file.slot == slot) || self.free.contains(&slot);
        assert!(!known, "a slot is adopted once");
        self.slot_new = self.slot_new.max(slot.0 + 1);
        self.adopted = true;
        match kept {
            Some((id, coverage)) => {
                assert!(id.0 < self.incarnation, "an adopted file is of an earlier incarnation");
                let last = self.in_use.back().map(|file| (file.incarnation, file.number));
                assert!(last < Some(id), "files are adopted in their order");
                self.in_use.push_back(InUse::new(slot, id, coverage));
                self.reclaim();
            }
            None => self.free.push_back(slot),
        }
    }

    /// The file to prepare now, and whether it has to be created first.
    pub(super) fn prepare(&mut self) -> Option<(FileNumber, Slot, bool)> {
        if !matches!(self.next, Next::None) {
            return None;
        }
        let (slot, is_new) = match self.free.pop_front() {
            Some(slot) => (slot, false),
            None if self.in_use.len() < self.files_max => {
                let slot = self.unmade.pop().unwrap_or_else(|| {
                    self.slot_new += 1;
                    Slot(self.slot_new - 1)
                });
                (slot, true)
            }
            None => return None,
        };
        self.number_last = FileNumber(self.number_last.0 + 1);
        self.next = Next::Preparing(self.number_last, slot);
        Some((self.number_last, slot, is_new))
    }

    /// The oldest file in use, or the one being prepared. As long as nothing was adopted this
    /// knows of its own files only, and says so by incarnation 0.
    pub(super) fn oldest(&self) -> (Incarnation, FileNumber) {
        let (incarnation, number) = match self.in_use.front() {
            Some(file) => (file.incarnation, file.number),
            None => (self.incarnation, self.number_last),
        };
        (if self.adopted { incarnation } else { Incarnation(0) }, number)
    }

    pub(super) fn on_ready(&mut self, number: FileNumber) {
        match self.next {
            Next::Preparing(expected, slot) if expected == number => {
                self.next = Next::Ready(number, slot);
            }
            _ => panic!("file {} was not being prepared", number.0),
        }
    }

    /// The file being prepared could not be made. Its number is not used up: replay takes a number
    /// that is missing for a file that was lost.
    pub(super) fn on_failed(&mut self, number: FileNumber) {
        match self.next {
            Next::Preparing(expected, slot) if expected == number => {
                self.number_last = FileNumber(number.0 - 1);
                self.unmade.push(slot);
                self.next = Next::Failed;
            }
            _ => panic!("file {} was not being prepared", number.0),
        }
    }

    /// A file that could not be made may be tried again.
    pub(super) fn retry(&mut self) {
        if matches!(self.next, Next::Failed) {
            self.next = Next::None;
        }
    }

    /// Makes the next file the current one, if it is ready.
    pub(super) fn roll(&mut self) -> Option<(FileNumber, Slot)> {
        let Next::Ready(number, slot) = self.next else { return None };
        self.next = Next::None;
        self.in_use.push_back(InUse::new(slot, (self.incarnation, number), Coverage::default()));
        // The file that was current may have been released already.
        self.reclaim();
        Some((number, slot))
    }

    /// Notes a group, and where its entries end, that goes to the current file.
    pub(super) fn note(&mut self, group: GroupSequence, entries: &[(TopicPartition, Offset)]) {
        let Some(file) = self.in_use.back_mut() else { panic!("a group goes to a file") };
        file.group_last = group;
        for (at, next_offset) in entries {
            file.coverage.note(*at, *next_offset);
        }
    }

    pub(super) fn on_durable(&mut self, group: GroupSequence) {
        self.durable = group;
        self.reclaim();
    }

    pub(super) fn release(
        &mut self,
        group: GroupSequence,
        mut flushed: impl FnMut(TopicPartition) -> Option<Offset>,
    ) {
        // Only the oldest files can become free, so only they are looked at; a file behind one that
        // still waits is looked at when its turn comes.
        while let Some(file) = self.in_use.front_mut() {
            if group < file.group_last {
                break;
            }
            file.coverage.release(&mut flushed);
            if !self.reclaim_oldest() {
                break;
            }
        }
    }

    pub(super) fn forget(&mut self, at: TopicPartition) {
        for file in &mut self.in_use {
            file.coverage.forget(at);
        }
        self.reclaim();
    }

    /// 1 if the newest file is the one being written, 0 if nothing was written yet.
    fn current_count(&self) -> usize {
        usize::from(self.in_use.back().is_some_and(|file| file.incarnation == self.incarnation))
    }

    fn reclaim(&mut self) {
        while self.reclaim_oldest() {}
    }

    /// Frees the oldest file if nothing in it is needed and nothing is being written to it.
    fn reclaim_oldest(&mut self) -> bool {
        let is_current = self.in_use.len() == self.current_count();
        match self.in_use.front() {
            Some(file)
                if file.coverage.is_empty() && file.group_last <= self.durable && !is_current =>
            {
                self.free.push_back(file.slot);
                self.in_use.pop_front();
                true
            }
            _ => false,
        }
    }

    /// Asks for the oldest file's partitions once the ring is three quarters full. Each file is
    /// asked for once, and not before all of it is durable: a checkpoint made earlier could not
    /// cover it, and nothing would ask for another.
    pub(super) fn demand(&mut self) -> Option<CheckpointDemand> {
        let spare = (self.files_max / 4).max(1);
        let surplus = (self.in_use.len() + 1).saturating_sub(self.files_max - spare);
        // The current file has no end yet; it is never asked for.
        let closed = self.in_use.len() - self.current_count();
        let durable = self.durable;
        let file = self.in_use.iter_mut().take(surplus.min(closed)).find(|file| !file.demanded)?;
        if durable < file.group_last {
            return None;
        }
        file.demanded = true;
        Some(CheckpointDemand { partitions: file.coverage.sorted() })
    }
}

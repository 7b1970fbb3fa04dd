//! A sparse index in memory: entries in ascending order of key, of which the oldest may exist on
//! disk only. The part that is not yet written to disk is always in memory.

/// One entry of a sparse index: a key to search by and a fixed form on disk.
pub trait Entry: Copy {
    /// What entries are ordered and searched by.
    type Key: Ord + Copy;
    /// Bytes of one entry on disk.
    const BYTES: usize;

    /// The key of this entry.
    fn key(&self) -> Self::Key;
    /// By what the last entry on disk is recognized when it is loaded again: what a checkpoint knows
    /// of it.
    fn seam(&self) -> (i64, u32);
    /// Appends the form on disk.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads one entry from exactly [`Entry::BYTES`] bytes; `None` if there are not that many.
    fn decode(data: &[u8]) -> Option<Self>;
}

/// The whole entries in `data`, in order; a torn last entry is left out.
#[must_use]
pub fn decode_entries<E: Entry>(data: &[u8]) -> Vec<E> {
    data.chunks_exact(E::BYTES).filter_map(E::decode).collect()
}

/// The bytes of `entries` on disk.
#[must_use]
pub fn encode_entries<E: Entry>(entries: &[E]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * E::BYTES);
    for entry in entries {
        entry.encode(&mut out);
    }
    out
}

/// The entry with the largest key not above `key`, in entries that ascend.
#[must_use]
pub fn lower_bound<E: Entry>(entries: &[E], key: E::Key) -> Option<E> {
    let count = entries.partition_point(|entry| entry.key() <= key);
    entries.get(count.checked_sub(1)?).copied()
}

/// Where a key lies in a sparse index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Find<E> {
    /// Before the first entry there is.
    Before,
    /// This entry has the largest key not above the one asked for.
    At(E),
    /// The answer is in the part that is on disk only.
    Unloaded,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Sparse<E> {
    /// Entries before this number are on disk only. 0 when all are in memory.
    first: u32,
    /// [`Entry::seam`] of the entry before `first`. Without meaning when all are in memory.
    seam: (i64, u32),
    /// Another one, with its count of entries, from when the index was last on disk without having
    /// been looked at: what a crash left there is in doubt until it is loaded, however much is
    /// written behind it.
    doubted: Option<(u32, (i64, u32))>,
    /// The entries from `first` on.
    entries: Vec<E>,
}

impl<E: Entry> Sparse<E> {
    /// An index whose first `on_disk` entries are on disk and not in memory.
    pub(super) fn on_disk(on_disk: u32, seam: (i64, u32)) -> Sparse<E> {
        let doubted = (on_disk > 0).then_some((on_disk, seam));
        Sparse { first: on_disk, seam, doubted, entries: Vec::new() }
    }

    /// Number of entries on disk and in memory together.
    pub(super) fn count(&self) -> u32 {
        self.first + self.entries.len() as u32
    }

    /// Number of entries that are on disk only.
    pub(super) fn unloaded(&self) -> u32 {
        self.first
    }

    /// Whether what is read from disk ends as it was written.
    pub(super) fn fits(&self, stored: &[E]) -> bool {
        let ends_with = |count: u32, seam| {
            let last = (count as usize).checked_sub(1).and_then(|at| stored.get(at));
            last.is_some_and(|last| last.seam() == seam)
        };
        let in_place = self.first == 0 || ends_with(self.first, self.seam);
        in_place && self.doubted.is_none_or(|(count, seam)| ends_with(count, seam))
    }

    /// Bytes the entries in memory take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.len() * size_of::<E>()
    }

    /// The first entry in memory.
    pub(super) fn first_in_memory(&self) -> Option<E> {
        self.entries.first().copied()
    }

    pub(super) fn push(&mut self, entry: E) {
        debug_assert!(self.entries.last().is_none_or(|last| last.key() < entry.key()));
        self.entries.push(entry);
    }

    /// The entry with the largest key not above `key`.
    pub(super) fn find(&self, key: E::Key) -> Find<E> {
        match lower_bound(&self.entries, key) {
            Some(entry) => Find::At(entry),
            None if self.first == 0 => Find::Before,
            None => Find::Unloaded,
        }
    }

    /// The first entry in memory for which `past` holds; `past` must turn true once and stay true.
    /// `None` also when it might be one that is on disk only.
    pub(super) fn first_past(&self, past: impl Fn(&E) -> bool) -> Option<E> {
        let at = self.entries.partition_point(|entry| !past(entry));
        if at == 0 && self.first > 0 { None } else { self.entries.get(at).copied() }
    }

    /// The last entry in memory for which `before` holds; `before` must turn false once and stay
    /// false.
    pub(super) fn last_before(&self, before: impl Fn(&E) -> bool) -> Option<E> {
        let at = self.entries.partition_point(before);
        self.entries.get(at.checked_sub(1)?).copied()
    }

    /// The entries numbered `from..to`, which must be in memory.
    pub(super) fn range(&self, from: u32, to: u32) -> &[E] {
        assert!(self.first <= from && from <= to && to <= self.count(), "unwritten entries stay");
        let from = (from - self.first) as usize;
        let to = (to - self.first) as usize;
        self.entries.get(from..to).unwrap_or_default()
    }

    /// Puts the entries that were on disk only back into memory.
    pub(super) fn load(&mut self, mut stored: Vec<E>) {
        assert_eq!(stored.len(), self.first as usize, "exactly the missing entries");
        stored.append(&mut self.entries);
        self.entries = stored;
        self.first = 0;
        self.doubted = None;
    }

    /// Forgets entries numbered below `written`; they are on disk.
    pub(super) fn unload(&mut self, written: u32) {
        assert!(written <= self.count());
        if written > self.first {
            let gone = self.entries.drain(..(written - self.first) as usize);
            self.seam = gone.last().map_or(self.seam, |last| last.seam());
            self.entries.shrink_to_fit();
            self.first = written;
        }
    }

    /// Keeps the first `count` entries, of which the last has this seam.
    pub(super) fn truncate(&mut self, count: u32, seam: (i64, u32)) {
        if count < self.first {
            self.first = count;
            self.seam = seam;
            self.doubted = (count > 0).then_some((count, seam));
        }
        self.entries.truncate((count - self.first) as usize);
    }

    /// Replaces the entries numbered below `written` by `rebuilt`.
    pub(super) fn rebuild(&mut self, written: u32, rebuilt: Vec<E>) {
        self.unload(written);
        self.first = rebuilt.len() as u32;
        self.load(rebuilt);
    }
}

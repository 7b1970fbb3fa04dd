//! A sparse index in memory: entries in ascending order of key, of which the oldest may exist on
//! disk only. The part that is not yet written to disk is always in memory.

/// One entry of a sparse index: a key to search by and a fixed form on disk.
pub trait Entry: Copy {
    /// What entries are ordered and searched by.
    type Key: Ord + Copy;
    /// The form on disk.
    type Bytes: AsRef<[u8]>;
    /// Bytes of one entry on disk.
    const BYTES: usize;

    /// The key of this entry.
    fn key(&self) -> Self::Key;
    /// The form on disk.
    fn to_bytes(self) -> Self::Bytes;
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
        out.extend_from_slice(entry.to_bytes().as_ref());
    }
    out
}

/// The CRC32C of entries on disk, one entry further.
pub(super) fn entry_crc<E: Entry>(crc: u32, entry: &E) -> u32 {
    crc32c::crc32c_append(crc, entry.to_bytes().as_ref())
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
    /// CRC32C of the entries before `first` as they are on disk: Kafka's files have none, and what
    /// comes from there is not believed without. 0 when all are in memory.
    crc: u32,
    /// The entries from `first` on.
    entries: Vec<E>,
}

impl<E: Entry> Sparse<E> {
    /// An index whose first `on_disk` entries are on disk and not in memory.
    pub(super) fn on_disk(on_disk: u32, crc: u32) -> Sparse<E> {
        Sparse { first: on_disk, crc, entries: Vec::new() }
    }

    /// Number of entries on disk and in memory together.
    pub(super) fn count(&self) -> u32 {
        self.first + self.entries.len() as u32
    }

    /// Number of entries that are on disk only.
    pub(super) fn unloaded(&self) -> u32 {
        self.first
    }

    /// Whether these bytes, read from disk, are the entries that are on disk only.
    pub(super) fn fits(&self, stored: &[u8]) -> bool {
        crc32c::crc32c(stored) == self.crc
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
        self.crc = 0;
    }

    /// Forgets entries numbered below `written`; they are on disk.
    pub(super) fn unload(&mut self, written: u32) {
        assert!(written <= self.count());
        if written > self.first {
            let gone = self.entries.drain(..(written - self.first) as usize);
            self.crc = gone.fold(self.crc, |crc, entry| entry_crc(crc, &entry));
            self.entries.shrink_to_fit();
            self.first = written;
        }
    }

    /// Keeps the first `count` entries, which have this CRC.
    pub(super) fn truncate(&mut self, count: u32, crc: u32) {
        if count < self.first {
            self.first = count;
            self.crc = crc;
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

//! A disk in memory that executes what the log asks for, and forgets on a crash what was not
//! flushed.

use std::collections::BTreeMap;

use super::*;
use crate::batch::{Records, check};
use crate::stdx::prng::Prng;

#[derive(Clone, Debug, Default)]
struct File {
    data: Vec<u8>,
    /// What survives a crash for certain.
    durable: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Flush {
    segment: Offset,
    /// What it will make durable.
    content: [(FileKind, Vec<u8>); 3],
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    files: BTreeMap<(Offset, FileKind), File>,
    /// Flushes under way.
    flushes: Vec<Flush>,
}

impl Disk {
    pub(super) fn data(&self, segment: Offset, kind: FileKind) -> &[u8] {
        self.files.get(&(segment, kind)).map_or(&[], |file| &file.data)
    }

    pub(super) fn segments(&self) -> Vec<Offset> {
        let logs = self.files.keys().filter(|(_, kind)| *kind == FileKind::Log);
        logs.map(|(segment, _)| *segment).collect()
    }

    pub(super) fn write(&mut self, write: &SegmentWrite) {
        for kind in FileKind::ALL {
            let exists = self.files.contains_key(&(write.segment, kind));
            assert_eq!(exists, !write.create, "{} {kind:?}", write.segment);
            let file = self.files.entry((write.segment, kind)).or_default();
            let position = match kind {
                FileKind::Log => write.position,
                FileKind::Index => write.index_position,
                FileKind::TimeIndex => write.time_index_position,
            };
            assert_eq!(file.data.len(), position as usize, "writes are contiguous");
            match kind {
                FileKind::Log => write.pieces.iter().for_each(|piece| file.data.extend(piece)),
                FileKind::Index => file.data.extend(&write.index_entries),
                FileKind::TimeIndex => file.data.extend(&write.time_index_entries),
            }
        }
    }

    pub(super) fn begin_flush(&mut self, segment: Offset) {
        let content = FileKind::ALL.map(|kind| (kind, self.data(segment, kind).to_vec()));
        self.flushes.push(Flush { segment, content });
    }

    pub(super) fn is_flushing(&self) -> bool {
        !self.flushes.is_empty()
    }

    /// Ends one of the flushes under way; returns its segment.
    pub(super) fn end_flush(&mut self, random: &mut Prng) -> Option<Offset> {
        if self.flushes.is_empty() {
            return None;
        }
        let at = random.below(self.flushes.len() as u64) as usize;
        Some(self.end_flush_at(at))
    }

    /// Ends the newest flush under way.
    pub(super) fn end_last_flush(&mut self) -> Offset {
        self.end_flush_at(self.flushes.len() - 1)
    }

    fn end_flush_at(&mut self, at: usize) -> Offset {
        let Flush { segment, content } = self.flushes.swap_remove(at);
        for (kind, content) in content {
            let file = self.files.get_mut(&(segment, kind)).expect("a file being flushed stays");
            file.durable = Some(content);
        }
        segment
    }

    pub(super) fn delete(&mut self, segment: Offset) {
        for kind in FileKind::ALL {
            self.files.remove(&(segment, kind));
        }
    }

    pub(super) fn truncate(&mut self, truncation: &Truncation) {
        let file = self.files.get_mut(&(truncation.segment, truncation.kind));
        let file = file.expect("a file to truncate exists");
        assert!(truncation.bytes as usize <= file.data.len());
        file.data.truncate(truncation.bytes as usize);
        if let Some(durable) = &mut file.durable {
            durable.truncate(truncation.bytes as usize);
        }
    }

    pub(super) fn rewrite(&mut self, rewrite: &IndexRewrite) {
        let contents =
            [(FileKind::Index, &rewrite.index), (FileKind::TimeIndex, &rewrite.time_index)];
        for (kind, content) in contents {
            self.files.entry((rewrite.segment, kind)).or_default().data = content.clone();
        }
        self.begin_flush(rewrite.segment);
    }

    /// Power is lost: of what was not flushed, any part may be there, or garbage in its place.
    /// With `damage`, index files may rot or lose their end as well.
    pub(super) fn crash(&mut self, random: &mut Prng, damage: bool) {
        self.flushes.clear();
        self.files.retain(|(_, kind), file| {
            let Some(durable) = file.durable.clone() else {
                let stays = random.chance(1, 2);
                file.data.truncate(random.below(file.data.len() as u64 + 1) as usize);
                file.durable = Some(file.data.clone());
                return stays;
            };
            let extra = file.data.len().saturating_sub(durable.len()) as u64;
            let mut data = durable;
            let mut rest = vec![0; random.below(extra + 1) as usize];
            if random.chance(1, 2) {
                random.fill(&mut rest);
            }
            data.extend(rest);
            if damage && *kind != FileKind::Log && random.chance(1, 4) {
                let kept = random.below(data.len() as u64 + 1) as usize;
                match random.below(4) {
                    0 => data.truncate(kept),
                    1 => data[kept..].fill(0),
                    2 => {
                        if let Some(byte) = data.get_mut(kept) {
                            *byte ^= 1 << random.below(8);
                        }
                    }
                    _ => return false,
                }
            }
            *file = File { durable: Some(data.clone()), data };
            true
        });
    }

    pub(super) fn found(&self) -> Vec<Found> {
        let files = self.files.iter();
        files
            .map(|((segment, kind), file)| Found {
                segment: *segment,
                kind: *kind,
                bytes: file.data.len() as u64,
            })
            .collect()
    }

    pub(super) fn recover(&mut self, plan: &RecoveryPlan) {
        for truncation in &plan.truncate {
            self.truncate(truncation);
        }
        for file in &plan.delete {
            self.files.remove(file).expect("a file to delete exists");
        }
    }

    /// What Kafka's dump tool checks, and more: every index entry is that of a batch, and a closed
    /// segment's time index ends with its largest timestamp.
    pub(super) fn dump(&self, segment: Offset, sealed: bool) {
        let log = self.data(segment, FileKind::Log);
        let mut batches = Vec::new();
        let mut position = 0;
        while position < log.len() {
            let header = check(&log[position..][..header(&log[position..]).size()]);
            let header = header.expect("a good batch");
            let records = Records::open(&log[position..][..header.size()], 1 << 20);
            let records = records.expect("good records");
            let timestamps = records.iter().map(|record| record.expect("a good record").timestamp);
            assert_eq!(timestamps.max(), Some(header.max_timestamp));
            batches.push((header.last_offset(), position, header.max_timestamp));
            position += header.size();
        }
        let index = self.data(segment, FileKind::Index);
        assert_eq!(index.len() % 8, 0, "sanity check");
        let entries = decode_entries::<IndexEntry>(index);
        assert!(entries.is_sorted_by(|a, b| a.relative_offset < b.relative_offset));
        for entry in entries {
            let offset = segment.plus(entry.relative_offset.into());
            let position = entry.position as usize;
            assert!(
                batches.iter().any(|batch| (batch.0, batch.1) == (offset, position)),
                "index entry {offset} at {position} of segment {segment} is that of no batch"
            );
        }
        let time_index = self.data(segment, FileKind::TimeIndex);
        assert_eq!(time_index.len() % 12, 0, "sanity check");
        let entries = decode_entries::<TimeIndexEntry>(time_index);
        assert!(entries.is_sorted_by(|a, b| a.timestamp < b.timestamp));
        assert!(entries.is_sorted_by(|a, b| a.relative_offset < b.relative_offset));
        for entry in &entries {
            let offset = segment.plus(entry.relative_offset.into());
            let place =
                batches.iter().position(|batch| (batch.0, batch.2) == (offset, entry.timestamp));
            let place = place.unwrap_or_else(|| {
                panic!("time index entry {entry:?} of segment {segment} is that of no batch")
            });
            assert!(batches[..place].iter().all(|batch| batch.2 < entry.timestamp));
        }
        if sealed {
            let max = batches.iter().map(|batch| batch.2).max().filter(|max| max.0 >= 0);
            assert_eq!(entries.last().map(|entry| entry.timestamp), max);
        }
    }
}

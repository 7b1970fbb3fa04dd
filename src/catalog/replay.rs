//! Loading: snapshot plus log tail is the image.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::apply::{ApplyError, Catalog};
use super::frame::{CatalogLogReader, LogEnd, LogError};
use super::image::Image;
use super::layers::StaticConfigs;
use super::record::Record;
use super::snapshot::{SnapshotError, decode_snapshot};
use crate::ids::TopicId;

/// Why the catalog cannot be loaded. None of these is repaired by cutting something off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The snapshot is unusable.
    Snapshot(SnapshotError),
    /// The log is unusable.
    Log(LogError),
    /// A record does not fit.
    Apply(ApplyError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Snapshot(error) => error.fmt(f),
            LoadError::Log(error) => error.fmt(f),
            LoadError::Apply(error) => error.fmt(f),
        }
    }
}

/// A catalog as it was found on disk.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The machine, ready to plan.
    pub catalog: Catalog,
    /// Where the log ends. The next append goes to `end.valid_bytes`, over whatever is there.
    pub end: LogEnd,
    /// Topics whose deletion is in the log. Without a snapshot these are all there ever were.
    pub deleted: BTreeSet<TopicId>,
}

impl Catalog {
    /// The catalog of a snapshot (`None`: of an empty directory) and the log written since. Records
    /// that the snapshot contains already are skipped.
    ///
    /// # Errors
    /// If either is of a newer format, damaged other than by a torn append, or they do not belong
    /// together.
    pub fn load(
        snapshot: Option<&[u8]>,
        log: &[u8],
        statics: Arc<StaticConfigs>,
    ) -> Result<Loaded, LoadError> {
        let image = match snapshot {
            Some(bytes) => decode_snapshot(bytes).map_err(LoadError::Snapshot)?,
            None => Image::default(),
        };
        let deletions = CatalogLogReader::new(log, image.version).map_while(Result::ok);
        let deleted = deletions
            .filter_map(|entry| match entry.record {
                Record::TopicDeleted { id } => Some(id),
                _ => None,
            })
            .collect();
        let mut catalog = Catalog::with_image(image, statics);
        let end = catalog.replay(log)?;
        Ok(Loaded { catalog, end, deleted })
    }

    /// Applies what a log file adds to this image; for a log of several files, in their order.
    ///
    /// # Errors
    /// As [`Catalog::load`].
    pub fn replay(&mut self, log: &[u8]) -> Result<LogEnd, LoadError> {
        let mut reader = CatalogLogReader::new(log, self.image.version);
        for entry in reader.by_ref() {
            let entry = entry.map_err(LoadError::Log)?;
            let expected = self.next_sequence();
            if entry.sequence < expected {
                continue;
            }
            if entry.sequence > expected {
                let found = entry.sequence;
                return Err(LoadError::Log(LogError::Gap { expected, found }));
            }
            self.apply(&entry.record).map_err(LoadError::Apply)?;
        }
        let Some(mut end) = reader.end() else {
            unreachable!("a reader that is through has an end")
        };
        // A log that ends before the snapshot does: its last records were torn after the snapshot
        // had made them safe. What is appended next would not continue it, so it starts over; all
        // that is in it is in the snapshot.
        if end.last_sequence.is_some_and(|last| last < self.image.version) {
            end.valid_bytes = 0;
        }
        Ok(end)
    }
}

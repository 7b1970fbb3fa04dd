//! Files shown to a human (`ringmain dump-log`): segments and their indexes in the words of Kafka's
//! `kafka-dump-log.sh`, journal files, the catalog and checkpoints.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::data_directory::parse_checkpoint_name;
use super::inspect_state::{dump_catalog_log, dump_catalog_snapshot, dump_checkpoint};
use crate::batch::{Batches, TimestampType, check};
use crate::ids::Offset;
use crate::journal;
use crate::log::{FileKind, IndexEntry, TimeIndexEntry, decode_entries, parse_file_name};

/// Writes what a file holds, one line per batch, entry or group. The name says what the file is.
///
/// # Errors
/// The file cannot be read, its name is none of ours, or `out` takes no more.
pub fn dump(path: &Path, out: &mut impl Write) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let bytes = fs::read(path)?;
    writeln!(out, "Dumping {}", path.display())?;
    match parse_file_name(name) {
        Some((base, FileKind::Log)) => dump_segment(base, &bytes, out),
        Some((base, FileKind::Index)) => {
            for entry in decode_entries::<IndexEntry>(&bytes) {
                let offset = base.0 + i64::from(entry.relative_offset);
                writeln!(out, "offset: {offset} position: {}", entry.position)?;
            }
            Ok(())
        }
        Some((base, FileKind::TimeIndex)) => {
            for entry in decode_entries::<TimeIndexEntry>(&bytes) {
                let offset = base.0 + i64::from(entry.relative_offset);
                writeln!(out, "timestamp: {} offset: {offset}", entry.timestamp)?;
            }
            Ok(())
        }
        None if name.ends_with(".journal") => {
            let mut result = Ok(());
            journal::dump(&bytes, |line| {
                if result.is_ok() {
                    result = writeln!(out, "{line}");
                }
            });
            result
        }
        None if name == "log" => dump_catalog_log(&bytes, out),
        None if name == "snapshot" => dump_catalog_snapshot(&bytes, out),
        None if parse_checkpoint_name(name).is_some() => dump_checkpoint(&bytes, out),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "none of: a segment (.log, .index, .timeindex), a journal file (.journal), the catalog \
             (log, snapshot), a checkpoint (<start>-<shard>)",
        )),
    }
}

fn dump_segment(base: Offset, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "Log starting offset: {base}")?;
    let mut batches = Batches::new(bytes);
    for located in batches.by_ref() {
        let header = &located.header;
        let (first, last) = match header.producer() {
            Some(stamp) => (stamp.first_sequence.0, stamp.last_sequence.0),
            None => (-1, -1),
        };
        let time = match header.timestamp_type() {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        };
        let codec = match header.compression() {
            Ok(codec) => codec.to_string(),
            Err(error) => error.to_string(),
        };
        let horizon = if header.has_delete_horizon() {
            format!("OptionalLong[{}]", header.base_timestamp)
        } else {
            "OptionalLong.empty".to_owned()
        };
        writeln!(
            out,
            "baseOffset: {} lastOffset: {} count: {} baseSequence: {first} lastSequence: {last} \
             producerId: {} producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} \
             isControl: {} deleteHorizonMs: {horizon} position: {} {time}: {} size: {} magic: {} \
             compresscodec: {codec} crc: {} isvalid: {}",
            header.base_offset,
            header.last_offset(),
            header.record_count,
            header.producer_id,
            header.producer_epoch,
            header.leader_epoch,
            header.is_transactional(),
            header.is_control(),
            located.position,
            header.max_timestamp,
            header.size(),
            header.magic,
            header.crc,
            check(located.bytes).is_ok(),
        )?;
    }
    if let Some(error) = batches.stopped_by() {
        writeln!(
            out,
            "Found {} invalid bytes at the end of the file: {error}",
            bytes.len() - batches.position()
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Partition, Record, encode_snapshot, frame};
    use crate::ids::{LeaderEpoch, NodeId, TopicId};
    use crate::log::LogCheckpoint;
    use crate::shard::owner::{PartitionCheckpoint, ShardCheckpoint};
    use crate::shell::scratch::Scratch;

    fn dumped(name: &str, content: &[u8]) -> io::Result<String> {
        let scratch = Scratch::new();
        let path = scratch.path().join(name);
        fs::write(&path, content).unwrap();
        let mut out = Vec::new();
        dump(&path, &mut out)?;
        let text = String::from_utf8(out).unwrap();
        Ok(text.split_once('\n').unwrap().1.to_owned())
    }

    #[test]
    fn indexes_are_shown_with_absolute_offsets() {
        let index = [0, 0, 0, 5, 0, 0, 1, 0, 9];
        let text = dumped("00000000000000000100.index", &index).unwrap();
        assert_eq!(text, "offset: 105 position: 256\n");
        let times = [0, 0, 0, 0, 0, 0, 3, 232, 0, 0, 0, 7];
        let text = dumped("00000000000000000100.timeindex", &times).unwrap();
        assert_eq!(text, "timestamp: 1000 offset: 107\n");
    }

    #[test]
    fn the_catalog_is_shown_record_by_record() {
        let id = TopicId([3; 16]);
        let node_id = NodeId(1);
        let partitions = vec![Partition {
            leader_epoch: LeaderEpoch(2),
            leader: Some(node_id),
            replicas: vec![node_id],
            isr: vec![node_id],
            partition_epoch: 0,
        }];
        let configs = [("retention.ms".to_owned(), "7".to_owned())].into();
        let records = [
            Record::ClusterCreated { cluster_id: "A".repeat(22), node_id },
            Record::TopicCreated { name: "fruit".to_owned(), id, partitions, configs },
        ];
        let mut log = frame::encode(&records[0], 1);
        let second = log.len();
        log.extend(frame::encode(&records[1], 2));
        let text = dumped("log", &log).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let start = format!("sequence: 2 position: {second} endsGroup: true isvalid: true ");
        assert!(lines[1].starts_with(&start) && lines[1].contains("fruit"), "{text}");
        assert_eq!(lines[2], format!("end at position {}: end of the file", log.len()));
        let torn = dumped("log", &log[..log.len() - 1]).unwrap();
        assert!(torn.ends_with("the end of the file: a record that is cut off\n"), "{torn}");
        log[second - 1] ^= 1;
        let rotten = dumped("log", &log).unwrap();
        assert!(rotten.starts_with("Damaged: the catalog log is damaged at byte 0"), "{rotten}");

        let mut catalog = Catalog::load(None, &[], Default::default()).unwrap().catalog;
        records.iter().for_each(|record| catalog.apply(record).unwrap());
        let mut snapshot = encode_snapshot(catalog.image());
        let text = dumped("snapshot", &snapshot).unwrap();
        assert!(text.starts_with("version: 2 clusterId: AAAA"), "{text}");
        assert!(text.contains(&format!("topic: fruit id: {id} partitions: 1\n")), "{text}");
        assert!(text.contains("| config: retention.ms=7\n"), "{text}");
        assert!(text.contains("| partition: 0 leader: 1 leaderEpoch: 2 "), "{text}");
        *snapshot.last_mut().unwrap() ^= 1;
        let text = dumped("snapshot", &snapshot).unwrap();
        assert_eq!(text, "Damaged: the catalog snapshot has a wrong checksum\n");
    }

    #[test]
    fn checkpoints_are_shown_partition_by_partition() {
        let partition = PartitionCheckpoint {
            topic: [3; 16],
            partition: 4,
            log: LogCheckpoint { next_offset: 9, ..Default::default() },
            producers: Default::default(),
        };
        let checkpoint = ShardCheckpoint {
            incarnation: 5,
            shard: 1,
            catalog_version: 6,
            partitions: vec![partition],
        };
        let mut file = checkpoint.encode().unwrap();
        let text = dumped("00000000000000000005-1", &file).unwrap();
        let expected = format!(
            "incarnation: 5 shard: 1 catalogVersion: 6 partitions: 1 isvalid: true\n\
             topic: {} partition: 4 startOffset: 0 nextOffset: 9 segments: 0 producers: 0 \
             leaderEpochs: []\n",
            TopicId([3; 16])
        );
        assert_eq!(text, expected);
        *file.last_mut().unwrap() ^= 1;
        let text = dumped("00000000000000000005-1.copy", &file).unwrap();
        assert_eq!(text, "Damaged: checkpoint checksum mismatch\n");
    }

    #[test]
    fn damage_is_shown_and_foreign_files_are_refused() {
        let text = dumped("00000000000000000007.log", b"not a batch").unwrap();
        assert!(text.starts_with("Log starting offset: 7\nFound 11 invalid bytes"), "{text}");
        let text = dumped("flushed-0-0.journal", b"short").unwrap();
        assert!(!text.is_empty());
        assert!(dumped("notes.txt", b"").is_err());
    }
}

//! The broker's own small files shown to a human (`ringmain dump-log`): catalog log, catalog snapshot
//! and checkpoints.

use std::io::{self, Write};

use crate::catalog::{CatalogLogReader, decode_snapshot};
use crate::shard::owner::ShardCheckpoint;

/// One line for each record of a catalog log, and one for how it ends.
pub(super) fn dump_catalog_log(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    // A log whose beginning went into a snapshot starts at any sequence.
    let mut reader = CatalogLogReader::new(bytes, 0);
    for entry in reader.by_ref() {
        match entry {
            Ok(entry) => writeln!(
                out,
                "sequence: {} position: {} endsGroup: {} isvalid: true {}",
                entry.sequence, entry.position, entry.ends_group, entry.record
            )?,
            Err(error) => return writeln!(out, "Damaged: {error}"),
        }
    }
    let Some(end) = reader.end() else { return Ok(()) };
    writeln!(out, "end at position {}: {}", end.valid_bytes, end.reason)?;
    if end.valid_bytes < bytes.len() {
        let rest = bytes.len() - end.valid_bytes;
        writeln!(out, "Found {rest} invalid bytes at the end of the file: {}", end.reason)?;
    }
    Ok(())
}

/// One line for the whole, and one for each broker, config, topic and partition.
pub(super) fn dump_catalog_snapshot(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    let image = match decode_snapshot(bytes) {
        Ok(image) => image,
        Err(error) => return writeln!(out, "Damaged: {error}"),
    };
    writeln!(
        out,
        "version: {} clusterId: {} nodeId: {} incarnation: {} nextProducerId: {} isvalid: true",
        image.version, image.cluster_id, image.node_id, image.incarnation, image.next_producer_id
    )?;
    for broker in image.brokers.values() {
        writeln!(
            out,
            "broker: {} epoch: {} incarnation: {} rack: {}",
            broker.id,
            broker.epoch,
            broker.incarnation,
            broker.rack.as_deref().unwrap_or("none")
        )?;
    }
    for (key, value) in &image.cluster_configs {
        writeln!(out, "config of all brokers: {key}={value}")?;
    }
    for (node, configs) in &image.broker_configs {
        for (key, value) in configs {
            writeln!(out, "config of broker {node}: {key}={value}")?;
        }
    }
    for topic in image.topics.iter() {
        let (name, id, count) = (&topic.name, topic.id, topic.partitions.len());
        writeln!(out, "topic: {name} id: {id} partitions: {count}")?;
        for (key, value) in &topic.configs {
            writeln!(out, "| config: {key}={value}")?;
        }
        for (index, partition) in topic.partitions.iter().enumerate() {
            let leader = partition.leader.map_or(-1, |leader| leader.0);
            writeln!(
                out,
                "| partition: {index} leader: {leader} leaderEpoch: {} partitionEpoch: {} \
                 replicas: {:?} isr: {:?}",
                partition.leader_epoch,
                partition.partition_epoch,
                partition.replicas.iter().map(|node| node.0).collect::<Vec<_>>(),
                partition.isr.iter().map(|node| node.0).collect::<Vec<_>>()
            )?;
        }
    }
    Ok(())
}

/// One line for the whole, one for each partition, and one for each of its segments.
pub(super) fn dump_checkpoint(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    let checkpoint = match ShardCheckpoint::decode(bytes) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return writeln!(out, "Damaged: {error}"),
    };
    writeln!(
        out,
        "incarnation: {} shard: {} catalogVersion: {} partitions: {} isvalid: true",
        checkpoint.incarnation,
        checkpoint.shard,
        checkpoint.catalog_version,
        checkpoint.partitions.len()
    )?;
    for partition in &checkpoint.partitions {
        let log = &partition.log;
        let epochs: Vec<String> = log
            .epochs
            .iter()
            .map(|entry| format!("{}@{}", entry.epoch, entry.start_offset))
            .collect();
        writeln!(
            out,
            "topic: {} partition: {} startOffset: {} nextOffset: {} segments: {} producers: {} \
             leaderEpochs: [{}]",
            partition.at().topic,
            partition.partition,
            log.start_offset,
            log.next_offset,
            log.segments.len(),
            partition.producers.producers.len(),
            epochs.join(", ")
        )?;
        for segment in &log.segments {
            writeln!(
                out,
                "| segment: {} nextOffset: {} size: {} indexsize: {} timeindexsize: {} indexcrc: {} \
                 timeindexcrc: {} maxTimestamp: {} closed: {}",
                segment.start_offset,
                segment.next_offset,
                segment.bytes,
                segment.index_bytes,
                segment.time_index_bytes,
                segment.index_crc,
                segment.time_index_crc,
                segment.max_timestamp,
                segment.sealed
            )?;
        }
    }
    Ok(())
}

//! The bytes of a record: little-endian numbers, texts and lists with a 32-bit count in front. The
//! kind of the record stands in the frame around it.
//!
//! A field is never removed or given another meaning under the same kind; a changed record gets a
//! new kind. So an old release meets either what it knows or a kind it can name as unknown.

use std::collections::BTreeMap;

use super::image::{Endpoint, Partition};
use super::record::{ConfigResource, Record};
use crate::ids::{Incarnation, LeaderEpoch, NodeId, ProducerId, TopicId};

/// Why the bytes of a record are not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    UnknownKind(u16),
    Malformed(&'static str),
}

use DecodeError::Malformed;

pub(super) fn encode_record(record: &Record) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    match record {
        Record::ClusterCreated { cluster_id, node_id } => {
            out.text(cluster_id);
            out.i32(node_id.0);
        }
        Record::BrokerRegistered { node_id, incarnation, endpoints, rack } => {
            out.i32(node_id.0);
            out.u64(incarnation.0);
            out.count(endpoints.len());
            for endpoint in endpoints {
                out.text(&endpoint.listener);
                out.text(&endpoint.host);
                out.u16(endpoint.port);
            }
            out.count(usize::from(rack.is_some()));
            if let Some(rack) = rack {
                out.text(rack);
            }
        }
        Record::TopicCreated { name, id, partitions, configs } => {
            out.text(name);
            out.0.extend_from_slice(&id.0);
            out.partitions(partitions);
            out.count(configs.len());
            for (key, value) in configs {
                out.text(key);
                out.text(value);
            }
        }
        Record::PartitionsAdded { id, first, partitions } => {
            out.0.extend_from_slice(&id.0);
            out.u32(*first);
            out.partitions(partitions);
        }
        Record::TopicDeleted { id } => out.0.extend_from_slice(&id.0),
        Record::ConfigSet { resource, key, value } => {
            out.resource(resource);
            out.text(key);
            out.text(value);
        }
        Record::ConfigRemoved { resource, key } => {
            out.resource(resource);
            out.text(key);
        }
        Record::ProducerIdsAllocated { next } => out.i64(next.0),
        Record::FeatureSet { name, level } => {
            out.text(name);
            out.u16(level.cast_unsigned());
        }
    }
    out.0
}

pub(super) fn decode_record(kind: u16, bytes: &[u8]) -> Result<Record, DecodeError> {
    let mut from = Reader(bytes);
    let record = match kind {
        1 => Record::ClusterCreated { cluster_id: from.text()?, node_id: from.node()? },
        2 => Record::BrokerRegistered {
            node_id: from.node()?,
            incarnation: Incarnation(from.u64()?),
            endpoints: from.list(10, |from| {
                Ok(Endpoint { listener: from.text()?, host: from.text()?, port: from.u16()? })
            })?,
            rack: from.option(Reader::text)?,
        },
        3 => Record::TopicCreated {
            name: from.text()?,
            id: from.topic_id()?,
            partitions: from.list(PARTITION_BYTES_MIN, Reader::partition)?,
            configs: from.configs()?,
        },
        4 => Record::PartitionsAdded {
            id: from.topic_id()?,
            first: from.u32()?,
            partitions: from.list(PARTITION_BYTES_MIN, Reader::partition)?,
        },
        5 => Record::TopicDeleted { id: from.topic_id()? },
        6 => {
            Record::ConfigSet { resource: from.resource()?, key: from.text()?, value: from.text()? }
        }
        7 => Record::ConfigRemoved { resource: from.resource()?, key: from.text()? },
        8 => Record::ProducerIdsAllocated { next: ProducerId(from.i64()?) },
        9 => Record::FeatureSet { name: from.text()?, level: from.u16()?.cast_signed() },
        unknown => return Err(DecodeError::UnknownKind(unknown)),
    };
    if from.0.is_empty() { Ok(record) } else { Err(Malformed("bytes left over")) }
}

/// Leader epoch, leader, partition epoch, and two empty lists.
const PARTITION_BYTES_MIN: usize = 4 + 4 + 4 + 4 + 4;
/// On disk, as on the wire, a partition without a leader has leader -1.
const NO_LEADER: i32 = -1;

struct Writer(Vec<u8>);

impl Writer {
    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        let Ok(count) = u32::try_from(count) else { panic!("{count} elements in one record") };
        self.u32(count);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn nodes(&mut self, nodes: &[NodeId]) {
        self.count(nodes.len());
        for node in nodes {
            self.i32(node.0);
        }
    }

    fn partitions(&mut self, partitions: &[Partition]) {
        self.count(partitions.len());
        for partition in partitions {
            self.i32(partition.leader_epoch.0);
            self.i32(partition.leader.map_or(NO_LEADER, |leader| leader.0));
            self.i32(partition.partition_epoch);
            self.nodes(&partition.replicas);
            self.nodes(&partition.isr);
        }
    }

    fn resource(&mut self, resource: &ConfigResource) {
        match resource {
            ConfigResource::Topic(name) => {
                self.u16(1);
                self.text(name);
            }
            ConfigResource::Broker(id) => {
                self.u16(2);
                self.i32(id.0);
            }
            ConfigResource::Cluster => self.u16(3),
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed("bytes missing"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed("bytes missing"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_le_bytes)
    }

    fn node(&mut self) -> Result<NodeId, DecodeError> {
        self.i32().map(NodeId)
    }

    fn topic_id(&mut self) -> Result<TopicId, DecodeError> {
        self.array().map(TopicId)
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let count = self.u32()? as usize;
        let bytes = self.take(count)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed("text is not UTF-8"))?;
        Ok(text.to_owned())
    }

    /// Reads a list whose elements take at least `element_bytes_min` each, so that a wrong count is
    /// noticed before it sizes an allocation.
    fn list<T>(
        &mut self,
        element_bytes_min: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.u32()? as usize;
        if count > self.0.len() / element_bytes_min {
            return Err(Malformed("a count larger than the bytes that are left"));
        }
        (0..count).map(|_| element(self)).collect()
    }

    fn option<T>(
        &mut self,
        element: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.u32()? {
            0 => Ok(None),
            1 => element(self).map(Some),
            _ => Err(Malformed("an option with more than one value")),
        }
    }

    fn configs(&mut self) -> Result<BTreeMap<String, String>, DecodeError> {
        let pairs = self.list(8, |from| Ok((from.text()?, from.text()?)))?;
        let count = pairs.len();
        let configs: BTreeMap<_, _> = pairs.into_iter().collect();
        if configs.len() == count { Ok(configs) } else { Err(Malformed("a config given twice")) }
    }

    fn partition(&mut self) -> Result<Partition, DecodeError> {
        let leader_epoch = LeaderEpoch(self.i32()?);
        let leader = match self.i32()? {
            NO_LEADER => None,
            leader => Some(NodeId(leader)),
        };
        let partition_epoch = self.i32()?;
        let replicas = self.list(4, Reader::node)?;
        let isr = self.list(4, Reader::node)?;
        Ok(Partition { leader_epoch, leader, replicas, isr, partition_epoch })
    }

    fn resource(&mut self) -> Result<ConfigResource, DecodeError> {
        match self.u16()? {
            1 => self.text().map(ConfigResource::Topic),
            2 => self.node().map(ConfigResource::Broker),
            3 => Ok(ConfigResource::Cluster),
            _ => Err(Malformed("a config of an unknown kind of resource")),
        }
    }
}

//! Who leads which partition of the run's topic.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::control::{Control, refuse};
use super::errors::ErrorCode;
use super::requests::{METADATA, TOPIC_IDS_FROM, TopicName};
use crate::failure::Failure;

/// The run's topic as a broker described it.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) topic: TopicName,
    /// Leader of each partition by index.
    pub(crate) leaders: Vec<i32>,
    /// Address of each broker by node id.
    pub(crate) brokers: BTreeMap<i32, String>,
}

/// How long a topic may take to come up.
const PATIENCE: Duration = Duration::from_secs(120);

impl Topic {
    /// Waits until every leader serves its partitions: metadata names it as soon as the controller
    /// has chosen it, which is before it knows.
    fn wait_for_leaders(&self, asked: &Control) -> Result<(), Failure> {
        let give_up = Instant::now() + PATIENCE;
        for (node, partitions) in self.by_leader() {
            let mut control = asked.open_other(self.address(node)?, PATIENCE)?;
            loop {
                let listed = control.list_offsets(&self.topic.name, &partitions, -1)?;
                let refused = listed.iter().find(|(_, code, _)| code.is_error());
                let Some((partition, code, _)) = refused else { break };
                if !code.is_retriable() || Instant::now() > give_up {
                    refuse(&format!("ListOffsets of partition {partition}"), *code)?;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Partition count.
    pub(crate) fn partitions(&self) -> i32 {
        self.leaders.len() as i32
    }

    /// The Produce or Fetch version to use: topic ids need to be known.
    pub(crate) fn version(&self, offered: i16) -> i16 {
        if self.topic.id == [0; 16] { offered.min(TOPIC_IDS_FROM - 1) } else { offered }
    }

    /// Partitions by their leader.
    pub(crate) fn by_leader(&self) -> BTreeMap<i32, Vec<i32>> {
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for (partition, leader) in (0..).zip(&self.leaders) {
            by_leader.entry(*leader).or_default().push(partition);
        }
        by_leader
    }

    /// The address of a broker.
    pub(crate) fn address(&self, node: i32) -> Result<&str, Failure> {
        let address = self.brokers.get(&node).map(String::as_str);
        address.ok_or_else(|| Failure::Malformed(format!("a leader {node} that is no broker")))
    }
}

impl Control {
    /// Asks for the topic. `None` while the topic is unknown, or some partition has no leader.
    pub(crate) fn topic(&mut self, name: &str) -> Result<Result<Topic, ErrorCode>, Failure> {
        let version = self.versions.pick(&METADATA)?;
        self.call(
            &METADATA,
            version,
            |encoder| {
                encoder.array(1);
                if version >= 10 {
                    encoder.uuid(&[0; 16]);
                }
                encoder.nullable_string(Some(name));
                encoder.tags();
                encoder.bool(false);
                if (8..=10).contains(&version) {
                    encoder.bool(false);
                }
                if version >= 8 {
                    encoder.bool(false);
                }
                encoder.tags();
            },
            |body| {
                body.i32()?;
                let mut brokers = BTreeMap::new();
                for _ in 0..body.array()? {
                    let node = body.i32()?;
                    let host = body.string()?;
                    let port = body.i32()?;
                    let address = if host.contains(':') {
                        format!("[{host}]:{port}")
                    } else {
                        format!("{host}:{port}")
                    };
                    brokers.insert(node, address);
                    body.nullable_string()?;
                    body.tags()?;
                }
                body.nullable_string()?;
                body.i32()?;
                if body.array()? != 1 {
                    return Ok(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
                }
                let code = ErrorCode(body.i16()?);
                let name = body.nullable_string()?.unwrap_or(name).to_owned();
                let id = if version >= 10 { body.uuid()? } else { [0; 16] };
                body.bool()?;
                let mut by_index = BTreeMap::new();
                for _ in 0..body.array()? {
                    let partition_code = ErrorCode(body.i16()?);
                    let index = body.i32()?;
                    by_index.insert(index, (partition_code, body.i32()?));
                    if version >= 7 {
                        body.i32()?;
                    }
                    for _ in 0..if version >= 5 { 3 } else { 2 } {
                        for _ in 0..body.array()? {
                            body.i32()?;
                        }
                    }
                    body.tags()?;
                }
                if code.is_error() {
                    return Ok(Err(code));
                }
                let mut leaders = Vec::new();
                for (expected, (index, (_, leader))) in (0..).zip(by_index) {
                    // Leaderless for now, or a listing with holes: not usable yet.
                    if index != expected || leader < 0 {
                        return Ok(Err(ErrorCode::LEADER_NOT_AVAILABLE));
                    }
                    leaders.push(leader);
                }
                if leaders.is_empty() {
                    return Ok(Err(ErrorCode::LEADER_NOT_AVAILABLE));
                }
                Ok(Ok(Topic { topic: TopicName { name, id }, leaders, brokers }))
            },
        )
    }

    /// Asks until all partitions have leaders.
    pub(crate) fn topic_when_ready(
        &mut self,
        name: &str,
        patience: Duration,
    ) -> Result<Topic, Failure> {
        let give_up = Instant::now() + patience;
        loop {
            match self.topic(name)? {
                Ok(topic) => return Ok(topic),
                Err(code) if !code.is_retriable() || Instant::now() > give_up => {
                    refuse(&format!("topic {name}"), code)?;
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// The topic, created when it is missing and `partitions` says with how many.
    pub(crate) fn topic_or_create(
        &mut self,
        name: &str,
        partitions: i32,
        replication: i16,
        configs: &[(String, String)],
    ) -> Result<Topic, Failure> {
        match self.topic(name)? {
            Ok(topic) => Ok(topic),
            Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {
                self.create_topic(name, partitions, replication, configs)?;
                let topic = self.topic_when_ready(name, PATIENCE)?;
                topic.wait_for_leaders(self)?;
                Ok(topic)
            }
            Err(_) => self.topic_when_ready(name, PATIENCE),
        }
    }
}

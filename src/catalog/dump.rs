//! An image as text, as `ringmain dump-log` prints a snapshot: a line for each thing in it.

use std::collections::BTreeMap;
use std::fmt;

use super::image::{Broker, Image, Topic};
use super::record::{fmt_endpoints, fmt_partitions, shown};

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "version={} clusterId={} nodeId={} incarnation={} nextProducerId={}",
            self.version, self.cluster_id, self.node_id, self.incarnation, self.next_producer_id
        )?;
        for (name, level) in &self.features {
            writeln!(f, "feature {name}={level}")?;
        }
        for Broker { id, endpoints, rack, epoch, incarnation } in self.brokers.values() {
            write!(f, "broker {id}: epoch={epoch} incarnation={incarnation} endpoints=")?;
            fmt_endpoints(f, endpoints)?;
            match rack {
                Some(rack) => writeln!(f, " rack={rack}")?,
                None => writeln!(f)?,
            }
        }
        if !self.cluster_configs.is_empty() {
            write!(f, "all brokers:")?;
            fmt_configs(f, &self.cluster_configs)?;
            writeln!(f)?;
        }
        for (node, configs) in &self.broker_configs {
            write!(f, "broker {node}:")?;
            fmt_configs(f, configs)?;
            writeln!(f)?;
        }
        for topic in self.topics.iter() {
            let Topic { name, id, partitions, configs, .. } = &**topic;
            write!(f, "topic {name}: topicId={id} partitions=")?;
            fmt_partitions(f, 0, partitions)?;
            fmt_configs(f, configs)?;
            writeln!(f)?;
        }
        Ok(())
    }
}

fn fmt_configs(f: &mut fmt::Formatter<'_>, configs: &BTreeMap<String, String>) -> fmt::Result {
    for (key, value) in configs {
        write!(f, " {key}={}", shown(key, value))?;
    }
    Ok(())
}

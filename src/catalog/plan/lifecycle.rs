//! What a broker asks for itself: an identity for the cluster, its registration at every start, and
//! blocks of producer ids.

use super::super::apply::Catalog;
use super::super::image::Endpoint;
use super::super::record::Record;
use super::Refusal;
use crate::ids::{Incarnation, NodeId, ProducerId};

/// Producer ids that are this broker's alone to give out (KIP-730).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first one.
    pub first: ProducerId,
    /// How many.
    pub count: u32,
}

impl Catalog {
    /// Plans the birth of a cluster in an empty data directory. `random` becomes the cluster id,
    /// unless the configuration names one.
    ///
    /// # Errors
    /// If the cluster exists already, or the configured id is not one that clients can carry.
    pub fn plan_create_cluster(
        &self,
        node_id: NodeId,
        cluster_id: Option<&str>,
        random: [u8; 16],
        features: &[(&str, i16)],
    ) -> Result<Vec<Record>, Refusal> {
        if self.image.is_created() {
            return Err(Refusal::InvalidRequest(format!(
                "The data directory belongs to cluster {}.",
                self.image.cluster_id
            )));
        }
        let cluster_id = match cluster_id {
            Some(id) if is_cluster_id(id) => id.to_owned(),
            Some(_) => {
                return Err(Refusal::InvalidConfig(
                    "A cluster id has 22 characters of URL-safe base64.".to_owned(),
                ));
            }
            None => super::super::topic_name::topic_id_from_random(random).to_string(),
        };
        let mut records = vec![Record::ClusterCreated { cluster_id, node_id }];
        records.extend(
            features.iter().map(|(name, level)| Record::FeatureSet {
                name: (*name).to_owned(),
                level: *level,
            }),
        );
        Ok(records)
    }

    /// Plans what every start has to do before the port opens: register this broker under a new
    /// incarnation, which raises the leader epoch of each partition it leads.
    ///
    /// # Errors
    /// If the cluster does not exist, or the data directory belongs to another broker.
    pub fn plan_restart(
        &self,
        node_id: NodeId,
        endpoints: Vec<Endpoint>,
        rack: Option<String>,
    ) -> Result<Vec<Record>, Refusal> {
        if !self.image.is_created() {
            return Err(Refusal::InvalidRequest("The cluster was not created yet.".to_owned()));
        }
        if node_id != self.image.node_id {
            return Err(Refusal::InvalidConfig(format!(
                "The data directory belongs to the broker with node.id={}, not {node_id}.",
                self.image.node_id
            )));
        }
        let last = self.image.brokers.get(&node_id).map_or(0, |broker| broker.incarnation.0);
        // A registration with the largest number does not apply, so there is always a next one.
        let incarnation = Incarnation(last + 1);
        Ok(vec![Record::BrokerRegistered { node_id, incarnation, endpoints, rack }])
    }

    /// Plans a block of producer ids that was never given out. The ids may be used once the record
    /// is durable; a block that a crash interrupts is lost, not reused.
    ///
    /// # Errors
    /// If no ids are left.
    pub fn plan_allocate_producer_ids(
        &self,
        count: u32,
    ) -> Result<(Vec<Record>, ProducerIdBlock), Refusal> {
        let first = self.image.next_producer_id;
        match first.0.checked_add(i64::from(count)) {
            Some(next) => Ok((
                vec![Record::ProducerIdsAllocated { next: ProducerId(next) }],
                ProducerIdBlock { first, count },
            )),
            None => Err(Refusal::PolicyViolation(
                "Exhausted all producer ids as the next block would exceed 2^63.".to_owned(),
            )),
        }
    }
}

/// True for a text that can be a cluster id: the 22 characters that 16 bytes have in URL-safe
/// base64, the last of which carries two bits only.
#[must_use]
pub fn is_cluster_id(id: &str) -> bool {
    id.len() == 22
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && id.ends_with(['A', 'Q', 'g', 'w'])
        && !id.starts_with('-')
}

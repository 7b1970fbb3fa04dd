//! A group as tools see it.

use crate::group::reply::{DescribedConsumer, DescribedConsumerGroup};

use super::heartbeat::plain;
use super::{ConsumerOptions, Group};

impl Group {
    pub(in crate::group) fn describe(&self, options: &ConsumerOptions) -> DescribedConsumerGroup {
        let members = self.members.iter().map(|(id, member)| DescribedConsumer {
            id: id.clone(),
            instance: member.instance.clone(),
            rack: member.rack.clone(),
            epoch: self.epoch_of(id),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            topics: member.topics.iter().cloned().collect(),
            pattern: member.pattern.clone(),
            assigned: self.currents.get(id).map(|has| plain(&has.assigned)).unwrap_or_default(),
            target: self.targets.get(id).cloned().unwrap_or_default(),
        });
        DescribedConsumerGroup {
            state: self.state(),
            epoch: self.epoch,
            target_epoch: self.target_epoch,
            assignor: self.assignor(options),
            members: members.collect(),
        }
    }
}

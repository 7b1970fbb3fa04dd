//! The requests of this shard's connections that wait for something, and when their waits end.

use std::collections::BTreeSet;

use crate::api::Pending;
use crate::ids::{ConnectionId, ShardId};
use crate::stdx::few::Few;
use crate::stdx::map::Map;
use crate::time::Instant;

use super::message::RequestId;

/// One of them.
#[derive(Debug)]
pub(super) struct Request {
    pub connection: ConnectionId,
    pub pending: Pending,
    /// Shards that watch partitions for it.
    pub watchers: Few<ShardId>,
    pub deadline: Option<Instant>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: Map<RequestId, Request>,
    deadlines: BTreeSet<(Instant, RequestId)>,
    next: u64,
    /// Bytes of the frames that requests still need.
    held: Map<RequestId, usize>,
    held_bytes: usize,
}

impl Requests {
    pub(super) fn next_id(&mut self) -> RequestId {
        self.next += 1;
        RequestId(self.next)
    }

    pub(super) fn insert(&mut self, id: RequestId, connection: ConnectionId, pending: Pending) {
        let request = Request { connection, pending, watchers: Few::new(), deadline: None };
        let before = self.waiting.insert(id, request);
        assert!(before.is_none(), "request ids are never reused");
    }

    pub(super) fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        self.waiting.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: RequestId) -> Option<Request> {
        let request = self.waiting.remove(&id)?;
        if let Some(deadline) = request.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        Some(request)
    }

    /// A request needs its frame of so many bytes until it is answered.
    pub(super) fn hold(&mut self, id: RequestId, bytes: usize) {
        self.held.insert(id, bytes);
        self.held_bytes += bytes;
    }

    /// A request is answered, or nobody waits for its answer any more.
    pub(super) fn let_go(&mut self, id: RequestId) {
        self.held_bytes -= self.held.remove(&id).unwrap_or_default();
    }

    /// Bytes of all frames that are still needed.
    #[must_use]
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) fn set_deadline(&mut self, id: RequestId, deadline: Option<Instant>) {
        let Some(request) = self.waiting.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut request.deadline, deadline) {
            self.deadlines.remove(&(before, id));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A request whose wait is over.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<RequestId> {
        let (deadline, id) = self.deadlines.first().copied().filter(|(due, _)| *due <= now)?;
        self.deadlines.remove(&(deadline, id));
        if let Some(request) = self.waiting.get_mut(&id) {
            request.deadline = None;
        }
        Some(id)
    }

    /// The shards that watch partitions for a request, from now on none.
    pub(super) fn take_watchers(&mut self, id: RequestId) -> Few<ShardId> {
        let request = self.waiting.get_mut(&id);
        request.map(|request| std::mem::take(&mut request.watchers)).unwrap_or_default()
    }
}

/// Items by the shard they belong to, in the order of the shards.
pub(super) fn by_shard<T>(items: impl IntoIterator<Item = (ShardId, T)>) -> Few<(ShardId, Few<T>)> {
    let mut sorted: Few<(ShardId, Few<T>)> = Few::new();
    for (shard, item) in items {
        match sorted.binary_search_by_key(&shard, |(shard, _)| *shard) {
            Ok(place) => sorted[place].1.push(item),
            Err(place) => sorted.insert(place, (shard, Few::from_buf([item]))),
        }
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_order_within_each_shard() {
        let items = [(2, 'a'), (0, 'b'), (2, 'c'), (1, 'd'), (0, 'e')];
        let sorted = by_shard(items.map(|(shard, item)| (ShardId(shard), item)));
        let sorted: Vec<_> = sorted.iter().map(|(shard, of)| (shard.0, of.as_slice())).collect();
        assert_eq!(sorted, [(0, &['b', 'e'][..]), (1, &['d']), (2, &['a', 'c'])]);
    }

    #[test]
    fn what_is_held_is_let_go_once() {
        let mut requests = Requests::default();
        requests.hold(RequestId(1), 100);
        requests.hold(RequestId(2), 20);
        requests.let_go(RequestId(1));
        requests.let_go(RequestId(1));
        requests.let_go(RequestId(3));
        assert_eq!(requests.held_bytes(), 20);
        requests.let_go(RequestId(2));
        assert_eq!(requests.held_bytes(), 0);
    }
}

//! The connections of one shard: who is there, which replies are owed in which order, and when a
//! peer has worn out its welcome.
//!
//! It knows nothing of what requests mean. Invariant: replies leave in the order their requests
//! came, whatever the order in which they become ready (the protocol has no other way to match
//! them for old clients, and Java clients close the connection on a mismatch).

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::ids::ConnectionId;
use crate::limits::CONNECTION_REQUESTS_MAX;
use crate::stdx::map::Map;
use crate::time::Instant;

use super::engine::Reply;
use super::message::RequestId;

/// A frame may take this long whatever its pace.
const FRAME_GRACE: Duration = Duration::from_secs(30);
/// After the grace an unfinished frame must have come at least this fast, in bytes per second.
const FRAME_PACE_MIN: u64 = 4096;
/// How often the connections are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What one peer, or all of them together, may take.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// This shard's share of `max.connections`.
    pub count_max: usize,
    /// This shard's share of `max.connections.per.ip`.
    pub per_address_max: usize,
    /// This shard's share of `max.connections.per.ip.overrides`.
    pub of_address: BTreeMap<IpAddr, usize>,
    /// `connections.max.idle.ms`.
    pub idle_max: Duration,
    /// This shard's share of `max.connection.creation.rate`, per second; `None` is unlimited.
    pub creation_rate_max: Option<u32>,
}

/// Why a connection is not wanted (any more). Goes to the log with the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwelcome {
    /// `max.connections` are here already.
    TooMany,
    /// `max.connections.per.ip` are here already.
    TooManyFromAddress,
    /// New connections come faster than `max.connection.creation.rate`.
    TooFast,
    /// Nothing was asked for `connections.max.idle.ms`.
    Idle,
    /// A frame comes too slowly ever to be one.
    SlowFrame,
    /// The peer does not read its replies.
    NotReading,
}

#[derive(Debug)]
struct Slot {
    request: RequestId,
    reply: Option<Reply>,
}

#[derive(Debug)]
struct Connection {
    peer: SocketAddr,
    last_active: Instant,
    owed: VecDeque<Slot>,
    paused: bool,
    /// Replies handed over and not yet sent, with when the oldest of them was handed over.
    unsent: VecDeque<Instant>,
    /// When the first byte of an unfinished frame came, and how much of it is here.
    frame: Option<(Instant, usize)>,
}

impl Connection {
    /// Requests whose replies have not left.
    fn open(&self) -> usize {
        self.owed.len() + self.unsent.len()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connections {
    limits: ConnectionLimits,
    connections: Map<ConnectionId, Connection>,
    per_address: BTreeMap<IpAddr, usize>,
    next_sweep: Instant,
    /// Accepts of the running second.
    window: (Instant, u32),
}

impl Connections {
    /// None yet.
    #[must_use]
    pub(super) fn new(limits: ConnectionLimits) -> Connections {
        Connections {
            limits,
            connections: Map::default(),
            per_address: BTreeMap::new(),
            next_sweep: Instant::default(),
            window: (Instant::default(), 0),
        }
    }

    /// Takes a new connection, or says why not.
    pub(super) fn accept(
        &mut self,
        id: ConnectionId,
        peer: SocketAddr,
        now: Instant,
    ) -> Result<(), Unwelcome> {
        if self.connections.len() >= self.limits.count_max {
            return Err(Unwelcome::TooMany);
        }
        let from_address = self.per_address.get(&peer.ip()).copied().unwrap_or(0);
        // A listener for both families shows IPv4 peers in the clothes of IPv6.
        let of_address = self.limits.of_address.get(&peer.ip().to_canonical()).copied();
        if from_address >= of_address.unwrap_or(self.limits.per_address_max) {
            return Err(Unwelcome::TooManyFromAddress);
        }
        if let Some(rate) = self.limits.creation_rate_max {
            if now.since(self.window.0) >= Duration::from_secs(1) {
                self.window = (now, 0);
            }
            if self.window.1 >= rate {
                return Err(Unwelcome::TooFast);
            }
            self.window.1 += 1;
        }
        self.per_address.insert(peer.ip(), from_address + 1);
        let connection = Connection {
            peer,
            last_active: now,
            owed: VecDeque::new(),
            paused: false,
            unsent: VecDeque::new(),
            frame: None,
        };
        let before = self.connections.insert(id, connection);
        assert!(before.is_none(), "connection ids are never reused");
        Ok(())
    }

    /// Who is on the other side.
    #[must_use]
    pub(super) fn peer(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.connections.get(&id).map(|connection| connection.peer)
    }

    /// Part of a frame is here.
    pub(super) fn progress(&mut self, id: ConnectionId, received: usize, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.last_active = now;
            let since = connection.frame.map_or(now, |(since, _)| since);
            connection.frame = Some((since, received));
        }
    }

    /// A whole frame is here.
    pub(super) fn frame(&mut self, id: ConnectionId, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.last_active = now;
            connection.frame = None;
        }
    }

    /// A request that will be answered. True when the connection has to be paused.
    pub(super) fn owe(&mut self, id: ConnectionId, request: RequestId) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        connection.owed.push_back(Slot { request, reply: None });
        // Replies that the peer does not read count as much as requests being worked on.
        if connection.open() >= CONNECTION_REQUESTS_MAX && !connection.paused {
            connection.paused = true;
            return true;
        }
        false
    }

    /// The reply to `request` is ready: sends what may leave now, in order.
    pub(super) fn ready(
        &mut self,
        id: ConnectionId,
        request: RequestId,
        reply: Reply,
        now: Instant,
        mut send: impl FnMut(Reply),
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        // The usual case first: the oldest request is the one that became ready.
        if let Some(slot) = connection.owed.iter_mut().find(|slot| slot.request == request) {
            assert!(slot.reply.is_none(), "one request has one reply");
            slot.reply = Some(reply);
        }
        while connection.owed.front().is_some_and(|slot| slot.reply.is_some()) {
            if let Some(reply) = connection.owed.pop_front().and_then(|slot| slot.reply) {
                connection.unsent.push_back(now);
                send(reply);
            }
        }
        connection.last_active = now;
    }

    /// The oldest reply handed over has left. True when the connection may be read again.
    pub(super) fn sent(&mut self, id: ConnectionId, now: Instant) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        connection.unsent.pop_front();
        connection.last_active = now;
        let resume = connection.paused && connection.open() < CONNECTION_REQUESTS_MAX / 2;
        if resume {
            connection.paused = false;
        }
        resume
    }

    /// The connection is gone: the requests that nobody waits for any more.
    pub(super) fn closed(&mut self, id: ConnectionId) -> Vec<RequestId> {
        let Some(connection) = self.connections.remove(&id) else { return Vec::new() };
        let address = connection.peer.ip();
        match self.per_address.get_mut(&address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.per_address.remove(&address);
            }
        }
        connection.owed.into_iter().map(|slot| slot.request).collect()
    }

    /// When [`Connections::sweep`] is next worth calling.
    #[must_use]
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        (!self.connections.is_empty()).then_some(self.next_sweep)
    }

    /// Who has to go, in id order.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<(ConnectionId, Unwelcome)> {
        if now < self.next_sweep {
            return Vec::new();
        }
        self.next_sweep = now + SWEEP_INTERVAL.min(self.limits.idle_max);
        let mut going: Vec<_> = self
            .connections
            .iter()
            .filter_map(|(id, connection)| Some((*id, self.verdict(connection, now)?)))
            .collect();
        going.sort_unstable_by_key(|(id, _)| *id);
        going
    }

    fn verdict(&self, connection: &Connection, now: Instant) -> Option<Unwelcome> {
        if let Some((since, received)) = connection.frame {
            let age = now.since(since);
            if age > FRAME_GRACE && (received as u64) < FRAME_PACE_MIN * age.as_secs() {
                return Some(Unwelcome::SlowFrame);
            }
        }
        if let Some(oldest) = connection.unsent.front() {
            return (now.since(*oldest) > self.limits.idle_max).then_some(Unwelcome::NotReading);
        }
        let idle =
            connection.owed.is_empty() && now.since(connection.last_active) > self.limits.idle_max;
        idle.then_some(Unwelcome::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> ConnectionLimits {
        ConnectionLimits {
            count_max: 3,
            per_address_max: 2,
            of_address: BTreeMap::new(),
            idle_max: Duration::from_secs(600),
            creation_rate_max: None,
        }
    }

    fn peer(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 40_000))
    }

    fn reply(byte: u8) -> Reply {
        Reply { pieces: vec![super::super::engine::Piece::Bytes(vec![byte].into())] }
    }

    /// The first bytes of the replies that leave when this one is ready.
    fn sent(connections: &mut Connections, id: ConnectionId, request: u64) -> Vec<u8> {
        let mut sent = Vec::new();
        let byte = request as u8;
        connections.ready(id, RequestId(request), reply(byte), Instant(1), |reply| {
            sent.extend(reply.pieces.iter().filter_map(|piece| match piece {
                super::super::engine::Piece::Bytes(bytes) => bytes.first().copied(),
                super::super::engine::Piece::File(_) => None,
            }));
        });
        sent
    }

    #[test]
    fn replies_leave_in_request_order() {
        let mut connections = Connections::new(limits());
        let id = ConnectionId(1);
        let now = Instant(1);
        connections.accept(id, peer(1), now).expect("room");
        for request in 0..3 {
            assert!(!connections.owe(id, RequestId(request)));
        }
        assert_eq!(sent(&mut connections, id, 2), [0_u8; 0]);
        assert_eq!(sent(&mut connections, id, 0), [0]);
        assert_eq!(sent(&mut connections, id, 1), [1, 2]);
    }

    #[test]
    fn limits_hold_in_all_and_per_address() {
        let mut connections = Connections::new(limits());
        let now = Instant(1);
        assert_eq!(connections.accept(ConnectionId(1), peer(1), now), Ok(()));
        assert_eq!(connections.accept(ConnectionId(2), peer(1), now), Ok(()));
        let third = connections.accept(ConnectionId(3), peer(1), now);
        assert_eq!(third, Err(Unwelcome::TooManyFromAddress));
        assert_eq!(connections.accept(ConnectionId(4), peer(2), now), Ok(()));
        assert_eq!(connections.accept(ConnectionId(5), peer(3), now), Err(Unwelcome::TooMany));
        connections.closed(ConnectionId(1));
        assert_eq!(connections.accept(ConnectionId(6), peer(1), now), Ok(()));
    }

    #[test]
    fn an_address_may_have_a_limit_of_its_own() {
        let one: IpAddr = [127, 0, 0, 1].into();
        let two: IpAddr = [127, 0, 0, 2].into();
        let of_address = [(one, 3), (two, 0)].into_iter().collect();
        let mut connections =
            Connections::new(ConnectionLimits { count_max: 9, of_address, ..limits() });
        let mut accept = |id, peer| connections.accept(ConnectionId(id), peer, Instant(1));
        for id in 0..3 {
            assert_eq!(accept(id, peer(1)), Ok(()));
        }
        assert_eq!(accept(3, peer(1)), Err(Unwelcome::TooManyFromAddress));
        assert_eq!(accept(4, peer(2)), Err(Unwelcome::TooManyFromAddress));
        let mapped = SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0x7f00, 2], 40_000));
        assert_eq!(accept(5, mapped), Err(Unwelcome::TooManyFromAddress));
        assert_eq!((accept(6, peer(3)), accept(7, peer(3))), (Ok(()), Ok(())));
        assert_eq!(accept(8, peer(3)), Err(Unwelcome::TooManyFromAddress));
    }

    #[test]
    fn the_creation_rate_counts_per_second() {
        let mut connections =
            Connections::new(ConnectionLimits { creation_rate_max: Some(1), ..limits() });
        let now = Instant(0) + SECOND;
        assert_eq!(connections.accept(ConnectionId(1), peer(1), now), Ok(()));
        assert_eq!(connections.accept(ConnectionId(2), peer(2), now), Err(Unwelcome::TooFast));
        assert_eq!(connections.accept(ConnectionId(3), peer(2), now + SECOND), Ok(()));
    }

    #[test]
    fn a_busy_connection_is_paused_and_resumed() {
        let mut connections = Connections::new(limits());
        let id = ConnectionId(1);
        let now = Instant(1);
        connections.accept(id, peer(1), now).expect("room");
        let paused = (0..CONNECTION_REQUESTS_MAX as u64)
            .filter(|request| connections.owe(id, RequestId(*request)))
            .count();
        assert_eq!(paused, 1);
        for request in 0..CONNECTION_REQUESTS_MAX as u64 {
            connections.ready(id, RequestId(request), reply(0), now, drop);
        }
        let resumed: Vec<usize> =
            (0..CONNECTION_REQUESTS_MAX).filter(|_| connections.sent(id, now)).collect();
        assert_eq!(resumed, [CONNECTION_REQUESTS_MAX / 2]);
    }

    #[test]
    fn idle_slow_and_unread_connections_go() {
        let mut connections = Connections::new(limits());
        let start = Instant(0) + SECOND;
        for (id, last) in [(1, 1), (2, 2), (3, 3)] {
            connections.accept(ConnectionId(id), peer(last), start).expect("room");
        }
        connections.progress(ConnectionId(1), 10, start);
        connections.owe(ConnectionId(2), RequestId(7));
        connections.ready(ConnectionId(2), RequestId(7), reply(0), start, drop);
        assert_eq!(connections.sweep(start + 20 * SECOND), []);
        let slow = connections.sweep(start + 31 * SECOND);
        assert_eq!(slow, [(ConnectionId(1), Unwelcome::SlowFrame)]);
        connections.closed(ConnectionId(1));
        let rest = connections.sweep(start + 700 * SECOND);
        let expected =
            [(ConnectionId(2), Unwelcome::NotReading), (ConnectionId(3), Unwelcome::Idle)];
        assert_eq!(rest, expected);
    }
}

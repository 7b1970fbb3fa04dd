//! Consumer groups under random histories: members join, leave, die, give up slowly and lose
//! replies, topics grow and go, and the broker crashes, also with half of an operation in its log. What members believe they may read never
//! overlaps, and when the trouble ends, everything is read.

use std::collections::BTreeSet;

use super::*;
use crate::stdx::prng::Prng;

const NAMES: [&str; 3] = ["p", "q", "r"];
const REBALANCE_MS: i32 = 20_000;
/// A client that has not been answered for so long, or has not got to what it was told, stops by
/// itself: before the coordinator gives its partitions away.
const PATIENCE: Duration = Duration::from_secs(19);

type Reads = BTreeSet<(TopicId, i32)>;

/// A consumer by the rules of the protocol.
struct Client {
    id: String,
    instance: Option<String>,
    topics: Vec<&'static str>,
    epoch: i32,
    reads: Reads,
    /// What it was last told it may read, if it has not got there.
    told: Option<Reads>,
    /// Until when it has to get there.
    by: Option<Instant>,
    /// It says all in its next heartbeat.
    says_all: bool,
    /// It was last heard of.
    heard: Instant,
    dead: bool,
}

impl Client {
    fn new(number: u64, random: &mut Prng, now: Instant) -> Client {
        let mut topics: Vec<_> = NAMES.into_iter().filter(|_| random.chance(2, 3)).collect();
        if topics.is_empty() {
            topics.push(NAMES[0]);
        }
        Client {
            id: format!("m{number}"),
            instance: random.chance(1, 4).then(|| format!("i{number}")),
            topics,
            epoch: 0,
            reads: Reads::new(),
            told: None,
            by: None,
            says_all: true,
            heard: now,
            dead: false,
        }
    }

    fn request(&self) -> ConsumerHeartbeatRequest {
        let all = self.says_all || self.epoch == 0;
        let mut owned: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
        for (topic, index) in &self.reads {
            owned.entry(*topic).or_default().push(*index);
        }
        ConsumerHeartbeatRequest {
            group: GROUP.into(),
            member: MemberClaim {
                id: (*self.id).into(),
                instance: self.instance.as_deref().map(Into::into),
            },
            epoch: self.epoch,
            rebalance_timeout_ms: if all { REBALANCE_MS } else { -1 },
            topics: all.then(|| self.topics.iter().map(|topic| (*topic).into()).collect()),
            owned: all.then(|| owned.into_iter().collect()),
            ..Default::default()
        }
    }

    /// It stops reading, and begins anew.
    fn rejoin(&mut self) {
        self.reads.clear();
        self.told = None;
        self.by = None;
        self.epoch = 0;
        self.says_all = true;
    }

    fn on_reply(&mut self, reply: &Result<ConsumerHeartbeat, Refusal>, now: Instant) {
        match reply {
            Ok(stands) => {
                // It may have been told before, by a reply that was lost.
                let by = self.heard + PATIENCE;
                self.heard = now;
                self.epoch = stands.epoch;
                self.says_all = false;
                if let Some(assignment) = &stands.assignment {
                    let each = assignment.iter();
                    let told =
                        each.flat_map(|(topic, indexes)| indexes.iter().map(|i| (*topic, *i)));
                    self.told = Some(told.collect());
                    self.by = Some(self.by.map_or(by, |earlier| earlier.min(by)));
                }
            }
            Err(Refusal::FencedMemberEpoch | Refusal::UnknownMember | Refusal::GroupNotFound) => {
                self.rejoin()
            }
            Err(other) => panic!("{}: {other:?}", self.id),
        }
    }

    /// It gets to what it was told: it stops first, then it begins.
    fn follow(&mut self) {
        self.by = None;
        if let Some(told) = self.told.take() {
            self.reads = told;
            self.says_all = true;
        }
    }
}

struct World {
    host: Host,
    random: Prng,
    clients: Vec<Client>,
    next: u64,
    counts: BTreeMap<&'static str, (u8, i32)>,
    seed: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut host = Host::new();
        let counts: BTreeMap<_, _> = NAMES.into_iter().zip([(1, 3), (2, 1), (3, 5)]).collect();
        let topics: Vec<_> =
            counts.iter().map(|(name, (id, count))| (*name, *id, *count)).collect();
        host.set_topics(&topics);
        World { host, random: Prng::new(seed), clients: Vec::new(), next: 0, counts, seed }
    }

    fn check(&self) {
        let mut all = Reads::new();
        for client in &self.clients {
            for read in &client.reads {
                assert!(all.insert(*read), "seed {}: {read:?} is read twice", self.seed);
            }
        }
    }

    fn beat(&mut self, at: usize, lossy: bool) {
        let request = self.clients[at].request();
        let ticket = self.host.ask(Request::ConsumerHeartbeat(request));
        if lossy && self.random.chance(1, 20) {
            // Not answered, and durable in part at most.
            self.tear();
            self.clients[at].says_all = true;
            return;
        }
        let reply = self.host.reply(ticket);
        let Some(Reply::ConsumerHeartbeat(reply)) = reply else { panic!("answered: {reply:?}") };
        if lossy && self.random.chance(1, 10) {
            self.clients[at].says_all = true;
            return;
        }
        let now = self.host.now.instant;
        self.clients[at].on_reply(&reply, now);
    }

    fn tear(&mut self) {
        let random = &mut self.random;
        self.host.tear(|planned| random.between(0, planned as u64) as usize);
    }

    /// Time passes, and clients lose their patience.
    fn pass(&mut self, time: Duration, lossy: bool) {
        self.host.pass(time);
        if lossy && self.random.chance(1, 5) {
            self.tear();
        }
        self.host.flush();
        let now = self.host.now.instant;
        for client in &mut self.clients {
            if client.heard + PATIENCE <= now || client.by.is_some_and(|by| by <= now) {
                client.rejoin();
                client.heard = now;
            }
        }
        self.clients.retain(|client| !client.dead || !client.reads.is_empty());
    }

    fn step(&mut self) {
        let count = self.clients.len() as u64;
        let at = if count == 0 { 0 } else { self.random.below(count) as usize };
        match self.random.below(30) {
            0..=1 if count < 6 => {
                self.next += 1;
                let now = self.host.now.instant;
                self.clients.push(Client::new(self.next, &mut self.random, now));
            }
            2 if count > 0 => self.clients[at].dead = true,
            3 if count > 0 && !self.clients[at].dead && self.clients[at].epoch > 0 => {
                let mut client = self.clients.remove(at);
                client.reads.clear();
                let request = ConsumerHeartbeatRequest {
                    epoch: if client.instance.is_some() { -2 } else { -1 },
                    ..client.request()
                };
                if client.instance.is_none() && self.random.chance(1, 2) {
                    self.host.ask(Request::ConsumerHeartbeat(request));
                    self.tear();
                    return;
                }
                self.host.call(Request::ConsumerHeartbeat(request));
                if client.instance.is_some() && self.random.chance(1, 2) {
                    self.next += 1;
                    client.id = format!("m{}", self.next);
                    client.rejoin();
                    client.heard = self.host.now.instant;
                    self.clients.push(client);
                }
            }
            4 => {
                let name = NAMES[self.random.below(3) as usize];
                let entry = self.counts.entry(name).or_insert((0, 0));
                if self.random.chance(1, 3) {
                    // Deleted and made again: another id.
                    *entry = (entry.0 + 10, 1);
                } else if entry.1 < 8 {
                    entry.1 += 1;
                }
                let each = self.counts.iter();
                let topics: Vec<_> = each.map(|(name, (id, count))| (*name, *id, *count)).collect();
                self.host.set_topics(&topics);
            }
            5 if count > 0 => {
                let client = &mut self.clients[at];
                client.topics = vec![NAMES[self.random.below(3) as usize]];
                client.says_all = true;
            }
            6 => {
                let time = self.random.between(1, 8);
                self.pass(Duration::from_secs(time), true);
            }
            7 => self.host.crash(),
            8..=14 if count > 0 && !self.clients[at].dead => self.clients[at].follow(),
            _ if count > 0 && !self.clients[at].dead => self.beat(at, true),
            _ => {}
        }
        self.check();
    }

    /// Nothing goes wrong any more.
    fn settle(&mut self) {
        self.clients.retain(|client| !client.dead);
        for _ in 0..40 {
            self.pass(Duration::from_secs(5), false);
            for at in 0..self.clients.len() {
                self.beat(at, false);
                self.check();
                self.clients[at].follow();
                self.check();
            }
        }
        let mut wanted = Reads::new();
        for client in &self.clients {
            for name in &client.topics {
                let (id, count) = self.counts[name];
                wanted.extend((0..count).map(|index| (TopicId([id; 16]), index)));
            }
        }
        let read: Reads = self.clients.iter().flat_map(|client| client.reads.clone()).collect();
        assert_eq!(read, wanted, "seed {}", self.seed);
        if !self.clients.is_empty() {
            let before = self.described();
            assert_eq!(before.state, ConsumerState::Stable, "seed {}", self.seed);
            self.host.crash();
            assert_eq!(self.described(), before, "seed {}: replay", self.seed);
        }
    }

    fn described(&mut self) -> DescribedConsumerGroup {
        match self.host.call(Request::DescribeConsumers(GROUP.into())) {
            Reply::ConsumersDescribed(Ok(described)) => described,
            other => panic!("not a description: {other:?}"),
        }
    }
}

#[test]
fn no_partition_is_read_twice_in_random_histories() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
        }
        world.settle();
    }
}

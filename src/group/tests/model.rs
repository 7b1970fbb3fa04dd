//! Clients that do anything, against a coordinator that crashes now and then: what they were told
//! holds.

use std::collections::BTreeMap;

use super::*;
use crate::stdx::prng::Prng;

const PARTITIONS: i32 = 6;
const CLIENTS: usize = 5;

#[derive(Debug, Default)]
enum Stage {
    /// Not a member, perhaps with an id from before.
    #[default]
    Out,
    Joining(Ticket),
    Syncing(Ticket, Joined),
    /// Owns partitions, each with the next offset to read; `None` until it has asked.
    In {
        generation: i32,
        positions: BTreeMap<i32, Option<i64>>,
    },
}

#[derive(Debug, Default)]
struct Client {
    id: MemberId2,
    instance: Option<Box<str>>,
    stage: Stage,
}

type MemberId2 = Box<str>;

/// What clients have been told, and must find true.
#[derive(Debug, Default)]
struct Told {
    /// Owner of each partition in each generation.
    owners: BTreeMap<(i32, i32), MemberId2>,
    /// Newest generation of which an assignment was told.
    generation: i32,
    /// Highest offset whose commit was acknowledged.
    committed: BTreeMap<i32, i64>,
    /// Offsets whose commit was not answered: it may have been made or not.
    unanswered: BTreeMap<i32, i64>,
}

struct World {
    host: Host,
    clients: Vec<Client>,
    told: Told,
    random: Prng,
    rebalances: u32,
    commits: u32,
}

impl Client {
    fn claim(&self) -> MemberClaim {
        MemberClaim { id: self.id.clone(), instance: self.instance.clone() }
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Prng::new(seed);
        let clients = (0..CLIENTS).map(|at| Client {
            instance: random.chance(1, 4).then(|| format!("i{at}").into()),
            ..Client::default()
        });
        let clients = clients.collect();
        let (host, told) = (Host::new(), Told::default());
        World { host, clients, told, random, rebalances: 0, commits: 0 }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..=1 => self.crash(),
            2..=14 => {
                let time = Duration::from_millis(self.random.below(4_000));
                self.host.pass(time);
            }
            15..=39 => self.host.flush(),
            _ => {
                let at = self.random.below(CLIENTS as u64) as usize;
                self.act(at);
            }
        }
        for at in 0..CLIENTS {
            self.listen(at);
        }
    }

    fn crash(&mut self) {
        self.host.crash();
        for client in &mut self.clients {
            if matches!(client.stage, Stage::Joining(_) | Stage::Syncing(..)) {
                client.stage = Stage::Out;
            }
        }
    }

    fn act(&mut self, at: usize) {
        let action = self.random.below(20);
        match std::mem::take(&mut self.clients[at].stage) {
            Stage::Out => self.join(at),
            Stage::In { generation, positions } if action < 10 => {
                self.work(at, generation, positions);
            }
            Stage::In { generation, positions } if action < 16 => {
                let claim = self.clients[at].claim();
                let request = HeartbeatRequest { group: GROUP.into(), member: claim, generation };
                match self.host.call(Request::Heartbeat(request)) {
                    Reply::Heartbeat(Ok(())) => {
                        self.clients[at].stage = Stage::In { generation, positions };
                    }
                    // Whoever is told to join again loses its partitions first.
                    Reply::Heartbeat(Err(refusal)) => self.lost(at, refusal),
                    other => panic!("{other:?}"),
                }
            }
            Stage::In { .. } if action < 18 => {
                let client = &self.clients[at];
                self.host.call(leave(&[(&client.id, client.instance.as_deref())]));
                self.clients[at].id = "".into();
            }
            // It stops, and forgets its id or not.
            Stage::In { .. } => {
                if action == 18 {
                    self.clients[at].id = "".into();
                }
            }
            waiting => self.clients[at].stage = waiting,
        }
    }

    fn lost(&mut self, at: usize, refusal: Refusal) {
        self.clients[at].stage = Stage::Out;
        if matches!(refusal, Refusal::UnknownMember | Refusal::FencedInstance) {
            self.clients[at].id = "".into();
        }
    }

    fn join(&mut self, at: usize) {
        let client = &self.clients[at];
        let request = JoinRequest {
            member: client.claim(),
            needs_known_id: self.random.chance(1, 2),
            rebalance_timeout_ms: 8_000,
            ..join("")
        };
        self.clients[at].stage = Stage::Joining(self.host.join(request));
    }

    /// Reads on where the last commit is, and commits.
    fn work(&mut self, at: usize, generation: i32, mut positions: BTreeMap<i32, Option<i64>>) {
        let Some((partition, position)) = positions.iter_mut().next_back() else {
            self.clients[at].stage = Stage::In { generation, positions };
            return;
        };
        let partition = *partition;
        let Some(offset) = *position else {
            let topics = Some(vec![("t".into(), vec![partition])]);
            let fetch = FetchOffsetsRequest { group: GROUP.into(), member: None, topics };
            let Reply::Offsets(Ok(offsets)) = self.host.call(Request::FetchOffsets(fetch)) else {
                panic!("offsets are refused")
            };
            let found = offsets[0].1[0].committed.as_ref().map_or(0, |(offset, ..)| *offset);
            let least = self.told.committed.get(&partition).copied().unwrap_or(0);
            let most = self.told.unanswered.get(&partition).copied().unwrap_or(0).max(least);
            assert!((least..=most).contains(&found), "{found} is not in {least}..={most}");
            *position = Some(found);
            self.clients[at].stage = Stage::In { generation, positions };
            return;
        };
        let next = offset + 1 + self.random.below(10) as i64;
        let claim = self.clients[at].claim();
        let request =
            CommitRequest { member: claim, ..commit("", generation, &[("t", partition, next)]) };
        let ticket = self.host.ask(Request::Commit(request));
        let pending = self.told.unanswered.entry(partition).or_default();
        *pending = next.max(*pending);
        if self.random.chance(1, 8) {
            // The commit is under way when the process dies.
            self.crash();
            self.clients[at].stage = Stage::Out;
            return;
        }
        match self.host.reply(ticket) {
            Some(Reply::Commit(Ok(results))) => {
                assert_eq!(results, [Ok(())]);
                self.commits += 1;
                let before = self.told.committed.insert(partition, next).unwrap_or(0);
                assert!(before < next, "partition {partition} goes back from {before} to {next}");
                *position = Some(next);
                self.clients[at].stage = Stage::In { generation, positions };
            }
            Some(Reply::Commit(Err(refusal))) => self.lost(at, refusal),
            other => panic!("{other:?}"),
        }
    }

    /// Takes the answer a client waits for, if it is there.
    fn listen(&mut self, at: usize) {
        match std::mem::take(&mut self.clients[at].stage) {
            Stage::Joining(ticket) => match self.host.replies.remove(&ticket) {
                None => self.clients[at].stage = Stage::Joining(ticket),
                Some(Reply::Join(Err(refused))) => {
                    self.lost(at, refused.refusal);
                    if refused.refusal == Refusal::MemberIdRequired {
                        self.clients[at].id = (*refused.member).into();
                    }
                }
                Some(Reply::Join(Ok(joined))) => {
                    self.clients[at].id = (*joined.member).into();
                    let assignments = spread(&joined);
                    let request = SyncRequest {
                        member: self.clients[at].claim(),
                        assignments,
                        ..sync(&joined, &[])
                    };
                    let ticket = self.host.ask(Request::Sync(request));
                    self.clients[at].stage = Stage::Syncing(ticket, joined);
                }
                Some(other) => panic!("{other:?}"),
            },
            Stage::Syncing(ticket, joined) => match self.host.replies.remove(&ticket) {
                None => self.clients[at].stage = Stage::Syncing(ticket, joined),
                Some(Reply::Sync(Err(refusal))) => self.lost(at, refusal),
                Some(Reply::Sync(Ok(synced))) => self.assigned(at, &joined, &synced.assignment),
                Some(other) => panic!("{other:?}"),
            },
            stage => self.clients[at].stage = stage,
        }
    }

    fn assigned(&mut self, at: usize, joined: &Joined, assignment: &[u8]) {
        let generation = joined.generation;
        assert!(self.told.generation <= generation, "generations only rise");
        self.rebalances += u32::from(self.told.generation < generation);
        self.told.generation = generation;
        for partition in assignment {
            let partition = i32::from(*partition);
            // A static member that is back has another id and the place of the one before.
            let owner = match &self.clients[at].instance {
                Some(instance) => instance.clone(),
                None => self.clients[at].id.clone(),
            };
            let before = self.told.owners.insert((generation, partition), owner.clone());
            assert!(before.is_none_or(|before| before == owner), "one owner in a generation");
        }
        let positions = assignment.iter().map(|partition| (i32::from(*partition), None));
        self.clients[at].stage = Stage::In { generation, positions: positions.collect() };
    }
}

/// The leader deals the partitions out.
fn spread(joined: &Joined) -> Vec<(Box<str>, Bytes)> {
    let count = joined.members.len();
    (0..)
        .zip(&joined.members)
        .map(|(at, member)| {
            let own =
                (0..PARTITIONS as u8).filter(|partition| usize::from(*partition) % count == at);
            ((*member.id).into(), own.collect::<Vec<u8>>().into())
        })
        .collect()
}

#[test]
fn what_clients_were_told_holds() {
    let (mut rebalances, mut commits) = (0, 0);
    for seed in 0..60 {
        let mut world = World::new(seed);
        for _ in 0..1500 {
            world.step();
        }
        rebalances += world.rebalances;
        commits += world.commits;
    }
    assert!(rebalances > 500, "{rebalances} generations were assigned");
    assert!(commits > 2000, "{commits} commits were made");
}

//! The world: takes the next thing that happens, tells whom it concerns, and carries out what they
//! want.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use ringmain::ids::{ConnectionId, ShardId};
use ringmain::journal;
use ringmain::shard::Message;
use ringmain::shard::engine::{Action, DiskError, Engine, Fatal, FileJob, FileWork, Piece, Reply};
use ringmain::shard::recovery::RecoveryNote;
use ringmain::stdx::prng::Prng;
use ringmain::time::{Instant, Now, Timestamp};

use super::admin::{Admin, PAUSE_MIN};
use super::boot::{BootFault, boot};
use super::checker::check;
use super::client::{Desk, Effect, KnownTopic, LinkId};
use super::committer::Committer;
use super::consumer::{Consumer, ConsumerOptions};
use super::coverage::Coverage;
use super::disk::{Cut, Disk, DiskFault, Inode};
use super::files::{self, Directory};
use super::history::{Event as Seen, FINAL, History};
use super::mutant::Mutant;
use super::options::Options;
use super::process::{JournalPreparation, JournalWrite, LateWrite, Process};
use super::producer::Producer;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
/// Most that may happen in one run.
const STEPS_MAX: u64 = 400_000;
/// Most crashes during starts in a row.
const START_CRASHES_MAX: u32 = 4;
/// Most virtual time that bringing everything to its end may take.
const FINISH_MAX: u64 = 600 * SECOND;

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    pub(crate) history: History,
    pub(crate) coverage: Coverage,
    /// Depends on everything that happened.
    pub(crate) trace: u64,
    pub(crate) steps: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Client(usize),
    /// The next frame, or the end, of what a client sent arrives.
    Up(LinkId),
    /// The next reply, or the end, arrives at the client.
    Down(LinkId),
    Mesh(u64, u16, u16),
    JournalWritten(u64, u64),
    LateWrite(u64, u64),
    JournalFile(u64, u64),
    Job(u64, u16, Directory),
    Read(u64, u64),
    Drain(u64, u16),
    Time(u64, u16),
    Crash,
    Start,
    Full(bool),
    Jump,
    Finish,
}

enum Frame {
    Bytes(BytesMut),
    End,
}

/// A piece of a reply under way; a file is read when its turn comes, from the file that was open.
enum Part {
    Bytes(Bytes),
    File(Inode, u64, usize),
}

enum Sent {
    Reply(Vec<Part>),
    End,
}

struct Wire {
    client: usize,
    shard: u16,
    generation: u64,
    up: VecDeque<Frame>,
    up_planned: bool,
    down: VecDeque<Sent>,
    down_last: u64,
    /// The engine knows it.
    accepted: bool,
    /// The engine closed it, or was told that it is closed.
    server_gone: bool,
    client_gone: bool,
    paused: bool,
}

enum Client {
    Producer(Producer),
    Consumer(Consumer),
    Admin(Admin),
    Committer(Committer),
}

struct World {
    options: Options,
    now: u64,
    wall_offset: i64,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    schedule: Prng,
    faults: Prng,
    disk: Disk,
    process: Option<Process>,
    generation: u64,
    clients: Vec<Client>,
    client_random: Vec<Prng>,
    wires: BTreeMap<LinkId, Wire>,
    mesh_last: BTreeMap<(u16, u16), u64>,
    /// Connections that are not read until their shard has memory again.
    held: BTreeSet<(u16, LinkId)>,
    next_link: u64,
    topics: Vec<KnownTopic>,
    history: History,
    coverage: Coverage,
    violations: Vec<String>,
    trace: u64,
    steps: u64,
    power_cuts: u32,
    was_full: bool,
    /// Crashes since the last start that came about.
    start_crashes: u32,
    finishing: bool,
    /// Crashes come no more.
    quiet: bool,
    stopping: bool,
    /// Tells what happens as it does (`RINGMAIN_LOUD`).
    loud: bool,
}

impl Outcome {
    /// A run that the core itself ended.
    pub(crate) fn panicked(text: String) -> Outcome {
        Outcome {
            violations: vec![format!("panic: {text}")],
            history: History::default(),
            coverage: Coverage::default(),
            trace: 0,
            steps: 0,
        }
    }
}

/// Runs one seed to its end.
pub(crate) fn run(seed: u64, mutant: Option<Mutant>) -> Outcome {
    let mut random = Prng::new(seed);
    let mut draw = random.fork();
    let options = Options::draw(&mut draw, mutant);
    let mut world = World::new(options, &mut random);
    world.run();
    if world.violations.is_empty() {
        world.violations = check(&world.history);
    }
    let World { violations, history, mut coverage, trace, steps, .. } = world;
    coverage.add("steps", steps);
    Outcome { violations, history, coverage, trace, steps }
}

impl World {
    fn new(options: Options, random: &mut Prng) -> World {
        let mut clients = Vec::new();
        clients.extend(options.producers.iter().cloned().map(Producer::new).map(Client::Producer));
        clients.extend(options.consumers.iter().cloned().map(Consumer::new).map(Client::Consumer));
        if options.admin_every > 0 {
            let pause = options.admin_every.max(PAUSE_MIN);
            clients.push(Client::Admin(Admin::new(pause, options.fleeting)));
        }
        let committers = (0..).zip(&options.committers);
        let committers = committers.map(|(id, pause)| Committer::new(id, *pause));
        clients.extend(committers.map(Client::Committer));
        let client_random = clients.iter().map(|_| random.fork()).collect();
        let mut disk = Disk::new(random.fork());
        if options.fail_after > 0 {
            disk.plan_failure(options.fail_after);
        }
        World {
            options,
            now: SECOND,
            wall_offset: 1_700_000_000_000,
            queue: BinaryHeap::new(),
            sequence: 0,
            schedule: random.fork(),
            faults: random.fork(),
            disk,
            process: None,
            generation: 0,
            clients,
            client_random,
            wires: BTreeMap::new(),
            mesh_last: BTreeMap::new(),
            held: BTreeSet::new(),
            next_link: 0,
            topics: Vec::new(),
            history: History::default(),
            coverage: Coverage::default(),
            violations: Vec::new(),
            trace: 0,
            steps: 0,
            power_cuts: 0,
            was_full: false,
            start_crashes: 0,
            finishing: false,
            quiet: false,
            stopping: false,
            loud: std::env::var_os("RINGMAIN_LOUD").is_some(),
        }
    }

    fn time(&self) -> Now {
        let timestamp = Timestamp((self.now / MILLISECOND) as i64 + self.wall_offset);
        Now { instant: Instant(self.now), timestamp }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.loud {
            let what = what();
            println!("{:>12.6} {what}", self.now as f64 / SECOND as f64);
        }
    }

    fn note(&mut self, word: u64) {
        self.trace = (self.trace.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((time, self.sequence, event)));
    }

    fn after(&mut self, delay_max: u64, event: Event) {
        let time = self.now + self.schedule.between(0, delay_max);
        self.at(time, event);
    }

    fn run(&mut self) {
        self.at(self.now, Event::Start);
        for client in 0..self.clients.len() {
            self.after(100 * MILLISECOND, Event::Client(client));
        }
        self.plan_fault(self.options.crash_every, Event::Crash);
        self.plan_fault(self.options.full_every, Event::Full(true));
        self.plan_fault(self.options.jump_every, Event::Jump);
        self.at(self.now + self.options.workload, Event::Finish);
        if !self.run_until(|world| world.finishing) {
            return;
        }
        // Producers bring what they began to its end.
        let deadline = self.now + FINISH_MAX;
        let done = |world: &World| {
            world.process.is_some()
                && world.clients.iter().all(|client| match client {
                    Client::Producer(producer) => producer.is_done(true),
                    Client::Consumer(_) | Client::Admin(_) | Client::Committer(_) => true,
                })
        };
        if !self.run_until(|world| done(world) || deadline < world.now) {
            return;
        }
        if !done(self) {
            let standing = self.standing();
            return self.violation(format!("work is never brought to its end: {standing}"));
        }
        self.last_restart();
        if self.violations.is_empty() {
            self.drain();
        }
    }

    /// Runs until it is so; false if there is nothing to go on with.
    fn run_until(&mut self, mut done: impl FnMut(&World) -> bool) -> bool {
        while !done(self) {
            if !self.violations.is_empty() {
                return false;
            }
            let Some(Reverse((time, _, event))) = self.queue.pop() else {
                self.violation("nothing happens any more".to_owned());
                return false;
            };
            self.steps += 1;
            if self.steps > STEPS_MAX {
                self.violation(format!("the run does not end: {}", self.standing()));
                for hosted in self.process.iter().flat_map(|process| &process.shards) {
                    self.tell(|| format!("{:#?}", hosted.engine));
                }
                return false;
            }
            self.now = self.now.max(time);
            self.note(time);
            self.tell(|| format!("{event:?}"));
            self.happen(event);
        }
        true
    }

    /// What the producers wait for.
    fn standing(&self) -> String {
        let producers = self.clients.iter().filter_map(|client| match client {
            Client::Producer(producer) if !producer.is_done(true) => Some(producer.standing()),
            _ => None,
        });
        producers.collect::<Vec<_>>().join("; ")
    }

    fn plan_fault(&mut self, every: u64, event: Event) {
        if every > 0 {
            let delay = self.faults.between(1, 2 * every);
            self.at(self.now + delay, event);
        }
    }

    /// Ends the process one way or another, starts it again, and leaves it in peace.
    fn last_restart(&mut self) {
        self.quiet = true;
        self.disk.heal();
        let way = self.faults.below(4);
        if way == 0 {
            self.coverage.hit("a clean stop");
            self.stopping = true;
            let now = self.time();
            let count = self.process.as_ref().map_or(0, Process::shard_count);
            for shard in 0..count {
                if let Some(process) = &mut self.process {
                    process.shards[usize::from(shard)].engine.on_stop(now);
                }
                self.touched(shard);
            }
            let deadline = self.now + FINISH_MAX;
            self.run_until(|world| world.process.is_none() || deadline < world.now);
            if self.process.is_some() {
                return self.violation("a clean stop does not end".to_owned());
            }
        } else {
            let cuts = self.options.cuts.clone();
            let cut = cuts[self.faults.below(cuts.len() as u64) as usize];
            self.crash(cut);
        }
        self.run_until(|world| world.process.is_some());
    }

    fn drain(&mut self) {
        self.history.add(Seen::Drain);
        let options = ConsumerOptions {
            id: FINAL,
            version: 13,
            session: false,
            wait_ms_max: 10,
            bytes_min: 1,
            bytes_max: 1 << 20,
            partition_bytes_max: 1 << 20,
            pause_ms_max: 5,
            hang_up: 0,
        };
        self.clients.push(Client::Consumer(Consumer::new(options)));
        let random = self.faults.fork();
        self.client_random.push(random);
        let drainer = self.clients.len() - 1;
        self.at(self.now, Event::Client(drainer));
        let deadline = self.now + FINISH_MAX;
        let drained = |world: &World| match &world.clients[drainer] {
            Client::Consumer(consumer) => consumer.is_drained(),
            Client::Producer(_) | Client::Admin(_) | Client::Committer(_) => false,
        };
        self.run_until(|world| drained(world) || deadline < world.now);
        if self.violations.is_empty() && !drained(self) {
            let Client::Consumer(consumer) = &self.clients[drainer] else { return };
            let standing = consumer.standing();
            self.violation(format!("the end is never reached: {standing}"));
        }
    }

    fn happen(&mut self, event: Event) {
        let generation = self.generation;
        match event {
            Event::Client(client) => self.with_client(client, |client, desk| match client {
                Client::Producer(producer) => producer.on_wake(desk),
                Client::Consumer(consumer) => consumer.on_wake(desk),
                Client::Admin(admin) => admin.on_wake(desk),
                Client::Committer(committer) => committer.on_wake(desk),
            }),
            Event::Up(link) => self.on_up(link),
            Event::Down(link) => self.on_down(link),
            Event::Mesh(of, from, to) if of == generation => self.on_mesh(from, to),
            Event::JournalWritten(of, id) if of == generation => self.on_journal_written(id),
            Event::LateWrite(of, id) if of == generation => self.on_late_write(id),
            Event::JournalFile(of, id) if of == generation => self.on_journal_file(id),
            Event::Job(of, shard, directory) if of == generation => self.on_job(shard, directory),
            Event::Read(of, id) if of == generation => self.on_read(id),
            Event::Drain(of, shard) if of == generation => self.drain_actions(shard),
            Event::Time(of, shard) if of == generation => self.on_time(shard),
            Event::Crash => {
                if !self.quiet && self.process.is_some() && !self.finishing {
                    let cuts = self.options.cuts.clone();
                    let cut = cuts[self.faults.below(cuts.len() as u64) as usize];
                    self.crash(cut);
                }
                if !self.quiet {
                    self.plan_fault(self.options.crash_every, Event::Crash);
                }
            }
            Event::Start => self.start(),
            Event::Full(full) => {
                if full && self.finishing {
                    return;
                }
                self.disk.full = full;
                if full {
                    self.was_full = true;
                    self.coverage.hit("the disk is full for a while");
                    let length = self.faults.between(1, 2_000) * MILLISECOND;
                    self.at(self.now + length, Event::Full(false));
                } else {
                    self.plan_fault(self.options.full_every, Event::Full(true));
                }
            }
            Event::Jump => {
                self.coverage.hit("the wall clock jumps");
                let days = 24 * 3600 * 1000;
                let most = [200, 3_600_000, 400 * days][self.faults.below(3) as usize];
                let jump = self.faults.between(0, most) as i64;
                self.wall_offset += if self.faults.chance(1, 2) { jump } else { -jump };
                self.plan_fault(self.options.jump_every, Event::Jump);
            }
            Event::Finish => {
                self.finishing = true;
                self.disk.full = false;
            }
            // Of a process that is gone.
            _ => {}
        }
    }

    // Clients and the network.

    fn with_client(&mut self, index: usize, with: impl FnOnce(&mut Client, &mut Desk<'_>)) {
        let mut effects = Vec::new();
        let timestamp = self.time().timestamp;
        let mut desk = Desk {
            timestamp,
            random: &mut self.client_random[index],
            topics: &mut self.topics,
            history: &mut self.history,
            coverage: &mut self.coverage,
            violations: &mut self.violations,
            effects: &mut effects,
            next_link: &mut self.next_link,
            finishing: self.finishing,
            power_cuts: self.power_cuts,
            was_full: self.was_full,
        };
        with(&mut self.clients[index], &mut desk);
        self.note(index as u64);
        for effect in effects {
            self.carry_out_effect(index, effect);
        }
    }

    fn carry_out_effect(&mut self, client: usize, effect: Effect) {
        match effect {
            Effect::Wake(delay) => self.at(self.now + delay, Event::Client(client)),
            Effect::Connect(link) => {
                let count = self.process.as_ref().map_or(1, Process::shard_count);
                let wire = Wire {
                    client,
                    shard: self.schedule.below(count.into()) as u16,
                    generation: self.generation,
                    up: VecDeque::new(),
                    up_planned: false,
                    down: VecDeque::new(),
                    down_last: 0,
                    accepted: false,
                    server_gone: self.process.is_none() || self.stopping,
                    client_gone: false,
                    paused: false,
                };
                let refused = wire.server_gone;
                self.wires.insert(link, wire);
                if refused {
                    self.send_down(link, Sent::End);
                }
            }
            Effect::Send(link, frame) => self.send_up(link, Frame::Bytes(frame)),
            Effect::Close(link) => {
                if let Some(wire) = self.wires.get_mut(&link) {
                    wire.client_gone = true;
                    if self.schedule.chance(1, 2) {
                        // What is still under way is lost.
                        wire.up.clear();
                    }
                }
                self.send_up(link, Frame::End);
            }
        }
    }

    fn send_up(&mut self, link: LinkId, frame: Frame) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        if wire.server_gone {
            return;
        }
        wire.up.push_back(frame);
        self.plan_up(link);
    }

    /// The front of what a client sent is on its way, unless something is already or may not be.
    fn plan_up(&mut self, link: LinkId) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        let held = wire.paused && !matches!(wire.up.front(), Some(Frame::End));
        if wire.up_planned || wire.up.is_empty() || held {
            return;
        }
        wire.up_planned = true;
        self.after(self.options.network_delay, Event::Up(link));
    }

    fn on_up(&mut self, link: LinkId) {
        let now = self.time();
        let Some(wire) = self.wires.get_mut(&link) else { return };
        wire.up_planned = false;
        if wire.server_gone || wire.generation != self.generation {
            return;
        }
        let Some(process) = &mut self.process else { return };
        let shard = wire.shard;
        let engine = &mut process.shards[usize::from(shard)].engine;
        let is_end = matches!(wire.up.front(), Some(Frame::End));
        if wire.paused && !is_end {
            return;
        }
        if !is_end && !engine.may_read() {
            self.coverage.hit("sockets are not read");
            self.held.insert((shard, link));
            return;
        }
        let connection = ConnectionId(link.0);
        if !wire.accepted {
            let peer =
                SocketAddr::from(([10, 0, 0, wire.client as u8], 1000 + link.0 as u16 % 5000));
            if !engine.on_accept(connection, peer, now) {
                wire.server_gone = true;
                return self.send_down(link, Sent::End);
            }
            wire.accepted = true;
        }
        match wire.up.pop_front() {
            Some(Frame::Bytes(frame)) => {
                engine.on_progress(connection, frame.len() / 2, now);
                let crc = checksum(&frame);
                engine.on_frame(connection, frame, now);
                self.note(crc);
            }
            Some(Frame::End) => {
                wire.server_gone = true;
                engine.on_closed(connection, now);
            }
            None => {}
        }
        self.touched(shard);
        self.plan_up(link);
    }

    fn send_down(&mut self, link: LinkId, sent: Sent) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        wire.down.push_back(sent);
        let delay = self.schedule.between(0, self.options.network_delay);
        let time = wire.down_last.max(self.now + delay);
        wire.down_last = time;
        self.at(time, Event::Down(link));
    }

    fn on_down(&mut self, link: LinkId) {
        let now = self.time();
        let Some(wire) = self.wires.get_mut(&link) else { return };
        let (client, shard) = (wire.client, wire.shard);
        let Some(sent) = wire.down.pop_front() else { return };
        let gone = wire.client_gone;
        let Sent::Reply(parts) = sent else {
            self.wires.remove(&link);
            if !gone {
                self.client_closed(client, link);
            }
            return;
        };
        if !wire.server_gone
            && wire.generation == self.generation
            && let Some(process) = &mut self.process
        {
            process.shards[usize::from(shard)].engine.on_sent(ConnectionId(link.0), now);
            self.touched(shard);
        }
        let Some(reply) = self.assemble(parts) else {
            // The length was promised already: all that is left is to hang up.
            self.coverage.hit("a file range is gone when it is to be sent");
            return self.hang_up(link);
        };
        if !gone {
            self.note(checksum(&reply));
            self.with_client(client, |client, desk| match client {
                Client::Producer(producer) if producer.owns(link) => {
                    producer.on_reply(&reply, desk)
                }
                Client::Consumer(consumer) if consumer.owns(link) => {
                    consumer.on_reply(&reply, desk)
                }
                Client::Admin(admin) if admin.owns(link) => admin.on_reply(&reply, desk),
                Client::Committer(committer) if committer.owns(link) => {
                    committer.on_reply(&reply, desk);
                }
                _ => {}
            });
        }
    }

    fn client_closed(&mut self, client: usize, link: LinkId) {
        self.with_client(client, |client, desk| match client {
            Client::Producer(producer) if producer.owns(link) => producer.on_closed(desk),
            Client::Consumer(consumer) if consumer.owns(link) => consumer.on_closed(),
            Client::Admin(admin) if admin.owns(link) => admin.on_closed(),
            Client::Committer(committer) if committer.owns(link) => committer.on_closed(),
            _ => {}
        });
    }

    /// The host ends a connection by itself.
    fn hang_up(&mut self, link: LinkId) {
        let now = self.time();
        let Some(wire) = self.wires.get_mut(&link) else { return };
        let (client, shard, gone) = (wire.client, wire.shard, wire.client_gone);
        let tell = wire.accepted && !wire.server_gone && wire.generation == self.generation;
        self.wires.remove(&link);
        if tell && let Some(process) = &mut self.process {
            process.shards[usize::from(shard)].engine.on_closed(ConnectionId(link.0), now);
            self.touched(shard);
        }
        if !gone {
            self.client_closed(client, link);
        }
    }

    fn assemble(&self, parts: Vec<Part>) -> Option<Vec<u8>> {
        let mut reply = Vec::new();
        for part in parts {
            match part {
                Part::Bytes(bytes) => reply.extend_from_slice(&bytes),
                Part::File(inode, position, length) => {
                    let bytes = self.disk.read(inode, position, length);
                    if bytes.len() < length {
                        return None;
                    }
                    reply.extend_from_slice(&bytes);
                }
            }
        }
        Some(reply)
    }

    // The host of the shards.

    /// Facts reached a shard: its actions are drained now or a little later.
    fn touched(&mut self, shard: u16) {
        if self.options.turn == 0 {
            return self.drain_actions(shard);
        }
        let generation = self.generation;
        let Some(process) = &mut self.process else { return };
        let hosted = &mut process.shards[usize::from(shard)];
        if !hosted.drain_planned {
            hosted.drain_planned = true;
            self.after(self.options.turn, Event::Drain(generation, shard));
        }
    }

    fn drain_actions(&mut self, shard: u16) {
        let generation = self.generation;
        loop {
            let Some(process) = &mut self.process else { return };
            if generation != self.generation {
                return;
            }
            let hosted = &mut process.shards[usize::from(shard)];
            hosted.drain_planned = false;
            let Some(action) = hosted.engine.poll_action() else { break };
            self.carry_out(shard, action);
        }
        self.read_again(shard);
        self.plan_time(shard);
        self.stop_if_stopped();
    }

    /// Reads what was held back, if there is memory for it now.
    fn read_again(&mut self, shard: u16) {
        let hosted = self.process.as_ref().and_then(|p| p.shards.get(usize::from(shard)));
        if !hosted.is_some_and(|hosted| hosted.engine.may_read()) {
            return;
        }
        let held: Vec<_> = self.held.iter().filter(|(of, _)| *of == shard).copied().collect();
        for (of, link) in held {
            self.held.remove(&(of, link));
            self.plan_up(link);
        }
    }

    fn plan_time(&mut self, shard: u16) {
        let generation = self.generation;
        let Some(process) = &mut self.process else { return };
        let hosted = &mut process.shards[usize::from(shard)];
        let Some(deadline) = hosted.engine.next_deadline() else { return };
        if hosted.wake.is_none_or(|wake| deadline < wake) {
            hosted.wake = Some(deadline);
            let late = self.schedule.below(100_000);
            self.at(deadline.0.max(self.now) + late, Event::Time(generation, shard));
        }
    }

    fn on_time(&mut self, shard: u16) {
        let now = self.time();
        let Some(process) = &mut self.process else { return };
        let hosted = &mut process.shards[usize::from(shard)];
        if hosted.wake.is_none_or(|wake| now.instant < wake) {
            return;
        }
        hosted.wake = None;
        hosted.engine.on_time(now);
        let again = hosted.engine.next_deadline().is_some_and(|next| next <= now.instant);
        hosted.spins = if again { hosted.spins + 1 } else { 0 };
        if hosted.spins > 1_000 {
            self.violation(format!("shard {shard} asks for a time that has passed, forever"));
        }
        self.touched(shard);
    }

    fn stop_if_stopped(&mut self) {
        let all = |process: &Process| process.shards.iter().all(|hosted| hosted.stopped);
        if self.stopping && self.process.as_ref().is_some_and(all) {
            // The machine may be switched off now.
            let cut = if self.faults.chance(1, 2) { Cut::PowerNothing } else { Cut::Kill };
            self.crash(cut);
        }
    }

    fn carry_out(&mut self, shard: u16, action: Action<Message>) {
        self.tell(|| format!("    shard {shard}: {action:?}"));
        match action {
            Action::Reply { connection, reply } => self.reply(shard, connection, reply),
            Action::Pause(connection) => self.pause(shard, connection, true),
            Action::Resume(connection) => self.pause(shard, connection, false),
            Action::Close { connection, flush } => self.close(connection, flush),
            Action::Message { to, message } => self.send_message(shard, to, message),
            Action::Journal(lane, action) => self.journal(shard, lane, action),
            Action::File(job) => self.file(shard, job),
            Action::Stopped => {
                if let Some(process) = &mut self.process {
                    process.shards[usize::from(shard)].stopped = true;
                }
            }
            Action::Fatal(Fatal::Disk(error)) => {
                if !self.disk.failed {
                    self.violation(format!("shard {shard} dies of {error:?}"));
                }
                self.coverage.hit("a process ends for a disk failure");
                self.disk.failed = false;
                self.crash(Cut::Kill);
            }
            Action::Fatal(Fatal::Corrupt(reason)) => {
                self.violation(format!("shard {shard} dies of {reason}"));
            }
        }
    }

    /// The wire of a connection that a shard speaks of.
    fn wire_of(&mut self, shard: u16, connection: ConnectionId, what: &str) -> Option<&mut Wire> {
        let link = LinkId(connection.0);
        let known = self.wires.get(&link);
        if known.is_some_and(|wire| wire.shard != shard || !wire.accepted) {
            self.violation(format!("shard {shard}: {what} for a connection that is not its own"));
        }
        // Ended by the client, and the actions were decided upon before that was known.
        self.wires.get_mut(&link).filter(|wire| !wire.server_gone)
    }

    fn reply(&mut self, shard: u16, connection: ConnectionId, reply: Reply) {
        let link = LinkId(connection.0);
        if self.wire_of(shard, connection, "a reply").is_none() {
            return;
        }
        let mut parts = Vec::new();
        for piece in reply.pieces {
            match piece {
                Piece::Bytes(bytes) => parts.push(Part::Bytes(bytes)),
                Piece::File(range) => {
                    self.coverage.hit("a reply carries a range of a file");
                    // Its owner's side knows which content has the plain name now.
                    let path = self.process.as_ref().map(|process| {
                        let owner = range.directory.at.shard(process.shard_count());
                        process.files[usize::from(owner.0)].segment_path(&range)
                    });
                    let Some(inode) = path.and_then(|path| self.disk.find(&path)) else {
                        self.coverage.hit("a file is gone when it is to be sent");
                        return self.hang_up(link);
                    };
                    let length = range.length as usize;
                    parts.push(Part::File(inode, range.position.into(), length));
                }
            }
        }
        self.send_down(link, Sent::Reply(parts));
    }

    fn pause(&mut self, shard: u16, connection: ConnectionId, paused: bool) {
        if paused {
            self.coverage.hit("a connection is paused");
        }
        if let Some(wire) = self.wire_of(shard, connection, "a pause") {
            wire.paused = paused;
            self.plan_up(LinkId(connection.0));
        }
    }

    fn close(&mut self, connection: ConnectionId, flush: bool) {
        self.coverage.hit("the broker closes a connection");
        let link = LinkId(connection.0);
        let now = self.time();
        let Some(wire) = self.wires.get_mut(&link) else { return };
        if wire.server_gone {
            return;
        }
        wire.server_gone = true;
        if !flush {
            wire.down.clear();
        }
        let shard = wire.shard;
        self.send_down(link, Sent::End);
        if let Some(process) = &mut self.process {
            process.shards[usize::from(shard)].engine.on_closed(connection, now);
        }
    }

    fn send_message(&mut self, from: u16, to: ShardId, message: Message) {
        let generation = self.generation;
        let Some(process) = &mut self.process else { return };
        assert!(to.0 != from && to.0 < process.shard_count());
        process.mesh.entry((from, to.0)).or_default().push_back(message);
        let delay = self.schedule.between(0, self.options.mesh_delay);
        let last = self.mesh_last.entry((from, to.0)).or_default();
        let time = (*last).max(self.now + delay);
        *last = time;
        self.at(time, Event::Mesh(generation, from, to.0));
    }

    fn on_mesh(&mut self, from: u16, to: u16) {
        let now = self.time();
        let Some(process) = &mut self.process else { return };
        let message = process.mesh.get_mut(&(from, to)).and_then(VecDeque::pop_front);
        if let Some(message) = message {
            process.shards[usize::from(to)].engine.on_message(ShardId(from), message, now);
            self.coverage.hit("messages between shards");
            self.touched(to);
        }
    }

    fn journal(&mut self, shard: u16, lane: journal::Lane, action: journal::Action) {
        let generation = self.generation;
        let Some(process) = &mut self.process else { return };
        let id = process.operation();
        match action {
            journal::Action::PrepareFile { slot, file, create, header } => {
                self.coverage.hit(if create {
                    "a journal file is made"
                } else {
                    "a journal file is recycled"
                });
                let preparation = JournalPreparation { shard, lane, slot, file, create, header };
                process.preparations.insert(id, preparation);
                self.after(self.options.file_delay, Event::JournalFile(generation, id));
            }
            journal::Action::Write { slot, position, group, buffer, .. } => {
                self.coverage.hit("journal groups");
                let inode = process.journal_files[&(shard, lane, slot)];
                let write = JournalWrite { shard, lane, group, buffer, inode, position };
                process.journal_writes.insert(id, write);
                self.after(self.options.journal_delay, Event::JournalWritten(generation, id));
            }
        }
    }

    fn on_journal_file(&mut self, id: u64) {
        let now = self.time();
        let Some(process) = &mut self.process else { return };
        let Some(preparation) = process.preparations.remove(&id) else { return };
        let JournalPreparation { shard, lane, slot, file, create, header } = preparation;
        let path = files::journal_path(process.incarnation, lane, ShardId(shard), slot);
        let file_bytes = self.options.boot.journal_file_bytes;
        let made = files::prepare_journal_file(
            &mut self.disk,
            &path,
            create,
            file_bytes,
            header.as_slice(),
        );
        let result = made.map_err(|fault| disk_error(&path, &fault)).map(|inode| {
            process.journal_files.insert((shard, lane, slot), inode);
        });
        process.shards[usize::from(shard)].engine.on_journal_file(lane, file, result, now);
        self.touched(shard);
    }

    fn on_journal_written(&mut self, id: u64) {
        let generation = self.generation;
        let now = self.time();
        let Some(process) = &mut self.process else { return };
        let Some(write) = process.journal_writes.remove(&id) else { return };
        let JournalWrite { shard, lane, group, buffer, inode, position } = write;
        let through =
            lane == journal::Lane::Flushed && self.options.mutant != Some(Mutant::NoFlush);
        let bytes = buffer.as_slice();
        let result = if self.options.mutant == Some(Mutant::EarlyAck) {
            let late = LateWrite { inode, position, bytes: bytes.to_vec() };
            let id = process.operation();
            process.late_writes.insert(id, late);
            let delay = 5 * self.options.journal_delay;
            let time = self.now + self.schedule.between(0, delay);
            self.sequence += 1;
            self.queue.push(Reverse((time, self.sequence, Event::LateWrite(generation, id))));
            Ok(())
        } else {
            let written = self.disk.complete(inode, position, bytes, through);
            written.map_err(|fault| disk_error("a journal group", &fault))
        };
        let engine = &mut process.shards[usize::from(shard)].engine;
        engine.on_journal_written(lane, group, buffer, result, now);
        self.touched(shard);
    }

    fn on_late_write(&mut self, id: u64) {
        let Some(process) = &mut self.process else { return };
        if let Some(LateWrite { inode, position, bytes }) = process.late_writes.remove(&id) {
            let _ = self.disk.complete(inode, position, &bytes, true);
        }
    }

    fn file(&mut self, shard: u16, job: FileJob) {
        let generation = self.generation;
        self.coverage.hit(match &job.work {
            FileWork::Write { write, .. } if write.create => "a segment is made",
            FileWork::Write { write, .. } if write.seals => "a segment is closed",
            FileWork::Write { .. } => "segment writes",
            FileWork::Flush { .. } => "segment flushes",
            FileWork::ReadIndexes { .. } => "indexes are read",
            FileWork::WriteIndexes { .. } => "indexes are made again",
            FileWork::Read { .. } => "segments are read",
            FileWork::DeleteSegments { .. } => "segments are deleted",
            FileWork::DeleteDirectory { .. } => "a partition is deleted",
            FileWork::WriteCheckpoint { .. } => "checkpoints",
            FileWork::AppendCatalog { .. } => "catalog appends",
            FileWork::WriteCatalogSnapshot { .. } => "catalog snapshots",
            FileWork::DeleteOldJournals => "old journals are dropped",
            FileWork::Clean { .. } => "slices of compaction",
            FileWork::Exchange { .. } => "compacted segments are put in place",
            FileWork::DropReplaced { .. } => "replaced segments are deleted",
            FileWork::DropCleaned { .. } => "a compaction is given up",
            FileWork::Space => "space is asked for",
            FileWork::Inspect(_) => "batches are looked into",
        });
        let Some(process) = &mut self.process else { return };
        if let FileWork::Read { .. } | FileWork::Inspect(_) = job.work {
            let id = process.operation();
            process.reads.insert(id, (shard, job));
            return self.after(self.options.file_delay, Event::Read(generation, id));
        }
        let directory = files::directory_of(&job.work);
        let queue = process.jobs.entry((shard, directory)).or_default();
        queue.push_back(job);
        if queue.len() == 1 {
            self.after(self.options.file_delay, Event::Job(generation, shard, directory));
        }
    }

    fn on_job(&mut self, shard: u16, directory: Directory) {
        let generation = self.generation;
        let now = self.time();
        let Some(process) = &mut self.process else { return };
        let queue = process.jobs.entry((shard, directory)).or_default();
        let Some(job) = queue.pop_front() else { return };
        let more = !queue.is_empty();
        let incarnation = process.incarnation;
        let files = &mut process.files[usize::from(shard)];
        let done = files.carry_out(&mut self.disk, ShardId(shard), incarnation, job.work);
        let result = done.map_err(|fault| disk_error(&format!("{directory:?}"), &fault));
        process.shards[usize::from(shard)].engine.on_file(job.id, result, now);
        if more {
            self.after(self.options.file_delay, Event::Job(generation, shard, directory));
        }
        self.touched(shard);
    }

    fn on_read(&mut self, id: u64) {
        let now = self.time();
        let Some(process) = &mut self.process else { return };
        let Some((shard, job)) = process.reads.remove(&id) else { return };
        let incarnation = process.incarnation;
        let files = &mut process.files[usize::from(shard)];
        let done = files.carry_out(&mut self.disk, ShardId(shard), incarnation, job.work);
        let result = done.map_err(|fault| disk_error("reading", &fault));
        process.shards[usize::from(shard)].engine.on_file(job.id, result, now);
        self.touched(shard);
    }

    // Crashes and starts.

    fn crash(&mut self, cut: Cut) {
        let Some(process) = self.process.take() else { return };
        self.coverage.hit(if cut.is_power() { "a power cut" } else { "a kill" });
        self.generation += 1;
        self.tell(|| format!("==== {cut:?}"));
        self.note(cut as u64);
        let delay = self.options.ghost_delay;
        let late = process.die(&mut self.disk, &mut self.faults, delay);
        if !cut.is_power() {
            self.coverage.add("writes that land after the death of their process", late);
        }
        // Replies that had left reach their clients, or some of them do.
        for link in self.wires.keys().copied().collect::<Vec<_>>() {
            let arriving = self.wires.get(&link).map_or(0, |wire| wire.down.len() as u64);
            for _ in 0..self.schedule.below(arriving + 1) {
                self.on_down(link);
            }
        }
        self.disk.cut(cut);
        if cut.is_power() {
            self.power_cuts += 1;
            self.history.add(Seen::PowerCut);
        }
        self.mesh_last.clear();
        self.held.clear();
        self.stopping = false;
        for (link, wire) in std::mem::take(&mut self.wires) {
            if !wire.client_gone {
                self.client_closed(wire.client, link);
            }
        }
        self.after(300 * MILLISECOND, Event::Start);
    }

    fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        let odds = self.options.boot_crash;
        let calm = self.quiet || self.finishing || self.start_crashes >= START_CRASHES_MAX;
        if !calm && odds > 0 && self.faults.chance(1, odds) {
            let after = self.faults.below(120);
            self.disk.plan_crash(Some(after));
        }
        if self.options.reshard > 0 && self.faults.chance(1, self.options.reshard) {
            self.coverage.hit("a start with another number of shards");
            self.options.boot.shard_count = self.faults.between(1, 4) as u16;
        }
        let now = self.time();
        let booted = boot(&mut self.disk, &self.options.boot, now);
        self.disk.plan_crash(None);
        match booted {
            Ok(booted) => self.started(booted, now),
            Err(BootFault::Refused(reason)) => {
                self.violation(format!("the broker does not start: {reason}"));
            }
            Err(BootFault::Disk(DiskFault::Crashed)) => {
                self.coverage.hit("a crash during a start");
                self.start_crashes += 1;
                let cuts = &self.options.cuts;
                let cut = cuts[self.faults.below(cuts.len() as u64) as usize];
                self.disk.cut(cut);
                if cut.is_power() {
                    self.power_cuts += 1;
                    self.history.add(Seen::PowerCut);
                }
                self.after(100 * MILLISECOND, Event::Start);
            }
            Err(BootFault::Disk(fault @ (DiskFault::Full | DiskFault::Broken))) => {
                let expected = self.disk.full || std::mem::take(&mut self.disk.failed);
                if !expected {
                    self.violation(format!("the broker does not start: {fault}"));
                }
                self.coverage.hit("a start fails for want of a working disk");
                self.disk.cut(Cut::Kill);
                self.after(100 * MILLISECOND, Event::Start);
            }
            Err(BootFault::Disk(fault)) => {
                self.violation(format!("the broker does not start: {fault}"));
            }
        }
    }

    fn started(&mut self, booted: super::boot::Booted, now: Now) {
        let report = &booted.report;
        self.tell(|| format!("==== started {:?} {report:?}", booted.incarnation));
        self.coverage.hit("starts");
        self.start_crashes = 0;
        self.coverage.add("journal entries are replayed", report.entries as u64);
        self.coverage
            .add("journals are read as far as an earlier start did", report.limited as u64);
        self.coverage.add("files are cut at a start", report.truncated as u64);
        self.coverage.add("files are removed at a start", report.deleted as u64);
        self.coverage.add("indexes are rebuilt", report.rebuilt as u64);
        self.coverage.add("a start puts compacted files in place", report.adopted as u64);
        self.coverage.add("a start drops compacted files", report.discarded as u64);
        self.coverage.add("unflushed groups are lost", report.unflushed_lost as u64);
        self.coverage.add("partitions with a gap", report.notes.len() as u64);
        let image = booted.seeds.first().map(|seed| seed.image.clone());
        for RecoveryNote::UnflushedLost { directory, .. } in &booted.report.notes {
            let topic = directory.rsplit_once('-').map_or("", |(topic, _)| topic);
            let durable = self.topics.iter().any(|t| t.name == topic && t.promise.durable);
            if durable || self.power_cuts == 0 {
                self.violations.push(format!("{directory} has lost records"));
            }
        }
        if let Some(image) = image.filter(|_| self.topics.is_empty()) {
            for topic in image.topics.iter() {
                let known = KnownTopic::new(topic, false);
                for partition in 0..known.partitions {
                    self.history.promises.insert(known.at(partition), known.promise);
                }
                self.topics.push(known);
            }
        }
        let mut process = Process::new(booted.incarnation, booted.seeds, now);
        for files in &mut process.files {
            files.cleans_without_flush = self.options.mutant == Some(Mutant::UnflushedCleaning);
        }
        self.process = Some(process);
        let count = self.process.as_ref().map_or(0, Process::shard_count);
        for shard in 0..count {
            self.touched(shard);
        }
    }
}

fn disk_error(operation: &str, fault: &DiskFault) -> DiskError {
    let full = *fault == DiskFault::Full;
    DiskError { operation: operation.to_owned(), reason: fault.to_string(), full, starved: false }
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

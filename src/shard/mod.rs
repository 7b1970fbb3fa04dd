//! One core's machines composed: its connections and their requests, the partitions it owns, and
//! on the first shard the controller. Events in, ordered actions out; see [`engine`] for both.
//!
//! It knows no socket, file, thread or clock. Invariants: what one event causes is put out before
//! the next event is taken in; messages between two shards arrive in the order they were sent, so
//! the batches of one connection reach a partition in the order of their requests.

mod connections;
mod controller;
pub mod directories;
pub mod engine;
mod message;
mod outbox;
pub mod owner;
pub mod recovery;
mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;

use crate::api::command::{Command, CommandOutcome};
use crate::api::work::{Answers, Question};
use crate::api::{self, Context, Next, NoProducerId, Pending, ProducerIds};
use crate::catalog::{Catalog, Image, StaticConfigs, TopicConfig, TopicCreation};
use crate::fetch::SessionCache;
use crate::ids::{ConnectionId, NodeId, ProducerId, ShardId, TopicId};
use crate::journal;
use crate::limits::{FETCH_SESSION_PARTITIONS_MAX, WAKE_COST, WAKE_WORK_PER_TURN};
use crate::stdx::few::Few;
use crate::stdx::prng::Prng;
use crate::time::{Instant, Now, earlier};

use connections::Connections;
use controller::{Controller, Directive};
use engine::{Action, DiskError, Engine, FileOutcome, JobId};
use outbox::Outbox;
use owner::{Owner, OwnerOptions, RestoredPartition};
use requests::Requests;

pub use connections::{ConnectionLimits, Unwelcome};
pub use message::{CONTROLLER, Message, RequestId};

/// What a shard is told at start.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// The part of its partitions.
    pub owner: OwnerOptions,
    /// The part of its connections.
    pub connections: ConnectionLimits,
    /// This shard's share of `queued.max.request.bytes`: with so many bytes of requests at hand
    /// nothing more is read.
    pub queued_bytes_max: usize,
    /// This broker.
    pub node: NodeId,
    /// The data directory, as clients are told.
    pub log_dir: String,
    /// `auto.create.topics.enable`
    pub auto_create: bool,
    /// How `__consumer_offsets` is created.
    pub offsets_topic: TopicCreation,
    /// `fetch.max.bytes`
    pub fetch_bytes_max: usize,
    /// `max.incremental.fetch.session.cache.slots`, this shard's share.
    pub fetch_sessions_max: usize,
}

/// What a shard starts from. It can be sent to the thread that will run the shard.
#[derive(Debug)]
pub struct ShardSeed {
    /// See there.
    pub options: ShardOptions,
    /// The catalog at start.
    pub image: Arc<Image>,
    /// Configs given at start.
    pub statics: Arc<StaticConfigs>,
    /// Its partitions as found on disk.
    pub partitions: Vec<RestoredPartition>,
    /// On the controller's shard, the catalog, the size of its log in bytes, and a seed for topic
    /// ids.
    pub controller: Option<(Catalog, usize, u64)>,
}

/// See the module.
#[derive(Debug)]
pub struct Shard {
    options: ShardOptions,
    image: Arc<Image>,
    statics: Arc<StaticConfigs>,
    configs: BTreeMap<TopicId, Arc<TopicConfig>>,
    connections: Connections,
    requests: Requests,
    sessions: SessionCache,
    producer_ids: ProducerIds,
    owner: Owner,
    controller: Option<Controller>,
    outbox: Outbox,
    /// What waking long polls this turn may still do.
    wake_allowance: usize,
    /// Requests that wait for a producer id.
    waiting_for_ids: VecDeque<RequestId>,
    /// The request for a new block of them, if one is under way.
    id_block_request: Option<RequestId>,
    /// The newest version whose directories are still being cleared away before it can be said
    /// that it is applied.
    applying: Option<u64>,
    /// The time of the newest event.
    turn: Now,
    settled: bool,
    stopping: bool,
    stopped: bool,
}

impl Shard {
    /// Starts from a seed.
    #[must_use]
    pub fn new(seed: ShardSeed, now: Now) -> Shard {
        let ShardSeed { options, image, statics, partitions, controller } = seed;
        let configs = effective(&image, &statics, &BTreeMap::new(), None);
        let owner = Owner::new(options.owner.clone(), &image, &configs, partitions, now);
        let shard_count = options.owner.shard_count;
        let controller = controller.map(|(catalog, log_bytes, seed)| {
            Controller::new(catalog, shard_count, log_bytes, Prng::new(seed))
        });
        Shard {
            connections: Connections::new(options.connections.clone()),
            requests: Requests::default(),
            sessions: SessionCache::new(
                options.owner.shard,
                options.fetch_sessions_max,
                FETCH_SESSION_PARTITIONS_MAX,
            ),
            producer_ids: ProducerIds::default(),
            owner,
            controller,
            outbox: Outbox::default(),
            wake_allowance: WAKE_WORK_PER_TURN,
            waiting_for_ids: VecDeque::new(),
            id_block_request: None,
            applying: None,
            turn: now,
            settled: false,
            stopping: false,
            stopped: false,
            image,
            statics,
            configs,
            options,
        }
    }

    fn id(&self) -> ShardId {
        self.options.owner.shard
    }
}

impl Shard {
    /// Runs `with` on the api's view of this shard.
    fn api<R>(&mut self, now: Now, with: impl FnOnce(&Context<'_>, &mut SessionCache) -> R) -> R {
        let context = Context {
            image: &self.image,
            statics: &self.statics,
            configs: &self.configs,
            node: self.options.node,
            shard_count: self.options.owner.shard_count,
            log_dir: &self.options.log_dir,
            auto_create: self.options.auto_create,
            offsets_topic: &self.options.offsets_topic,
            fetch_bytes_max: self.options.fetch_bytes_max,
            now,
        };
        with(&context, &mut self.sessions)
    }

    /// Carries out what follows from a new request.
    fn begun(&mut self, connection: ConnectionId, next: Next, bytes: usize, now: Now) {
        let id = self.requests.next_id();
        match next {
            Next::Nothing => {}
            Next::Close(reason) => self.close(connection, &reason, true, now),
            Next::Reply(reply) => {
                self.owe(connection, id);
                self.release(connection, id, reply, now);
            }
            Next::Ask { pending, questions, silent } => {
                if !silent {
                    self.owe(connection, id);
                }
                // The batches in it are needed until the owners have answered. What a fetch asks
                // for has been taken out of its frame.
                if matches!(pending, Pending::Produce(_)) {
                    self.requests.hold(id, bytes);
                }
                self.requests.insert(id, connection, pending);
                self.ask(id, questions, now);
            }
            Next::Change { pending, command } => {
                self.owe(connection, id);
                self.requests.insert(id, connection, pending);
                self.command(id, command);
            }
            Next::ProducerId { pending } => {
                self.owe(connection, id);
                self.requests.insert(id, connection, pending);
                self.give_producer_id(id, now);
            }
            Next::Watch { .. } => panic!("a new request has read nothing yet"),
        }
    }

    /// Carries out what follows for a request that was waiting.
    fn proceed(&mut self, id: RequestId, next: Next, now: Now) {
        match next {
            Next::Reply(reply) => {
                if let Some(request) = self.retire(id) {
                    self.release(request, id, reply, now);
                }
            }
            Next::Nothing => drop(self.retire(id)),
            Next::Close(reason) => {
                if let Some(connection) = self.retire(id) {
                    self.close(connection, &reason, true, now);
                }
            }
            Next::Watch { partitions, bytes, deadline } => {
                self.requests.set_deadline(id, Some(deadline));
                let count = self.options.owner.shard_count;
                let shares = requests::by_shard(
                    partitions.into_iter().map(|(at, seen)| (at.shard(count), (at, seen))),
                );
                if let Some(request) = self.requests.get_mut(id) {
                    request.watchers = shares.iter().map(|(shard, _)| *shard).collect();
                }
                for (shard, partitions) in shares {
                    if shard == self.id() {
                        self.owner.on_watch(shard, id, &partitions, bytes, &mut self.outbox);
                    } else {
                        self.tell(shard, Message::Watch { request: id, partitions, bytes });
                    }
                }
            }
            Next::Ask { .. } | Next::Change { .. } | Next::ProducerId { .. } => {
                panic!("only a new request asks")
            }
        }
    }

    fn owe(&mut self, connection: ConnectionId, id: RequestId) {
        if self.connections.owe(connection, id) {
            self.outbox.actions.push_back(Action::Pause(connection));
        }
    }

    fn release(&mut self, connection: ConnectionId, id: RequestId, reply: engine::Reply, now: Now) {
        let actions = &mut self.outbox.actions;
        self.connections.ready(connection, id, reply, now.instant, |reply| {
            actions.push_back(Action::Reply { connection, reply });
        });
    }

    /// Forgets a request, and lets go of whatever waits for it elsewhere.
    fn retire(&mut self, id: RequestId) -> Option<ConnectionId> {
        self.unwatch(id);
        self.requests.let_go(id);
        self.requests.remove(id).map(|request| request.connection)
    }

    fn unwatch(&mut self, id: RequestId) {
        for shard in self.requests.take_watchers(id) {
            if shard == self.id() {
                self.owner.on_unwatch(shard, id);
            } else {
                self.tell(shard, Message::Unwatch { request: id });
            }
        }
    }

    /// `flush`: whoever still reads gets what was handed over.
    fn close(&mut self, connection: ConnectionId, reason: &str, flush: bool, now: Now) {
        if let Some(peer) = self.connections.peer(connection) {
            tracing::warn!(%peer, reason, "closing connection");
            self.outbox.actions.push_back(Action::Close { connection, flush });
            self.forget(connection, now);
        }
    }

    fn forget(&mut self, connection: ConnectionId, _now: Now) {
        for id in self.connections.closed(connection) {
            self.retire(id);
        }
    }

    fn tell(&mut self, to: ShardId, message: Message) {
        assert!(to != self.id(), "a shard does not write to itself");
        self.outbox.actions.push_back(Action::Message { to, message });
    }

    fn ask(&mut self, id: RequestId, questions: Few<(ShardId, Question)>, now: Now) {
        for (shard, question) in questions {
            if shard == self.id() {
                self.owner.on_question(shard, id, question, now, &mut self.outbox);
            } else {
                self.tell(shard, Message::Ask { request: id, question });
            }
        }
    }

    fn command(&mut self, id: RequestId, command: Command) {
        let this = self.id();
        match &mut self.controller {
            Some(controller) => controller.on_command(this, id, command, &mut self.outbox),
            None => self.tell(CONTROLLER, Message::Command { request: id, command }),
        }
    }

    fn on_answers(&mut self, id: RequestId, answers: Answers, now: Now) {
        // Whoever asked may be gone; then so is the request.
        let Some(request) = self.requests.remove(id) else { return };
        let requests::Request { connection, mut pending, .. } = request;
        let next =
            self.api(now, |context, sessions| pending.on_answers(answers, context, sessions));
        self.requests.insert(id, connection, pending);
        if let Some(next) = next {
            self.proceed(id, next, now);
        }
    }

    /// A watched partition moved, or the wait is over.
    fn read_again(&mut self, id: RequestId, now: Now) {
        self.unwatch(id);
        let count = self.options.owner.shard_count;
        let Some(request) = self.requests.get_mut(id) else { return };
        let Pending::Fetch(fetch) = &mut request.pending else {
            panic!("only a fetch watches");
        };
        if fetch.is_reading() {
            return;
        }
        let cost = WAKE_COST + fetch.partition_count();
        self.wake_allowance = self.wake_allowance.saturating_sub(cost);
        let questions = fetch.read_again(count, now.instant);
        self.requests.set_deadline(id, None);
        self.ask(id, questions, now);
    }

    fn on_outcome(&mut self, id: RequestId, outcome: CommandOutcome, now: Now) {
        if self.id_block_request == Some(id) {
            self.id_block_request = None;
            return self.on_id_block(&outcome, now);
        }
        let Some(request) = self.requests.remove(id) else { return };
        let requests::Request { connection, mut pending, .. } = request;
        let next = self.api(now, |context, _| pending.on_outcome(outcome, context));
        self.requests.insert(id, connection, pending);
        self.proceed(id, next, now);
    }

    /// Gives a waiting request its producer id, or asks the controller for more of them.
    fn give_producer_id(&mut self, id: RequestId, now: Now) {
        if let Some(producer) = self.producer_ids.take() {
            return self.answer_producer_id(id, Ok(producer), now);
        }
        self.waiting_for_ids.push_back(id);
        if self.id_block_request.is_none() {
            let block = self.requests.next_id();
            self.id_block_request = Some(block);
            self.command(block, Command::AllocateProducerIds { count: ProducerIds::BLOCK_COUNT });
        }
    }

    fn on_id_block(&mut self, outcome: &CommandOutcome, now: Now) {
        let granted = match outcome {
            CommandOutcome::ProducerIds(Ok(block)) => {
                self.producer_ids.refill(block.first, block.count);
                true
            }
            _ => false,
        };
        for id in std::mem::take(&mut self.waiting_for_ids) {
            if granted {
                self.give_producer_id(id, now);
            } else {
                self.answer_producer_id(id, Err(NoProducerId), now);
            }
        }
    }

    fn answer_producer_id(
        &mut self,
        id: RequestId,
        producer: Result<ProducerId, NoProducerId>,
        now: Now,
    ) {
        let Some(request) = self.requests.get_mut(id) else { return };
        let next = request.pending.on_producer_id(producer);
        self.proceed(id, next, now);
    }

    /// The catalog changed: serves by it, and says so once nothing of the old is in the way.
    fn on_image(&mut self, image: Arc<Image>, now: Now) {
        if image.version <= self.image.version {
            return;
        }
        let before = std::mem::take(&mut self.configs);
        self.configs = effective(&image, &self.statics, &before, Some(&self.image));
        self.image = image;
        self.owner.on_image(&self.image, &self.configs, now, &mut self.outbox);
        self.applying = Some(self.image.version);
        self.say_applied();
    }

    fn say_applied(&mut self) {
        let Some(version) = self.applying.filter(|v| self.owner.directories_dropped(*v)) else {
            return;
        };
        self.applying = None;
        let this = self.id();
        match &mut self.controller {
            Some(controller) => controller.on_applied(this, version, &mut self.outbox),
            None => self.tell(CONTROLLER, Message::ImageApplied { version }),
        }
    }

    /// Carries on until nothing that happened here causes anything more here.
    fn settle(&mut self, now: Now) {
        self.turn = now;
        self.owner.retry_stalled(now, &mut self.outbox);
        loop {
            if let Some((to, request, answers)) = self.outbox.answers.pop_front() {
                if to == self.id() {
                    self.on_answers(request, answers, now);
                } else {
                    self.tell(to, Message::Answer { request, answers });
                }
            } else if self.wake_allowance > 0
                && let Some((to, request)) = self.outbox.wakes.pop_front()
            {
                if to == self.id() {
                    self.read_again(request, now);
                } else {
                    self.wake_allowance = self.wake_allowance.saturating_sub(WAKE_COST);
                    self.tell(to, Message::Wake { request });
                }
            } else if let Some(directive) =
                self.controller.as_mut().and_then(Controller::poll_directive)
            {
                self.direct(directive, now);
            } else {
                break;
            }
        }
        if !self.settled && self.owner.is_settled() {
            self.settled = true;
            let this = self.id();
            match &mut self.controller {
                Some(controller) => controller.on_settled(this),
                None => self.tell(CONTROLLER, Message::Settled),
            }
            return self.settle(now);
        }
        if self.owner.is_stopped() && !self.stopped {
            self.stopped = true;
            self.outbox.actions.push_back(Action::Stopped);
        }
    }

    fn direct(&mut self, directive: Directive, now: Now) {
        match directive {
            Directive::Spread(image) => {
                for shard in (0..self.options.owner.shard_count).map(ShardId) {
                    if shard != self.id() {
                        self.tell(shard, Message::Image(image.clone()));
                    }
                }
                self.on_image(image, now);
            }
            Directive::Answer(to, request, outcome) if to == self.id() => {
                self.on_outcome(request, outcome, now);
            }
            Directive::Answer(to, request, outcome) => {
                self.tell(to, Message::CommandDone { request, outcome });
            }
            Directive::DropOldJournals => self.owner.drop_old_journals(&mut self.outbox),
        }
    }

    fn refuse(&mut self, connection: ConnectionId, peer: SocketAddr, why: Unwelcome) {
        // A flood of connections must not become a flood of log lines.
        tracing::debug!(%peer, ?why, %connection, "connection refused");
    }
}

impl Engine for Shard {
    type Message = Message;

    fn on_accept(&mut self, connection: ConnectionId, peer: SocketAddr, now: Now) -> bool {
        if self.stopping {
            return false;
        }
        match self.connections.accept(connection, peer, now.instant) {
            Ok(()) => true,
            Err(why) => {
                self.refuse(connection, peer, why);
                false
            }
        }
    }

    fn on_frame(&mut self, connection: ConnectionId, frame: BytesMut, now: Now) {
        let Some(peer) = self.connections.peer(connection) else { return };
        self.connections.frame(connection, now.instant);
        let bytes = frame.len();
        match self.api(now, |context, sessions| api::begin(frame, peer.ip(), context, sessions)) {
            Ok(next) => self.begun(connection, next, bytes, now),
            Err(bad) => self.close(connection, &bad.to_string(), true, now),
        }
        self.settle(now);
    }

    fn on_bad_frame(&mut self, connection: ConnectionId, length: i32, now: Now) {
        self.close(connection, &format!("no request has a length of {length} bytes"), true, now);
    }

    fn on_progress(&mut self, connection: ConnectionId, received: usize, now: Now) {
        self.connections.progress(connection, received, now.instant);
    }

    fn on_sent(&mut self, connection: ConnectionId, now: Now) {
        if self.connections.sent(connection, now.instant) {
            self.outbox.actions.push_back(Action::Resume(connection));
        }
    }

    fn on_closed(&mut self, connection: ConnectionId, now: Now) {
        self.forget(connection, now);
    }

    fn on_message(&mut self, from: ShardId, message: Message, now: Now) {
        match message {
            Message::Ask { request, question } => {
                self.owner.on_question(from, request, question, now, &mut self.outbox);
            }
            Message::Answer { request, answers } => self.on_answers(request, answers, now),
            Message::Watch { request, partitions, bytes } => {
                self.owner.on_watch(from, request, &partitions, bytes, &mut self.outbox);
            }
            Message::Wake { request } => self.read_again(request, now),
            Message::Unwatch { request } => self.owner.on_unwatch(from, request),
            Message::Command { request, command } => match &mut self.controller {
                Some(controller) => {
                    controller.on_command(from, request, command, &mut self.outbox);
                }
                None => panic!("only the controller's shard gets commands"),
            },
            Message::CommandDone { request, outcome } => self.on_outcome(request, outcome, now),
            Message::Image(image) => self.on_image(image, now),
            Message::ImageApplied { version } => {
                if let Some(controller) = &mut self.controller {
                    controller.on_applied(from, version, &mut self.outbox);
                }
            }
            Message::Settled => {
                if let Some(controller) = &mut self.controller {
                    controller.on_settled(from);
                }
            }
        }
        self.settle(now);
    }

    fn on_journal_written(
        &mut self,
        lane: journal::Lane,
        group: journal::GroupSequence,
        buffer: journal::GroupBuffer,
        result: Result<(), DiskError>,
        now: Now,
    ) {
        self.owner.on_journal_written(lane, group, buffer, result, now, &mut self.outbox);
        self.settle(now);
    }

    fn on_journal_file(
        &mut self,
        lane: journal::Lane,
        file: journal::FileNumber,
        result: Result<(), DiskError>,
        now: Now,
    ) {
        self.owner.on_journal_file(lane, file, result, now, &mut self.outbox);
        self.settle(now);
    }

    fn on_file(&mut self, job: JobId, result: Result<FileOutcome, DiskError>, now: Now) {
        if let Some(controller) = &mut self.controller {
            let done = result.as_ref().map(drop).map_err(DiskError::clone);
            if controller.on_file(job, &done, &mut self.outbox) {
                return self.settle(now);
            }
        }
        let known = self.owner.on_file(job, result, now, &mut self.outbox);
        assert!(known, "{job:?} was asked for and ended once");
        self.say_applied();
        self.settle(now);
    }

    fn on_time(&mut self, now: Now) {
        while self.wake_allowance > 0
            && let Some(id) = self.requests.pop_due(now.instant)
        {
            self.read_again(id, now);
        }
        for (connection, why) in self.connections.sweep(now.instant) {
            let reason = format!("{why:?}");
            self.close(connection, &reason, false, now);
        }
        self.owner.on_time(now, &mut self.outbox);
        self.settle(now);
    }

    fn on_stop(&mut self, now: Now) {
        self.stopping = true;
        self.owner.on_stop();
        self.settle(now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        // Those that this turn had no time to wake.
        let wakes = (!self.outbox.wakes.is_empty()).then_some(self.turn.instant);
        let waits = earlier(self.requests.next_deadline(), self.connections.next_deadline());
        earlier(wakes, earlier(waits, self.owner.next_deadline()))
    }

    fn poll_action(&mut self) -> Option<Action<Message>> {
        if self.outbox.actions.is_empty() {
            self.wake_allowance = WAKE_WORK_PER_TURN;
            // All events of the turn are in: what groups have to say to them goes together.
            self.owner.flush_groups(self.turn, &mut self.outbox);
            self.settle(self.turn);
            self.owner.flush_turn(&mut self.outbox);
        }
        self.outbox.actions.pop_front()
    }

    fn needs_journals(&self) -> bool {
        self.owner.needs_journals()
    }

    fn may_read(&self) -> bool {
        let is_full = self.requests.held_bytes() >= self.options.queued_bytes_max;
        !self.stopping && !is_full && !self.owner.is_overloaded()
    }
}

/// The effective configs of all topics, keeping those that did not change, so that a change of one
/// topic does not touch ten thousand.
fn effective(
    image: &Image,
    statics: &StaticConfigs,
    before: &BTreeMap<TopicId, Arc<TopicConfig>>,
    old: Option<&Image>,
) -> BTreeMap<TopicId, Arc<TopicConfig>> {
    let brokers_same = old.is_some_and(|old| {
        old.broker_configs == image.broker_configs && old.cluster_configs == image.cluster_configs
    });
    // Topics without configs of their own all have the same ones.
    let mut plain: Option<Arc<TopicConfig>> = None;
    let configs = image.topics.iter().map(|topic| {
        let same = brokers_same
            && old
                .and_then(|old| old.topic_by_id(topic.id))
                .is_some_and(|old| old.configs == topic.configs);
        let config = before.get(&topic.id).filter(|_| same).cloned();
        let resolve = || Arc::new(TopicConfig::resolve(topic, image, statics));
        let config = match config {
            Some(config) => config,
            None if topic.configs.is_empty() => plain.get_or_insert_with(resolve).clone(),
            None => resolve(),
        };
        (topic.id, config)
    });
    configs.collect()
}

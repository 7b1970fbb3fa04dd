//! The one shard that changes the catalog: it plans, makes the records durable, applies them,
//! spreads the new image over all shards, and only then answers.
//!
//! One change at a time, so that a topic deleted and created again under the same name cannot meet
//! its own directory on the way out. A quorum can later take the appending over: everything before
//! and after it stays.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::api::command::{Command, CommandOutcome};
use crate::catalog::{Catalog, Image, Plan, Record, Refusal, encode_snapshot, frame};
use crate::ids::ShardId;
use crate::limits::{CONTROLLER_QUEUE_BYTES_MAX, CONTROLLER_QUEUE_MAX};
use crate::stdx::prng::Prng;

use super::engine::{DiskError, FileWork, JobId};
use super::message::RequestId;
use super::outbox::Outbox;

/// The catalog log is folded into a snapshot when it is longer than this and than twice the last
/// snapshot, in bytes.
const LOG_BYTES_MIN: usize = 4 * 1024 * 1024;

#[derive(Debug)]
struct Waiter {
    from: ShardId,
    request: RequestId,
    outcome: CommandOutcome,
}

#[derive(Debug)]
enum State {
    Idle,
    /// The records are on their way to the catalog log.
    Appending {
        job: JobId,
        records: Vec<Record>,
        waiter: Waiter,
    },
    /// The new image is on its way to the other shards.
    Spreading {
        version: u64,
        waiting: BTreeSet<ShardId>,
        waiter: Waiter,
    },
}

/// What the controller wants of its shard besides file work.
#[derive(Debug)]
pub(super) enum Directive {
    /// Give every shard this image and let it say when it serves by it.
    Spread(Arc<Image>),
    /// Answer a command.
    Answer(ShardId, RequestId, CommandOutcome),
    /// Every shard has settled: the journals of earlier starts can go.
    DropOldJournals,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Controller {
    catalog: Catalog,
    shard_count: u16,
    queue: VecDeque<(ShardId, RequestId, Command)>,
    /// What the queue takes.
    queue_bytes: usize,
    state: State,
    random: Prng,
    log_bytes: usize,
    snapshot_bytes: usize,
    snapshot: Option<JobId>,
    unsettled: BTreeSet<ShardId>,
    directives: VecDeque<Directive>,
}

impl Controller {
    /// Starts from the loaded catalog, whose log has `log_bytes`. `random` makes topic ids.
    #[must_use]
    pub(super) fn new(
        catalog: Catalog,
        shard_count: u16,
        log_bytes: usize,
        random: Prng,
    ) -> Controller {
        Controller {
            catalog,
            shard_count,
            queue: VecDeque::new(),
            queue_bytes: 0,
            state: State::Idle,
            random,
            log_bytes,
            snapshot_bytes: 0,
            snapshot: None,
            unsettled: (0..shard_count).map(ShardId).collect(),
            directives: VecDeque::new(),
        }
    }

    /// The next directive, in order.
    pub(super) fn poll_directive(&mut self) -> Option<Directive> {
        self.directives.pop_front()
    }

    /// A shard asks for a change.
    pub(super) fn on_command(
        &mut self,
        from: ShardId,
        request: RequestId,
        command: Command,
        out: &mut Outbox,
    ) {
        let bytes = command.bytes();
        let full = self.queue.len() >= CONTROLLER_QUEUE_MAX
            || (self.queue_bytes > 0 && self.queue_bytes + bytes > CONTROLLER_QUEUE_BYTES_MAX);
        // Producer ids are asked for by shards, once each, for many clients at a time.
        if full && !matches!(command, Command::AllocateProducerIds { .. }) {
            return self.answer(Waiter { from, request, outcome: CommandOutcome::Busy });
        }
        self.queue_bytes += bytes;
        self.queue.push_back((from, request, command));
        self.proceed(out);
    }

    /// A shard needs the journals of earlier starts no longer.
    pub(super) fn on_settled(&mut self, shard: ShardId) {
        if self.unsettled.remove(&shard) && self.unsettled.is_empty() {
            self.directives.push_back(Directive::DropOldJournals);
        }
    }

    /// A shard serves by this version now.
    pub(super) fn on_applied(&mut self, shard: ShardId, applied: u64, out: &mut Outbox) {
        let State::Spreading { version, waiting, .. } = &mut self.state else { return };
        if applied < *version || !waiting.remove(&shard) || !waiting.is_empty() {
            return;
        }
        if let State::Spreading { waiter, .. } = std::mem::replace(&mut self.state, State::Idle) {
            self.answer(waiter);
        }
        self.proceed(out);
    }

    /// A file job ended. False if it is not the controller's.
    pub(super) fn on_file(
        &mut self,
        id: JobId,
        result: &Result<(), DiskError>,
        out: &mut Outbox,
    ) -> bool {
        if self.snapshot == Some(id) {
            self.snapshot = None;
            match result {
                Ok(()) => self.log_bytes = 0,
                // The log is still whole; it only stays long until the next try.
                // Tried again when the log has doubled.
                Err(error) if error.full => {
                    tracing::warn!(error.reason, "no space for a snapshot of the catalog");
                    self.snapshot_bytes = self.snapshot_bytes.max(self.log_bytes);
                }
                Err(error) => out.fatal(error.clone()),
            }
            self.proceed(out);
            return true;
        }
        if !matches!(&self.state, State::Appending { job, .. } if *job == id) {
            return false;
        }
        let State::Appending { records, mut waiter, .. } =
            std::mem::replace(&mut self.state, State::Idle)
        else {
            return false;
        };
        match result {
            Ok(()) => {
                for record in &records {
                    if let Err(error) = self.catalog.apply(record) {
                        panic!("a planned record does not apply: {error}");
                    }
                }
                let image = self.catalog.image().clone();
                let waiting = (0..self.shard_count).map(ShardId).collect();
                self.state = State::Spreading { version: image.version, waiting, waiter };
                self.directives.push_back(Directive::Spread(image));
            }
            Err(error) if error.full => {
                tracing::error!(error.operation, error.reason, "no space for the catalog");
                waiter.outcome = CommandOutcome::NotStored;
                self.answer(waiter);
                self.proceed(out);
            }
            Err(error) => out.fatal(error.clone()),
        }
        true
    }

    fn answer(&mut self, waiter: Waiter) {
        let Waiter { from, request, outcome } = waiter;
        self.directives.push_back(Directive::Answer(from, request, outcome));
    }

    fn proceed(&mut self, out: &mut Outbox) {
        while matches!(self.state, State::Idle) && self.snapshot.is_none() {
            if self.log_bytes > LOG_BYTES_MIN.max(2 * self.snapshot_bytes) {
                let content = encode_snapshot(self.catalog.image());
                self.snapshot_bytes = content.len();
                self.snapshot = Some(out.file(FileWork::WriteCatalogSnapshot { content }));
                return;
            }
            let Some((from, request, command)) = self.queue.pop_front() else { return };
            self.queue_bytes -= command.bytes();
            let (records, outcome) = self.plan(command);
            let waiter = Waiter { from, request, outcome };
            if records.is_empty() {
                self.answer(waiter);
                continue;
            }
            let first = self.catalog.next_sequence();
            let content = frame::encode_group(&records, first);
            self.log_bytes += content.len();
            let job = out.file(FileWork::AppendCatalog { content });
            self.state = State::Appending { job, records, waiter };
        }
    }

    fn plan(&mut self, command: Command) -> (Vec<Record>, CommandOutcome) {
        fn split<T>(
            plan: Plan<T>,
            outcome: fn(Vec<Result<T, Refusal>>) -> CommandOutcome,
        ) -> (Vec<Record>, CommandOutcome) {
            (plan.records, outcome(plan.outcomes))
        }
        match command {
            Command::CreateTopics { topics, validate_only } => {
                let random: Vec<[u8; 16]> = topics
                    .iter()
                    .map(|_| {
                        let mut bytes = [0; 16];
                        self.random.fill(&mut bytes);
                        bytes
                    })
                    .collect();
                let plan = self.catalog.plan_create_topics(&topics, &random, validate_only);
                split(plan, CommandOutcome::TopicsCreated)
            }
            Command::DeleteTopics(topics) => {
                split(self.catalog.plan_delete_topics(&topics), CommandOutcome::TopicsDeleted)
            }
            Command::CreatePartitions { topics, validate_only } => {
                let plan = self.catalog.plan_create_partitions(&topics, validate_only);
                split(plan, CommandOutcome::PartitionsCreated)
            }
            Command::AlterConfigs { resources, validate_only } => {
                let plan = self.catalog.plan_alter_configs(&resources, validate_only);
                split(plan, CommandOutcome::ConfigsAltered)
            }
            Command::IncrementalAlterConfigs { resources, validate_only } => {
                let plan = self.catalog.plan_incremental_alter_configs(&resources, validate_only);
                split(plan, CommandOutcome::ConfigsAltered)
            }
            Command::AllocateProducerIds { count } => {
                match self.catalog.plan_allocate_producer_ids(count) {
                    Ok((records, block)) => (records, CommandOutcome::ProducerIds(Ok(block))),
                    Err(refusal) => (Vec::new(), CommandOutcome::ProducerIds(Err(refusal))),
                }
            }
        }
    }
}

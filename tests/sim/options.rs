//! What one run is made of, drawn from its seed: every run has its own mix of faults and sizes.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringmain::catalog::{StaticConfigs, TopicCreation};
use ringmain::stdx::prng::Prng;

use super::boot::BootOptions;
use super::consumer::ConsumerOptions;
use super::disk::Cut;
use super::mutant::Mutant;
use super::producer::ProducerOptions;

const MILLISECOND: u64 = 1_000_000;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) boot: BootOptions,
    pub(crate) producers: Vec<ProducerOptions>,
    pub(crate) consumers: Vec<ConsumerOptions>,
    /// How long the workload lasts, in virtual nanoseconds.
    pub(crate) workload: u64,
    /// Mean time between crashes; 0 for none.
    pub(crate) crash_every: u64,
    pub(crate) cuts: Vec<Cut>,
    /// One in so many starts has another number of shards; 0 for none.
    pub(crate) reshard: u64,
    /// One in so many starts crashes again before it is up; 0 for none.
    pub(crate) boot_crash: u64,
    /// Calls of the disk within which a write of a dead process may still land.
    pub(crate) ghost_delay: u64,
    /// Mean time between windows of a full disk; 0 for none.
    pub(crate) full_every: u64,
    /// A write or flush fails after so many; 0 for never.
    pub(crate) fail_after: u64,
    /// Mean time between jumps of the wall clock; 0 for none.
    pub(crate) jump_every: u64,
    /// Mean time between administrative requests; 0 for none.
    pub(crate) admin_every: u64,
    /// Topics come and go.
    pub(crate) fleeting: bool,
    /// Mean time between requests of each client that commits offsets.
    pub(crate) committers: Vec<u64>,
    pub(crate) network_delay: u64,
    pub(crate) mesh_delay: u64,
    pub(crate) journal_delay: u64,
    pub(crate) file_delay: u64,
    /// Longest that facts collect before the actions are drained.
    pub(crate) turn: u64,
    pub(crate) mutant: Option<Mutant>,
}

impl Options {
    /// Draws a run.
    pub(crate) fn draw(random: &mut Prng, mutant: Option<Mutant>) -> Options {
        let mut statics = BTreeMap::new();
        let mut set = |key: &str, value: u64| statics.insert(key.to_owned(), value.to_string());
        set("log.segment.bytes", [1_000, 2_000, 8_000, 40_000, 1 << 30][random.below(5) as usize]);
        set("log.index.interval.bytes", [0, 100, 1_000, 4_096][random.below(4) as usize]);
        set("log.segment.delete.delay.ms", [0, 500, 60_000][random.below(3) as usize]);
        set("log.retention.ms", i64::MAX as u64);
        // A producer's clock that is ahead of the broker's is not what is looked at here.
        set("log.message.timestamp.after.max.ms", i64::MAX as u64);
        // Jumps of the clock roll no segments unless asked for.
        set("log.roll.ms", [2_000, 604_800_000][random.below(2) as usize]);
        let statics = Arc::new(StaticConfigs::new(statics));
        let topics = draw_topics(random);
        let blocks = [6, 12, 40, 200][random.below(4) as usize];
        let crashes = mutant.is_some() || random.chance(5, 6);
        let sometimes = |random: &mut Prng, odds: u64, low: u64, high: u64| {
            if random.chance(1, odds) { random.between(low, high) } else { 0 }
        };
        let producers = (0..random.between(1, 4)).map(|id| draw_producer(id as u32, random));
        let mut producers: Vec<_> = producers.collect();
        for producer in &mut producers {
            producer.anonymous = mutant == Some(Mutant::NoDedup);
        }
        let consumers = (0..random.between(1, 3)).map(|id| draw_consumer(id as u32, random));
        let consumers = consumers.collect();
        let all = [
            Cut::Kill,
            Cut::PowerNothing,
            Cut::PowerEverything,
            Cut::PowerPrefix,
            Cut::PowerSectors,
            Cut::PowerPages,
        ];
        let mut cuts: Vec<Cut> = all.into_iter().filter(|_| random.chance(1, 2)).collect();
        if cuts.is_empty() || mutant.is_some() {
            cuts = all.to_vec();
        }
        let slow = random.chance(1, 4);
        let delay = |random: &mut Prng, usual: u64| {
            random.between(1, usual) * if slow { 20 } else { 1 } * 1_000
        };
        let fault_free = mutant.is_none();
        let mut options = Options {
            boot: BootOptions {
                statics,
                shard_count: random.between(1, 4) as u16,
                journal_file_bytes: blocks * 4096,
                journal_files_max: random.between(2, 6) as usize,
                journal_depth: random.between(1, 4) as usize,
                tail_bytes_max: [4_000, 20_000, 100_000, 1 << 30][random.below(4) as usize],
                fetch_bytes_max: 1 << 20,
                keys_bytes_max: [1_000, 1 << 20][random.below(2) as usize],
                topics,
                random: random.next_u64(),
                mutant,
            },
            producers,
            consumers,
            workload: random.between(500, 6_000) * MILLISECOND,
            crash_every: if crashes { random.between(150, 3_000) * MILLISECOND } else { 0 },
            cuts,
            reshard: random.below(4),
            boot_crash: random.below(4),
            ghost_delay: [0, 20, 400][random.below(3) as usize],
            full_every: sometimes(random, 5, 200, 3_000) * MILLISECOND,
            fail_after: if mutant.is_some() { 0 } else { sometimes(random, 5, 1, 600) },
            jump_every: sometimes(random, 4, 300, 3_000) * MILLISECOND,
            admin_every: sometimes(random, 2, 20, 500) * MILLISECOND,
            fleeting: random.chance(1, 2),
            network_delay: delay(random, 2_000),
            mesh_delay: delay(random, 200),
            journal_delay: delay(random, 2_000),
            file_delay: delay(random, 10_000),
            turn: if random.chance(1, 2) { 0 } else { delay(random, 1_000) },
            committers: Vec::new(),
            mutant,
        };
        if fault_free {
            let count = random.below(3);
            let pauses = (0..count).map(|_| random.between(1, 60) * MILLISECOND);
            options.committers = pauses.collect();
        }
        options
    }
}

fn draw_topics(random: &mut Prng) -> Vec<TopicCreation> {
    let count = random.between(1, 3);
    let topics = (0..count).map(|index| {
        let mut configs = Vec::new();
        let mut set = |key: &str, value: u64| {
            configs.push((key.to_owned(), Some(value.to_string())));
        };
        if random.chance(1, 3) {
            set("flush.messages", 1000);
        }
        if random.chance(1, 4) {
            set("retention.bytes", random.between(1_000, 20_000));
        }
        if random.chance(1, 3) {
            let policy = if random.chance(1, 4) { "compact,delete" } else { "compact" };
            configs.push(("cleanup.policy".to_owned(), Some(policy.to_owned())));
            let mut set = |key: &str, value: u64| {
                configs.push((key.to_owned(), Some(value.to_string())));
            };
            set("min.cleanable.dirty.ratio", 0);
            set("delete.retention.ms", [0, 500, 10_000][random.below(3) as usize]);
        }
        let partition_count = random.between(1, 4) as i32;
        TopicCreation {
            partition_count,
            configs,
            ..TopicCreation::with_defaults(&format!("topic-{index}"))
        }
    });
    topics.collect()
}

fn draw_producer(id: u32, random: &mut Prng) -> ProducerOptions {
    let idempotent = random.chance(2, 3);
    ProducerOptions {
        id,
        idempotent,
        acks: if idempotent { -1 } else { [-1, 1, 1, 0][random.below(4) as usize] },
        version: random.between(3, 13) as i16,
        requests_max: random.between(1, 5) as usize,
        batches: random.between(10, 250) as u32,
        pause_ms_max: [1, 10, 60][random.below(3) as usize],
        pad_bytes_max: [0, 100, 3_000][random.below(3) as usize],
        hang_up: [0, 20, 100][random.below(3) as usize],
        anonymous: false,
    }
}

fn draw_consumer(id: u32, random: &mut Prng) -> ConsumerOptions {
    ConsumerOptions {
        id,
        version: random.between(4, 18) as i16,
        session: random.chance(1, 2),
        wait_ms_max: [0, 50, 2_000][random.below(3) as usize],
        bytes_min: [0, 1, 5_000][random.below(3) as usize],
        bytes_max: [1, 3_000, 1 << 20][random.below(3) as usize],
        partition_bytes_max: [1, 500, 1 << 20][random.below(3) as usize],
        pause_ms_max: [1, 20, 100][random.below(3) as usize],
        hang_up: [0, 0, 40][random.below(3) as usize],
    }
}

//! The cells: what is measured, under which load, and what is to be reached. A cell is data; what
//! kinds of work there are is [`Work`], and `run` carries them out.

use super::limits::Limit;
use super::ratio::Better;

/// When a record counts as written. The two classes are never compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// D0: acknowledged from memory, Kafka's default.
    Memory,
    /// D1: on stable storage before it is acknowledged, our default.
    Storage,
}

impl Durability {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Durability::Memory => "D0",
            Durability::Storage => "D1",
        }
    }

    /// The topic config that asks both brokers for it.
    pub(crate) fn flush_messages(self) -> String {
        match self {
            Durability::Memory => i64::MAX.to_string(),
            Durability::Storage => "1".to_owned(),
        }
    }
}

/// Which cores are whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// P2: broker and clients share all cores.
    Free,
    /// P1: the broker has the first core, clients the second.
    Pinned,
}

impl Placement {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Placement::Free => "free",
            Placement::Pinned => "pinned",
        }
    }
}

/// In which state the memory is when a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// The page cache forgotten, memory given out that has been in use a moment before.
    Conditioned,
    AsFound,
}

/// What is done with the broker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Work {
    /// Records are written: as fast as they are acknowledged, or at the rate of the load.
    Produce,
    /// Records are written at a rate and read at once. With `disturbed`, one core has other work to
    /// do and somebody reads in replies of 50 MB.
    Latency { disturbed: bool },
    /// So many consumers read what is written, as it is written.
    Tail { fan_out: usize },
    /// What was written just before is read over and over.
    Read,
    /// So many GiB that are in no cache are read while more is written.
    Drain { gib: f64 },
    /// Started, and left alone.
    Start,
    /// Killed with so many GiB live, and started again.
    Crash { gib: f64 },
    /// A topic of many partitions is created and written to; the broker is started again.
    Many,
}

/// A measure by which the two are compared. The name is that of a run's value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    /// How many times better ours is to be.
    pub(crate) target: Option<f64>,
}

/// What our broker is to reach on its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) bound: f64,
}

/// One workload in one durability class, placement and state of the memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) workload: &'static str,
    pub(crate) work: Work,
    /// Options of the generator that writes.
    pub(crate) load: &'static str,
    pub(crate) partitions: i32,
    pub(crate) record_bytes: u64,
    pub(crate) durability: Durability,
    pub(crate) placement: Placement,
    pub(crate) memory: Memory,
    /// All cores are kept awake, so that latency is that of the broker.
    pub(crate) awake: bool,
    /// Small requests: Kafka is given the threads that are best for these.
    pub(crate) small: bool,
    /// Part of `--quick`.
    pub(crate) quick: bool,
    /// What the machine itself can do at this.
    pub(crate) limit: Limit,
    pub(crate) metrics: &'static [Metric],
    pub(crate) goals: &'static [Goal],
}

/// The load of W1 and its kin.
pub(crate) const INGEST: &str = "--producers 4 --batch-bytes 256k";
/// The load of W4: many connections, small requests.
pub(crate) const SMALL: &str = "--producers 256 --connections 256 --records-per-batch 1";

const fn more(name: &'static str, unit: &'static str, target: f64) -> Metric {
    Metric { name, unit, better: Better::Higher, target: Some(target) }
}

const fn less(name: &'static str, unit: &'static str, target: f64) -> Metric {
    Metric { name, unit, better: Better::Lower, target: Some(target) }
}

/// No target but the floor of all cells: never worse than Kafka.
const fn shown(name: &'static str, unit: &'static str, better: Better) -> Metric {
    Metric { name, unit, better, target: Some(1.0) }
}

const MB: &str = "MB/s";
const PER_GB: &str = "CPU-s/GB";
const RSS: Metric = shown("RSS", "MB", Better::Lower);

const W1: Cell = Cell {
    id: "W1",
    title: "Ingest, acknowledged from memory",
    workload: "16 partitions, 4 producers, 1 KiB records, 256 KiB batches",
    work: Work::Produce,
    load: INGEST,
    partitions: 16,
    record_bytes: 1024,
    durability: Durability::Memory,
    placement: Placement::Free,
    memory: Memory::Conditioned,
    awake: false,
    small: false,
    quick: false,
    limit: Limit::Ingest,
    metrics: &[more("throughput", MB, 2.0), less("server CPU", PER_GB, 3.0), RSS],
    goals: &[],
};

const W2: Cell = Cell {
    id: "W2",
    title: "Ingest, acknowledged from stable storage",
    durability: Durability::Storage,
    limit: Limit::Disk,
    ..W1
};

const W3: Cell = Cell {
    id: "W3",
    title: "Durable acknowledgements, one record a batch",
    workload: "16 partitions, 64 connections, 5 requests in flight on each, one 1 KiB record a request",
    load: "--producers 64 --connections 64 --in-flight 5 --records-per-batch 1",
    durability: Durability::Storage,
    memory: Memory::AsFound,
    small: true,
    limit: Limit::Disk,
    metrics: &[
        more("acknowledgements", "1/s", 10.0),
        less("response p99", "ms", 10.0),
        shown("server CPU per request", "CPU-µs", Better::Lower),
        RSS,
    ],
    goals: &[Goal {
        name: "acknowledgements",
        unit: "1/s",
        better: Better::Higher,
        bound: 40_000.0,
    }],
    ..W1
};

const W4: Cell = Cell {
    id: "W4",
    title: "Small requests on many connections",
    workload: "16 partitions, 256 connections, one 100 B record a request, 5 in flight",
    load: "--producers 256 --connections 256 --in-flight 5 --records-per-batch 1",
    record_bytes: 100,
    durability: Durability::Memory,
    limit: Limit::Echo,
    metrics: &[
        more("acknowledgements", "1/s", 4.0),
        less("server CPU per request", "CPU-µs", 6.0),
        shown("response p99", "ms", Better::Lower),
        RSS,
    ],
    goals: &[],
    ..W3
};

const W5: Cell = Cell {
    id: "W5",
    title: "Keyed records, many producers",
    workload: "100 partitions, 50 producers, 64 records a request with 10,000 keys, so a small batch for each partition they fall on",
    load: "--producers 50 --batch-bytes 64k --keyed 10000",
    partitions: 100,
    memory: Memory::AsFound,
    metrics: &[more("throughput", MB, 3.0), shown("server CPU", PER_GB, Better::Lower), RSS],
    ..W1
};

const W6: Cell = Cell {
    id: "W6",
    title: "Tail read",
    workload: "100 MB/s in, 16 partitions, 256 KiB batches, read by 4 consumers as it is written",
    work: Work::Tail { fan_out: 4 },
    load: "--producers 4 --batch-bytes 256k --rate 100MB",
    limit: Limit::Fetch,
    metrics: &[less("server CPU", PER_GB, 2.0), shown("delivered", MB, Better::Higher), RSS],
    ..W1
};

const W7: Cell = Cell {
    id: "W7",
    title: "Catch-up under load",
    workload: "a backlog of 6 GiB in no cache is read while 100 MB/s are written",
    work: Work::Drain { gib: 6.0 },
    load: "--producers 4 --batch-bytes 256k --rate 100MB",
    limit: Limit::Fetch,
    metrics: &[
        more("drained", MB, 2.0),
        less("response p99 while drained", "ms", 10.0),
        shown("response p99 quiet", "ms", Better::Lower),
    ],
    goals: &[Goal {
        name: "times the quiet response p99",
        unit: "",
        better: Better::Lower,
        bound: 1.5,
    }],
    ..W1
};

const LATENCIES: &[Metric] = &[
    less("response p50", "ms", 3.0),
    less("response p99", "ms", 5.0),
    less("response p99.9", "ms", 10.0),
    shown("end to end p50", "ms", Better::Lower),
    shown("end to end p99", "ms", Better::Lower),
    shown("end to end p99.9", "ms", Better::Lower),
];

const W8: Cell = Cell {
    id: "W8",
    title: "Latency at a fixed rate",
    workload: "1,000 records/s of 1 KiB, one a request, 16 partitions, acks=all; cores kept awake",
    work: Work::Latency { disturbed: false },
    load: "--producers 4 --records-per-batch 1 --rate 1000 --arrivals poisson",
    memory: Memory::AsFound,
    awake: true,
    small: true,
    limit: Limit::Echo,
    metrics: LATENCIES,
    ..W1
};

const W9: Cell = Cell {
    id: "W9",
    title: "Many connections, few of them active",
    workload: "5,000 connections, 500 records/s of 1 KiB in turn",
    work: Work::Produce,
    load: "--producers 5000 --connections 5000 --records-per-batch 1 --rate 500",
    metrics: &[less("memory per connection", "KB", 10.0), less("response p99", "ms", 5.0), RSS],
    ..W8
};

// Kafka's controller takes at most 10,000 records at once: one for each partition, and a few for the
// topic and its configs.
const W10: Cell = Cell {
    id: "W10",
    title: "Many partitions",
    workload: "9,900 partitions, 50 MB/s asked for, 16 KiB batches; creation; restart",
    work: Work::Many,
    load: "--producers 4 --batch-bytes 16k --rate 50MB",
    partitions: 9_900,
    memory: Memory::AsFound,
    metrics: &[
        more("throughput", MB, 1.0),
        less("response p99", "ms", 5.0),
        less("creation", "s", 10.0),
        less("restart to first ack", "ms", 20.0),
        less("RSS", "MB", 20.0),
    ],
    ..W1
};

const W11: Cell = Cell {
    id: "W11",
    title: "Compressed batches, passed through",
    workload: "as W1, lz4",
    load: "--producers 4 --batch-bytes 256k --compression lz4",
    metrics: &[less("server CPU", PER_GB, 4.0), shown("throughput", MB, Better::Higher), RSS],
    ..W1
};

const W12: Cell = Cell {
    id: "W12",
    title: "Idempotent producers",
    workload: "as W1, with producer ids and sequences",
    load: "--producers 4 --batch-bytes 256k --idempotent",
    ..W1
};

const W17: Cell = Cell {
    id: "W17",
    title: "Start and rest",
    workload: "started on an empty directory, a topic created and one record acknowledged; then left alone",
    work: Work::Start,
    load: "",
    partitions: 1,
    durability: Durability::Storage,
    memory: Memory::AsFound,
    limit: Limit::Disk,
    metrics: &[
        less("start to first ack", "ms", 50.0),
        less("RSS idle", "MB", 20.0),
        shown("restart to first ack", "ms", Better::Lower),
    ],
    goals: &[
        Goal { name: "RSS idle", unit: "MB", better: Better::Lower, bound: 25.0 * 1.048_576 },
        Goal { name: "start to first ack", unit: "ms", better: Better::Lower, bound: 100.0 },
        Goal { name: "CPU idle", unit: "% of a core", better: Better::Lower, bound: 0.2 },
    ],
    ..W1
};

const W18: Cell = Cell {
    id: "W18",
    title: "Killed and started again",
    workload: "kill -9 while records stream in, 5 GiB live; restart to the first acknowledgement",
    work: Work::Crash { gib: 5.0 },
    metrics: &[less("restart to first ack", "ms", 20.0)],
    goals: &[Goal {
        name: "restart to first ack",
        unit: "ms",
        better: Better::Lower,
        bound: 1000.0,
    }],
    memory: Memory::AsFound,
    ..W1
};

/// The other durability class, with the same targets.
const fn stored(cell: Cell) -> Cell {
    Cell { durability: Durability::Storage, limit: Limit::Disk, ..cell }
}

const fn pinned(cell: Cell) -> Cell {
    Cell { placement: Placement::Pinned, ..cell }
}

const fn quick(cell: Cell) -> Cell {
    Cell { quick: true, ..cell }
}

const W8_10K: Cell = Cell {
    workload: "10,000 records/s of 1 KiB, one a request, 16 partitions, acks=all; cores kept awake",
    load: "--producers 4 --records-per-batch 1 --rate 10000 --arrivals poisson",
    ..W8
};

const W8_50K: Cell = Cell {
    workload: "50,000 records/s of 1 KiB, 10 a request, 16 partitions, acks=all; cores kept awake",
    load: "--producers 4 --records-per-batch 10 --rate 50000 --arrivals poisson",
    ..W8
};

/// All cells, in the order in which they are run.
pub(crate) const CELLS: &[Cell] = &[
    quick(W1),
    quick(W3),
    quick(W6),
    quick(W17),
    quick(W8),
    Cell {
        memory: Memory::AsFound,
        metrics: &[more("throughput", MB, 4.0), less("server CPU", PER_GB, 6.0), RSS],
        ..W1
    },
    pinned(W1),
    Cell {
        workload: "16 partitions, 4 producers, 1 KiB records, 16 KiB batches",
        load: "--producers 4 --batch-bytes 16k",
        metrics: &[more("throughput", MB, 10.0), shown("server CPU", PER_GB, Better::Lower), RSS],
        ..W2
    },
    Cell {
        metrics: &[more("throughput", MB, 4.0), shown("server CPU", PER_GB, Better::Lower), RSS],
        ..W2
    },
    pinned(W3),
    Cell {
        workload: "1,000 partitions, 64 connections, 5 requests in flight on each, one 1 KiB record a request",
        partitions: 1000,
        ..W3
    },
    W4,
    Cell {
        workload: "16 partitions, 256 connections, one 100 B record a request, 1 in flight",
        load: "--producers 256 --connections 256 --in-flight 1 --records-per-batch 1",
        ..W4
    },
    W5,
    Cell {
        workload: "288 partitions, 500 producers, 64 records a request with 10,000 keys, so a small batch for each partition they fall on",
        load: "--producers 500 --connections 100 --batch-bytes 64k --keyed 10000",
        partitions: 288,
        ..W5
    },
    Cell {
        workload: "100 MB/s in, 16 partitions, 256 KiB batches, read by 1 consumer as it is written",
        work: Work::Tail { fan_out: 1 },
        ..W6
    },
    Cell {
        workload: "100 MB/s in, 16 partitions, 256 KiB batches, read by 16 consumers as it is written",
        work: Work::Tail { fan_out: 16 },
        ..W6
    },
    Cell {
        title: "Reading as fast as possible",
        workload: "4 consumers read 2 GiB over and over, out of memory",
        work: Work::Read,
        load: INGEST,
        metrics: &[more("read", MB, 1.5), less("server CPU", PER_GB, 2.0), RSS],
        ..W6
    },
    stored(W8),
    W8_10K,
    stored(W8_10K),
    W8_50K,
    stored(W8_50K),
    Cell {
        workload: "1,000 records/s of 1 KiB, one a request, 16 partitions, acks=all; cores may sleep",
        awake: false,
        ..W8
    },
    pinned(W8),
    W10,
    Cell {
        durability: Durability::Storage,
        metrics: &[
            more("throughput", MB, 10.0),
            less("response p99", "ms", 5.0),
            less("creation", "s", 10.0),
            less("restart to first ack", "ms", 20.0),
            less("RSS", "MB", 20.0),
        ],
        ..W10
    },
    W11,
    Cell {
        workload: "as W1, zstd",
        load: "--producers 4 --batch-bytes 256k --compression zstd",
        ..W11
    },
    Cell {
        title: "One hot partition",
        id: "W15",
        workload: "1 partition, 4 producers, 1 KiB records, 256 KiB batches",
        partitions: 1,
        metrics: &[more("throughput", MB, 2.0), shown("server CPU", PER_GB, Better::Lower), RSS],
        ..W1
    },
    W18,
    W7,
    W9,
    Cell {
        id: "W16",
        title: "Latency beside a hog",
        workload: "as W8, with a busy loop on the first core and a reader of 50 MB replies",
        work: Work::Latency { disturbed: true },
        awake: false,
        metrics: &[
            shown("response p50", "ms", Better::Lower),
            shown("response p99", "ms", Better::Lower),
            shown("response p99.9", "ms", Better::Lower),
        ],
        ..W8
    },
    Cell {
        id: "W1b",
        title: "Large records",
        workload: "16 partitions, 4 producers, 100 KB records, 4 a batch",
        load: "--producers 4 --records-per-batch 4",
        record_bytes: 100_000,
        metrics: &[more("throughput", MB, 1.5), less("server CPU", PER_GB, 2.5), RSS],
        ..W1
    },
    Cell {
        id: "W1b",
        title: "Large records",
        workload: "16 partitions, 4 producers, 1 MiB records, one a batch",
        load: "--producers 4 --records-per-batch 1",
        record_bytes: 1 << 20,
        metrics: &[more("throughput", MB, 1.5), less("server CPU", PER_GB, 2.5), RSS],
        ..W1
    },
    W12,
];

/// The cells that a user asks for; all of the kind if no names are given.
pub(crate) fn chosen(names: &[String], quick: bool) -> Result<Vec<Cell>, String> {
    let known = |name: &String| CELLS.iter().any(|cell| cell.id.eq_ignore_ascii_case(name));
    if let Some(name) = names.iter().find(|name| !known(name)) {
        return Err(format!("there is no cell {name}"));
    }
    let named = |cell: &Cell| names.iter().any(|name| cell.id.eq_ignore_ascii_case(name));
    // A cell that is no part of --quick can still be asked for by name.
    let always_long = |cell: &Cell| !CELLS.iter().any(|other| other.id == cell.id && other.quick);
    let wanted = |cell: &&Cell| {
        (names.is_empty() || named(cell))
            && (!quick || cell.quick || (!names.is_empty() && always_long(cell)))
    };
    Ok(CELLS.iter().filter(wanted).copied().collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;

    use super::*;
    use crate::options::Options;

    #[test]
    fn every_load_is_one_that_the_generator_takes() {
        for cell in CELLS {
            let command = match cell.work {
                Work::Latency { .. } => "latency",
                _ => "produce",
            };
            let line = format!("ringload {command} {}", cell.load);
            let parsed = Options::try_parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{}: {line}\n{}", cell.id, parsed.unwrap_err());
        }
    }

    #[test]
    fn no_two_cells_are_the_same_and_each_has_metrics() {
        let mut seen = BTreeSet::new();
        for cell in CELLS {
            let same = format!(
                "{} {} {:?} {:?} {:?}",
                cell.id, cell.workload, cell.durability, cell.placement, cell.memory
            );
            assert!(seen.insert(same.clone()), "{same}");
            assert!(!cell.metrics.is_empty(), "{same}");
        }
    }

    #[test]
    fn the_quick_duel_has_its_five_cells_and_names_choose() {
        let ids = |names: &[&str], quick| -> Vec<&str> {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen(&names, quick).unwrap().iter().map(|cell| cell.id).collect()
        };
        assert_eq!(ids(&[], true), ["W1", "W3", "W6", "W17", "W8"]);
        assert_eq!(ids(&["w17", "W1"], true), ["W1", "W17"]);
        assert_eq!(ids(&["W18"], true), ["W18"]);
        assert!(ids(&["W8"], false).len() > 4);
        assert!(chosen(&["W99".to_owned()], false).is_err());
    }
}

//! A start: from the disk to the seeds of the shards, through the same recovery as the shell's, with
//! the same file operations in the same order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringmain::catalog::{
    Catalog, Endpoint, GROUP_METADATA_TOPIC, Record, StaticConfigs, TopicCreation, frame,
};
use ringmain::group::{Assignor, ConsumerOptions, GroupOptions};
use ringmain::ids::{Incarnation, NodeId, Offset, ShardId, TopicPartition};
use ringmain::journal::{
    self, Ends, FileHeader, GroupSequence, HeaderFault, Lane, PlanFault, Replay, ReplayEnd,
    ReplayedEntry,
};
use ringmain::log::{
    FileKind, Found, FoundCleaned, RecoveryPlan, Scan, SegmentScan, cleaned_name, file_name,
    parse_file_name, parse_passing_name,
};
use ringmain::shard::owner::{CompactionSettings, OwnerOptions, ShardCheckpoint};
use ringmain::shard::recovery::{Recovery, RecoveryNote};
use ringmain::shard::{ConnectionLimits, ShardOptions, ShardSeed};
use ringmain::time::Now;

use super::disk::{Disk, DiskFault, Inode};
use super::files::{
    checkpoint_start, journal_directory, metadata_topic, partition_metadata, replace,
};
use super::mutant::Mutant;

const NODE: NodeId = NodeId(1);
/// Read size of replay. Small, so that groups and entries straddle the pieces.
const READ_BYTES: usize = 4 * 4096;
/// How far a start has read the journals of earlier ones; lies beside its own journal files.
const ENDS: &str = "ends";

/// What every start of a run has in common, and what may differ from start to start.
#[derive(Clone, Debug)]
pub(crate) struct BootOptions {
    pub(crate) statics: Arc<StaticConfigs>,
    pub(crate) shard_count: u16,
    pub(crate) journal_file_bytes: u64,
    pub(crate) journal_files_max: usize,
    pub(crate) journal_depth: usize,
    pub(crate) tail_bytes_max: usize,
    pub(crate) fetch_bytes_max: usize,
    pub(crate) keys_bytes_max: usize,
    /// Topics that are there from the first start on.
    pub(crate) topics: Vec<TopicCreation>,
    /// Source of ids.
    pub(crate) random: u64,
    pub(crate) mutant: Option<Mutant>,
}

/// Why a start did not come about.
#[derive(Debug)]
pub(crate) enum BootFault {
    /// The process died, the disk was full or failed: try again.
    Disk(DiskFault),
    /// The files contradict each other.
    Refused(String),
}

impl From<DiskFault> for BootFault {
    fn from(fault: DiskFault) -> BootFault {
        BootFault::Disk(fault)
    }
}

fn refused(reason: impl std::fmt::Display) -> BootFault {
    BootFault::Refused(reason.to_string())
}

/// A start.
#[derive(Debug)]
pub(crate) struct Booted {
    pub(crate) incarnation: Incarnation,
    pub(crate) seeds: Vec<ShardSeed>,
    pub(crate) report: BootReport,
}

/// What a start found.
#[derive(Clone, Debug, Default)]
pub(crate) struct BootReport {
    pub(crate) notes: Vec<RecoveryNote>,
    pub(crate) entries: usize,
    pub(crate) chains: usize,
    /// Chains that an earlier start has read already.
    pub(crate) limited: usize,
    pub(crate) truncated: usize,
    pub(crate) deleted: usize,
    pub(crate) rebuilt: usize,
    /// Cleaned files that took their place.
    pub(crate) adopted: usize,
    /// Cleaned files of no use.
    pub(crate) discarded: usize,
    /// Groups of the unflushed lane that were acknowledged and are gone.
    pub(crate) unflushed_lost: usize,
    /// Each chain of journals, for a reader of the trace.
    pub(crate) told: Vec<String>,
}

/// Starts.
pub(crate) fn boot(disk: &mut Disk, options: &BootOptions, now: Now) -> Result<Booted, BootFault> {
    let mut report = BootReport::default();
    for name in ["catalog", "checkpoint", "journal"] {
        disk.make_directory(name)?;
    }
    // What a killed process has renamed or made may not be stable yet, and is built upon from here.
    for name in ["", "catalog", "checkpoint", "journal"] {
        disk.sync_directory(name)?;
    }
    remove_leftovers(disk)?;
    let incarnation = count_start(disk)?;
    let (catalog, log_bytes) = load_catalog(disk, options)?;
    disk.make_directory(&journal_directory(incarnation))?;
    disk.sync_directory("journal")?;
    let image = catalog.image().clone();
    let mut recovery = Recovery::new(&image, &options.statics, checkpoints(disk)?, now);
    open_partitions(disk, &mut recovery, &mut report)?;
    replay_journals(disk, incarnation, options, &mut recovery, &mut report)?;
    report.notes = recovery.notes().to_vec();
    let mut controller = Some((catalog, log_bytes, options.random ^ incarnation.0));
    let count = options.shard_count;
    let seeds =
        (0..count).map(ShardId).zip(recovery.finish(count)).map(|(shard, partitions)| ShardSeed {
            options: shard_options(options, shard, incarnation),
            image: image.clone(),
            statics: options.statics.clone(),
            partitions,
            controller: controller.take(),
        });
    let seeds = seeds.collect();
    Ok(Booted { incarnation, seeds, report })
}

fn shard_options(options: &BootOptions, shard: ShardId, incarnation: Incarnation) -> ShardOptions {
    ShardOptions {
        owner: OwnerOptions {
            shard,
            shard_count: options.shard_count,
            incarnation,
            journal_file_bytes: options.journal_file_bytes,
            journal_files_max: options.journal_files_max,
            journal_depth: options.journal_depth,
            tail_bytes_max: options.tail_bytes_max,
            retention_interval: Duration::from_secs(5),
            producer_expiration: Duration::from_secs(24 * 3600),
            compaction: CompactionSettings {
                enabled: true,
                interval: Duration::from_millis(10),
                keys_bytes_max: options.keys_bytes_max,
            },
            groups: Arc::new(GroupOptions {
                initial_rebalance_delay: Duration::from_millis(200),
                session_timeout_min: Duration::from_secs(1),
                session_timeout_max: Duration::from_secs(60),
                size_max: 100,
                metadata_bytes_max: 4096,
                offsets_retention: Duration::from_secs(7 * 24 * 3600),
                offsets_check_interval: Duration::from_secs(600),
                consumer: ConsumerOptions {
                    enabled: true,
                    assignors: vec![Assignor::Uniform, Assignor::Range],
                    session_timeout: Duration::from_secs(45),
                    heartbeat_interval: Duration::from_secs(5),
                    size_max: 100,
                },
            }),
            seed: options.random ^ (incarnation.0 << 16) ^ u64::from(shard.0),
        },
        connections: ConnectionLimits {
            count_max: 1000,
            per_address_max: 1000,
            of_address: BTreeMap::new(),
            idle_max: Duration::from_secs(600),
            creation_rate_max: None,
        },
        queued_bytes_max: usize::MAX,
        node: NODE,
        log_dir: "/data".to_owned(),
        auto_create: false,
        offsets_topic: TopicCreation {
            partition_count: 4,
            configs: vec![("cleanup.policy".to_owned(), Some("compact".to_owned()))],
            ..TopicCreation::with_defaults(GROUP_METADATA_TOPIC)
        },
        fetch_bytes_max: options.fetch_bytes_max,
        fetch_sessions_max: 8,
    }
}

fn remove_leftovers(disk: &mut Disk) -> Result<(), DiskFault> {
    for name in disk.list("")? {
        if name.ends_with("-delete") {
            disk.remove_tree(&name)?;
        } else if name.ends_with(".tmp") {
            disk.unlink(&name)?;
        }
    }
    for directory in ["catalog", "checkpoint", "journal"] {
        for name in disk.list(directory)? {
            let path = format!("{directory}/{name}");
            if name.ends_with(".tmp") {
                disk.unlink(&path)?;
            } else if name.ends_with("-delete") {
                disk.remove_tree(&path)?;
            }
        }
    }
    Ok(())
}

fn count_start(disk: &mut Disk) -> Result<Incarnation, BootFault> {
    let text = match disk.find("incarnation") {
        Some(_) => disk.read_all("incarnation")?,
        None => b"0".to_vec(),
    };
    let last: u64 = String::from_utf8_lossy(&text).parse().map_err(refused)?;
    replace(disk, "incarnation", (last + 1).to_string().as_bytes())?;
    Ok(Incarnation(last + 1))
}

fn read_or_empty(disk: &mut Disk, path: &str) -> Result<Vec<u8>, DiskFault> {
    if disk.find(path).is_some() { disk.read_all(path) } else { Ok(Vec::new()) }
}

fn load_catalog(disk: &mut Disk, options: &BootOptions) -> Result<(Catalog, usize), BootFault> {
    let snapshot = read_or_empty(disk, "catalog/snapshot")?;
    let log = read_or_empty(disk, "catalog/log")?;
    let snapshot = (!snapshot.is_empty()).then_some(snapshot.as_slice());
    let loaded = Catalog::load(snapshot, &log, options.statics.clone())
        .map_err(|error| refused(format_args!("the catalog: {error}")))?;
    let mut catalog = loaded.catalog;
    replace(disk, "catalog/log", log.get(..loaded.end.valid_bytes).unwrap_or_default())?;
    let file = disk.open("catalog/log")?;
    let mut log_bytes = loaded.end.valid_bytes;
    let mut append = |catalog: &mut Catalog, records: &[Record]| -> Result<(), BootFault> {
        let group = frame::encode_group(records, catalog.next_sequence());
        disk.write(file, log_bytes as u64, &group)?;
        disk.sync(file)?;
        log_bytes += group.len();
        for record in records {
            catalog.apply(record).map_err(refused)?;
        }
        Ok(())
    };
    if !catalog.image().is_created() {
        let id = [7; 16];
        let records = catalog.plan_create_cluster(NODE, None, id, &[]).map_err(refused)?;
        append(&mut catalog, &records)?;
    }
    let endpoint =
        Endpoint { listener: "PLAINTEXT".to_owned(), host: "here".to_owned(), port: 9092 };
    let records = catalog.plan_restart(NODE, vec![endpoint], None).map_err(refused)?;
    append(&mut catalog, &records)?;
    let missing: Vec<_> = options
        .topics
        .iter()
        .filter(|topic| catalog.image().topic(&topic.name).is_none())
        .cloned()
        .collect();
    if !missing.is_empty() {
        let ids: Vec<[u8; 16]> = missing.iter().map(|topic| topic_seed(&topic.name)).collect();
        let plan = catalog.plan_create_topics(&missing, &ids, false);
        for outcome in &plan.outcomes {
            outcome.as_ref().map_err(refused)?;
        }
        append(&mut catalog, &plan.records)?;
    }
    disk.sync_directory("catalog")?;
    Ok((catalog, log_bytes))
}

/// Random bytes for the id of a first topic: the same whenever it is made.
fn topic_seed(name: &str) -> [u8; 16] {
    let mut seed = [0x5a; 16];
    for (at, byte) in name.bytes().enumerate() {
        seed[at % 16] ^= byte.rotate_left(at as u32 % 7);
    }
    seed
}

fn checkpoints(disk: &mut Disk) -> Result<Vec<ShardCheckpoint>, BootFault> {
    let mut found = Vec::new();
    for name in disk.list("checkpoint")? {
        if checkpoint_start(&name).is_none() {
            continue;
        }
        let content = disk.read_all(&format!("checkpoint/{name}"))?;
        let checkpoint = ShardCheckpoint::decode(&content)
            .map_err(|error| refused(format_args!("the checkpoint of shard {name}: {error}")))?;
        found.push(checkpoint);
    }
    Ok(found)
}

fn is_partition_name(name: &str) -> bool {
    name.rsplit_once('-')
        .is_some_and(|(topic, partition)| !topic.is_empty() && partition.parse::<u32>().is_ok())
}

fn open_partitions(
    disk: &mut Disk,
    recovery: &mut Recovery,
    report: &mut BootReport,
) -> Result<(), BootFault> {
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    for name in disk.list("")? {
        if is_partition_name(&name) {
            let text = read_or_empty(disk, &format!("{name}/partition.metadata"))?;
            found.insert(name, metadata_topic(&text));
        }
    }
    let wanted: Vec<(String, TopicPartition)> =
        recovery.directories().map(|directory| (directory.name.clone(), directory.at)).collect();
    for (name, at) in wanted {
        let present = found.remove(&name);
        let owner = present.clone().flatten();
        let stale = owner.is_some_and(|owner| owner != at.topic.to_string());
        if stale {
            discard(disk, &name)?;
        }
        let mut files = Vec::new();
        let mut cleaned = Vec::new();
        if present.is_some() && !stale {
            for file in disk.list(&name)? {
                match parse_passing_name(&file) {
                    Some(Some((segment, kind, generation))) => {
                        let inode = disk.open(&format!("{name}/{file}"))?;
                        let bytes = disk.length(inode);
                        cleaned.push(FoundCleaned { segment, kind, generation, bytes });
                    }
                    Some(None) => drop(disk.unlink(&format!("{name}/{file}"))?),
                    None => {}
                }
                if let Some((segment, kind)) = parse_file_name(&file) {
                    let inode = disk.open(&format!("{name}/{file}"))?;
                    files.push(Found { segment, kind, bytes: disk.length(inode) });
                }
            }
        }
        let plan = recovery.open(at, &files, &cleaned).map_err(refused)?;
        finish_exchange(disk, &name, &plan, report)?;
        carry_out(disk, &name, at, &plan, recovery, report)?;
        if present.is_some_and(|owner| owner.is_none()) {
            let text = partition_metadata(at.topic);
            replace(disk, &format!("{name}/partition.metadata"), text.as_bytes())?;
        }
    }
    for name in found.keys() {
        discard(disk, name)?;
    }
    Ok(())
}

fn discard(disk: &mut Disk, name: &str) -> Result<(), DiskFault> {
    let aside = format!("{name}.leftover-delete");
    if disk.find(&aside).is_some() {
        disk.remove_tree(&aside)?;
    }
    disk.rename(name, &aside)?;
    disk.sync_directory("")?;
    disk.remove_tree(&aside)
}

fn finish_exchange(
    disk: &mut Disk,
    directory: &str,
    plan: &RecoveryPlan,
    report: &mut BootReport,
) -> Result<(), DiskFault> {
    report.adopted += plan.adopt.len();
    report.discarded += plan.discard.len();
    for file in &plan.adopt {
        let from = cleaned_name(file.segment, file.kind, file.generation);
        let to = file_name(file.segment, file.kind);
        disk.rename(&format!("{directory}/{from}"), &format!("{directory}/{to}"))?;
    }
    if !plan.adopt.is_empty() {
        disk.sync_directory(directory)?;
    }
    for file in &plan.discard {
        let name = cleaned_name(file.segment, file.kind, file.generation);
        disk.unlink(&format!("{directory}/{name}"))?;
    }
    Ok(())
}

fn carry_out(
    disk: &mut Disk,
    directory: &str,
    at: TopicPartition,
    plan: &RecoveryPlan,
    recovery: &mut Recovery,
    report: &mut BootReport,
) -> Result<(), BootFault> {
    report.truncated += plan.truncate.len();
    report.deleted += plan.delete.len();
    report.rebuilt += plan.rebuild.len();
    for cut in &plan.truncate {
        let inode = disk.open(&format!("{directory}/{}", file_name(cut.segment, cut.kind)))?;
        disk.set_length(inode, u64::from(cut.bytes))?;
    }
    for (segment, kind) in &plan.delete {
        disk.unlink(&format!("{directory}/{}", file_name(*segment, *kind)))?;
    }
    for segment in &plan.rebuild {
        let path = format!("{directory}/{}", file_name(*segment, FileKind::Log));
        let interval = recovery.index_interval_bytes(at);
        let mut scan = SegmentScan::new(*segment, interval, Offset(i64::MAX));
        let data = disk.read_all(&path)?;
        if let Scan::Corrupt { position } = scan.push(&data) {
            return Err(refused(format_args!("{path} is damaged at byte {position}")));
        }
        let rewrite = recovery.rebuilt(at, *segment, scan).map_err(refused)?;
        let contents =
            [(FileKind::Index, &rewrite.index), (FileKind::TimeIndex, &rewrite.time_index)];
        for (kind, content) in contents {
            replace(disk, &format!("{directory}/{}", file_name(*segment, kind)), content)?;
        }
    }
    Ok(())
}

fn replay_journals(
    disk: &mut Disk,
    incarnation: Incarnation,
    options: &BootOptions,
    recovery: &mut Recovery,
    report: &mut BootReport,
) -> Result<(), BootFault> {
    let mut files: Vec<(String, Inode)> = Vec::new();
    for start in disk.list("journal")? {
        if !start.parse().is_ok_and(|found: u64| found < incarnation.0) {
            continue;
        }
        for name in disk.list(&format!("journal/{start}"))? {
            if name == ENDS {
                continue;
            }
            let path = format!("journal/{start}/{name}");
            let inode = disk.open(&path)?;
            files.push((path, inode));
        }
    }
    if options.mutant == Some(Mutant::BlindReplay) {
        return super::mutant::replay_blindly(disk, &files, recovery).map_err(refused);
    }
    let headers = files.iter().map(|(_, inode)| FileHeader::parse(&disk.read(*inode, 0, 4096)));
    let plan = journal::plan(headers.collect::<Vec<_>>().into_iter().enumerate());
    for fault in &plan.faults {
        judge(fault, &files, disk)?;
    }
    report.chains += plan.chains.len();
    let records = ends_of_earlier_starts(disk, incarnation, &files)?;
    let mut ends = Ends::default();
    let mut at = 0;
    while let Some(first) = plan.chains.get(at) {
        let same = plan.chains[at..].iter().take_while(|c| c.incarnation == first.incarnation);
        let chains: Vec<_> = same.cloned().collect();
        at += chains.len();
        for chain in chains {
            let (lane, shard) = (chain.lane, chain.shard);
            let known = format!("{}/{lane}-{shard}", chain.incarnation);
            let limit = journal::limit(&records, &chain);
            report.limited += usize::from(limit.is_some());
            let (entries, end) = read_chain(disk, chain.clone(), limit, &files)?;
            ends.note(&chain, end.last);
            let lost = end.lost;
            report.told.push(format!("{known}: {} entries, lost {lost:?}", entries.len()));
            if let Some(lost) = lost {
                if lane == Lane::Flushed {
                    return Err(refused(format_args!(
                        "journal of shard {shard}: group {} was acknowledged and is lost",
                        lost.first.0
                    )));
                }
                report.unflushed_lost += 1;
            }
            report.entries += entries.len();
            for entry in entries {
                recovery.offer(entry).map_err(refused)?;
            }
        }
        recovery.end_incarnation();
    }
    if !ends.is_empty() {
        let directory = journal_directory(incarnation);
        let file = disk.create(&format!("{directory}/{ENDS}"), true)?;
        disk.write(file, 0, &ends.encode())?;
        disk.sync(file)?;
        disk.sync_directory(&directory)?;
    }
    Ok(())
}

/// How far each earlier start has read the journals before it.
fn ends_of_earlier_starts(
    disk: &mut Disk,
    incarnation: Incarnation,
    files: &[(String, Inode)],
) -> Result<Vec<(Incarnation, Ends)>, BootFault> {
    let mut records = Vec::new();
    for start in disk.list("journal")? {
        let Some(reader) = start.parse().ok().filter(|found: &u64| *found < incarnation.0) else {
            continue;
        };
        let is_used = files.iter().any(|(path, _)| path.contains(&format!("/{start}/")));
        let content = read_or_empty(disk, &format!("journal/{start}/{ENDS}"))?;
        match Ends::decode(&content) {
            Ok(ends) => records.push((Incarnation(reader), ends)),
            // It had found no journals, or ended while it wrote this down.
            Err(_) if content.is_empty() || !is_used => {}
            Err(fault) => return Err(refused(format_args!("ends of start {start}: {fault}"))),
        }
    }
    Ok(records)
}

fn judge(fault: &PlanFault, files: &[(String, Inode)], disk: &Disk) -> Result<(), BootFault> {
    match fault {
        PlanFault::Header { fault: HeaderFault::Unused, .. } => Ok(()),
        // Its making was cut short: it is shorter than any header.
        PlanFault::Header { file, fault: HeaderFault::Foreign }
            if disk.length(files[*file].1) == 0 =>
        {
            Ok(())
        }
        fault => Err(refused(format_args!("journal files: {fault:?}"))),
    }
}

type ChainRead = (Vec<ReplayedEntry>, ReplayEnd);

fn read_chain(
    disk: &mut Disk,
    chain: journal::Chain,
    limit: Option<GroupSequence>,
    files: &[(String, Inode)],
) -> Result<ChainRead, BootFault> {
    let mut touched: Vec<usize> = Vec::new();
    let mut entries = Vec::new();
    let mut replay = Replay::new(chain, READ_BYTES).until(limit);
    loop {
        while let Some(entry) = replay.poll_entry() {
            entries.push(entry);
        }
        let Some(request) = replay.poll_read() else { break };
        let (_, inode) = files[request.file];
        if !touched.contains(&request.file) {
            touched.push(request.file);
        }
        replay.on_read(&Bytes::from(disk.read(inode, request.position, request.bytes)));
    }
    for file in touched {
        disk.sync(files[file].1)?;
    }
    let end = replay.end().expect("a replay that asks for nothing has ended");
    Ok((entries, end))
}

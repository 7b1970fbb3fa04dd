//! The boot's way from the data directory to the seeds of the shards: reads what the pure
//! [`Recovery`] asks for and does to the files what it says. Blocking calls throughout; no shard
//! runs yet.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::{info, warn};

use super::boot::StartError;
use super::data_directory::{
    DELETED_SUFFIX, DataDirectory, FoundCheckpoint, FoundJournal, FoundPartition,
    PARTITION_METADATA, partition_metadata, replace, sync_directory,
};
use super::fatal::ExitStatus;
use super::sys;
use crate::catalog::{Catalog, Endpoint, GROUP_METADATA_TOPIC, Record, frame};
use crate::config::{GroupSettings, Settings};
use crate::group::GroupOptions;
use crate::ids::{Incarnation, ShardId, TopicPartition};
use crate::journal::{
    self, FileHeader, HeaderFault, Lane, PlanFault, Replay, ReplayEnd, ReplayedEntry,
};
use crate::limits::{JOURNAL_BLOCK_BYTES, JOURNAL_DEPTH};
use crate::log::{FileKind, Found, RecoveryPlan, Scan, SegmentScan, file_name};
use crate::shard::owner::{OwnerOptions, ShardCheckpoint};
use crate::shard::recovery::Recovery;
use crate::shard::{ConnectionLimits, ShardOptions, ShardSeed};
use crate::time::Now;

/// How much of a file is read at a time.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Reads everything and prepares it for `shard_count` shards.
///
/// # Errors
/// One line and the exit status: unreadable files, or files that contradict each other.
pub fn seeds(
    settings: &Settings,
    data: &DataDirectory,
    shard_count: u16,
    random: &mut impl FnMut(&mut [u8]),
    now: Now,
) -> Result<Vec<ShardSeed>, StartError> {
    let root = data.root();
    check_space(settings, root, shard_count)?;
    let (catalog, catalog_log_bytes) = load_catalog(settings, data, random)?;
    let image = catalog.image().clone();
    let statics = settings.static_configs.clone();
    let mut recovery = Recovery::new(&image, &statics, checkpoints(data)?, now);

    open_partitions(root, data, &mut recovery)?;
    replay(data, &mut recovery)?;
    for note in recovery.notes() {
        warn!("{note}");
    }

    let mut controller = Some((catalog, catalog_log_bytes, draw(random)));
    let shards = (0..shard_count).map(ShardId).zip(recovery.finish(shard_count));
    Ok(shards
        .map(|(shard, partitions)| ShardSeed {
            options: options(settings, shard, shard_count, data.incarnation(), draw(random)),
            image: image.clone(),
            statics: statics.clone(),
            partitions,
            controller: controller.take(),
        })
        .collect())
}

/// A shard's part of the settings. What is a limit of the whole broker is divided among the shards.
fn options(
    settings: &Settings,
    shard: ShardId,
    shard_count: u16,
    incarnation: Incarnation,
    seed: u64,
) -> ShardOptions {
    let share = |limit: u32| (limit as usize).div_ceil(usize::from(shard_count));
    let rate = settings.max_connection_creation_rate;
    let tail_bytes = settings.memory_tail_bytes / u64::from(shard_count);
    ShardOptions {
        owner: OwnerOptions {
            shard,
            shard_count,
            incarnation,
            journal_file_bytes: settings.journal_file_bytes,
            journal_files_max: settings.journal_files as usize,
            journal_depth: JOURNAL_DEPTH,
            tail_bytes_max: usize::try_from(tail_bytes).unwrap_or(usize::MAX),
            retention_interval: Duration::from_millis(settings.log_retention_check_interval_ms),
            producer_expiration: Duration::from_millis(
                settings.transactions.producer_id_expiration_ms,
            ),
            groups: Arc::new(group_options(&settings.groups)),
            seed,
        },
        connections: ConnectionLimits {
            count_max: share(settings.max_connections),
            per_address_max: share(settings.max_connections_per_ip),
            idle_max: settings.connections_max_idle_ms.map_or(Duration::MAX, Duration::from_millis),
            creation_rate_max: (rate < i32::MAX as u32)
                .then(|| rate.div_ceil(u32::from(shard_count))),
        },
        node: settings.node_id,
        log_dir: settings.log_dir.display().to_string(),
        auto_create: settings.auto_create_topics_enable,
        offsets_topic: settings
            .internal_topic(GROUP_METADATA_TOPIC)
            .expect("the settings know the topic of groups"),
        fetch_bytes_max: settings.fetch_max_bytes as usize,
        fetch_sessions_max: share(settings.fetch_session_slots),
    }
}

fn group_options(settings: &GroupSettings) -> GroupOptions {
    GroupOptions {
        initial_rebalance_delay: Duration::from_millis(settings.initial_rebalance_delay_ms),
        session_timeout_min: Duration::from_millis(settings.min_session_timeout_ms),
        session_timeout_max: Duration::from_millis(settings.max_session_timeout_ms),
        size_max: settings.max_size as usize,
        metadata_bytes_max: settings.offset_metadata_max_bytes as usize,
        offsets_retention: Duration::from_millis(settings.offsets_retention_ms),
        offsets_check_interval: Duration::from_millis(settings.offsets_retention_check_interval_ms),
    }
}

fn draw(random: &mut impl FnMut(&mut [u8])) -> u64 {
    let mut seed = [0; 8];
    random(&mut seed);
    u64::from_ne_bytes(seed)
}

/// Refuses to start on a disk that has no room for the first journal file of every shard: the port
/// would open and no produce request could be answered.
fn check_space(settings: &Settings, root: &Path, shard_count: u16) -> Result<(), StartError> {
    let operation = format!("looking at the space of {}", root.display());
    let directory = File::open(root).map_err(broken(&operation))?;
    let (free, _) = sys::space_of(&directory).map_err(broken(&operation))?;
    let needed = settings.journal_file_bytes.saturating_mul(u64::from(shard_count));
    if free >= needed {
        return Ok(());
    }
    Err(StartError {
        status: ExitStatus::DataDirectory,
        reason: format!(
            "the disk of {} is full: {} MiB are free and {shard_count} shards need {} MiB for their \
             journals; free some space, or set ringmain.journal.file.bytes lower",
            root.display(),
            free >> 20,
            needed >> 20
        ),
    })
}

/// How many partitions the shards start with.
#[must_use]
pub fn partition_count(seeds: &[ShardSeed]) -> usize {
    seeds.iter().map(|seed| seed.partitions.len()).sum()
}

fn corrupt(reason: impl std::fmt::Display) -> StartError {
    StartError { status: ExitStatus::Corrupt, reason: reason.to_string() }
}

fn broken(operation: impl std::fmt::Display) -> impl FnOnce(io::Error) -> StartError {
    let operation = operation.to_string();
    move |error| {
        let full = error.kind() == io::ErrorKind::StorageFull;
        let hint = if full { "; free some space and start again" } else { "" };
        let status = ExitStatus::DataDirectory;
        StartError { status, reason: format!("{operation}: {error}{hint}") }
    }
}

fn load_catalog(
    settings: &Settings,
    data: &DataDirectory,
    random: &mut impl FnMut(&mut [u8]),
) -> Result<(Catalog, usize), StartError> {
    let (snapshot, log) = data.catalog().map_err(|error| StartError {
        status: ExitStatus::DataDirectory,
        reason: error.to_string(),
    })?;
    let snapshot = (!snapshot.is_empty()).then_some(snapshot.as_slice());
    let loaded = Catalog::load(snapshot, &log, settings.static_configs.clone())
        .map_err(|error| corrupt(format_args!("the catalog: {error}")))?;
    let mut catalog = loaded.catalog;
    let path = data.root().join("catalog/log");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(broken("opening the catalog log"))?;
    if loaded.end.valid_bytes < log.len() {
        info!(
            cut = log.len() - loaded.end.valid_bytes,
            reason = ?loaded.end.reason,
            "the catalog log ends in an append that a crash cut short"
        );
    }
    file.set_len(loaded.end.valid_bytes as u64).map_err(broken("cutting the catalog log"))?;
    let mut log_bytes = loaded.end.valid_bytes;
    let mut append = |catalog: &mut Catalog, records: &[Record]| -> Result<(), StartError> {
        let group = frame::encode_group(records, catalog.next_sequence());
        file.write_all_at(&group, log_bytes as u64).map_err(broken("writing the catalog log"))?;
        file.flush().map_err(broken("writing the catalog log"))?;
        file.sync_data().map_err(broken("flushing the catalog log"))?;
        log_bytes += group.len();
        for record in records {
            catalog.apply(record).map_err(|error| corrupt(format_args!("the catalog: {error}")))?;
        }
        Ok(())
    };
    let usage = |refusal: crate::catalog::Refusal| StartError {
        status: ExitStatus::Usage,
        reason: refusal.to_string(),
    };
    if !catalog.image().is_created() {
        let used = data
            .partitions()
            .and_then(|partitions| Ok(!partitions.is_empty() || !data.checkpoints()?.is_empty()))
            .map_err(|error| corrupt(error.to_string()))?;
        if used {
            // Whatever is in the catalog files is not a torn first append: topics were made by it.
            return Err(corrupt("the catalog is lost or unreadable, but there are partitions"));
        }
        let mut id = [0; 16];
        random(&mut id);
        let cluster_id = settings.cluster_id.as_deref();
        let records =
            catalog.plan_create_cluster(settings.node_id, cluster_id, id, &[]).map_err(usage)?;
        append(&mut catalog, &records)?;
    }
    let endpoints = settings.advertised_listeners.iter().map(|listener| Endpoint {
        listener: listener.name.clone(),
        host: listener.host.clone(),
        port: listener.port,
    });
    let records = catalog
        .plan_restart(settings.node_id, endpoints.collect(), settings.rack.clone())
        .map_err(usage)?;
    append(&mut catalog, &records)?;
    sync_directory(&data.root().join("catalog")).map_err(broken("flushing the catalog"))?;
    Ok((catalog, log_bytes))
}

fn checkpoints(data: &DataDirectory) -> Result<Vec<ShardCheckpoint>, StartError> {
    let found = data.checkpoints().map_err(|error| StartError {
        status: ExitStatus::DataDirectory,
        reason: error.to_string(),
    })?;
    found
        .into_iter()
        .map(|FoundCheckpoint { incarnation, shard, content }| {
            ShardCheckpoint::decode(&content).map_err(|error| {
                corrupt(format_args!(
                    "the checkpoint of shard {shard} of start {incarnation}: {error}"
                ))
            })
        })
        .collect()
}

/// Makes every partition's files equal to its checkpoint, and moves directories of topics that are
/// gone out of the way.
fn open_partitions(
    root: &Path,
    data: &DataDirectory,
    recovery: &mut Recovery,
) -> Result<(), StartError> {
    let found = data.partitions().map_err(|error| StartError {
        status: ExitStatus::DataDirectory,
        reason: error.to_string(),
    })?;
    let mut found: BTreeMap<String, FoundPartition> =
        found.into_iter().map(|partition| (partition.name.clone(), partition)).collect();
    let wanted: Vec<(String, TopicPartition)> =
        recovery.directories().map(|directory| (directory.name.clone(), directory.at)).collect();
    let mut leftovers = 0;
    for (name, at) in wanted {
        let present = found.remove(&name);
        let stale = present.as_ref().and_then(|found| found.at).is_some_and(|owner| owner != at);
        if stale {
            // A topic of the same name was deleted and made again.
            discard(root, &name, &mut leftovers)?;
        }
        let files: Vec<Found> = present.iter().filter(|_| !stale).flat_map(found_files).collect();
        let plan = recovery.open(at, &files).map_err(corrupt)?;
        let directory = root.join(&name);
        carry_out(&directory, at, &plan, recovery)?;
        if present.is_some_and(|found| found.at.is_none()) {
            // A crash came between making the directory and naming its owner.
            replace(&directory.join(PARTITION_METADATA), partition_metadata(at.topic).as_bytes())
                .map_err(broken(format_args!("writing {PARTITION_METADATA} of {name}")))?;
        }
    }
    for name in found.keys() {
        info!(directory = name, "removing a partition that the catalog does not know");
        discard(root, name, &mut leftovers)?;
    }
    Ok(())
}

fn found_files(partition: &FoundPartition) -> Vec<Found> {
    let mut files = Vec::new();
    for segment in &partition.segments {
        let lengths = [
            (FileKind::Log, segment.log_bytes),
            (FileKind::Index, segment.index_bytes),
            (FileKind::TimeIndex, segment.time_index_bytes),
        ];
        for (kind, bytes) in lengths {
            if let Some(bytes) = bytes {
                files.push(Found { segment: segment.segment, kind, bytes });
            }
        }
    }
    files
}

/// Renames a directory so that it is nobody's, then unlinks it. `count` keeps the names apart; the
/// topic's name may be too long to have anything added.
fn discard(root: &Path, name: &str, count: &mut u32) -> Result<(), StartError> {
    let aside = root.join(format!("leftover-{count}{DELETED_SUFFIX}"));
    *count += 1;
    let operation = format!("removing {name}");
    fs::rename(root.join(name), &aside).map_err(broken(&operation))?;
    sync_directory(root).map_err(broken(&operation))?;
    fs::remove_dir_all(&aside).map_err(broken(&operation))
}

fn carry_out(
    directory: &Path,
    at: TopicPartition,
    plan: &RecoveryPlan,
    recovery: &mut Recovery,
) -> Result<(), StartError> {
    for cut in &plan.truncate {
        let path = directory.join(file_name(cut.segment, cut.kind));
        let operation = format!("cutting {}", path.display());
        let file = OpenOptions::new().write(true).open(&path).map_err(broken(&operation))?;
        file.set_len(u64::from(cut.bytes)).map_err(broken(&operation))?;
    }
    for (segment, kind) in &plan.delete {
        let path = directory.join(file_name(*segment, *kind));
        fs::remove_file(&path).map_err(broken(format_args!("removing {}", path.display())))?;
    }
    for segment in &plan.rebuild {
        let path = directory.join(file_name(*segment, FileKind::Log));
        info!(segment = %path.display(), "rebuilding the indexes of a segment");
        let mut file = File::open(&path).map_err(broken(format_args!("{}", path.display())))?;
        let mut scan = SegmentScan::new(
            *segment,
            recovery.index_interval_bytes(at),
            crate::ids::Offset(i64::MAX),
        );
        let mut data = Vec::new();
        file.read_to_end(&mut data).map_err(broken(format_args!("{}", path.display())))?;
        if let Scan::Corrupt { position } = scan.push(&data) {
            return Err(corrupt(format_args!("{} is damaged at byte {position}", path.display())));
        }
        let rewrite = recovery.rebuilt(at, *segment, scan).map_err(corrupt)?;
        for (kind, content) in
            [(FileKind::Index, &rewrite.index), (FileKind::TimeIndex, &rewrite.time_index)]
        {
            let path = directory.join(file_name(*segment, kind));
            replace(&path, content).map_err(broken(format_args!("writing {}", path.display())))?;
        }
    }
    Ok(())
}

/// One journal file, open for reading.
struct JournalFile {
    path: PathBuf,
    file: File,
}

/// Brings what the journals have beyond the segments into the logs.
fn replay(data: &DataDirectory, recovery: &mut Recovery) -> Result<(), StartError> {
    let found = data.journals().map_err(|error| StartError {
        status: ExitStatus::DataDirectory,
        reason: error.to_string(),
    })?;
    let mut files = Vec::new();
    let mut headers = Vec::new();
    for FoundJournal { path, .. } in found {
        let operation = format!("reading {}", path.display());
        let file = File::open(&path).map_err(broken(&operation))?;
        let mut block = vec![0; JOURNAL_BLOCK_BYTES];
        let length = read_at_most(&file, &mut block, 0).map_err(broken(&operation))?;
        if length < block.len() {
            // Files get their full length before anything is written to them: a crash or a full
            // device cut the making of this one short, and it never held a group.
            info!(file = %path.display(), "a journal file that was never finished");
            continue;
        }
        headers.push(FileHeader::parse(&block));
        files.push(JournalFile { path, file });
    }
    let plan = journal::plan(headers.into_iter().enumerate());
    for fault in &plan.faults {
        judge(fault, &files)?;
    }
    let mut at = 0;
    while let Some(first) = plan.chains.get(at) {
        let incarnation = first.incarnation;
        let chains: Vec<_> = plan
            .chains
            .iter()
            .skip(at)
            .take_while(|chain| chain.incarnation == incarnation)
            .cloned()
            .collect();
        at += chains.len();
        // Every shard's journal in a thread of its own: checksums and reading go side by side.
        let read: Vec<_> = std::thread::scope(|scope| {
            let readers: Vec<_> = chains
                .into_iter()
                .map(|chain| (chain.clone(), scope.spawn(|| read_chain(chain, &files))))
                .collect();
            readers
                .into_iter()
                .map(|(chain, reader)| {
                    let read =
                        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    (chain, read)
                })
                .collect()
        });
        for (chain, read) in read {
            let (entries, end) = read?;
            if let Some(lost) = end.lost {
                let what = format!(
                    "journal of shard {} at start {incarnation}: group {} cannot be read ({}), but \
                     groups up to {} were acknowledged",
                    chain.shard, lost.first.0, end.stop, lost.durable.0
                );
                if chain.lane == Lane::Flushed {
                    return Err(corrupt(what));
                }
                warn!("{what}; they were acknowledged without a flush");
            }
            if !entries.is_empty() {
                info!(
                    start = %incarnation, shard = %chain.shard, lane = %chain.lane,
                    entries = entries.len(), "replaying a journal"
                );
            }
            for entry in entries {
                recovery.offer(entry).map_err(corrupt)?;
            }
        }
        recovery.end_incarnation();
    }
    Ok(())
}

/// Whether a start may go on in spite of this.
fn judge(fault: &PlanFault, files: &[JournalFile]) -> Result<(), StartError> {
    let path = |file: &usize| {
        files.get(*file).map_or_else(String::new, |file| file.path.display().to_string())
    };
    match fault {
        // A crash cut its making short, before anything was written to it.
        PlanFault::Header { file, fault: HeaderFault::Unused } => {
            info!(file = path(file), "an unused journal file");
            Ok(())
        }
        PlanFault::Header { file, fault } => {
            Err(corrupt(format_args!("{} has no readable header: {fault:?}", path(file))))
        }
        PlanFault::Missing { incarnation, shard, lane, file }
        | PlanFault::MissingOldest { incarnation, shard, lane, file } => {
            Err(corrupt(format_args!(
                "journal file {} of shard {shard} ({lane}) at start {incarnation} is missing",
                file.0
            )))
        }
        PlanFault::Twice { file } => {
            Err(corrupt(format_args!("{} is a second copy of a journal file", path(file))))
        }
    }
}

type ReadChain = Result<(Vec<ReplayedEntry>, ReplayEnd), StartError>;

fn read_chain(chain: journal::Chain, files: &[JournalFile]) -> ReadChain {
    let mut touched: Vec<usize> = Vec::new();
    let mut entries = Vec::new();
    let mut replay = Replay::new(chain, READ_BYTES);
    loop {
        while let Some(entry) = replay.poll_entry() {
            entries.push(entry);
        }
        let Some(request) = replay.poll_read() else { break };
        let Some(JournalFile { path, file }) = files.get(request.file) else {
            panic!("the plan names files that were found");
        };
        if !touched.contains(&request.file) {
            touched.push(request.file);
            // What a killed process wrote may be in the device's cache only. It is about to be
            // built upon, so it has to outlive a power cut from here on.
            file.sync_data().map_err(broken(format_args!("flushing {}", path.display())))?;
        }
        let mut buffer = vec![0; request.bytes];
        let length = read_at_most(file, &mut buffer, request.position)
            .map_err(broken(format_args!("reading {}", path.display())))?;
        buffer.truncate(length);
        replay.on_read(&Bytes::from(buffer));
    }
    match replay.end() {
        Some(end) => Ok((entries, end)),
        None => panic!("a replay that asks for nothing has ended"),
    }
}

/// Fills as much of the buffer as the file has.
fn read_at_most(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, position + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

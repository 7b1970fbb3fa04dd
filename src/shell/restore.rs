//! The boot's way from the data directory to the seeds of the shards: reads what the pure
//! [`Recovery`] asks for and does to the files what it says. Blocking calls throughout; no shard
//! runs yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::{info, warn};

use super::boot::StartError;
use super::data_directory::{
    DataDirectory, FoundCheckpoint, FoundJournal, FoundPartition, checkpoint_copy_path,
    checkpoint_path, replace, sync_directory,
};
use super::fatal::ExitStatus;
use super::restore_partitions::{judge_directories, open_partitions};
use super::sys;
use crate::catalog::{Catalog, Endpoint, GROUP_METADATA_TOPIC, Image, Record, TopicConfig, frame};
use crate::config::{GroupSettings, Settings};
use crate::group::{Assignor, ConsumerOptions, GroupOptions};
use crate::ids::{Incarnation, ShardId, TopicId};
use crate::journal::{
    self, Ends, EndsFault, FileHeader, GroupSequence, HeaderFault, Lane, PlanFault, Replay,
    ReplayEnd, ReplayedEntry,
};
use crate::limits::{
    JOURNAL_BLOCK_BYTES, JOURNAL_DEPTH, JOURNAL_GROUP_BYTES_MAX, journal_batch_bytes_max,
};
use crate::shard::directories::{DeletedTopics, DirectoryFate};
use crate::shard::owner::{CompactionSettings, OwnerOptions, ShardCheckpoint};
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
    let of_address = addresses(&settings.max_connections_per_ip_overrides)?;
    check_space(settings, data, shard_count)?;
    let checkpoints = checkpoints(data)?;
    let FoundCatalog { catalog, log_bytes: catalog_log_bytes, deleted, fates } =
        load_catalog(settings, data, &checkpoints, random)?;
    let image = catalog.image().clone();
    let statics = settings.static_configs.clone();
    check_batch_bytes(settings, &image)?;
    let mut recovery = Recovery::new(&image, &statics, checkpoints, now);
    if let Some(deleted) = deleted {
        recovery.know_deleted(deleted);
    }

    open_partitions(root, fates, &mut recovery)?;
    replay(data, &mut recovery)?;
    for note in recovery.notes() {
        warn!("{note}");
    }

    let mut controller = Some((catalog, catalog_log_bytes, draw(random)));
    let shards = (0..shard_count).map(ShardId).zip(recovery.finish(shard_count));
    Ok(shards
        .map(|(shard, partitions)| ShardSeed {
            options: options(
                settings,
                &of_address,
                shard,
                shard_count,
                data.incarnation(),
                draw(random),
            ),
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
    of_address: &BTreeMap<IpAddr, u32>,
    shard: ShardId,
    shard_count: u16,
    incarnation: Incarnation,
    seed: u64,
) -> ShardOptions {
    let keys_bytes = usize::try_from(settings.log_cleaner_dedupe_buffer_size).unwrap_or(usize::MAX);
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
            compaction: CompactionSettings {
                enabled: settings.log_cleaner_enable,
                interval: Duration::from_millis(settings.log_cleaner_backoff_ms),
                keys_bytes_max: keys_bytes / usize::from(shard_count),
            },
            groups: Arc::new(group_options(&settings.groups)),
            seed,
        },
        connections: ConnectionLimits {
            count_max: share(settings.max_connections),
            per_address_max: share(settings.max_connections_per_ip),
            of_address: of_address.iter().map(|(at, limit)| (*at, share(*limit))).collect(),
            idle_max: settings.connections_max_idle_ms.map_or(Duration::MAX, Duration::from_millis),
            creation_rate_max: (rate < i32::MAX as u32)
                .then(|| rate.div_ceil(u32::from(shard_count))),
        },
        queued_bytes_max: settings.queued_max_request_bytes.map_or(usize::MAX, |bytes| {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            bytes.div_ceil(usize::from(shard_count)).max(1)
        }),
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

/// The limits of `max.connections.per.ip.overrides` by address. A name stands for all of its own.
fn addresses(overrides: &BTreeMap<String, u32>) -> Result<BTreeMap<IpAddr, u32>, StartError> {
    let mut found = BTreeMap::new();
    for (host, limit) in overrides {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = (bare, 0).to_socket_addrs().map_err(|error| StartError {
            status: ExitStatus::Usage,
            reason: format!("max.connections.per.ip.overrides: {host}: {error}"),
        })?;
        found.extend(addresses.map(|address| (address.ip().to_canonical(), *limit)));
    }
    Ok(found)
}

/// Refuses to start with journal files that are too small for the batches that a topic allows.
fn check_batch_bytes(settings: &Settings, image: &Image) -> Result<(), StartError> {
    let largest = journal_batch_bytes_max(settings.journal_file_bytes);
    let statics = &settings.static_configs;
    let by_default = TopicConfig::from_overrides(&BTreeMap::new(), image, statics);
    let topics = image.topics.iter().map(|topic| {
        (format!("topic {}", topic.name), TopicConfig::resolve(topic, image, statics))
    });
    for (name, config) in topics.chain([("every new topic".to_owned(), by_default)]) {
        let wanted = config.max_message_bytes as usize;
        if wanted > largest {
            return Err(StartError {
                status: ExitStatus::Usage,
                reason: format!(
                    "{name} takes batches of up to {wanted} bytes (max.message.bytes), but a journal \
                     file of {} bytes takes {largest} at most; set ringmain.journal.file.bytes \
                     higher",
                    settings.journal_file_bytes
                ),
            });
        }
    }
    Ok(())
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
        consumer: ConsumerOptions {
            enabled: settings.consumer_protocol_enable,
            assignors: settings
                .consumer_assignors
                .iter()
                .filter_map(|name| Assignor::from_name(name))
                .collect(),
            session_timeout: Duration::from_millis(settings.consumer_session_timeout_ms),
            heartbeat_interval: Duration::from_millis(settings.consumer_heartbeat_interval_ms),
            size_max: settings.consumer_max_size as usize,
        },
    }
}

fn draw(random: &mut impl FnMut(&mut [u8])) -> u64 {
    let mut seed = [0; 8];
    random(&mut seed);
    u64::from_ne_bytes(seed)
}

/// Refuses to start on a disk that has no room for the first journal file of every shard: the port
/// would open and no produce request could be answered. The journals of earlier starts make room as
/// soon as what they hold is in segments; until then producers wait.
fn check_space(
    settings: &Settings,
    data: &DataDirectory,
    shard_count: u16,
) -> Result<(), StartError> {
    let root = data.journals();
    let operation = format!("looking at the space of {}", root.display());
    let directory = File::open(root).map_err(broken(&operation))?;
    let (free, _) = sys::space_of(&directory).map_err(broken(&operation))?;
    let needed = settings.journal_file_bytes.saturating_mul(u64::from(shard_count));
    let old = data.journal_files().map_err(|error| StartError {
        status: ExitStatus::DataDirectory,
        reason: error.to_string(),
    })?;
    let to_come: u64 = old.iter().map(|file| file.bytes).sum();
    if free.saturating_add(to_come) >= needed {
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

pub(super) fn corrupt(reason: impl std::fmt::Display) -> StartError {
    StartError { status: ExitStatus::Corrupt, reason: reason.to_string() }
}

pub(super) fn broken(operation: impl std::fmt::Display) -> impl FnOnce(io::Error) -> StartError {
    let operation = operation.to_string();
    move |error| {
        let full = error.kind() == io::ErrorKind::StorageFull;
        let hint = if full { "; free some space and start again" } else { "" };
        let status = ExitStatus::DataDirectory;
        StartError { status, reason: format!("{operation}: {error}{hint}") }
    }
}

/// What the catalog files, and the directories judged by them, say.
struct FoundCatalog {
    catalog: Catalog,
    log_bytes: usize,
    /// All topics that were ever deleted, if that is known.
    deleted: Option<BTreeSet<TopicId>>,
    fates: Vec<(FoundPartition, DirectoryFate)>,
}

fn load_catalog(
    settings: &Settings,
    data: &DataDirectory,
    checkpoints: &[ShardCheckpoint],
    random: &mut impl FnMut(&mut [u8]),
) -> Result<FoundCatalog, StartError> {
    let (snapshot, log) = data.catalog().map_err(|error| StartError {
        status: ExitStatus::DataDirectory,
        reason: error.to_string(),
    })?;
    let snapshot = (!snapshot.is_empty()).then_some(snapshot.as_slice());
    let loaded =
        Catalog::load(snapshot, &log, settings.static_configs.clone()).map_err(|error| {
            corrupt(format_args!(
                "the catalog: {error}; restore {} from a backup",
                data.root().join("catalog").display()
            ))
        })?;
    let path = data.root().join("catalog/log");
    // Before anything is cut or written: a refusal leaves what a human needs.
    let served = checkpoints.iter().map(|checkpoint| checkpoint.catalog_version).max();
    let version = loaded.catalog.image().version;
    if served.is_some_and(|served| version < served) {
        return Err(corrupt(format_args!(
            "{} has lost its end: it goes to version {version} ({:?}), and the broker has served by \
             version {}; restore it from a backup",
            path.display(),
            loaded.end.reason,
            served.unwrap_or_default()
        )));
    }
    let torn = loaded.end.valid_bytes < log.len();
    let fates = if loaded.catalog.image().is_created() {
        let deleted =
            DeletedTopics { known: loaded.deleted.clone(), complete: snapshot.is_none() || torn };
        judge_directories(data, loaded.catalog.image(), checkpoints, &deleted)?
    } else {
        Vec::new()
    };
    let deleted = snapshot.is_none().then_some(loaded.deleted);
    let mut catalog = loaded.catalog;
    if loaded.end.valid_bytes < log.len() {
        info!(
            cut = log.len() - loaded.end.valid_bytes,
            reason = ?loaded.end.reason,
            "the catalog log ends in an append that a crash cut short"
        );
    }
    // Written anew: an append whose flush failed may look whole to whoever reads it, and yet be
    // nowhere but in memory, in pages that no later flush writes (fsyncgate).
    let valid = log.get(..loaded.end.valid_bytes).unwrap_or_default();
    replace(&path, valid).map_err(broken("writing the catalog log anew"))?;
    let mut file =
        OpenOptions::new().write(true).open(&path).map_err(broken("opening the catalog log"))?;
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
            .map(|partitions| !partitions.is_empty() || !checkpoints.is_empty())
            .map_err(|error| corrupt(error.to_string()))?;
        if used {
            // Whatever is in the catalog files is not a torn first append: topics were made by it.
            return Err(corrupt(format_args!(
                "{} is lost or unreadable, but there are partitions; restore it from a backup",
                path.display()
            )));
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
    Ok(FoundCatalog { catalog, log_bytes, deleted, fates })
}

/// The newest readable copy of every checkpoint.
fn checkpoints(data: &DataDirectory) -> Result<Vec<ShardCheckpoint>, StartError> {
    let found = data.checkpoints().map_err(|error| StartError {
        status: ExitStatus::DataDirectory,
        reason: error.to_string(),
    })?;
    let mut copies: BTreeMap<(Incarnation, ShardId), [Option<Vec<u8>>; 2]> = BTreeMap::new();
    for FoundCheckpoint { incarnation, shard, is_copy, content } in found {
        let [first, copy] = copies.entry((incarnation, shard)).or_default();
        *(if is_copy { copy } else { first }) = Some(content);
    }
    let mut checkpoints = Vec::new();
    for ((incarnation, shard), [first, copy]) in copies {
        let path = checkpoint_path(data.root(), incarnation, shard);
        let decode = |content: Option<Vec<u8>>| match content {
            Some(content) => ShardCheckpoint::decode(&content).map_err(|error| error.to_string()),
            None => Err("it is missing".to_owned()),
        };
        let checkpoint = decode(first).or_else(|damage| {
            let copy_path = checkpoint_copy_path(data.root(), incarnation, shard);
            match decode(copy) {
                Ok(checkpoint) => {
                    warn!(
                        file = %path.display(), damage,
                        "a checkpoint is damaged; its copy is used"
                    );
                    Ok(checkpoint)
                }
                Err(copy_damage) => Err(corrupt(format_args!(
                    "{} is damaged ({damage}), and so is {} ({copy_damage}); restore one of them \
                     from a backup",
                    path.display(),
                    copy_path.display()
                ))),
            }
        })?;
        checkpoints.push(checkpoint);
    }
    Ok(checkpoints)
}

/// One journal file. Opened when it is read: there may be more of them than descriptors.
struct JournalFile {
    incarnation: Incarnation,
    path: PathBuf,
}

impl JournalFile {
    fn open(&self) -> Result<File, StartError> {
        let file = File::open(&self.path)
            .map_err(broken(format_args!("reading {}", self.path.display())))?;
        sys::read_no_further(&file);
        Ok(file)
    }
}

/// Brings what the journals have beyond the segments into the logs.
fn replay(data: &DataDirectory, recovery: &mut Recovery) -> Result<(), StartError> {
    let found = data.journal_files().map_err(|error| StartError {
        status: ExitStatus::DataDirectory,
        reason: error.to_string(),
    })?;
    let mut files = Vec::new();
    let mut headers = Vec::new();
    for FoundJournal { incarnation, path, .. } in found {
        let journal = JournalFile { incarnation, path };
        let path = &journal.path;
        let mut block = vec![0; JOURNAL_BLOCK_BYTES];
        let file = journal.open()?;
        let reading = || broken(format!("reading {}", path.display()));
        let length = read_at_most(&file, &mut block, 0).map_err(reading())?;
        if length < block.len() {
            // Files get their full length before anything is written to them: a crash or a full
            // device cut the making of this one short, and it never held a group.
            info!(file = %path.display(), "a journal file that was never finished");
            continue;
        }
        let header = FileHeader::parse(&block);
        if let Ok(header) = &header
            && let Some(length) = cut_to(&file, header).map_err(reading())?
        {
            let what = format!(
                "{} was made with {} bytes and has {length}: what was acknowledged may be missing",
                path.display(),
                header.file_bytes
            );
            if header.lane == Lane::Flushed {
                return Err(corrupt(what));
            }
            warn!("{what}; it was acknowledged without a flush");
        }
        headers.push(header);
        files.push(journal);
    }
    let plan = journal::plan(headers.into_iter().enumerate());
    for fault in &plan.faults {
        judge(fault, &files)?;
    }
    let records = ends_of_earlier_starts(data, &files)?;
    let mut ends = Ends::default();
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
        let files = &files;
        let read: Vec<_> = std::thread::scope(|scope| {
            let readers: Vec<_> = chains
                .into_iter()
                .map(|chain| {
                    let limit = journal::limit(&records, &chain);
                    (chain.clone(), scope.spawn(move || read_chain(chain, limit, files)))
                })
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
            ends.note(&chain, end.last);
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
    if ends.is_empty() {
        return Ok(());
    }
    data.write_journal_ends(&ends.encode())
        .map_err(broken("writing down how far the journals were read"))
}

/// The length of a journal file that is shorter than it was made, if groups were written to it. They
/// only are once the full length is on stable storage, so something has cut it since; the groups that
/// are gone could otherwise pass for ones that were never written.
fn cut_to(file: &File, header: &FileHeader) -> io::Result<Option<u64>> {
    let length = file.metadata()?.len();
    if length >= header.file_bytes {
        return Ok(None);
    }
    let mut first = vec![0; JOURNAL_BLOCK_BYTES];
    let count = read_at_most(file, &mut first, JOURNAL_BLOCK_BYTES as u64)?;
    Ok(first.iter().take(count).any(|byte| *byte != 0).then_some(length))
}

/// How far each earlier start has read the journals before it.
fn ends_of_earlier_starts(
    data: &DataDirectory,
    files: &[JournalFile],
) -> Result<Vec<(Incarnation, Ends)>, StartError> {
    let found = data.journal_ends().map_err(|error| StartError {
        status: ExitStatus::DataDirectory,
        reason: error.to_string(),
    })?;
    let is_used = |start: Incarnation| files.iter().any(|file| file.incarnation == start);
    let mut records = Vec::new();
    for (start, content) in found {
        match Ends::decode(&content) {
            Ok(ends) => records.push((start, ends)),
            // It ended while it wrote this down, and has promised nothing.
            Err(EndsFault::Unreadable) if !is_used(start) => {}
            Err(fault) => {
                return Err(corrupt(format_args!(
                    "how far start {start} has read the journals (journal/{:020}/ends): {fault}",
                    start.0
                )));
            }
        }
    }
    let oldest = files.iter().map(|file| file.incarnation).min();
    for start in files.iter().map(|file| file.incarnation).filter(|start| Some(*start) > oldest) {
        if !records.iter().any(|(known, _)| *known == start) {
            return Err(corrupt(format_args!(
                "journal/{:020}/ends is missing: it says how far start {start} has read the \
                 journals before it",
                start.0
            )));
        }
    }
    Ok(records)
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

fn read_chain(
    chain: journal::Chain,
    limit: Option<GroupSequence>,
    files: &[JournalFile],
) -> ReadChain {
    let zeroes = Bytes::from(vec![0; READ_BYTES.max(JOURNAL_GROUP_BYTES_MAX)]);
    let mut open: Option<(usize, File)> = None;
    let mut entries = Vec::new();
    let mut replay = Replay::new(chain, READ_BYTES).until(limit);
    loop {
        while let Some(entry) = replay.poll_entry() {
            entries.push(entry);
        }
        let Some(request) = replay.poll_read() else { break };
        let Some(journal) = files.get(request.file) else {
            panic!("the plan names files that were found");
        };
        let path = journal.path.display();
        let file = match &open {
            Some((index, file)) if *index == request.file => file,
            _ => {
                if let Some((index, file)) = open.take() {
                    keep(&file, files.get(index))?;
                }
                &open.insert((request.file, journal.open()?)).1
            }
        };
        let reading = || format!("reading {path}");
        let length = file.metadata().map_err(broken(reading()))?.len();
        let end = request.position + request.bytes as u64;
        let written = sys::next_written(file, request.position).map_err(broken(reading()))?;
        // The part of a file that was never filled: an empty journal is read in no time.
        if end <= length && written.is_none_or(|written| written >= end) {
            replay.on_read(&zeroes.slice(..request.bytes));
            continue;
        }
        let mut buffer = vec![0; request.bytes];
        let length =
            read_at_most(file, &mut buffer, request.position).map_err(broken(reading()))?;
        buffer.truncate(length);
        replay.on_read(&Bytes::from(buffer));
    }
    if let Some((index, file)) = open {
        keep(&file, files.get(index))?;
    }
    match replay.end() {
        Some(end) => Ok((entries, end)),
        None => panic!("a replay that asks for nothing has ended"),
    }
}

/// What a killed process wrote may be in the device's cache only. It is about to be built upon, so
/// it has to outlive a power cut from here on. Comes after the reading: a write that was still on
/// its way may have landed just before it was read.
fn keep(file: &File, journal: Option<&JournalFile>) -> Result<(), StartError> {
    let path = journal.map(|journal| journal.path.display().to_string()).unwrap_or_default();
    file.sync_data().map_err(broken(format_args!("flushing {path}")))
}

/// Fills as much of the buffer as the file has.
pub(super) fn read_at_most(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::catalog::{Image, StaticConfigs};
    use crate::ids::{LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition};
    use crate::journal::{Action, Entry, EntryKind, Journal, JournalOptions, Slot, file_name};
    use crate::shell::scratch::Scratch;

    const FILE_BYTES: u64 = 64 * 1024;

    /// A journal file of one start with so many groups, and where the last of them is.
    fn journal_file(incarnation: Incarnation, groups: i64) -> (Vec<u8>, u64) {
        let mut journal = Journal::new(JournalOptions {
            shard: ShardId(0),
            lane: Lane::Flushed,
            incarnation,
            file_bytes: FILE_BYTES,
            depth: 1,
            group_bytes_max: JOURNAL_BLOCK_BYTES,
            files_max: 2,
        });
        let mut content = vec![0; FILE_BYTES as usize];
        let mut last = 0;
        let Some(Action::PrepareFile { file, header, .. }) = journal.poll_action() else {
            panic!("a journal begins with a file");
        };
        content[..header.as_slice().len()].copy_from_slice(header.as_slice());
        journal.on_file_ready(file);
        for base in 0..groups {
            let at = TopicPartition { topic: TopicId([1; 16]), partition: PartitionId(0) };
            let entry = Entry {
                kind: EntryKind::Batch,
                at,
                base_offset: Offset(base),
                next_offset: Offset(base + 1),
                leader_epoch: LeaderEpoch(0),
                payload: b"not looked at",
                checked: None,
            };
            journal.append(&entry).unwrap();
            while let Some(action) = journal.poll_action() {
                if let Action::Write { position, group, buffer, .. } = action {
                    last = position;
                    let end = position as usize + buffer.as_slice().len();
                    content[position as usize..end].copy_from_slice(buffer.as_slice());
                    journal.on_written(group, buffer);
                }
            }
        }
        (content, last)
    }

    /// A start, as far as the journals are concerned.
    fn start(root: &Path) -> Result<DataDirectory, StartError> {
        let data = DataDirectory::open(root).unwrap();
        let statics = StaticConfigs::new(BTreeMap::new());
        let mut recovery = Recovery::new(&Image::default(), &statics, Vec::new(), Now::default());
        replay(&data, &mut recovery)?;
        data.make_journal_directory().unwrap();
        Ok(data)
    }

    fn write_journal(data: &DataDirectory, content: &[u8]) -> PathBuf {
        let name = file_name(Lane::Flushed, ShardId(0), Slot(0));
        let path = data.make_journal_directory().unwrap().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// How far each start has read the journal of the first.
    fn limits(data: &DataDirectory) -> Vec<u64> {
        let chain = journal::Chain {
            incarnation: Incarnation(1),
            shard: ShardId(0),
            lane: Lane::Flushed,
            files: Vec::new(),
        };
        let records = data.journal_ends().unwrap().into_iter();
        let limit = |(start, content): (Incarnation, Vec<u8>)| {
            journal::limit(&[(start, Ends::decode(&content).unwrap())], &chain).unwrap().0
        };
        records.map(limit).collect()
    }

    #[test]
    fn names_and_addresses_have_limits_of_their_own() {
        let overrides = |hosts: &[&str]| hosts.iter().map(|host| ((*host).to_owned(), 3)).collect();
        let found = addresses(&overrides(&["localhost", "10.0.0.2", "[::2]", "::ffff:9.9.9.9"]));
        let found = found.unwrap();
        for address in ["127.0.0.1", "10.0.0.2", "::2", "9.9.9.9"] {
            assert_eq!(found.get(&address.parse::<IpAddr>().unwrap()), Some(&3), "{address}");
        }
        let error = addresses(&overrides(&["no such host"])).unwrap_err();
        assert_eq!(error.status, ExitStatus::Usage);
    }

    #[test]
    fn a_write_that_lands_after_a_start_has_read_stays_unread() {
        let scratch = Scratch::new();
        let (whole, last) = journal_file(Incarnation(1), 3);
        let mut torn = whole.clone();
        torn[last as usize + 100..].fill(0);
        let first = write_journal(&start(scratch.path()).unwrap(), &torn);
        assert_eq!(limits(&start(scratch.path()).unwrap()), [2]);
        fs::write(&first, &whole).unwrap();
        assert_eq!(limits(&start(scratch.path()).unwrap()), [2, 2]);
        // A start that finds less than the ones before it is refused.
        torn[last as usize - JOURNAL_BLOCK_BYTES..].fill(0);
        fs::write(&first, &torn).unwrap();
        assert_eq!(start(scratch.path()).unwrap_err().status, ExitStatus::Corrupt);
    }

    #[test]
    fn what_an_earlier_start_has_read_must_be_known_once_it_has_written() {
        let scratch = Scratch::new();
        write_journal(&start(scratch.path()).unwrap(), &journal_file(Incarnation(1), 2).0);
        let second = start(scratch.path()).unwrap();
        let ends = second.make_journal_directory().unwrap().join("ends");
        let good = fs::read(&ends).unwrap();
        drop(second);
        // Cut short by a crash, before anything else was written by that start.
        fs::write(&ends, &good[..7]).unwrap();
        let third = start(scratch.path()).unwrap();
        assert_eq!(third.incarnation(), Incarnation(3));
        write_journal(&third, &journal_file(Incarnation(3), 1).0);
        drop(third);
        assert!(start(scratch.path()).is_ok());
        let ends = scratch.path().join("journal/00000000000000000003/ends");
        for damage in [|path: &Path| fs::write(path, b"x"), |path: &Path| fs::remove_file(path)] {
            let kept = fs::read(&ends).unwrap();
            damage(&ends).unwrap();
            let error = start(scratch.path()).unwrap_err();
            assert_eq!(error.status, ExitStatus::Corrupt);
            assert!(error.reason.contains("00000000000000000003/ends"), "{error}");
            fs::write(&ends, kept).unwrap();
        }
        assert!(start(scratch.path()).is_ok());
    }

    #[test]
    fn a_journal_with_holes_reads_as_one_with_zeroes() {
        let scratch = Scratch::new();
        let (content, _) = journal_file(Incarnation(1), 2);
        let path = write_journal(&start(scratch.path()).unwrap(), &[]);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(FILE_BYTES).unwrap();
        file.write_all_at(&content[..3 * JOURNAL_BLOCK_BYTES], 0).unwrap();
        assert_eq!(sys::next_written(&file, FILE_BYTES - 1).unwrap(), None);
        assert_eq!(limits(&start(scratch.path()).unwrap()), [2]);
    }

    #[test]
    fn a_journal_file_that_something_has_cut_is_refused() {
        let scratch = Scratch::new();
        let (content, last) = journal_file(Incarnation(1), 3);
        let path = write_journal(&start(scratch.path()).unwrap(), &content);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        for length in [FILE_BYTES - 1, last + 1, JOURNAL_BLOCK_BYTES as u64 + 100] {
            file.set_len(length).unwrap();
            let error = start(scratch.path()).unwrap_err();
            assert_eq!(error.status, ExitStatus::Corrupt);
            assert!(error.reason.contains(&format!("has {length}:")), "{error}");
        }
        // Its making was cut short; no group was ever written to it.
        file.set_len(JOURNAL_BLOCK_BYTES as u64).unwrap();
        file.set_len(FILE_BYTES / 2).unwrap();
        assert!(start(scratch.path()).is_ok());
    }
}

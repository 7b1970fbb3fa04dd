//! File pieces of replies, and file jobs.

use std::fs;
use std::os::fd::AsRawFd;

use super::engine::{directory, job, range};
use super::{Host, pattern};
use crate::ids::Offset;
use crate::log::SegmentWrite;
use crate::shard::engine::{FileWork, JobId};
use crate::shell::data_directory::partition_metadata;

/// Writes a segment file as the shell would find it.
fn segment(host: &Host, segment: i64, content: &[u8]) -> std::path::PathBuf {
    let directory = host.scratch.path().join("test-0");
    fs::create_dir_all(&directory).unwrap();
    let metadata = partition_metadata(super::engine::directory().at.topic);
    fs::write(directory.join("partition.metadata"), metadata).unwrap();
    let path = directory.join(format!("{segment:020}.log"));
    fs::write(&path, content).unwrap();
    path
}

#[allow(unsafe_code)]
fn drop_pages(path: &std::path::Path) {
    let file = fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: no pointers.
    let result = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(result, 0);
}

fn ask_file(client: &mut super::Client, segment: u32, position: u32, length: u32) {
    client.send(format!("f{segment},{position},{length:<10}").as_bytes());
}

fn expected(content: &[u8], position: u32, length: u32) -> Vec<u8> {
    let (position, length) = (position as usize, length as usize);
    [b"f", &content[position..position + length], b"g"].concat()
}

#[test]
fn file_ranges_are_sent_byte_for_byte() {
    let host = Host::start(1);
    let content = pattern(8 << 20, 5);
    let path = segment(&host, 0, &content);
    let mut client = host.connect();
    for cold in [true, false] {
        if cold {
            drop_pages(&path);
        }
        for (position, length) in
            [(0, 1), (4095, 2), (0, 8 << 20), (1_234_567, 3_000_001), (8 << 20, 0)]
        {
            ask_file(&mut client, 0, position, length);
            client.send(b"e behind it");
            assert!(
                client.receive() == expected(&content, position, length),
                "{position} {length}"
            );
            assert_eq!(client.receive(), b"e behind it");
        }
    }
}

#[test]
fn slow_readers_of_cold_files_get_every_byte() {
    let host = Host::start(1);
    let content = pattern(8 << 20, 6);
    let path = segment(&host, 0, &content);
    drop_pages(&path);
    let mut clients: Vec<_> = (0..4).map(|_| host.connect()).collect();
    for client in &mut clients {
        for n in 0..3 {
            ask_file(client, 0, n * 1_000_001, 5_000_000);
        }
    }
    let mut quick = host.connect();
    for _ in 0..100 {
        assert_eq!(quick.ask(b"e quick one"), b"e quick one");
    }
    for client in &mut clients {
        for n in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            assert!(client.receive() == expected(&content, n * 1_000_001, 5_000_000));
        }
    }
}

#[test]
fn a_file_that_cannot_be_sent_in_full_closes_the_connection() {
    let host = Host::start(1);
    segment(&host, 0, &pattern(1000, 7));
    let mut short = host.connect();
    ask_file(&mut short, 0, 500, 501);
    let mut bytes = Vec::new();
    // Ends by a close or a reset; either way before the promised length.
    let _ = std::io::Read::read_to_end(&mut short.stream, &mut bytes);
    assert!(bytes.len() < 4 + 1 + 501);
    let mut missing = host.connect();
    ask_file(&mut missing, 9, 0, 10);
    bytes.clear();
    let _ = std::io::Read::read_to_end(&mut missing.stream, &mut bytes);
    assert!(bytes.len() <= 5);
    host.record.until("both closed", |seen| seen.closed == 2);
}

#[test]
fn a_range_of_a_topic_that_was_made_again_closes_the_connection() {
    let host = Host::start(1);
    let path = segment(&host, 0, &pattern(1000, 8));
    let other = partition_metadata(crate::ids::TopicId([8; 16]));
    fs::write(path.with_file_name("partition.metadata"), other).unwrap();
    let mut client = host.connect();
    ask_file(&mut client, 0, 0, 10);
    let mut bytes = Vec::new();
    // Ends by a close or a reset; either way without a byte of the other topic.
    let _ = std::io::Read::read_to_end(&mut client.stream, &mut bytes);
    assert!(bytes.len() <= 5);
    assert_eq!(carry_out(&host, vec![read(0, 0, 10)]), [Err(false)]);
}

fn write(segment: i64, create: bool, position: u32, text: &'static [u8]) -> FileWork {
    let write = SegmentWrite {
        segment: Offset(segment),
        create,
        position,
        pieces: vec![text[..1].into(), text[1..].into()],
        index_position: position / 10,
        index_entries: vec![position as u8],
        time_index_position: position / 10,
        time_index_entries: vec![1 + position as u8],
        next_offset: Offset(segment + 1),
        seals: false,
    };
    FileWork::Write { directory: directory(), write }
}

fn read(segment: i64, position: u32, length: u32) -> FileWork {
    FileWork::Read { range: range(segment, position, length) }
}

/// Asks for jobs and gives what they came to, in order of id.
fn carry_out(host: &Host, works: Vec<FileWork>) -> Vec<Result<String, bool>> {
    let count = works.len();
    let jobs = works.into_iter().enumerate().map(|(n, work)| job(n as u64, work)).collect();
    host.record.see(|seen| {
        seen.files.clear();
        seen.ask = jobs;
    });
    host.record.until("all jobs", |seen| seen.files.len() == count);
    let mut files = host.record.see(|seen| std::mem::take(&mut seen.files));
    files.sort_by_key(|(id, _)| *id);
    files.into_iter().map(|(_, result)| result.map_err(|error| error.full)).collect()
}

fn ok(text: &str) -> Result<String, bool> {
    Ok(text.to_owned())
}

#[test]
fn segments_are_written_flushed_read_and_deleted() {
    let host = Host::start(1);
    let root = host.scratch.path().to_owned();
    let partition = root.join("test-0");
    let results = carry_out(
        &host,
        vec![
            write(0, true, 0, b"0123456789"),
            write(0, false, 10, b"abcdefghij"),
            write(20, true, 0, b"second"),
            FileWork::Flush {
                directory: directory(),
                segments: vec![Offset(0), Offset(20)],
                epochs: "0\n1\n0 0\n".to_owned(),
            },
            FileWork::ReadIndexes { directory: directory(), segment: Offset(0) },
        ],
    );
    let done = ok("Done");
    assert_eq!(results[..4], [done.clone(), done.clone(), done.clone(), done.clone()]);
    assert_eq!(results[4], ok(r#"Indexes { offsets: b"\0\n", times: b"\x01\x0b" }"#));
    let metadata = fs::read_to_string(partition.join("partition.metadata")).unwrap();
    assert_eq!(metadata, "version: 0\ntopic_id: BwcHBwcHBwcHBwcHBwcHBw\n");
    let epochs = fs::read_to_string(partition.join("leader-epoch-checkpoint")).unwrap();
    assert_eq!(epochs, "0\n1\n0 0\n");

    let log = partition.join("00000000000000000000.log");
    drop_pages(&log);
    for _ in ["cold", "warm"] {
        let results = carry_out(&host, vec![read(0, 5, 10), read(0, 15, 100), read(0, 20, 5)]);
        assert_eq!(results, [ok("56789abcde"), ok("fghij"), ok("")]);
    }
    let results = carry_out(&host, vec![read(999, 0, 1)]);
    assert_eq!(results, [Err(false)]);

    let delete = FileWork::DeleteSegments { directory: directory(), segments: vec![Offset(0)] };
    assert_eq!(carry_out(&host, vec![delete]), std::slice::from_ref(&done));
    assert!(!log.exists() && partition.join("00000000000000000020.log").exists());

    let delete = || FileWork::DeleteDirectory { directory: directory() };
    assert_eq!(carry_out(&host, vec![delete(), delete()]), [done.clone(), done]);
    assert!(!partition.exists());
}

#[test]
fn a_partition_with_the_longest_name_can_be_deleted() {
    let host = Host::start(1);
    let directory = std::sync::Arc::new(crate::shard::engine::PartitionDirectory {
        name: format!("{}-0", "x".repeat(249)),
        at: directory().at,
    });
    let FileWork::Write { write, .. } = write(0, true, 0, b"0123456789") else { unreachable!() };
    let works = vec![
        FileWork::Write { directory: directory.clone(), write },
        FileWork::DeleteDirectory { directory: directory.clone() },
    ];
    assert_eq!(carry_out(&host, works), [ok("Done"), ok("Done")]);
    assert!(!host.scratch.path().join(&directory.name).exists());
}

#[test]
fn without_space_for_the_epochs_the_segments_are_flushed_all_the_same() {
    // A link to the device that is always full stands for the file before it is renamed.
    let host = Host::start(1);
    let partition = host.scratch.path().join("test-0");
    assert_eq!(carry_out(&host, vec![write(0, true, 0, b"0123456789")]), [ok("Done")]);
    let temporary = partition.join("leader-epoch-checkpoint.tmp");
    std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
    let flush = || FileWork::Flush {
        directory: directory(),
        segments: vec![Offset(0)],
        epochs: "0\n0\n".to_owned(),
    };
    assert_eq!(carry_out(&host, vec![flush()]), [ok("Done")]);
    let epochs = partition.join("leader-epoch-checkpoint");
    assert!(!epochs.exists());
    fs::remove_file(&temporary).unwrap();
    assert_eq!(carry_out(&host, vec![flush()]), [ok("Done")]);
    assert_eq!(fs::read_to_string(&epochs).unwrap(), "0\n0\n");
}

#[test]
fn a_directory_of_another_topic_is_left_alone() {
    let host = Host::start(1);
    let partition = host.scratch.path().join("test-0");
    fs::create_dir(&partition).unwrap();
    fs::write(
        partition.join("partition.metadata"),
        "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n",
    )
    .unwrap();
    let results = carry_out(
        &host,
        vec![
            FileWork::DeleteDirectory { directory: directory() },
            write(0, true, 0, b"0123456789"),
        ],
    );
    assert_eq!(results, [ok("Done"), Err(false)]);
    assert!(partition.exists());
}

#[test]
fn a_segment_made_again_holds_nothing_of_its_earlier_life() {
    let host = Host::start(1);
    let done = ok("Done");
    let works = vec![write(0, true, 0, b"0123456789"), write(0, true, 0, b"abc"), read(0, 0, 100)];
    let results = carry_out(&host, works);
    assert_eq!(results[..2], [done.clone(), done]);
    assert_eq!(carry_out(&host, vec![read(0, 0, 100)]), [ok("abc")]);
}

#[test]
fn small_files_are_replaced_and_appended() {
    let host = Host::start(1);
    let root = host.scratch.path().to_owned();
    let results = carry_out(
        &host,
        vec![
            FileWork::WriteCheckpoint { content: b"one".to_vec() },
            FileWork::WriteCheckpoint { content: b"two".to_vec() },
            FileWork::AppendCatalog { content: b"ab".to_vec() },
            FileWork::AppendCatalog { content: b"cd".to_vec() },
        ],
    );
    assert!(results.iter().all(|result| *result == ok("Done")), "{results:?}");
    assert_eq!(fs::read(root.join("checkpoint/00000000000000000001-0")).unwrap(), b"two");
    assert_eq!(fs::read(root.join("catalog/log")).unwrap(), b"abcd");
    let results = carry_out(
        &host,
        vec![
            FileWork::WriteCatalogSnapshot { content: b"snap".to_vec() },
            FileWork::AppendCatalog { content: b"ef".to_vec() },
            FileWork::Space,
        ],
    );
    assert!(results[2].as_ref().unwrap().starts_with("Space { free: "));
    assert_eq!(fs::read(root.join("catalog/snapshot")).unwrap(), b"snap");
    assert_eq!(fs::read(root.join("catalog/log")).unwrap(), b"ef");
}

#[test]
fn journals_and_checkpoints_of_earlier_starts_go_and_this_ones_stay() {
    let host = Host::start(1);
    let journals = host.scratch.path().join("journal");
    let old = journals.join("00000000000000000000");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("flushed-0-0.journal"), "x").unwrap();
    let checkpoints = host.scratch.path().join("checkpoint");
    // Of a start with more shards.
    fs::write(checkpoints.join("00000000000000000000-7"), "x").unwrap();
    let works = vec![FileWork::WriteCheckpoint { content: b"new".to_vec() }];
    assert_eq!(carry_out(&host, works), [ok("Done")]);
    assert_eq!(carry_out(&host, vec![FileWork::DeleteOldJournals]), [ok("Done")]);
    assert!(!old.exists());
    assert!(journals.join("00000000000000000001").exists());
    assert_eq!(fs::read_dir(&journals).unwrap().count(), 1);
    let left: Vec<_> =
        fs::read_dir(&checkpoints).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let left: std::collections::BTreeSet<_> = left.into_iter().collect();
    let expected = ["00000000000000000001-0", "00000000000000000001-0.copy"];
    assert!(left.iter().eq(expected.iter()), "{left:?}");
}

#[test]
fn jobs_of_one_directory_end_in_order() {
    let host = Host::start(1);
    let works: Vec<FileWork> = (0..300)
        .map(|n| match n % 3 {
            0 => write(0, n == 0, n * 10, b"0123456789"),
            1 => FileWork::Space,
            _ => FileWork::WriteCheckpoint { content: n.to_string().into_bytes() },
        })
        .collect();
    let jobs = works.into_iter().enumerate().map(|(n, work)| job(n as u64, work)).collect();
    host.record.see(|seen| seen.ask = jobs);
    host.record.until("all jobs", |seen| seen.files.len() == 300);
    let files = host.record.see(|seen| std::mem::take(&mut seen.files));
    for kind in 0..3 {
        let ids: Vec<JobId> =
            files.iter().map(|(id, _)| *id).filter(|id| id.0 % 3 == kind).collect();
        assert!(ids.is_sorted(), "jobs of one directory ended out of order");
    }
}

//! How much memory a bomb gets, counted by the kernel, so that memory taken inside C libraries
//! counts, too. One test per binary: the high-water mark belongs to the whole process.

use ringmain::batch::{BatchBuilder, Compression, DecompressError, Records, compress, decompress};
use ringmain::limits::DECOMPRESSED_BYTES_MAX;
use ringmain::time::Timestamp;

const MIB: usize = 1 << 20;

/// Most memory that was resident at once since the last [`reset`], in bytes.
fn resident_bytes_max() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<usize> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    1024 * kib.unwrap_or_else(|| panic!("no high-water mark in {status}"))
}

fn reset() -> usize {
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux lets a process do so");
    resident_bytes_max()
}

#[test]
fn a_bomb_gets_no_more_than_the_limit() {
    let plain = vec![b'x'; 512 * MIB];
    let mut bombs: Vec<(Compression, Vec<u8>)> = Compression::ALL
        .into_iter()
        .skip(1)
        .map(|compression| (compression, compress(compression, &plain, None)))
        .collect();
    // Snappy takes one byte in twenty, so most of its bomb is cut off here; it still claims 4 GiB.
    let mut bare = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    bare.resize(MIB, 0xfe);
    bombs.push((Compression::Snappy, bare));
    drop(plain);
    for (compression, bomb) in &bombs {
        for limit in [MIB, 8 * MIB, DECOMPRESSED_BYTES_MAX] {
            let before = reset();
            let refused = decompress(*compression, bomb, limit);
            let taken = resident_bytes_max() - before;
            assert_eq!(refused, Err(DecompressError::TooLarge { limit }), "{compression}");
            // The quarter is what the allocator keeps of smaller attempts.
            let allowed = limit + limit / 4 + 2 * MIB;
            assert!(taken <= allowed, "{compression}: {taken} bytes for a limit of {limit}");
        }
    }

    // What is within the limit gets what it needs.
    let mut builder = BatchBuilder::new().compression(Compression::Zstd, None);
    builder.add(Timestamp(0), None, Some(&vec![0; 32 * MIB]), &[]);
    let batch = builder.build();
    drop(builder);
    let before = reset();
    let records = Records::open(&batch, DECOMPRESSED_BYTES_MAX).unwrap();
    assert_eq!(records.iter().count(), 1);
    let taken = resident_bytes_max() - before;
    // The test sees memory at all.
    assert!((30 * MIB..=40 * MIB).contains(&taken), "{taken} bytes for 32 MiB");
}

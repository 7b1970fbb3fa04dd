//! Decompression of bytes of unknown origin, and the way there and back. The first byte chooses the
//! codec, and whether there is a way back: compressing takes ten times as long as everything else.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringmain::batch::{Compression, compress, decompress};

const LIMIT: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let Some(compression) = Compression::from_id(choice % 16 % 5) else { return };
    if let Ok(out) = decompress(compression, bytes, LIMIT) {
        assert!(out.len() <= LIMIT);
        // What fits exactly fits, and one byte less does not hold it.
        assert_eq!(decompress(compression, bytes, out.len()).as_deref(), Ok(out.as_slice()));
        if let Some(less) = out.len().checked_sub(1) {
            assert!(decompress(compression, bytes, less).is_err());
        }
    }
    if choice >> 4 != 0 {
        return;
    }
    let packed = compress(compression, bytes, None);
    assert_eq!(decompress(compression, &packed, bytes.len()).as_deref(), Ok(bytes));
});

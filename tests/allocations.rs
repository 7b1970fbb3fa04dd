//! How often the core asks for memory in the life of one request, once tables and buffers have grown
//! to what the load needs. A composed shard is driven without a shell; each count is pinned to the
//! number it is, in both directions, with what it is for beside it.
//!
//! Frames are made outside the count: they are the shell's. Of what a request about one partition
//! asks for, everything outlives it: it stays with the batch in the tail, or leaves with the reply.
//! Only requests about several make lists that end with them, one of each kind whatever their number.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::BytesMut;

#[path = "../benches/rig.rs"]
mod rig;

use rig::{Rig, batch};

/// Counts per thread, so that tests beside this one do not disturb.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came; the counter is a plain cell without
// a destructor, which asks for no memory itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: usize = 300;
const COUNTED: usize = 1_000;
const REQUESTS: usize = WARM_UP + COUNTED;
/// Requests that may cost more than the others: a table that holds what was appended doubles now
/// and then, and every 256 KiB a write of a segment begins.
const GROWTH_MAX: usize = COUNTED / 50;

/// Allocations of each request after the warm-up.
fn counts(mut request: impl FnMut(usize)) -> Vec<u64> {
    let mut counts = Vec::with_capacity(COUNTED);
    for number in 0..REQUESTS {
        let before = ALLOCATIONS.get();
        request(number);
        let after = ALLOCATIONS.get();
        if number >= WARM_UP {
            counts.push(after - before);
        }
    }
    counts
}

/// What every request costs.
fn steady(mut counts: Vec<u64>) -> Result<u64, String> {
    counts.sort_unstable();
    let (least, most) = (counts[0], counts[counts.len() - 1 - GROWTH_MAX]);
    if least == most {
        Ok(least)
    } else {
        Err(format!("from {least} to {most} allocations in a request, not counting growth"))
    }
}

/// Idempotent, acks=all, one record for each of so many partitions.
fn produce(partitions: i32, mut beside: impl FnMut(usize)) -> Vec<u64> {
    let mut rig = Rig::new();
    let mut frames: Vec<BytesMut> =
        (0..REQUESTS).map(|number| rig.produce(partitions, &batch(number, 100))).collect();
    let counts = counts(|number| {
        rig.frame(std::mem::take(&mut frames[number]));
        rig.turn();
        beside(number);
    });
    assert_eq!(rig.replies(), REQUESTS, "every request was answered");
    assert_eq!(rig.produced(), vec![REQUESTS as i64 - 1; partitions as usize]);
    counts
}

/// In a session, one batch of each of so many partitions, from memory.
fn fetch(partitions: i32) -> Vec<u64> {
    let batch_bytes = batch(0, 100).len();
    let mut rig = Rig::new();
    for number in 0..REQUESTS {
        let frame = rig.produce(partitions, &batch(number, 100));
        rig.frame(frame);
        rig.turn();
    }
    let first = rig.fetch(0, 0, partitions, 0, batch_bytes);
    rig.frame(first);
    rig.turn();
    let (session, _) = rig.fetched();
    let frames = (0..REQUESTS).map(|number| {
        rig.fetch(session, number as i32 + 1, partitions, number as i64, batch_bytes)
    });
    let mut frames: Vec<BytesMut> = frames.collect();
    let before = rig.replies();
    let counts = counts(|number| {
        rig.frame(std::mem::take(&mut frames[number]));
        rig.turn();
    });
    assert_eq!(rig.replies(), before + REQUESTS, "every request was answered");
    assert_eq!(rig.fetched(), (session, partitions as usize * batch_bytes));
    counts
}

/// A fetch that finds nothing, waits, and is woken by a produce request.
fn long_poll() -> Vec<u64> {
    let mut rig = Rig::new();
    let first = rig.produce(1, &batch(0, 100));
    rig.frame(first);
    let first = rig.fetch(0, 0, 1, 0, 1 << 10);
    rig.turn();
    rig.frame(first);
    rig.turn();
    let (session, _) = rig.fetched();
    let frames = (0..REQUESTS).map(|number| {
        let next = number + 1;
        (
            rig.fetch(session, next as i32, 1, next as i64, 1 << 10),
            rig.produce(1, &batch(next, 100)),
        )
    });
    let mut frames: Vec<(BytesMut, BytesMut)> = frames.collect();
    let before = rig.replies();
    let counts = counts(|number| {
        let (fetch, produce) = std::mem::take(&mut frames[number]);
        rig.frame(fetch);
        rig.turn();
        assert_eq!(rig.replies(), before + 2 * number, "it waits");
        rig.frame(produce);
        rig.turn();
    });
    // The fetch came first on the connection, so its reply leaves first.
    assert_eq!(rig.replies(), before + 2 * REQUESTS);
    assert_eq!(rig.produced(), [REQUESTS as i64]);
    counts
}

#[test]
fn a_produce_request() {
    // The count of those who share the batch, which the tail keeps.
    let batch = 1;
    // The reply: its bytes, and the list of its pieces.
    let reply = 2;
    assert_eq!(steady(produce(1, |_| ())), Ok(batch + reply));
}

#[test]
fn a_produce_request_to_sixteen_partitions() {
    // Batches that share a frame are copied out of it.
    let batches = 16;
    // Partitions of the request, items for the owner, its answers, and those in the reply.
    let lists = 4;
    let reply = 2;
    assert_eq!(steady(produce(rig::PARTITIONS, |_| ())), Ok(batches + lists + reply));
}

#[test]
fn a_fetch_from_memory() {
    // Its bytes, the count of those who share them (records go in between), the list of its pieces.
    let reply = 3;
    assert_eq!(steady(fetch(1)), Ok(reply));
}

#[test]
fn a_fetch_of_sixteen_partitions_from_memory() {
    // A batch that was copied out of its frame is shared for the first time, and so counted.
    let batches = 16;
    // Partitions of the request and what became of them, items for the owner, its answers; those in
    // the reply, their records, and where these go.
    let lists = 7;
    let reply = 3;
    assert_eq!(steady(fetch(rig::PARTITIONS)), Ok(batches + lists + reply));
}

#[test]
fn a_long_poll_and_the_produce_request_that_ends_it() {
    let (batch, produce_reply, fetch_reply) = (1, 2, 3);
    // Those who wait for the partition; nobody does in between.
    let waiting = 1;
    let all = batch + produce_reply + fetch_reply + waiting;
    assert_eq!(steady(long_poll()), Ok(all));
}

#[test]
fn one_allocation_more_is_seen() {
    let waste = || drop(std::hint::black_box(Box::new(1_u64)));
    let plain = steady(produce(1, |_| ())).expect("it is steady");
    assert_eq!(steady(produce(1, |_| waste())), Ok(plain + 1));
    // Also one that not every request has.
    let sometimes = |number| {
        if number % 10 == 0 {
            waste()
        }
    };
    assert!(steady(produce(1, sometimes)).is_err());
}

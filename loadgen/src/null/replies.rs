//! What a null broker is asked, and what it answers to everything but Produce and Fetch.

use std::sync::atomic::Ordering;

use super::{Served, TOPIC_ID};
use crate::client::codec::{Decoder, Encoder};
use crate::client::requests::TOPIC_IDS_FROM;
use crate::failure::Failure;

pub(super) enum Named {
    Id([u8; 16]),
    Name(String),
}

pub(super) struct AskedPartition {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) bytes_max: usize,
}

pub(super) struct AskedFetch {
    pub(super) wait_ms_max: u64,
    pub(super) bytes_max: usize,
    pub(super) topics: Vec<(Named, Vec<AskedPartition>)>,
}

pub(super) fn read_fetch(version: i16, body: &mut Decoder<'_>) -> Result<AskedFetch, Failure> {
    if version <= 14 {
        body.i32()?;
    }
    let wait_ms_max = body.i32()?.max(0) as u64;
    body.i32()?;
    let bytes_max = body.i32()?.max(0) as usize;
    body.i8()?;
    if version >= 7 {
        body.i32()?;
        body.i32()?;
    }
    let mut topics = Vec::new();
    for _ in 0..body.array()? {
        let name = if version >= TOPIC_IDS_FROM {
            Named::Id(body.uuid()?)
        } else {
            Named::Name(body.string()?.to_owned())
        };
        let mut partitions = Vec::new();
        for _ in 0..body.array()? {
            let partition = body.i32()?;
            if version >= 9 {
                body.i32()?;
            }
            let offset = body.i64()?.max(0);
            if version >= 12 {
                body.i32()?;
            }
            if version >= 5 {
                body.i64()?;
            }
            let bytes_max = body.i32()?.max(0) as usize;
            body.tags()?;
            partitions.push(AskedPartition { partition, offset, bytes_max });
        }
        body.tags()?;
        topics.push((name, partitions));
    }
    Ok(AskedFetch { wait_ms_max, bytes_max, topics })
}

pub(super) fn metadata(served: &Served, version: i16, names: &[&str], reply: &mut Encoder) {
    reply.i32(0);
    reply.array(1);
    reply.i32(0);
    reply.string(&served.host);
    reply.i32(served.port);
    reply.nullable_string(None);
    reply.tags();
    reply.nullable_string(Some("null"));
    reply.i32(0);
    reply.array(names.len());
    for name in names {
        reply.i16(0);
        reply.nullable_string(Some(name));
        if version >= 10 {
            reply.uuid(&TOPIC_ID);
        }
        reply.bool(false);
        reply.array(served.ends.len());
        for partition in 0..served.ends.len() {
            reply.i16(0);
            reply.i32(partition as i32);
            reply.i32(0);
            if version >= 7 {
                reply.i32(0);
            }
            for _ in 0..2 {
                reply.array(1);
                reply.i32(0);
            }
            if version >= 5 {
                reply.array(0);
            }
            reply.tags();
        }
        if version >= 8 {
            reply.i32(i32::MIN);
        }
        reply.tags();
    }
    if (8..=10).contains(&version) {
        reply.i32(i32::MIN);
    }
    if version >= 13 {
        reply.i16(0);
    }
    reply.tags();
}

pub(super) fn list_offsets(
    served: &Served,
    version: i16,
    body: &mut Decoder<'_>,
    reply: &mut Encoder,
) -> Result<(), Failure> {
    body.i32()?;
    if version >= 2 {
        body.i8()?;
        reply.i32(0);
    }
    let topics = body.array()?;
    reply.array(topics);
    for _ in 0..topics {
        reply.string(body.string()?);
        let partitions = body.array()?;
        reply.array(partitions);
        for _ in 0..partitions {
            let partition = body.i32()?;
            if version >= 4 {
                body.i32()?;
            }
            let timestamp = body.i64()?;
            body.tags()?;
            let end = served.ends.get(partition as usize);
            let end = end.map_or(0, |end| end.load(Ordering::Relaxed));
            reply.i32(partition);
            reply.i16(0);
            reply.i64(-1);
            reply.i64(if timestamp == crate::consume::LATEST { end } else { 0 });
            if version >= 4 {
                reply.i32(0);
            }
            reply.tags();
        }
        body.tags()?;
        reply.tags();
    }
    reply.tags();
    Ok(())
}

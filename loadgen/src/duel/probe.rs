//! The few requests that the duel sends itself: to time a first acknowledgement without the start
//! of another program in it, and to count what a log holds.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::batch::{BatchHead, RecordsWriter};
use crate::client::control::{Control, refuse};
use crate::client::errors::ErrorCode;
use crate::client::requests::{ALL, PRODUCE, ProduceShape, TOPIC_IDS_FROM, TopicName};
use crate::consume::{EARLIEST, LATEST};
use crate::failure::Failure;
use crate::process::{Program, interrupted};
use crate::system;

/// How long a broker may take for what it is asked.
const PATIENCE: Duration = Duration::from_secs(300);
/// Pause between two tries of a broker that is starting.
const RETRY: Duration = Duration::from_millis(1);

/// A connection for requests that may take long.
pub(crate) fn open(port: u16) -> Result<Control, Failure> {
    // Topics are named by name here: what a broker has just been told of may have no id yet.
    let caps = ALL.map(|api| (api.key, api.highest.min(TOPIC_IDS_FROM - 1)));
    Control::open(&format!("127.0.0.1:{port}"), PATIENCE, &caps)
}

/// Writes one record and waits until it is acknowledged.
pub(crate) fn produce_one(
    control: &mut Control,
    topic: &str,
    partition: i32,
) -> Result<(), Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut records = RecordsWriter::default();
    records.push(None, b"first acknowledgement");
    let body = records.finish();
    let shape = ProduceShape {
        version: control.versions.pick(&PRODUCE)?,
        acks: -1,
        timeout_ms: 30_000,
        topic: TopicName { name: topic.to_owned(), id: [0; 16] },
    };
    let head = BatchHead::plain(since.as_millis() as i64);
    let mut frame = Vec::new();
    shape.encode(1, &[(partition, head, &body)], |piece| frame.extend_from_slice(&piece));
    control.send(&frame)?;
    let reply = control.receive()?;
    let mut answered = None;
    shape.decode(&reply, |_, code, _| answered = Some(code))?;
    let answered = answered
        .ok_or_else(|| Failure::Malformed("a Produce reply without partitions".to_owned()))?;
    refuse("Produce", answered)
}

/// Milliseconds from the start of `program` to the first acknowledged record, trying all the time;
/// the topic is created first if `create` says so.
pub(crate) fn first_ack(
    program: &mut Program,
    port: u16,
    topic: &str,
    create: bool,
) -> Result<f64, Failure> {
    loop {
        let failure = match try_first_ack(port, topic, create) {
            Ok(()) => return Ok(program.started.elapsed().as_secs_f64() * 1000.0),
            Err(failure) => failure,
        };
        let may_pass = match &failure {
            Failure::Unreachable(_) => true,
            // A broker that is not ready yet says so in many ways.
            Failure::Refused { code, .. } => code.is_retriable() || *code == ErrorCode(41),
            _ => false,
        };
        if let Some(status) = program.ended()? {
            return Err(program.complain(&format!("ended with {status}")));
        }
        if !may_pass || program.started.elapsed() > PATIENCE {
            return Err(failure);
        }
        if system::is_interrupted() {
            return Err(interrupted());
        }
        std::thread::sleep(RETRY);
    }
}

fn try_first_ack(port: u16, topic: &str, create: bool) -> Result<(), Failure> {
    let mut control = open(port)?;
    if create {
        control.create_topic(topic, 1, 1, &[])?;
    }
    produce_one(&mut control, topic, 0)
}

/// Seconds until all partitions of a new topic have leaders that serve them, and the last one has
/// acknowledged a record.
pub(crate) fn create_and_use(
    port: u16,
    topic: &str,
    partitions: i32,
    configs: &[(String, String)],
) -> Result<f64, Failure> {
    let started = Instant::now();
    let mut control = open(port)?;
    control.topic_or_create(topic, partitions, 1, configs)?;
    loop {
        match produce_one(&mut control, topic, partitions - 1) {
            Ok(()) => return Ok(started.elapsed().as_secs_f64()),
            Err(Failure::Refused { code, .. })
                if code.is_retriable() && started.elapsed() < PATIENCE =>
            {
                if system::is_interrupted() {
                    return Err(interrupted());
                }
                std::thread::sleep(RETRY);
            }
            Err(other) => return Err(other),
        }
    }
}

/// Records in the log of a topic.
pub(crate) fn record_count(port: u16, topic: &str) -> Result<u64, Failure> {
    let mut control = open(port)?;
    let found = control.topic_when_ready(topic, PATIENCE)?;
    let partitions: Vec<i32> = (0..found.partitions()).collect();
    let mut count = 0;
    for (timestamp, sign) in [(LATEST, 1), (EARLIEST, -1)] {
        for (partition, code, offset) in control.list_offsets(topic, &partitions, timestamp)? {
            refuse(&format!("ListOffsets of {topic}-{partition}"), code)?;
            count += sign * offset;
        }
    }
    Ok(u64::try_from(count).unwrap_or_default())
}

//! The generator against null brokers in the same process, over real sockets.

use clap::Parser;

use super::*;
use crate::options::{Command, Options};

fn parse(line: &str) -> Command {
    Options::try_parse_from(line.split_whitespace()).unwrap().command
}

/// A null broker in this process, for as long as the test runs; and its address.
fn broker(line: &str) -> (Arc<Served>, String) {
    let (Command::NullSink(options) | Command::NullSource(options)) = parse(line) else {
        unreachable!()
    };
    let (listener, served) = bind(&options, line.contains("null-source")).unwrap();
    let address = format!("{}:{}", served.host, served.port);
    let serving = Arc::clone(&served);
    std::thread::spawn(move || accept(&listener, &serving, &Cpus::default()));
    (served, address)
}

fn run(line: &str) -> Result<(), Failure> {
    match parse(line) {
        Command::Produce(options) => crate::produce::run(&options),
        Command::Consume(options) => crate::consume::run(&options),
        Command::Latency(options) => crate::latency::run(&options),
        _ => unreachable!(),
    }
}

fn records(served: &Served) -> i64 {
    served.ends.iter().map(|end| end.load(Ordering::Relaxed)).sum()
}

#[test]
fn every_way_to_produce_arrives_whole() {
    for how in [
        "--acks 1",
        "--acks all --idempotent",
        "--producers 3 --connections 2 --threads 2",
        "--keyed 50",
        "--compression zstd",
        "--record-bytes 0 --records-per-batch 10",
        "--record-bytes 20000 --records-per-batch 3",
        "--rate 1M --arrivals poisson",
    ] {
        let (served, address) = broker("ringload null-sink --listen 127.0.0.1:0 -p 4 --crc");
        run(&format!("ringload produce -q -b {address} -n 960 {how}")).unwrap();
        // Whole batches: a few more records than asked for.
        assert!((960..2200).contains(&records(&served)), "{how}: {}", records(&served));
    }
}

#[test]
fn every_version_of_produce_and_fetch_works() {
    for version in PRODUCE.lowest..=PRODUCE.highest {
        let (served, address) = broker("ringload null-sink --listen 127.0.0.1:0 -p 2 --crc");
        run(&format!("ringload produce -q -b {address} -n 96 --api-version Produce={version}"))
            .unwrap();
        assert_eq!(records(&served), 96, "version {version}");
    }
    let source = "ringload null-source --listen 127.0.0.1:0 -p 3 --batch-bytes 8k --records 800";
    for version in FETCH.lowest..=FETCH.highest {
        let (_, address) = broker(source);
        let consume = "consume -q --until-end --check --connections 2";
        run(&format!("ringload {consume} -b {address} --api-version Fetch={version}")).unwrap();
    }
}

#[test]
fn an_unreachable_broker_is_one_clear_line() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let failure = run(&format!("ringload produce -b 127.0.0.1:{port}")).unwrap_err();
    assert_eq!(failure.status(), 3);
    assert!(failure.to_string().starts_with("broker unreachable: 127.0.0.1"), "{failure}");
}

#[test]
fn records_that_do_not_come_back_are_missed() {
    // The sink acknowledges and forgets: latency must not pass that over.
    let (_, address) = broker("ringload null-sink --listen 127.0.0.1:0");
    let line =
        format!("ringload latency -q -b {address} -s 0.1 --drain-seconds 0.1 --fetch-wait-ms 10");
    let failure = run(&line).unwrap_err();
    assert!(failure.to_string().contains("were not received"), "{failure}");
}

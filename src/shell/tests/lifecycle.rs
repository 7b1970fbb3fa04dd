//! Starting, standing still and stopping.

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use super::engine::{Record, TestEngine};
use super::{Client, Host};
use crate::shell::boot::{self, ShellOptions};
use crate::shell::data_directory::DataDirectory;
use crate::shell::fatal::ExitStatus;
use crate::shell::scratch::Scratch;

fn options(address: SocketAddr, scratch: &Scratch) -> ShellOptions {
    ShellOptions::new(address, DataDirectory::open(scratch.path()).unwrap(), 2)
}

#[test]
fn a_taken_port_is_named() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let scratch = Scratch::new();
    let error = boot::start(options(address, &scratch), |shard| {
        Ok(TestEngine::new(shard, 2, Record::default()))
    })
    .err()
    .unwrap();
    assert_eq!(error.status, ExitStatus::Port);
    assert!(error.reason.contains(&address.port().to_string()), "{error}");
}

#[test]
fn a_port_shared_by_another_broker_counts_as_taken() {
    let host = Host::start(2);
    let scratch = Scratch::new();
    let error = boot::start(options(host.address, &scratch), |shard| {
        Ok(TestEngine::new(shard, 2, Record::default()))
    })
    .err()
    .unwrap();
    assert_eq!(error.status, ExitStatus::Port);
}

#[test]
fn an_engine_that_cannot_be_made_ends_the_start() {
    let scratch = Scratch::new();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let error = boot::start(options(address, &scratch), |shard| {
        if shard.0 == 1 {
            return Err("its journal is torn".to_owned());
        }
        Ok(TestEngine::new(shard, 2, Record::default()))
    })
    .err()
    .unwrap();
    assert_eq!(error.status, ExitStatus::Start);
    assert!(error.reason.contains("its journal is torn"));
}

#[test]
fn a_stop_closes_connections_and_the_port_is_free_again() {
    let mut host = Host::start(2);
    let mut clients: Vec<Client> = (0..20).map(|_| host.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(b"m hello there"), b"m hello there");
    }
    host.stop();
    for client in &mut clients {
        assert!(client.is_closed());
    }
    assert_eq!(host.record.see(|seen| (seen.accepted, seen.closed)), (20, 20));
    TcpListener::bind(host.address).unwrap();
    // The lock is free as well.
    DataDirectory::open(host.scratch.path()).unwrap();
}

#[test]
fn an_idle_shell_answers_at_once_again() {
    let host = Host::start(2);
    let mut clients: Vec<Client> = (0..4).map(|_| host.connect()).collect();
    for pause_ms in [1, 3, 10, 50, 400, 1200] {
        thread::sleep(Duration::from_millis(pause_ms));
        for client in &mut clients {
            assert_eq!(client.ask(b"m after a pause"), b"m after a pause");
            assert_eq!(client.ask(b"j after a pause"), b"j after a pause");
        }
    }
}

#[test]
fn the_last_replies_leave_before_the_end() {
    let mut host = Host::start(1);
    let mut client = host.connect();
    let mut frame = super::pattern(5_000_000, 8);
    frame[0] = b'e';
    client.send(&frame);
    host.record.until("the frame", |seen| seen.frames == 1);
    let reader = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        client.receive()
    });
    host.stop();
    assert!(reader.join().unwrap() == frame);
}

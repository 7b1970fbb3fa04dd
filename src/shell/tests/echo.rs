//! Frames in, replies out.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use super::{Client, Host, framed, pattern};

#[test]
fn frames_of_every_size_come_back_as_they_were() {
    let host = Host::start(1);
    let mut client = host.connect();
    for (seed, length) in
        [10, 11, 255, 4096, 16_379, 16_380, 16_381, 65_535, 65_541, 100_000, 1 << 20, 5_000_000]
            .into_iter()
            .enumerate()
    {
        let mut frame = pattern(length, seed as u64);
        frame[0] = b'e';
        assert!(client.ask(&frame) == frame, "a frame of {length} bytes");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let host = Host::start(1);
    let mut client = host.connect();
    let mut writer = client.stream.try_clone().unwrap();
    let frames: Vec<Vec<u8>> = (0..2000_usize)
        .map(|n| {
            let length = if n % 97 == 0 { 200_000 } else { 10 + n * 31 % 3000 };
            let mut frame = pattern(length, n as u64);
            frame[0] = if n % 50 == 3 { b'j' } else { b'e' };
            frame.truncate(if frame[0] == b'j' { 3000 } else { usize::MAX });
            frame
        })
        .collect();
    let sent = frames.clone();
    let sender = thread::spawn(move || {
        for frame in &sent {
            writer.write_all(&framed(frame)).unwrap();
        }
    });
    for (n, frame) in frames.iter().enumerate() {
        assert!(&client.receive() == frame, "reply {n}");
    }
    sender.join().unwrap();
    host.record.until("every reply counted as sent", |seen| seen.sent == 2000);
}

#[test]
fn many_connections_at_once() {
    let host = Host::start(2);
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let address = host.address;
            thread::spawn(move || {
                let mut clients: Vec<Client> = (0..50).map(|_| Client::connect(address)).collect();
                for round in 0..10_u64 {
                    for (n, client) in clients.iter_mut().enumerate() {
                        let mut frame = pattern(10 + n * 40, thread * 1000 + round);
                        frame[0] = b"emj"[n % 3];
                        client.send(&frame);
                    }
                    for (n, client) in clients.iter_mut().enumerate() {
                        let mut frame = pattern(10 + n * 40, thread * 1000 + round);
                        frame[0] = b"emj"[n % 3];
                        assert!(client.receive() == frame);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    host.record.until("all connections closed", |seen| seen.closed == 400);
    assert_eq!(host.record.see(|seen| seen.accepted), 400);
}

#[test]
fn a_sender_of_single_bytes_is_seen_to_make_progress() {
    let host = Host::start(1);
    let mut client = host.connect();
    for byte in framed(b"e byte by byte") {
        client.stream.write_all(&[byte]).unwrap();
        thread::sleep(Duration::from_millis(3));
    }
    assert_eq!(client.receive(), b"e byte by byte");
    assert!(host.record.see(|seen| seen.progress) > 3);
}

#[test]
fn a_peer_that_finished_sending_still_gets_its_replies() {
    let host = Host::start(1);
    let mut client = host.connect();
    let large = [b"e".as_slice(), &pattern(2_000_000, 1)].concat();
    client.send(&large);
    client.send(b"j the last");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.receive() == large);
    assert_eq!(client.receive(), b"j the last");
    assert!(client.is_closed());
    host.record.until("closed", |seen| seen.closed == 1);
}

#[test]
fn a_reset_connection_is_closed_and_others_go_on() {
    let host = Host::start(1);
    let mut good = host.connect();
    for _ in 0..20 {
        let mut client = host.connect();
        client.send(&[b"e".as_slice(), &pattern(300_000, 2)].concat());
        // Unread replies make the kernel answer with a reset.
        drop(client);
    }
    host.record.until("closed", |seen| seen.closed == 20);
    assert_eq!(good.ask(b"e still here"), b"e still here");
}

#[test]
fn bad_lengths_are_reported_and_closed() {
    let host = Host::start(1);
    let lengths = [-1, 0, 9, i32::MIN, i32::MAX, 100 * 1024 * 1024 + 1];
    for length in lengths {
        let mut client = host.connect();
        client.send(b"e before it");
        client.stream.write_all(&length.to_be_bytes()).unwrap();
        assert_eq!(client.receive(), b"e before it");
        assert!(client.is_closed());
    }
    assert_eq!(host.record.see(|seen| seen.bad.clone()), lengths);
}

#[test]
fn announcing_much_and_sending_nothing_costs_little() {
    let host = Host::start(1);
    let before = resident_kib();
    let clients: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = host.connect();
            client.stream.write_all(&(100 * 1024 * 1024_i32).to_be_bytes()).unwrap();
            client.stream.write_all(b"e").unwrap();
            client
        })
        .collect();
    host.record.until("all accepted", |seen| seen.accepted == 100 && seen.progress >= 100);
    assert!(host.connect().ask(b"e and others") == b"e and others");
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "grew by {grown} KiB for 10 GB announced");
    drop(clients);
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_paused_connection_is_not_read() {
    let host = Host::start(1);
    let mut client = host.connect();
    client.send(b"p hold for now");
    host.record.until("the pause", |seen| seen.frames == 1);
    client.send(b"e behind for now");
    client.send(b"p again for now");
    client.send(b"e last for now");
    assert_eq!(client.receive(), b"p hold for now");
    assert_eq!(client.receive(), b"e behind for now");
    assert_eq!(client.receive(), b"p again for now");
    assert_eq!(client.receive(), b"e last for now");
}

#[test]
fn what_was_handed_over_is_sent_before_the_close() {
    let host = Host::start(1);
    let mut client = host.connect();
    let mut frame = pattern(3_000_000, 3);
    frame[0] = b'c';
    client.send(&frame);
    assert!(client.receive() == frame);
    assert!(client.is_closed());
}

#[test]
fn a_slow_reader_holds_up_nobody_else() {
    let host = Host::start(1);
    let mut slow = host.connect();
    let mut frame = pattern(5_000_000, 4);
    frame[0] = b'e';
    for _ in 0..4 {
        slow.send(&frame);
    }
    let mut quick = host.connect();
    for n in 0..200_u32 {
        let frame = [b"e quick one".as_slice(), &n.to_be_bytes()].concat();
        assert_eq!(quick.ask(&frame), frame);
    }
    for _ in 0..4 {
        assert!(slow.receive() == frame);
    }
}

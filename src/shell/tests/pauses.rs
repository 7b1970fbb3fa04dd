//! The whole process is paused again and again under load, which is what a debugger, a throttled
//! container or a busy hypervisor does to it, and what makes glommio's executors sleep for ever.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::{Client, Host};

/// Set for the child process, which then is the broker.
const CHILD: &str = "RINGMAIN_TEST_PAUSED_CHILD";
const PAUSES: usize = 50;

/// Serves until its parent closes its standard input; does nothing when it is run by itself.
#[test]
fn paused_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut host = Host::start(2);
    println!("listening on {}", host.address);
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    host.stop();
}

#[test]
fn no_shard_stays_parked_after_pauses() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "shell::tests::pauses::paused_child", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let address: SocketAddr = loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "the child ended");
        if let Some((_, address)) = line.split_once("listening on ") {
            break address.trim().parse().unwrap();
        }
    };
    let done = Arc::new(AtomicBool::new(false));
    let answers: Vec<Arc<AtomicUsize>> = (0..8).map(|_| Arc::default()).collect();
    let clients: Vec<_> = answers
        .iter()
        .enumerate()
        .map(|(n, answers)| {
            let (answers, done) = (Arc::clone(answers), Arc::clone(&done));
            thread::spawn(move || {
                let mut client = Client::connect(address);
                while !done.load(Ordering::SeqCst) {
                    // Through the ring, the mesh, the journal, and a timer.
                    let frame = [b"e under load", b"m under load", b"j under load"][n % 3];
                    assert_eq!(client.ask(frame), frame);
                    answers.fetch_add(1, Ordering::SeqCst);
                    if n >= 4 {
                        // Lets the shards park.
                        thread::sleep(Duration::from_millis(7));
                    }
                }
            })
        })
        .collect();
    let pid = child.id() as i32;
    for pause in 0..PAUSES {
        // Every client gets an answer between two pauses; `Client` gives up after `HANG`.
        let before: Vec<usize> = answers.iter().map(|n| n.load(Ordering::SeqCst)).collect();
        for (answers, before) in answers.iter().zip(before) {
            while answers.load(Ordering::SeqCst) <= before {
                assert!(!clients.iter().any(thread::JoinHandle::is_finished), "pause {pause}");
                thread::sleep(Duration::from_millis(1));
            }
        }
        signal(pid, libc::SIGSTOP);
        thread::sleep(Duration::from_millis(120));
        signal(pid, libc::SIGCONT);
    }
    done.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    drop(child.stdin.take());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
}

#[allow(unsafe_code)]
fn signal(pid: i32, signal: i32) {
    // SAFETY: no pointers; the process is our child and has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

//! What `ringload duel` refuses before it starts anything.

use std::path::Path;
use std::process::{Command, Output};

fn duel(arguments: &[&str]) -> Output {
    let out = std::env::temp_dir().join(format!("ringload-duel-test-{}", std::process::id()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringload"));
    // Any program will do: it is not started.
    command.args(["duel", "--ringmain", "/bin/sh", "--out"]).arg(&out).args(arguments);
    let output = command.output().expect("ringload can be started");
    let _ = std::fs::remove_dir_all(&out);
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_unknown_cell_is_a_wrong_option() {
    let output = duel(&["--cells", "W1,W99"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("there is no cell W99"), "{}", said(&output));
}

#[test]
fn a_root_in_memory_is_refused() {
    if !Path::new("/dev/shm").is_dir() {
        return;
    }
    let output = duel(&["--root", "/dev/shm"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("give --root DIR on a real disk"), "{}", said(&output));
}

#[test]
fn a_missing_kafka_is_one_clear_line() {
    let output = duel(&["--kafka-home", "/nonexistent/kafka"]);
    assert_eq!(output.status.code(), Some(6));
    assert!(said(&output).starts_with("ringload: "), "{}", said(&output));
    assert!(said(&output).contains("/nonexistent/kafka/libs"), "{}", said(&output));
}

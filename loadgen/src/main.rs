//! `ringload`: a load generator and checker for any broker that speaks Kafka's protocol.
//!
//! In reading order: [`options`] (command line), [`schedule`] (when requests are meant to be sent),
//! [`batch`] and [`client`] (the protocol, as far as needed), [`worker`] (the event loop that sends
//! and receives), [`run`] (threads, progress) and [`report`] (results); then one module for each
//! command: [`produce`], [`consume`], [`latency`], [`verify`], [`null`]; and those that run other
//! programs ([`process`]): [`kafka`], and the [`duel`] of both brokers with its [`page`].
#![allow(
    clippy::disallowed_methods,
    reason = "clocks and sleeps are what a load generator is made of; the pure core is elsewhere"
)]

mod batch;
mod client;
mod consume;
mod duel;
mod failure;
mod histogram;
mod kafka;
mod latency;
mod null;
mod options;
mod page;
mod process;
mod produce;
mod report;
mod run;
mod schedule;
mod system;
mod tally;
mod verify;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use options::{Command, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    // The null broker has nothing to end in order: signals just end it.
    if !matches!(options.command, Command::NullSink(_) | Command::NullSource(_)) {
        system::catch_interrupts();
    }
    let result = match &options.command {
        Command::Produce(options) => produce::run(options),
        Command::Consume(options) => consume::run(options),
        Command::Latency(options) => latency::run(options),
        Command::Verify(options) => verify::run(options),
        Command::NullSink(options) => null::run(options, false),
        Command::NullSource(options) => null::run(options, true),
        Command::Page(options) => page::run(options),
        Command::Kafka(options) => kafka::run(options),
        Command::Duel(options) => duel::run(options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("ringload: {failure}");
            ExitCode::from(failure.status())
        }
    }
}

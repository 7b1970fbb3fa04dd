//! Where log lines go: standard error, one compact line each, filtered by `RINGMAIN_LOG`.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The environment variable with the filter, in `tracing-subscriber`'s form: `debug`, or
/// `info,ringmain::shell=debug`.
pub const FILTER_VARIABLE: &str = "RINGMAIN_LOG";

/// Starts logging. Once per process, before anything is logged.
pub fn start() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var(FILTER_VARIABLE)
        .from_env_lossy();
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}

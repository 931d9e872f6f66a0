//! The only wiring: which command runs which parts, on which threads, and how
//! all of it ends.

mod config;
mod connect;
mod doctor;
mod history;
mod log;
mod metering;
mod notify;
pub mod past;
mod record;
mod reload;
mod sampling;
mod selftest;
mod serve;
mod stream;
mod top;

use std::io;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::{Command, EngineChoice, Monitor};
use crate::collect::accounting::Plan;
use crate::collect::libbpf_log;
use crate::sampler;

/// Lines of the verifier's log that `-v` shows.
const VERBOSE_LINES: usize = 30;

/// Runs the command line; the exit code is 0, or 1 after one line on stderr
/// (usage errors end with 2 inside the parser).
pub fn main() -> ExitCode {
    let (cli, by_name) = match config::command_line() {
        Ok(read) => read,
        Err(error) => return failed(&error),
    };
    let command = cli.command.unwrap_or(Command::Top(cli.top));
    let (result, verbose) = match command {
        Command::Top(options) => (top::run(&options), options.common.monitor.verbose),
        Command::Stream(options) => (stream::run(&options), options.common.monitor.verbose),
        Command::Serve(options) => (serve::run(&options, by_name), options.monitor.verbose),
        Command::History(options) => (history::run(&options), false),
        Command::Config(options) => (config::run(&options, cli.config.as_deref()), false),
        Command::Doctor(options) => (doctor::run(&options), options.verbose),
        Command::Selftest(options) => (selftest::run(&options), options.verbose),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            if verbose {
                for line in libbpf_log::last_lines(VERBOSE_LINES) {
                    eprintln!("{line}");
                }
            }
            failed(&error)
        }
    }
}

/// Says why, on one line whatever the causes hold.
fn failed(error: &anyhow::Error) -> ExitCode {
    let prefix = log::prefix(tracing::Level::ERROR);
    eprintln!(
        "{prefix}netmon: {}",
        format!("{error:#}").replace('\n', " ")
    );
    ExitCode::FAILURE
}

/// What came of writing to standard output: a reader that has seen enough
/// (`| head`) is a quiet end.
fn written(result: io::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        result => {
            result.context("could not write to standard output; make room there or write elsewhere")
        }
    }
}

/// What an engine's name means, best first.
fn plans(engine: EngineChoice) -> Vec<Plan> {
    match engine {
        EngineChoice::Syscall => vec![Plan::Residual, Plan::Functions, Plan::EnterExit],
        EngineChoice::Socket => vec![Plan::Socket],
    }
}

/// What the shared options mean for the data path.
fn sampler_settings(options: &Monitor) -> sampler::Settings {
    sampler::Settings {
        plans: plans(options.engine),
        max_flows: options.max_flows,
        interval: options.interval,
        alpha: options.alpha,
        threshold: options.threshold,
        kernel_threads: options.kernel_threads,
        linger: std::time::Duration::ZERO,
        max_listed_ended: 0,
        pin: options.pin.clone(),
    }
}

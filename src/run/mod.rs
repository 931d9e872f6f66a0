//! The only wiring: which command runs which parts, on which threads, and how
//! all of it ends.

mod doctor;
mod selftest;
mod stream;
mod top;

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use crate::cli::{Cli, Command, Common, EngineChoice};
use crate::collect::accounting::Plan;
use crate::collect::libbpf_log;
use crate::sampler;

/// Lines of the verifier's log that `-v` shows.
const VERBOSE_LINES: usize = 30;

/// Runs the command line; the exit code is 0, or 1 after one line on stderr
/// (usage errors end with 2 inside the parser).
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = cli.command.unwrap_or(Command::Top(cli.top));
    let (result, verbose) = match command {
        Command::Top(options) => (top::run(&options), options.verbose),
        Command::Stream(options) => (stream::run(&options), options.common.verbose),
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
            // One line, whatever the causes hold.
            eprintln!("netmon: {}", format!("{error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
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
fn sampler_settings(options: &Common) -> sampler::Settings {
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

//! The only wiring: which command runs which parts, on which threads, and how
//! all of it ends.

mod capture;
mod config;
mod connect;
mod doctor;
mod history;
mod iface;
mod log;
mod metering;
mod notify;
pub mod past;
mod record;
mod reload;
mod sampling;
mod schedule;
mod selftest;
mod serve;
mod stream;
mod told;
mod top;

use std::io;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::{self, Command, EngineChoice, Monitor, XdpMode};
use crate::collect::accounting::Plan;
use crate::collect::{libbpf_log, packets, xdp};
use crate::sampler;
use crate::sink::stream::Format;

/// Lines of the verifier's log that `-v` shows.
const VERBOSE_LINES: usize = 30;

/// Exit code of a usage error.
const USAGE: u8 = 2;

/// Runs the command line; the exit code is 0, or 1 after one line on stderr
/// (usage errors end with 2 inside the parser).
pub fn main() -> ExitCode {
    let (line, by_name) = match config::command_line() {
        Ok(read) => read,
        Err(error) => return failed(&error),
    };
    let command = line.command.unwrap_or(Command::Top(line.top));
    if let Some(refused) = monitor(&command).and_then(contradiction) {
        eprintln!("netmon: {refused}");
        return ExitCode::from(USAGE);
    }
    let (result, verbose) = match command {
        Command::Top(options) => (top::run(&options), options.common.monitor.verbose),
        Command::Stream(options) => (stream::run(&options), options.common.monitor.verbose),
        Command::Serve(options) => (serve::run(&options, by_name), options.monitor.verbose),
        Command::History(options) => (history::run(&options), false),
        Command::Config(options) => (config::run(&options, line.config.as_deref()), false),
        Command::Iface(options) => (iface::run(&options), options.verbose),
        Command::Capture(options) => (capture::run(&options), options.verbose),
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

/// The options of a command that counts.
fn monitor(command: &Command) -> Option<&Monitor> {
    match command {
        Command::Top(options) => Some(&options.common.monitor),
        Command::Stream(options) => Some(&options.common.monitor),
        Command::Serve(options) => Some(&options.monitor),
        _ => None,
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

/// What a record looks like.
fn format(chosen: cli::Format) -> Format {
    match chosen {
        cli::Format::Json => Format::Json,
        cli::Format::Csv => Format::Csv,
        cli::Format::Text => Format::Text,
    }
}

/// What an engine's name means, best first.
fn plans(engine: EngineChoice) -> Vec<Plan> {
    match engine {
        EngineChoice::Syscall => vec![Plan::Residual, Plan::Functions, Plan::EnterExit],
        EngineChoice::Socket => vec![Plan::Socket],
        // No kernel program counts.
        EngineChoice::Packet => Vec::new(),
    }
}

/// The interfaces that are to be sampled, if any.
fn sampled(options: &Monitor) -> Option<xdp::Settings> {
    if options.iface.is_empty() || options.engine == EngineChoice::Packet {
        return None;
    }
    Some(xdp::Settings {
        interfaces: which(&options.iface),
        mode: xdp_mode(options.xdp),
        max_flows: 0,
    })
}

/// The interfaces of these names; all if there is none.
fn which(names: &[String]) -> xdp::Which {
    if names.is_empty() || names.iter().any(|name| name == "all") {
        xdp::Which::All
    } else {
        xdp::Which::Named(names.to_vec())
    }
}

/// What is captured, if that counts.
fn captured(options: &Monitor) -> Option<packets::Settings> {
    let all = options.iface.iter().any(|name| name == "all");
    // Each once, however often it is named: a ring of its own would count again.
    let mut interfaces = Vec::new();
    for name in options.iface.iter().filter(|_| !all) {
        if !interfaces.contains(name) {
            interfaces.push(name.clone());
        }
    }
    (options.engine == EngineChoice::Packet).then_some(packets::Settings {
        interfaces,
        max_flows: options.max_flows as usize,
    })
}

/// Options that contradict each other, with what to do.
fn contradiction(options: &Monitor) -> Option<&'static str> {
    if options.engine != EngineChoice::Packet {
        return None;
    }
    if options.pin.is_some() {
        return Some(
            "--pin cannot be used with --engine packet, which has no kernel maps; leave one \
             of them out",
        );
    }
    let is_chosen = !matches!(options.xdp, XdpMode::Auto);
    is_chosen.then_some(
        "--xdp cannot be used with --engine packet, which samples no interface by XDP; leave \
         one of them out",
    )
}

/// Where incoming packets are seen.
fn xdp_mode(chosen: XdpMode) -> xdp::Mode {
    match chosen {
        XdpMode::Auto => xdp::Mode::Auto,
        XdpMode::Native => xdp::Mode::Native,
        XdpMode::Generic => xdp::Mode::Generic,
    }
}

/// What the shared options mean for the data path.
fn sampler_settings(options: &Monitor) -> sampler::Settings {
    sampler::Settings {
        plans: plans(options.engine),
        packets: captured(options),
        max_flows: options.max_flows,
        interval: options.interval,
        alpha: options.alpha,
        threshold: options.threshold,
        kernel_threads: options.kernel_threads,
        linger: std::time::Duration::ZERO,
        max_listed_ended: 0,
        pin: options.pin.clone(),
        interfaces: sampled(options),
    }
}

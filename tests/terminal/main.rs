//! The screen on a real pty: what is drawn, what keys do, and what the terminal
//! is like afterwards.
//!
//! Every test starts the real `netmon` on a terminal of its own, next to real
//! traffic; they run in parallel. Owns the harness only. What the drawing looks
//! like cell by cell is tested in `render`.

#![deny(clippy::undocumented_unsafe_blocks)]

#[path = "../support/attached.rs"]
mod attached;
mod connect;
#[path = "../support/counters.rs"]
mod counters;
mod endings;
#[path = "../support/event.rs"]
#[allow(dead_code, reason = "the record alone is of no use here")]
mod event;
mod fake;
#[path = "../support/fixture.rs"]
mod fixture;
mod job;
mod keys;
#[path = "../support/netmon.rs"]
#[allow(dead_code, reason = "the tests without a screen use the rest")]
mod netmon;
mod panics;
mod past;
mod pty;
mod rows;
mod session;
mod sizes;
mod styles;
#[path = "../support/traffic.rs"]
#[allow(dead_code, reason = "the tests without a screen use the rest")]
mod traffic;
#[path = "../support/trial.rs"]
#[allow(dead_code, reason = "the tests without a screen use the rest")]
mod trial;
mod updates;
mod wire;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let child = match &words[..] {
        [option, plan @ ..] if option == traffic::OPTION => Some(traffic::main(plan)),
        [option, ..] if option == panics::OPTION => Some(panics::main()),
        [option, command @ ..] if option == job::OPTION => Some(job::main(command)),
        _ => None,
    };
    if let Some(result) = child {
        return match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the test's child: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let trials = [
        rows::trials(),
        keys::trials(),
        sizes::trials(),
        styles::trials(),
        endings::trials(),
        job::trials(),
        panics::trials(),
        connect::trials(),
        past::trials(),
        updates::trials(),
        wire::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

//! The stored past, asked: answers against a naive model, and the real binary's words.
//!
//! Histories are made here, at all levels and with what retention leaves; how one comes
//! about while netmon runs is another test's business. Owns the harness only.

mod answers;
#[path = "../support/attached.rs"]
#[allow(dead_code, reason = "tests of other commands use the rest")]
mod attached;
mod binary;
mod interfaces;
mod looks;
mod naive;
#[path = "../support/netmon.rs"]
#[allow(dead_code, reason = "tests of other commands use the rest")]
mod netmon;
mod opening;
mod past;
#[path = "../terminal/pty.rs"]
#[allow(dead_code, reason = "tests of other commands use the rest")]
mod pty;
mod stored;
#[path = "../support/trial.rs"]
#[allow(dead_code, reason = "tests of other commands use the rest")]
mod trial;
#[path = "../terminal/updates.rs"]
#[allow(dead_code, reason = "tested with the tests of the screen")]
mod updates;
mod wired;
mod wired_past;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let trials = [
        answers::trials(),
        past::trials(),
        wired_past::trials(),
        opening::trials(),
        binary::trials(),
        interfaces::trials(),
        looks::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

//! `--engine packet`: the real binary next to real traffic whose bytes are known.
//!
//! Netmon runs in a network namespace of the test's own, which for the rest is silent;
//! puppets (this very program, started again) move bytes there and in others. Owns the
//! harness only.

#[allow(dead_code, reason = "the tests that load programs use the rest")]
#[path = "../support/attached.rs"]
mod attached;
mod attribution;
mod namespaces;
#[allow(dead_code, reason = "tests of other commands use the rest")]
#[path = "../support/netmon.rs"]
mod netmon;
mod privileges;
mod processes;
mod puppet;
mod record;
#[allow(dead_code, reason = "traffic is the puppets' here")]
#[path = "../support/space.rs"]
mod space;
mod stage;
mod translations;
#[path = "../support/trial.rs"]
mod trial;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words == [puppet::OPTION] {
        return match puppet::main() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the puppet: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let trials = [
        attribution::trials(),
        namespaces::trials(),
        translations::trials(),
        processes::trials(),
        privileges::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

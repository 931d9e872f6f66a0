//! Many machines at once: the real Prometheus, the shipped configuration and rules, and a
//! collector, each with the real `netmon serve`.
//!
//! Owns the harness only. Prometheus is the one on the path or Debian's, unpacked.

#![deny(clippy::undocumented_unsafe_blocks)]

#[allow(dead_code, reason = "the tests of one machine use the rest")]
#[path = "../support/attached.rs"]
mod attached;
mod collector;
#[path = "../support/fixture.rs"]
mod fixture;
#[path = "../support/links.rs"]
mod links;
mod listens;
mod machines;
mod manifest;
#[allow(dead_code, reason = "the tests of one machine use the rest")]
#[path = "../support/netmon.rs"]
mod netmon;
mod otlp;
mod places;
mod prometheus;
mod serve;
mod shipped;
mod tools;
#[allow(dead_code, reason = "the tests of one machine use the rest")]
#[path = "../support/traffic.rs"]
mod traffic;
#[path = "../support/trial.rs"]
mod trial;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [option, plan @ ..] = &words[..]
        && option == traffic::OPTION
    {
        return match traffic::main(plan) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the generator: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let trials = [
        shipped::trials(),
        machines::trials(),
        otlp::trials(),
        places::trials(),
        manifest::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

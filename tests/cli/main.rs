//! The binary without a screen: records, formats, filters, endings, errors, self-test.
//!
//! Every test starts the real `netmon`, most of them next to real traffic. They
//! run in parallel: each looks only at the processes it started, since other
//! netmons and other traffic are there too. Owns the harness only.

#![deny(clippy::undocumented_unsafe_blocks)]

#[path = "../support/attached.rs"]
mod attached;
mod contract;
mod coverage;
mod doctor;
mod endings;
mod filters;
mod formats;
mod health;
#[path = "../support/netmon.rs"]
mod netmon;
mod pins;
mod privileges;
mod records;
mod refusals;
mod selftest;
#[path = "../support/space.rs"]
mod space;
#[path = "../support/traffic.rs"]
mod traffic;
#[path = "../support/trial.rs"]
mod trial;
mod usage;

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
        records::trials(),
        formats::trials(),
        filters::trials(),
        endings::trials(),
        usage::trials(),
        privileges::trials(),
        refusals::trials(),
        pins::trials(),
        doctor::trials(),
        selftest::trials(),
        coverage::trials(),
        health::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

//! netmon as a service: configuration file, logs, word to the service manager, reload,
//! the unit and what it is installed with.
//!
//! Every test starts the real `netmon` or the real `make`; each looks only at what it
//! started, and writes only to directories of its own. Owns the harness only.

#![deny(clippy::undocumented_unsafe_blocks)]

#[path = "../support/attached.rs"]
mod attached;
mod config;
mod drop_ins;
mod logs;
mod manager;
#[allow(dead_code, reason = "the tests without a service use the rest")]
#[path = "../support/netmon.rs"]
mod netmon;
mod packaging;
mod reload;
mod sample;
mod serve;
#[allow(dead_code, reason = "the tests of the wire use the rest")]
#[path = "../support/space.rs"]
mod space;
#[allow(dead_code, reason = "the tests without a service use the rest")]
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
        config::trials(),
        sample::trials(),
        logs::trials(),
        manager::trials(),
        reload::trials(),
        packaging::trials(),
        drop_ins::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

//! The history as it is written: by the library in simulated time, and by the real
//! daemon next to real traffic, through crashes and on a full disk.
//!
//! The daemon's buckets take ten seconds, so the tests run in parallel and wait at the
//! same time; each looks only at the processes and files it made. Owns the harness only.

#![deny(clippy::undocumented_unsafe_blocks)]

mod asked;
#[path = "../support/attached.rs"]
mod attached;
mod books;
mod bounds;
#[path = "../support/counters.rs"]
mod counters;
mod crashes;
mod daemon;
mod full;
mod interfaces;
mod levels;
mod loopback;
#[path = "../support/netmon.rs"]
#[allow(dead_code, reason = "tests of other commands use the rest")]
mod netmon;
#[path = "../support/traffic.rs"]
#[allow(dead_code, reason = "tests of other commands use the rest")]
mod traffic;
#[path = "../support/trial.rs"]
mod trial;
mod upgrade;
mod writer;

use std::process::ExitCode;

use libtest_mimic::Arguments;

/// Trials at a time: nearly all of them only wait.
const TOGETHER: usize = 16;

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
    if let [option, file] = &words[..]
        && option == writer::LOOK
    {
        return match writer::look(file) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    if let [option, file] = &words[..]
        && option == upgrade::HALF
    {
        return match upgrade::half(file) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let trials = [
        crashes::trials(),
        full::trials(),
        daemon::trials(),
        levels::trials(),
        interfaces::trials(),
        loopback::trials(),
        bounds::trials(),
        asked::trials(),
        upgrade::trials(),
        writer::trials(),
    ];
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TOGETHER);
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

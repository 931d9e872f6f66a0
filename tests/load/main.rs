//! The binary under load: many flows, many connections, many peers, several
//! netmons, one that is killed or stopped.
//!
//! They run one after the other, since each fills the machine. What must hold is
//! exact; how fast the machine was and how much memory it took is printed. Owns
//! the harness only.

#![deny(clippy::undocumented_unsafe_blocks)]

#[path = "../support/attached.rs"]
mod attached;
mod churn;
mod crowd;
mod generator;
mod handle;
mod memory;
#[path = "../support/netmon.rs"]
#[allow(dead_code, reason = "the tests without load use the rest")]
mod netmon;
mod peers;
mod record;
mod suspended;
mod together;
#[path = "../support/traffic.rs"]
#[allow(dead_code, reason = "the tests without load use the rest")]
mod traffic;
#[path = "../support/trial.rs"]
mod trial;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let child = match &words[..] {
        [option, plan @ ..] if option == traffic::OPTION => Some(traffic::main(plan)),
        [option, load @ ..] if option == generator::OPTION => Some(generator::main(load)),
        _ => None,
    };
    if let Some(result) = child {
        return match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the generator: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let trials = [
        crowd::trials(),
        churn::trials(),
        together::trials(),
        suspended::trials(),
    ];
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

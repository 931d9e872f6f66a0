//! The real `netmon serve`, asked over real sockets next to real traffic.
//!
//! Every test starts servers and generators of its own. They run in parallel with
//! others: each looks only at the processes it started. Owns the harness only.

#![deny(clippy::undocumented_unsafe_blocks)]

mod answers;
#[path = "../support/attached.rs"]
mod attached;
mod client;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../cli/contract.rs"]
mod contract;
mod crowd;
mod description;
mod endings;
mod guards;
mod interfaces;
mod large;
mod limits;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/netmon.rs"]
mod netmon;
mod realtime;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/served.rs"]
mod served;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/space.rs"]
mod space;
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
        answers::trials(),
        interfaces::trials(),
        realtime::trials(),
        guards::trials(),
        limits::trials(),
        endings::trials(),
        crowd::trials(),
        description::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

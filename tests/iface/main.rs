//! The interface sampler against the kernel: real interfaces, real frames, counted to
//! the packet and the byte.
//!
//! Every test has network namespaces of its own, which go with it; nothing is done to
//! the machine's interfaces. Owns the harness only.

#![deny(clippy::undocumented_unsafe_blocks)]

#[allow(dead_code, reason = "the tests of the binary use the rest")]
#[path = "../support/attached.rs"]
mod attached;
#[path = "../support/counters.rs"]
mod counters;
mod crafted;
mod equal;
mod errors;
mod frames;
mod life;
#[allow(dead_code, reason = "the tests of the binary use the rest")]
#[path = "../support/netmon.rs"]
mod netmon;
mod passed_on;
mod program;
mod space;
mod sys;
mod trains;
#[path = "../support/trial.rs"]
mod trial;
mod tunnels;
mod watched;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [option, plan @ ..] = &words[..]
        && option == life::DOOR
    {
        return life::main(plan);
    }
    let trials = [
        equal::trials(),
        crafted::trials(),
        trains::trials(),
        program::trials(),
        life::trials(),
        tunnels::trials(),
        passed_on::trials(),
        errors::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

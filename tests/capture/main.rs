//! `netmon capture`: the real binary on real interfaces, in network namespaces of the
//! tests' own.
//!
//! What goes over them is known to the byte, or counted by the interface. Owns the harness
//! only.

#![deny(clippy::undocumented_unsafe_blocks)]

#[allow(dead_code, reason = "the tests that load programs use the rest")]
#[path = "../support/attached.rs"]
mod attached;
#[path = "../support/counters.rs"]
mod counters;
mod counts;
mod endings;
mod formats;
mod interface;
mod limits;
mod links;
mod lists;
#[allow(dead_code, reason = "tests of other commands use the rest")]
#[path = "../support/netmon.rs"]
mod netmon;
mod peer;
mod refusals;
mod running;
#[allow(dead_code, reason = "the tests of the ring use the rest")]
#[path = "../ring/space.rs"]
mod space;
#[path = "../support/trial.rs"]
mod trial;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let trials = [
        counts::trials(),
        lists::trials(),
        limits::trials(),
        formats::trials(),
        endings::trials(),
        links::trials(),
        refusals::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

//! `netmon iface` on real interfaces: veth pairs between namespaces of the tests' own.
//!
//! They run in parallel with other netmons: each looks only at the processes and at the
//! namespaces it made. Owns the harness only.

#![deny(clippy::undocumented_unsafe_blocks)]

#[allow(dead_code, reason = "the tests of other commands use the rest")]
#[path = "../support/attached.rs"]
mod attached;
mod changes;
mod counted;
mod endings;
mod formats;
#[allow(dead_code, reason = "the tests of other commands use the rest")]
#[path = "../support/netmon.rs"]
mod netmon;
mod refusals;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/space.rs"]
mod space;
mod station;
#[path = "../support/trial.rs"]
mod trial;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let trials = [
        counted::trials(),
        changes::trials(),
        formats::trials(),
        endings::trials(),
        refusals::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

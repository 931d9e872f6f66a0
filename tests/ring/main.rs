//! The capture ring against the kernel: real frames in network namespaces of the tests' own.
//!
//! What goes out is known to the byte, or counted by the interface. Owns the harness only.

#![deny(clippy::undocumented_unsafe_blocks)]

#[path = "../support/counters.rs"]
mod counters;
mod filter;
mod frames;
mod groups;
mod space;
#[path = "../support/trial.rs"]
mod trial;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = frames::trials();
    trials.extend(filter::trials());
    trials.extend(groups::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

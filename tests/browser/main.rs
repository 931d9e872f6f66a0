//! The dashboard in a real Chromium: what a person sees, clicks and types.
//!
//! Every test starts the real `netmon serve`, a browser of its own, and real
//! traffic. They run in parallel: each looks only at the processes it started. Owns
//! the harness only. With [`PICTURES`] as the first argument it takes the pictures
//! of the README instead.

#![deny(clippy::undocumented_unsafe_blocks)]

#[path = "../support/attached.rs"]
#[allow(dead_code, reason = "the tests of the binary alone use the rest")]
mod attached;
#[path = "../support/counters.rs"]
mod counters;
mod details;
mod driver;
mod interfaces;
mod live;
mod looks;
#[path = "../support/netmon.rs"]
#[allow(dead_code, reason = "the tests of the binary alone use the rest")]
mod netmon;
mod page;
mod pictures;
mod served;
#[path = "../support/space.rs"]
#[allow(dead_code, reason = "the tests of the wire use the rest")]
mod space;
mod token;
#[path = "../support/traffic.rs"]
#[allow(dead_code, reason = "the tests without a browser use the rest")]
mod traffic;
#[path = "../support/trial.rs"]
#[allow(dead_code, reason = "the tests without a browser use the rest")]
mod trial;
mod wire;
mod words;

use std::process::ExitCode;

use crate::netmon::PATIENCE;
use libtest_mimic::Arguments;

/// The first argument that asks for the pictures: `--pictures DIRECTORY`.
const PICTURES: &str = "--pictures";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let other = match &words[..] {
        [option, plan @ ..] if option == traffic::OPTION => Some(traffic::main(plan)),
        [option, directory] if option == PICTURES => Some(pictures::take(directory.as_ref())),
        [option, directory] if option == pictures::INSIDE => {
            Some(pictures::play(directory.as_ref()))
        }
        _ => None,
    };
    if let Some(result) = other {
        return match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error:#}", words[0]);
                ExitCode::FAILURE
            }
        };
    }
    let trials = [
        live::trials(),
        details::trials(),
        interfaces::trials(),
        looks::trials(),
        token::trials(),
        words::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

//! Real programs, real bytes: what netmon counts against what a generator moved.
//!
//! Every case is a test of its own, named `plan::transport::path::variant`. They
//! run one after the other, because the kernel's maps are one for the machine.
//! Owns the harness only; see `selftest::generator` for the traffic, `expect` for the
//! verdict, `watch` for netmon's side.

#![deny(clippy::undocumented_unsafe_blocks)]

#[path = "kernel/cases.rs"]
mod cases;
#[path = "kernel/closings.rs"]
mod closings;
#[path = "kernel/crowded.rs"]
mod crowded;
#[path = "kernel/scenarios.rs"]
mod scenarios;
#[path = "kernel/shared.rs"]
mod shared;

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use netmon::selftest::{generator, watch};

/// What these tests cannot do without, as one line.
fn missing() -> Option<&'static str> {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Some("the kernel tests load BPF programs: run them as root");
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("the kernel tests need a kernel with BTF (CONFIG_DEBUG_INFO_BTF)");
    }
    None
}

fn trials() -> Vec<Trial> {
    let mut trials = vec![cases::generator_alone()];
    for (prefix, plan) in cases::PLANS {
        trials.extend(cases::trials(prefix, plan));
        trials.extend(scenarios::trials(prefix, plan));
    }
    trials.extend(closings::trials());
    trials
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [command, option, name, arguments @ ..] = &words[..]
        && [command, option] == generator::DOOR
    {
        generator::main(name, arguments);
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    if let Some(reason) = missing()
        && !arguments.list
    {
        eprintln!("{reason}");
        return ExitCode::FAILURE;
    }
    arguments.test_threads = Some(1);
    let conclusion = libtest_mimic::run(&arguments, trials());
    if let Err(error) = shared::end_shared() {
        eprintln!("the last reading: {error:#}");
        return ExitCode::FAILURE;
    }
    let noisy = watch::noisy_readings();
    if noisy > 0 {
        eprintln!("{noisy} readings checked the totals as bounds only: others moved bytes");
    }
    conclusion.exit_code()
}

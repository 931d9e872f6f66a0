//! What netmon costs the programs it watches.
//!
//! Prints the CPU time of a 1-byte send and receive over loopback, by UDP with
//! `send` and `recv`, with `sendto` and `recvfrom` that name the peer, and by TCP,
//! and of `getppid`: in ns, as ratios to no hooks, and as ratios to empty programs
//! on the same tracepoints, all within one alternating run. Empty programs alone
//! are what no design on these tracepoints can go below. Then the kernel's own
//! run time per event. Every syscall of the machine pays this, which is why it
//! is measured and not guessed.
//!
//! `--rounds N` (default 40) and `--pairs N` (default 20,000) set its length;
//! the best round of each variant counts, since noise only ever adds.

mod variants;
mod work;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use libbpf_rs::libbpf_sys;
use variants::{VARIANTS, Variant};
use work::{KINDS, NAMES, Work};

fn option(name: &str, default: u32) -> u32 {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments
        .nth(1)
        .map_or(default, |value| value.parse().expect("a number"))
}

fn main() {
    // `cargo test` and `make test` ask every bench for one quick pass.
    let quick = std::env::args().any(|argument| argument == "--test");
    let rounds = if quick { 1 } else { option("--rounds", 40) };
    let pairs = if quick {
        100
    } else {
        option("--pairs", 20_000)
    };

    let mut work = Work::new();
    let mut best = [[f64::MAX; KINDS]; VARIANTS.len()];
    for _ in 0..rounds {
        for ((_, variant), best) in VARIANTS.iter().zip(&mut best) {
            let _attached = variant.attach();
            for (kind, best) in best.iter_mut().enumerate() {
                work.nanoseconds(kind, pairs / 10);
                *best = best.min(work.nanoseconds(kind, pairs));
            }
        }
    }
    print(
        "CPU time of a send and receive, of a getppid [ns]",
        1,
        |at| Some(best[at]),
    );
    print("of no hooks", 3, |at| Some(ratios(&best[at], &best[0])));
    print("of empty programs", 3, |at| match VARIANTS[at].1 {
        Variant::Netmon(_, empty) => Some(ratios(&best[at], &best[empty])),
        Variant::Empty(_) => None,
    });
    run_times(&mut work, pairs);
}

fn ratios(of: &[f64; KINDS], to: &[f64; KINDS]) -> [f64; KINDS] {
    std::array::from_fn(|kind| of[kind] / to[kind])
}

/// A table with a line for each variant that `line` has numbers for.
fn print(title: &str, digits: usize, line: impl Fn(usize) -> Option<[f64; KINDS]>) {
    println!("{title}");
    print!("{:<30}", "");
    for name in NAMES {
        print!("{name:>13}");
    }
    println!();
    for (at, (name, _)) in VARIANTS.iter().enumerate() {
        if let Some(numbers) = line(at) {
            print!("{name:<30}");
            for number in numbers {
                print!("{number:>13.digits$}");
            }
            println!();
        }
    }
    println!();
}

/// The kernel's own statistics, taken apart since they cost time themselves.
fn run_times(work: &mut Work, pairs: u32) {
    let _kept = keep_statistics();
    println!("run time of a program per event [ns]; an empty one has the clock's");
    // The last of the empty ones has all of them.
    for (name, variant) in &VARIANTS[VARIANTS.len() - 3..] {
        let attached = variant.attach();
        let mut table: Vec<(&str, [f64; KINDS])> = Vec::new();
        for kind in 0..KINDS {
            let before = attached.statistics();
            work.nanoseconds(kind, pairs);
            let after = attached.statistics();
            for (at, ((program, before), (_, after))) in before.iter().zip(&after).enumerate() {
                if table.len() == at {
                    table.push((program, [0.0; KINDS]));
                }
                let runs = after.runs - before.runs;
                // What runs now and then is no event of these calls.
                if runs >= u64::from(pairs) {
                    let time = after.run_time_ns - before.run_time_ns;
                    table[at].1[kind] = time as f64 / runs as f64;
                }
            }
        }
        for (program, numbers) in table {
            print!("{name:<30}");
            for number in numbers {
                print!("{number:>13.1}");
            }
            println!("  {program}");
        }
    }
}

/// Makes the kernel keep statistics as long as the descriptor is open, which ends
/// with this process, however it ends; the sysctl would stay set.
fn keep_statistics() -> OwnedFd {
    // SAFETY: the call takes a number and returns a descriptor or a negative error.
    let descriptor = unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) };
    assert!(
        descriptor >= 0,
        "the kernel keeps no BPF statistics: {}",
        io::Error::from_raw_os_error(-descriptor)
    );
    // SAFETY: the descriptor is new, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

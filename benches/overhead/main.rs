//! What netmon costs the programs it watches.
//!
//! Prints, as ratios within one alternating run, the CPU time of a 64-byte UDP
//! send and receive over loopback and of `getppid` with netmon's programs
//! against none, and against empty programs on the same tracepoints; then the
//! kernel's own run time per program. Every network syscall of the machine
//! pays this, which is why it is measured and not guessed.
//!
//! `--rounds N` (default 40) and `--pairs N` (default 20,000) set its length;
//! the best round of each variant counts, since noise only ever adds.

use std::fs;
use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::time::Duration;

use libbpf_rs::Link;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use netmon::collect::accounting::{Accounting, Plan, Settings};
use nix::time::{ClockId, clock_gettime};

#[allow(
    missing_docs,
    dead_code,
    non_snake_case,
    non_camel_case_types,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::restriction
)]
mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/empty.skel.rs"));
}

/// What is attached during a round.
#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Nothing,
    EmptySocket,
    EmptySyscall,
    Netmon(Plan),
}

const VARIANTS: [(&str, Variant); 6] = [
    ("no hooks", Variant::Nothing),
    ("empty programs, socket", Variant::EmptySocket),
    ("empty programs, syscall", Variant::EmptySyscall),
    ("netmon --engine socket", Variant::Netmon(Plan::Socket)),
    ("netmon --engine syscall", Variant::Netmon(Plan::Residual)),
    (
        "netmon, entry and exit only",
        Variant::Netmon(Plan::EnterExit),
    ),
];

/// Whatever has to stay alive for the programs to stay attached.
enum Attached {
    Nothing,
    Empty { _links: Vec<Link> },
    Netmon(Box<Accounting>),
}

fn attach(variant: Variant) -> Attached {
    match variant {
        Variant::Nothing => Attached::Nothing,
        Variant::EmptySocket => attach_empty(false),
        Variant::EmptySyscall => attach_empty(true),
        Variant::Netmon(plan) => {
            let settings = Settings {
                plans: vec![plan],
                max_flows: 10_240,
                pin: None,
            };
            let accounting = Accounting::open(&settings).expect("netmon loads");
            Attached::Netmon(Box::new(accounting))
        }
    }
}

fn attach_empty(syscalls: bool) -> Attached {
    let mut storage = MaybeUninit::uninit();
    let programs = skeleton::EmptySkelBuilder::default()
        .open(&mut storage)
        .and_then(OpenSkel::load)
        .expect("the empty programs load");
    let mut wanted = vec![
        &programs.progs.empty_sock_send,
        &programs.progs.empty_sock_recv,
    ];
    if syscalls {
        wanted.push(&programs.progs.empty_sys_exit);
        wanted.push(&programs.progs.empty_sys_enter);
    }
    let links = wanted
        .iter()
        .map(|program| program.attach().expect("it attaches"));
    Attached::Empty {
        _links: links.collect(),
    }
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("the thread's CPU clock exists")
        .into()
}

/// CPU time of one send and receive, in ns.
fn udp_pair(socket: &UdpSocket, pairs: u32) -> f64 {
    let mut buffer = [7; 64];
    let start = cpu_time();
    for _ in 0..pairs {
        socket.send(&buffer).expect("loopback takes a datagram");
        let _ = socket.recv(&mut buffer);
    }
    (cpu_time() - start).as_nanos() as f64 / f64::from(pairs)
}

/// CPU time of one `getppid`, in ns.
fn getppid(calls: u32) -> f64 {
    let start = cpu_time();
    for _ in 0..calls {
        std::hint::black_box(nix::unistd::getppid());
    }
    (cpu_time() - start).as_nanos() as f64 / f64::from(calls)
}

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

    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback binds");
    let address = socket.local_addr().expect("a bound socket has an address");
    socket
        .connect(address)
        .expect("a socket can talk to itself");
    // A loaded machine drops datagrams even on loopback: such a pair is not waited for.
    let patience = Duration::from_millis(100);
    socket
        .set_read_timeout(Some(patience))
        .expect("it can be set");

    let mut best = [[f64::MAX; 2]; VARIANTS.len()];
    for _ in 0..rounds {
        for ((_, variant), best) in VARIANTS.iter().zip(&mut best) {
            let attached = attach(*variant);
            udp_pair(&socket, pairs / 10);
            best[0] = best[0].min(udp_pair(&socket, pairs));
            best[1] = best[1].min(getppid(pairs));
            drop(attached);
        }
    }

    println!(
        "{:<30} {:>18} {:>10} {:>9} {:>10}",
        "attached", "UDP send+recv [ns]", "of no hooks", "getppid", "of no hooks"
    );
    let [nothing, ..] = best;
    for ((name, _), [pair, call]) in VARIANTS.iter().zip(best) {
        println!(
            "{name:<30} {pair:>18.0} {:>11.3} {call:>9.1} {:>11.3}",
            pair / nothing[0],
            call / nothing[1]
        );
    }
    run_times(&socket, pairs);
}

/// The kernel's own statistics, taken apart since they cost time themselves.
fn run_times(socket: &UdpSocket, pairs: u32) {
    const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";
    let before = fs::read_to_string(SWITCH).expect("the kernel keeps BPF statistics");
    fs::write(SWITCH, "1").expect("root may switch them on");
    println!("\nrun_time_ns / run_cnt (the clock itself takes 31 to 37 ns of each run)");
    for (name, variant) in VARIANTS {
        if let Attached::Netmon(accounting) = attach(variant) {
            udp_pair(socket, pairs);
            for (program, statistics) in accounting.statistics() {
                let runs = statistics.runs.max(1);
                println!(
                    "{name:<30} {program:<20} {:>8.1} ns in {runs} runs",
                    statistics.run_time_ns as f64 / runs as f64
                );
            }
        }
    }
    fs::write(SWITCH, before.trim()).expect("root may switch them back");
}

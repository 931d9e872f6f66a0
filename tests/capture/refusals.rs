//! What a capture cannot do is said on one line, with what to do.

use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;

use crate::netmon::{Scratch, netmon, run, shell};
use crate::running::{Running, capture};
use crate::space::{inside, ip, wire};
use crate::trial::{Impossible, root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        root("refusals::group_in_use", || inside(group)),
        root("refusals::no_capability", no_capability),
        root("refusals::file_capabilities", || inside(file_capabilities)),
        root("refusals::without_bpf", || inside(without_bpf)),
        root("refusals::ring_too_large", || inside(too_large)),
        root("refusals::nearly_all_memory", || inside(nearly_all_memory)),
        root("refusals::process_limits", || inside(process_limits)),
        trial("refusals::frame_larger_than_a_block", frame_size),
        trial("refusals::wrong_values", wrong_values),
    ]
}

/// A group of one's own is never shared: each program would count a part.
fn group() -> anyhow::Result<()> {
    wire()?;
    let running = Running::start("far", &["--fanout-group", "33"])?;
    let words = ["group 33 is in use", "--fanout-group"];
    for interface in ["far", "near", "lo"] {
        let done = run(&mut capture(interface, &["--fanout-group", "33"]))?;
        done.check_failure(&words)?;
    }
    // One worker alone has nobody to share with.
    let one = ["--fanout-group", "33", "--workers", "1", "--count", "1"];
    run(&mut capture("far", &one))?.check_quiet()?;
    let other = ["--fanout-group", "34", "--count", "1"];
    run(&mut capture("far", &other))?.check_quiet()?;
    running.end()?;
    Ok(())
}

/// `words` as nobody, with exactly these capabilities.
fn as_nobody(capabilities: &[&str], words: &[&str]) -> Command {
    let set = capabilities
        .iter()
        .fold("-all".to_owned(), |set, it| set + ",+" + it);
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(format!("--inh-caps={set}"))
        .arg(format!("--ambient-caps={set}"))
        .args(words);
    command
}

/// A copy of the binary that nobody can execute.
fn executable() -> anyhow::Result<(Scratch, String)> {
    let scratch = Scratch::new()?;
    let binary = scratch.binary()?.display().to_string();
    let done = run(&mut as_nobody(&[], &[&binary, "--version"]))?;
    if !done.status.success() {
        let why = format!("nobody cannot execute {binary}: {}", done.stderr);
        return Err(Impossible(why).into());
    }
    Ok((scratch, binary))
}

const ONE: [&str; 8] = [
    "capture",
    "--iface",
    "lo",
    "--count=1",
    "--report-interval-secs=1",
    "--block-count=16",
    "--workers=2",
    "--format=json",
];

fn no_capability() -> anyhow::Result<()> {
    let (_scratch, binary) = executable()?;
    let done = run(&mut as_nobody(
        &[],
        &[&[binary.as_str()], &ONE[..]].concat(),
    ))?;
    done.check_failure(&[
        "CAP_NET_RAW",
        "sudo",
        "setcap cap_net_raw=ep $(command -v netmon)",
    ])?;
    ensure!(done.stdout.is_empty(), "{}", done.stdout);
    Ok(())
}

/// As the README has it: a copy of the binary with capabilities of its own.
fn file_capabilities() -> anyhow::Result<()> {
    let (scratch, binary) = executable()?;
    let set = |capabilities: &str| -> anyhow::Result<()> {
        let mut command = Command::new("setcap");
        let done = match run(command.args([capabilities, &binary])) {
            Ok(done) => done,
            Err(error) => {
                let why = format!("it needs `setcap` (package libcap2-bin): {error:#}");
                return Err(Impossible(why).into());
            }
        };
        if !done.status.success() {
            let why = format!("files have no capabilities here: {}", done.stderr);
            return Err(Impossible(why).into());
        }
        Ok(())
    };
    let list = scratch.path.join("list");
    std::fs::write(&list, "10.0.0.0/8\n")?;
    let mut command = as_nobody(&[], &[&[binary.as_str()], &ONE[..]].concat());
    command.arg("--ignore-file").arg(&list);
    set("cap_net_raw,cap_bpf=ep")?;
    run(&mut command)?.check_quiet()?;
    Ok(())
}

/// Without CAP_BPF the classic filter does, and says so; lists it cannot have.
fn without_bpf() -> anyhow::Result<()> {
    let (scratch, binary) = executable()?;
    let words = [&[binary.as_str()], &ONE[..]].concat();
    let unprivileged = "/proc/sys/kernel/unprivileged_bpf_disabled";
    if std::fs::read_to_string(unprivileged).is_ok_and(|text| text.trim() == "0") {
        return Err(Impossible(format!("everybody may load filters here: {unprivileged}")).into());
    }
    let done = run(&mut as_nobody(&["net_raw"], &words))?;
    done.check_code(0)?;
    done.check_says(&[
        "CAP_BPF",
        "classic filter",
        "setcap cap_net_raw,cap_bpf=ep $(command -v netmon)",
    ])?;
    ensure!(done.stderr.lines().count() == 1, "{}", done.stderr);
    ensure!(done.stdout.lines().count() == 1, "{}", done.stdout);
    let done = run(as_nobody(&["net_raw"], &words).arg("-v"))?;
    done.check_code(0)?;
    done.check_says(&["Operation not permitted", "classic filter"])?;

    let list = scratch.path.join("list");
    std::fs::write(&list, "10.0.0.0/8\n")?;
    for option in ["--ignore-file", "--accept-source-file"] {
        let mut command = as_nobody(&["net_raw"], &words);
        let done = run(command.arg(option).arg(&list))?;
        done.check_failure(&[
            "CAP_BPF",
            "setcap cap_net_raw,cap_bpf=ep $(command -v netmon)",
        ])?;
        ensure!(done.stdout.is_empty(), "{}", done.stdout);
    }
    Ok(())
}

fn too_large() -> anyhow::Result<()> {
    ip("link set lo up")?;
    let words = ["capture", "--iface", "lo", "--block-size", "1073741824"];
    let mut command = netmon(words);
    command.args(["--block-count", "1024", "--workers", "2"]);
    let done = run(&mut command)?;
    done.check_failure(&[
        "2097152 MiB",
        "MiB are available",
        "--block-count",
        "--workers",
    ])
}

/// The kernel would give all that is free, and other programs would pay for it.
fn nearly_all_memory() -> anyhow::Result<()> {
    ip("link set lo up")?;
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes: u64 = line
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok())
        .context("no MemAvailable")?;
    // More than three quarters, though memory comes and goes meanwhile.
    let blocks = kilobytes / 1024 * 9 / 10;
    let mut command = netmon(["capture", "--iface", "lo", "--workers", "1"]);
    command.args([
        "--block-size",
        "1048576",
        "--block-count",
        &blocks.to_string(),
    ]);
    let done = run(&mut command)?;
    done.check_failure(&["no memory", "three quarters", "--block-count"])
}

/// Each worker has a socket, and each table its memory.
fn process_limits() -> anyhow::Result<()> {
    let capture = r#"exec "$NETMON" capture --iface lo --block-count 2 --count 1 --workers"#;
    let done = run(&mut shell(&format!("ulimit -n 16; {capture} 32")))?;
    done.check_failure(&["ulimit -n", "--workers"])?;
    let tables = "1 --max-addresses 16777216";
    let done = run(&mut shell(&format!(
        "ulimit -v 1000000; {capture} {tables}"
    )))?;
    done.check_failure(&[
        "no memory for tables of 16777216 addresses",
        "--max-addresses",
    ])?;
    let done = run(&mut shell(&format!(
        "ulimit -v 300000; {capture} 1 --block-size 268435456"
    )))?;
    done.check_failure(&["no memory for a capture ring", "--block-size"])
}

fn frame_size() -> anyhow::Result<()> {
    let words = ["capture", "--iface", "lo", "--block-size", "4096"];
    let done = run(netmon(words).args(["--frame-size", "8192"]))?;
    done.check_code(2)?;
    done.check_says(&["--frame-size", "8192", "--block-size, 4096"])
}

fn wrong_values() -> anyhow::Result<()> {
    for (option, value, accepted) in [
        ("--workers", "0", "1 to 256"),
        ("--fanout-group", "65536", "65535"),
        ("--block-size", "5000", "powers of two from 4096"),
        ("--block-count", "1", "2 to 524288"),
        ("--frame-size", "100", "multiples of 16"),
        ("--report-interval-secs", "0", "1 to 86400"),
        ("--max-addresses", "3", "16 to 16777216"),
        ("--top", "0", "1 to 10000"),
        ("--format", "xml", "json"),
    ] {
        let done = run(&mut netmon(["capture", "--iface", "lo", option, value]))?;
        done.check_code(2)?;
        done.check_says(&[option, value, accepted])?;
    }
    let done = run(&mut netmon(["capture"]))?;
    done.check_code(2)?;
    done.check_says(&["--iface"])?;
    Ok(())
}

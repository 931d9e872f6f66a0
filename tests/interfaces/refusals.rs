//! What is refused, each with one line that says what to do.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::netmon::{Scratch, netmon, run};
use crate::space::{Space, two};
use crate::station::{iface, interrupt, reporting};
use crate::trial::{Impossible, root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("refusals::usage", usage),
        root("refusals::unknown_interface", unknown_interface),
        root("refusals::native_on_loopback", native_on_loopback),
        root("refusals::another_owner", another_owner),
        root("refusals::no_capabilities", no_capabilities),
        root("refusals::doctor", doctor),
    ]
}

fn usage() -> anyhow::Result<()> {
    for (words, said) in [
        (&["--interval", "fast"][..], &["`fast`", "500ms"][..]),
        (&["--interval", "1ms"], &["`1ms`", "50ms to 1m"]),
        (&["--count", "0"], &["--count", "1 and above"]),
        (&["--duration", "0s"], &["--duration", "10m"]),
        (&["--format", "xml"], &["xml", "json", "csv", "text"]),
        (&["--xdp", "turbo"], &["turbo", "auto", "native", "generic"]),
        (&["--top", "5"], &["--flows"]),
        (&["--flows", "--top", "0"], &["--top", "1 to 10000"]),
        (&["--engine", "syscall"], &["--engine"]),
        (&["eth0"], &["eth0"]),
    ] {
        let done = run(&mut netmon(["iface"].iter().chain(words)))?;
        done.check_code(2)?;
        done.check_says(said)?;
        ensure!(done.stdout.is_empty(), "{}", done.stdout);
    }
    Ok(())
}

/// Fails unless `netmon iface` ends there with one line that holds these words.
fn check_refused(space: &Space, words: &[&str], said: &[&str]) -> anyhow::Result<()> {
    let done = run(&mut iface(space, words))?;
    done.check_failure(said)?;
    ensure!(done.stdout.is_empty(), "{}", done.stdout);
    Ok(())
}

fn unknown_interface() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    check_refused(&a, &["--iface", "nosuch0"], &["no interface nosuch0", "a0"])?;
    check_refused(&a, &["--iface", "a0,nosuch0"], &["no interface nosuch0"])
}

fn native_on_loopback() -> anyhow::Result<()> {
    let space = Space::new()?;
    let words = ["--iface", "lo", "--xdp", "native"];
    check_refused(&space, &words, &["lo", "native", "--xdp"])
}

/// Who is on the interface stays there.
fn another_owner() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    let generic = ["--iface", "a0", "--xdp", "generic"];
    let first = reporting(&a, &generic)?;
    check_refused(
        &a,
        &generic,
        &["a0 has an XDP program", "end its owner", "auto"],
    )?;
    // Beside it there is room for one that needs no place of its own.
    interrupt(reporting(&a, &["--iface", "a0"])?, &["a0"])?;
    let held = first.held();
    ensure!(!held.links.is_empty(), "{held:?}");
    interrupt(first, &["a0"])?;
    Ok(())
}

/// `binary` as nobody in `space`, with exactly these capabilities.
fn as_nobody(space: &Space, binary: &Path, capabilities: &[&str]) -> Command {
    let set = capabilities
        .iter()
        .fold("-all".to_owned(), |set, it| set + ",+" + it);
    let mut command = space.command();
    command
        .args([
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ])
        .arg(format!("--inh-caps={set}"))
        .arg(format!("--ambient-caps={set}"))
        .arg(format!("--bounding-set={set}"))
        .arg(binary);
    command
}

/// A copy of the binary that nobody can execute, and where it is.
fn executable(space: &Space) -> anyhow::Result<(Scratch, PathBuf)> {
    let scratch = Scratch::new()?;
    let binary = scratch.binary()?;
    let done = run(as_nobody(space, &binary, &[]).arg("--version"))?;
    if !done.status.success() {
        let why = format!(
            "nobody cannot execute {}: {}",
            binary.display(),
            done.stderr
        );
        return Err(Impossible(why).into());
    }
    Ok((scratch, binary))
}

fn no_capabilities() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    let (_scratch, binary) = executable(&a)?;
    for (capabilities, missing) in [
        (&[][..], "CAP_NET_ADMIN"),
        (&["bpf", "perfmon"], "CAP_NET_ADMIN"),
        (&["net_admin"], "CAP_BPF"),
    ] {
        let mut command = as_nobody(&a, &binary, capabilities);
        let done = run(command.args(["iface", "--iface", "a0", "--count", "1"]))?;
        done.check_failure(&[missing, "setcap", "sudo"])?;
        ensure!(done.stdout.is_empty(), "{}", done.stdout);
    }
    let enough = ["bpf", "perfmon", "net_admin"];
    let mut command = as_nobody(&a, &binary, &enough);
    let words = [
        "iface",
        "--iface",
        "a0",
        "--count",
        "1",
        "--interval",
        "50ms",
    ];
    let done = run(command.args(words))?;
    done.check_code(0)
}

/// What the commands here need is probed, each by a line of its own.
fn doctor() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    let done = run(a.command().args([crate::netmon::BINARY, "doctor"]))?;
    for line in [
        "[ok] interface sampler: packets that go out are seen by tc",
        "       a0: tc",
        "[ok] capture: TPACKET_V3 rings, PACKET_FANOUT, eBPF filter",
    ] {
        let found = done.stdout.lines().any(|it| it.starts_with(line));
        ensure!(found, "`{line}` is not in: {}", done.stdout);
    }
    let left = run(a.command().args(["ip", "link"]))?;
    ensure!(!left.stdout.contains("xdp"), "{}", left.stdout);
    // With less each says what is missing.
    let (_scratch, binary) = executable(&a)?;
    for (capabilities, line) in [
        (
            &[][..],
            "[--] interface sampler: not permitted to sample interfaces: CAP_NET_ADMIN",
        ),
        (
            &[],
            "[--] capture: not permitted to capture packets: CAP_NET_RAW missing",
        ),
        (
            &["net_raw"],
            "[--] capture: TPACKET_V3 rings, PACKET_FANOUT; but a classic filter",
        ),
        (&["net_raw", "bpf"], "[ok] capture: TPACKET_V3 rings"),
        (&["net_admin", "bpf", "perfmon"], "[ok] interface sampler: "),
    ] {
        let done = run(as_nobody(&a, &binary, capabilities).arg("doctor"))?;
        let found = done.stdout.lines().any(|it| it.starts_with(line));
        ensure!(
            found,
            "{capabilities:?}: `{line}` is not in: {}",
            done.stdout
        );
    }
    Ok(())
}

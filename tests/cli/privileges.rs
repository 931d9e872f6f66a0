//! What netmon may do with which capabilities, as an ordinary user.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::contract::{check_moved, check_run, last, process};
use crate::netmon::{Live, Scratch, run};
use crate::traffic::{Plan, Traffic};
use crate::trial::{Impossible, root};

pub fn trials() -> Vec<Trial> {
    vec![
        root("privileges::none", none),
        root("privileges::only_bpf", only_bpf),
        root("privileges::only_perfmon", only_perfmon),
        root("privileges::bpf_and_perfmon", bpf_and_perfmon),
        root("privileges::doctor_with_none", doctor_with_none),
        root("privileges::user_namespace", user_namespace),
    ]
}

/// `binary` as nobody, with exactly these capabilities.
fn as_nobody(binary: &Path, capabilities: &[&str]) -> Command {
    let set = capabilities
        .iter()
        .fold("-all".to_owned(), |set, it| set + ",+" + it);
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(format!("--inh-caps={set}"))
        .arg(format!("--ambient-caps={set}"))
        .arg(format!("--bounding-set={set}"))
        .arg(binary);
    command
}

/// A copy of the binary that nobody can execute, and where it is.
fn executable() -> anyhow::Result<(Scratch, std::path::PathBuf)> {
    let scratch = Scratch::new()?;
    let binary = scratch.binary()?;
    let done = run(as_nobody(&binary, &[]).arg("--version"))?;
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

/// Fails unless what counts ends with these capabilities with a line that holds
/// `words` and what to do.
fn check_refused(capabilities: &[&str], words: &[&str], not: &str) -> anyhow::Result<()> {
    let (_scratch, binary) = executable()?;
    for command in [&["stream", "--count", "1"][..], &["selftest"]] {
        let done = run(as_nobody(&binary, capabilities).args(command))?;
        done.check_failure(words)?;
        done.check_failure(&["missing", "sudo netmon", "setcap cap_bpf,cap_perfmon=ep"])?;
        let said = done.stderr.split(';').next().unwrap_or("");
        ensure!(
            not.is_empty() || !said.contains(not),
            "{not} is there: {said}"
        );
        ensure!(done.stdout.is_empty(), "{}", done.stdout);
    }
    Ok(())
}

fn none() -> anyhow::Result<()> {
    check_refused(&[], &["CAP_BPF and CAP_PERFMON"], "")
}

fn only_bpf() -> anyhow::Result<()> {
    check_refused(&["bpf"], &["CAP_PERFMON"], "CAP_BPF")
}

fn only_perfmon() -> anyhow::Result<()> {
    check_refused(&["perfmon"], &["CAP_BPF"], "CAP_PERFMON")
}

fn bpf_and_perfmon() -> anyhow::Result<()> {
    let (_scratch, binary) = executable()?;
    for engine in ["syscall", "socket"] {
        let mut command = as_nobody(&binary, &["bpf", "perfmon"]);
        command.args(["stream", "--interval", "100ms", "--engine", engine]);
        let mut live = Live::start(&mut command)?;
        live.line()?;
        // Traffic of another user.
        let mut traffic = Traffic::start(&Plan::udp("nmp-root", 120, 9))?;
        let moved = traffic.moved()?;
        let records = check_run(&live.interrupt()?.stdout)?;
        check_moved(process(last(&records)?, traffic.pid()), moved)?;
        traffic.reap()?;
    }
    let done = run(as_nobody(&binary, &["bpf", "perfmon"]).arg("doctor"))?;
    done.check_quiet()?;
    ensure!(done.stdout.contains("[ok] privileges: "), "{}", done.stdout);
    // What takes more than that is said by name, and is no failure.
    let mut selftest = as_nobody(&binary, &["bpf", "perfmon"]);
    let done = run(selftest.args(["selftest", "udp send", "raw", "process"]))?;
    done.check_quiet()?;
    let row = |path: &str, verdict: &str| {
        let mut rows = done.stdout.lines().filter(|line| line.starts_with(path));
        let found = rows.next().is_some_and(|row| row.contains(verdict));
        ensure!(found, "{path} is not {verdict}: {}", done.stdout);
        anyhow::Ok(())
    };
    row("udp send ", "  EXACT")?;
    row("raw ", "  NOT ON THIS KERNEL: raw sockets: ")?;
    row("process pid_namespace ", "  NOT ON THIS KERNEL: ")?;
    row("process killed_in_a_blocked_send ", "  EXACT")
}

fn doctor_with_none() -> anyhow::Result<()> {
    let (_scratch, binary) = executable()?;
    let done = run(as_nobody(&binary, &[]).arg("doctor"))?;
    done.check_code(1)?;
    ensure!(done.stderr.is_empty(), "on stderr: {}", done.stderr);
    let line = "[!!] privileges: CAP_BPF and CAP_PERFMON missing: run with sudo, or `setcap";
    ensure!(done.stdout.contains(line), "{}", done.stdout);
    ensure!(
        done.stdout.ends_with("marked with [!!] are mended\n"),
        "{}",
        done.stdout
    );
    for engine in ["engine syscall", "engine socket"] {
        ensure!(!done.stdout.contains(engine), "untried: {}", done.stdout);
    }
    // What needs other privileges is looked at all the same.
    for line in [
        "[--] interface sampler: not permitted",
        "[--] capture: not permitted",
        "[--] engine packet: not permitted",
    ] {
        ensure!(done.stdout.contains(line), "{}", done.stdout);
    }
    Ok(())
}

/// Root of a user namespace has every capability there and none over the kernel.
fn user_namespace() -> anyhow::Result<()> {
    let inside = |binary: &Path, words: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user"])
            .arg(binary)
            .args(words);
        run(&mut command)
    };
    let (_scratch, binary) = executable()?;
    let version = inside(&binary, &["--version"])?;
    if !version.status.success() {
        let why = format!("no user namespace can be made: {}", version.stderr);
        return Err(Impossible(why).into());
    }
    let done = inside(&binary, &["stream", "--count", "1"])?;
    done.check_failure(&["not permitted", "user namespace", "outside", "as root"])?;
    let done = inside(&binary, &["doctor"])?;
    done.check_code(1)?;
    ensure!(done.stdout.contains("[--] privileges: "), "{}", done.stdout);
    ensure!(
        done.stdout.contains("[!!] engine syscall: "),
        "{}",
        done.stdout
    );

    // With -v, libbpf's last words come before the line.
    let done = inside(&binary, &["stream", "-v", "--count", "1"])?;
    done.check_code(1)?;
    let lines: Vec<&str> = done.stderr.lines().collect();
    let (last, words) = lines.split_last().unwrap_or((&"", &[]));
    ensure!(last.starts_with("netmon: not permitted"), "{}", done.stderr);
    let libbpf = words.iter().any(|line| line.starts_with("libbpf: "));
    ensure!(libbpf, "no words of libbpf: {}", done.stderr);
    Ok(())
}

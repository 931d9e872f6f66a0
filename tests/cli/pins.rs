//! `--pin`: the four maps on bpffs while netmon runs, and clear words otherwise.
//!
//! Each test has a bpffs of its own, in a mount namespace that a sleeping process
//! holds; the rest of the machine does not see it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::netmon::{BINARY, Done, Live, Scratch, netmon, run, shell_with_mounts};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("pins::four_maps_while_running", four_maps),
        root("pins::taken_by_another", taken),
        root("pins::left_by_sigkill", left_by_sigkill),
        root("pins::not_on_bpffs", not_on_bpffs),
        root("pins::no_directory", no_directory),
    ]
}

/// A bpffs in a mount namespace of its own.
struct Bpffs {
    holder: Live,
    scratch: Scratch,
}

impl Bpffs {
    fn new() -> anyhow::Result<Bpffs> {
        let scratch = Scratch::new()?;
        let at = scratch.path.display();
        let line = format!("mount -t bpf bpf {at}; echo mounted; exec sleep 600");
        let mut holder = Live::start(&mut shell_with_mounts(&line))?;
        holder.line()?;
        Ok(Bpffs { holder, scratch })
    }

    /// A command for the binary where the bpffs is, pinning under `directory`.
    fn netmon(&self, directory: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.pid()))
            .args([BINARY, "stream", "--interval", "100ms", "--pin"])
            .arg(self.scratch.path.join(directory));
        command
    }

    /// Where `directory` is, as seen from outside.
    fn outside(&self, directory: &str) -> anyhow::Result<PathBuf> {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.pid()));
        let at = self.scratch.path.strip_prefix("/")?.join(directory);
        Ok(root.join(at))
    }

    /// What there is under `directory`.
    fn names(&self, directory: &str) -> anyhow::Result<BTreeSet<String>> {
        let entries = fs::read_dir(self.outside(directory)?).context("no directory")?;
        let names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<anyhow::Result<BTreeSet<String>>>()?;
        // The kernel's own, at the root of every bpffs.
        let own = ["maps.debug", "progs.debug"].map(str::to_owned);
        Ok(&names - &BTreeSet::from(own))
    }

    fn check_four(&self, directory: &str) -> anyhow::Result<()> {
        let names = self.names(directory)?;
        let four = ["anomaly_map", "pid_stats", "protocol_totals", "traffic_map"];
        ensure!(names.iter().eq(four), "{names:?}");
        Ok(())
    }

    fn check_empty(&self) -> anyhow::Result<()> {
        let names = self.names("")?;
        ensure!(names.is_empty(), "left behind: {names:?}");
        Ok(())
    }
}

fn four_maps() -> anyhow::Result<()> {
    let bpffs = Bpffs::new()?;
    // Into the root of it, and into directories that are not there yet.
    for directory in ["", "netmon", "a/b"] {
        let mut live = Live::start(&mut bpffs.netmon(directory))?;
        live.line()?;
        bpffs.check_four(directory)?;
        live.interrupt()?;
        bpffs.check_empty()?;
    }
    // Reached by the last record, too.
    run(bpffs.netmon("netmon").args(["--count", "1"]))?.check_quiet()?;
    bpffs.check_empty()
}

fn check_taken(done: &Done) -> anyhow::Result<()> {
    done.check_failure(&["--pin", "traffic_map exists", "another netmon", "rm "])?;
    ensure!(done.stdout.is_empty(), "{}", done.stdout);
    Ok(())
}

fn taken() -> anyhow::Result<()> {
    let bpffs = Bpffs::new()?;
    let mut first = Live::start(&mut bpffs.netmon("netmon"))?;
    first.line()?;
    check_taken(&run(&mut bpffs.netmon("netmon"))?)?;
    // The first one's are untouched, and another directory is free.
    bpffs.check_four("netmon")?;
    run(bpffs.netmon("other").args(["--count", "1"]))?.check_quiet()?;
    bpffs.check_four("netmon")?;
    first.interrupt()?;
    bpffs.check_empty()
}

fn left_by_sigkill() -> anyhow::Result<()> {
    let bpffs = Bpffs::new()?;
    let mut live = Live::start(&mut bpffs.netmon("netmon"))?;
    live.line()?;
    let held = live.held();
    live.signal(Signal::SIGKILL)?;
    live.end()?;
    // Maps stay pinned, which nothing can prevent; nothing else stays.
    held.check_gone_but(4)?;
    bpffs.check_four("netmon")?;
    check_taken(&run(&mut bpffs.netmon("netmon"))?)?;
    // Without the files they are gone, too, and the next start has its own.
    for name in bpffs.names("netmon")? {
        fs::remove_file(bpffs.outside("netmon")?.join(name))?;
    }
    held.check_gone()?;
    run(bpffs.netmon("netmon").args(["--count", "1"]))?.check_quiet()
}

fn not_on_bpffs() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    for directory in ["here", "deep/er"] {
        let path = scratch.path.join(directory);
        let done = run(netmon(["stream", "--count", "1", "--pin"]).arg(&path))?;
        done.check_failure(&["--pin", directory, "bpffs", "mount -t bpf"])?;
        ensure!(
            !done.stderr.contains("refused the programs"),
            "{}",
            done.stderr
        );
    }
    let left = fs::read_dir(&scratch.path)?.count();
    ensure!(left == 0, "{left} directories left behind");
    Ok(())
}

fn no_directory() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("file");
    fs::write(&file, "")?;
    for path in [file.clone(), file.join("below")] {
        let done = run(netmon(["stream", "--count", "1", "--pin"]).arg(&path))?;
        done.check_failure(&["--pin", "bpffs"])?;
    }
    Ok(())
}

//! What the service manager hears: ready, status, watchdog, reloading, stopping.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::netmon::{Live, Scratch};
use crate::serve::{Manager, serve};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("manager::hears_each_word_of_a_life", life),
        root("manager::watchdog_bites_a_sampler_that_stands", standing),
        root("manager::watchdog_bears_long_intervals", long_intervals),
    ]
}

const READY: &str = "READY=1\n";
const WATCHDOG: &str = "WATCHDOG=1\n";

fn life() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let manager = Manager::new(&scratch)?;
    let mut command = serve(&["--interval", "100ms"]);
    manager.over(&mut command, Duration::from_secs(2));
    let live = Live::start(&mut command)?;
    manager.until(|word| word == READY)?;
    // Ready means that it counts.
    let held = live.held();
    ensure!(held.links.len() >= 4, "ready, but attached is {held:?}");
    let words = manager.until(|word| word.starts_with("STATUS="));
    let status = words?.pop().context("no status")?;
    for figure in [" flows of ", " processes, ", "/s, ", " above the threshold"] {
        ensure!(status.contains(figure), "{figure} is not in {status}");
    }
    for _ in 0..3 {
        manager.until(|word| word == WATCHDOG)?;
    }

    live.signal(Signal::SIGHUP)?;
    let words = manager.until(|word| word.starts_with("RELOADING=1\n"))?;
    let reloading = words.last().context("no word")?;
    let at: u64 = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="))
        .with_context(|| format!("no time in {reloading}"))?
        .parse()?;
    ensure!(at > 0 && at <= monotonic_usec()?, "{at} is no such time");
    manager.until(|word| word == READY)?;
    manager.until(|word| word == WATCHDOG)?;

    live.signal(Signal::SIGTERM)?;
    manager.until(|word| word == "STOPPING=1\n")?;
    live.end()?.check_code(0)?;
    held.check_gone()
}

fn monotonic_usec() -> anyhow::Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    Ok(Duration::from(now).as_micros().try_into()?)
}

/// One thread of a process, stopped alone until dropped.
struct Stopped(libc::pid_t);

impl Stopped {
    fn thread(pid: u32, name: &str) -> anyhow::Result<Stopped> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))?;
        let named = tasks.flatten().find(|task| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        });
        let task = named.with_context(|| format!("no thread {name}"))?;
        let tid: libc::pid_t = task.file_name().to_string_lossy().parse()?;
        for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
            // SAFETY: both take no pointer: address and data are zero, as they must be.
            let result = unsafe { libc::ptrace(request, tid, 0, 0) };
            ensure!(result == 0, "{}", std::io::Error::last_os_error());
        }
        let mut status = 0;
        // SAFETY: `status` lives until the call returns.
        let stopped = unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL) };
        ensure!(stopped == tid && libc::WIFSTOPPED(status), "not stopped");
        Ok(Stopped(tid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // SAFETY: no pointer here either; it fails only for a thread that is gone.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, 0, 0) };
    }
}

/// All other threads run, so that only one fed by steps goes hungry.
fn standing() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let manager = Manager::new(&scratch)?;
    let mut command = serve(&["--interval", "50ms"]);
    manager.over(&mut command, Duration::from_secs(1));
    let live = Live::start(&mut command)?;
    manager.until(|word| word == WATCHDOG)?;
    let reload = || {
        live.signal(Signal::SIGHUP)?;
        manager.until(|word| word == READY)
    };
    manager.until(|word| word == WATCHDOG)?;

    let stopped = Stopped::thread(live.pid(), "sampler")?;
    // What was under way when it was stopped comes before this answer.
    reload()?;
    thread::sleep(Duration::from_secs(3));
    let words = reload()?;
    let fed = words.iter().any(|word| word == WATCHDOG);
    ensure!(!fed, "fed without a step: {words:?}");
    drop(stopped);
    manager.until(|word| word == WATCHDOG)?;
    live.signal(Signal::SIGTERM)?;
    live.end()?.check_code(0)
}

fn long_intervals() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let manager = Manager::new(&scratch)?;
    let file = scratch.path.join("netmon.toml");
    fs::write(&file, "interval = \"30s\"\n")?;
    let mut command = serve(&["--config", &file.to_string_lossy()]);
    manager.over(&mut command, Duration::from_secs(10));
    let live = Live::start(&mut command)?;
    let words = manager.until(|word| word == READY)?;
    let borne = words.iter().any(|word| word == "WATCHDOG_USEC=90000000\n");
    ensure!(borne, "{words:?}");

    fs::write(&file, "interval = \"1s\"\n")?;
    live.signal(Signal::SIGHUP)?;
    manager.until(|word| word == "WATCHDOG_USEC=10000000\n")?;
    live.signal(Signal::SIGTERM)?;
    live.end()?.check_code(0)
}

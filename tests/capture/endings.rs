//! How a capture ends: told to, by its options, by a reader that has seen enough.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::model::packet::IPV4;
use nix::sys::signal::Signal;

use crate::netmon::{BINARY, Live, netmon, run, shell};
use crate::running::{capture, last, number, reports};
use crate::space::{PATIENCE, Sender, ethernet, inside, ipv4, wire};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("endings::last_report_is_complete", || inside(complete)),
        root("endings::count", || inside(count)),
        root("endings::duration", || inside(duration)),
        root("endings::head", || inside(head)),
        root("endings::full_disk", || inside(full_disk)),
        root("endings::nohup", || inside(nohup)),
        root("endings::in_a_script", || inside(in_a_script)),
        root("endings::while_starting", || inside(while_starting)),
        root("endings::nobody_wakes_for_nothing", || inside(idle)),
    ]
}

/// What was sent right before the signal is in the last report.
fn complete() -> anyhow::Result<()> {
    wire()?;
    let sender = Sender::new("near")?;
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut live = Live::start(&mut capture("far", &["--format", "json"]))?;
        live.line()?;
        for number in 0..1000 {
            sender.send(&ethernet(&[], IPV4, &ipv4(1, 1000 + number % 50, 10)))?;
        }
        live.signal(signal)?;
        let done = live.end()?;
        done.check_quiet()?;
        let report = last(&done)?;
        let all = number(&report, "packets")? + number(&report, "dropped")?;
        ensure!(all == 1000, "{signal}: {report}");
    }
    Ok(())
}

fn count() -> anyhow::Result<()> {
    let done = run(&mut capture("lo", &["--format", "json", "--count", "2"]))?;
    done.check_quiet()?;
    ensure!(reports(&done)?.len() == 2, "{}", done.stdout);
    Ok(())
}

/// Shorter than an interval, and a last report all the same.
fn duration() -> anyhow::Result<()> {
    let mut command = netmon(["capture", "--iface", "lo", "--format", "json"]);
    command.args(["--duration", "300ms", "--block-count", "4"]);
    let done = run(&mut command)?;
    done.check_quiet()?;
    let reports = reports(&done)?;
    ensure!(reports.len() == 1, "{}", done.stdout);
    let seconds = reports[0]["interval_seconds"].as_f64().unwrap_or(0.0);
    ensure!((0.3..5.0).contains(&seconds), "{seconds}");
    Ok(())
}

/// The reader goes after one line; netmon's own exit code is the line on stderr.
fn head() -> anyhow::Result<()> {
    for format in ["json", "csv", "text"] {
        let line = format!(
            r#"{{ "$NETMON" capture --iface lo --report-interval-secs 1 --block-count 4 \
               --format {format}; echo "code $?" >&2; }} | head -1"#
        );
        let done = run(&mut shell(&line))?;
        done.check_code(0)?;
        ensure!(done.stderr == "code 0\n", "on stderr: {}", done.stderr);
        ensure!(done.stdout.lines().count() == 1, "{}", done.stdout);
    }
    Ok(())
}

fn full_disk() -> anyhow::Result<()> {
    let line = format!(
        "exec {BINARY} capture --iface lo --block-count 4 --report-interval-secs 1 > /dev/full"
    );
    let done = run(&mut shell(&line))?;
    done.check_failure(&["standard output", "No space left on device", "make room"])
}

/// A terminal that goes away does not end it; other signals do.
fn nohup() -> anyhow::Result<()> {
    let line = r#"exec nohup "$NETMON" capture --iface lo --block-count 4 --format json \
        --report-interval-secs 1 2>&1"#;
    let mut live = Live::start(&mut shell(line))?;
    live.line()?;
    live.signal(Signal::SIGHUP)?;
    // It would have been in time for the first of them.
    live.line()?;
    live.line()?;
    live.signal(Signal::SIGTERM)?;
    let done = live.end()?;
    done.check_quiet()?;
    ensure!(reports(&done)?.len() >= 4, "{}", done.stdout);
    Ok(())
}

/// A shell has what a script starts by `&` ignore SIGINT, which ends it all the same.
fn in_a_script() -> anyhow::Result<()> {
    let line = r#""$NETMON" capture --iface lo --block-count 4 --format json \
        --report-interval-secs 60 & sleep 2; kill -INT $!; wait $!"#;
    let done = run(&mut shell(line))?;
    done.check_quiet()?;
    ensure!(reports(&done)?.len() == 1, "{}", done.stdout);
    Ok(())
}

/// A signal at any moment of the start kills it, or ends it in order.
fn while_starting() -> anyhow::Result<()> {
    for delay in [0, 5, 20, 60] {
        let live = Live::start(&mut capture("lo", &["--format", "json"]))?;
        std::thread::sleep(std::time::Duration::from_millis(delay));
        live.signal(Signal::SIGTERM)?;
        let done = live.end()?;
        if crate::netmon::killed_by(done.status) != Some(Signal::SIGTERM) {
            done.check_quiet()?;
            ensure!(reports(&done)?.len() == 1, "{}", done.stdout);
        }
    }
    Ok(())
}

/// Times that the workers of a capture were put to sleep.
fn sleeps(pid: u32) -> anyhow::Result<Vec<u64>> {
    let mut all = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("status"))?;
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        if value("Name:\tcapture-").is_some() {
            let times = value("voluntary_ctxt_switches:\t").context("no count")?;
            all.push(times.parse()?);
        }
    }
    Ok(all)
}

/// Without packets and reports no worker wakes; asked for the last report each still does.
fn idle() -> anyhow::Result<()> {
    wire()?;
    let mut command = netmon(["capture", "--iface", "far", "--format", "json"]);
    command.args(["--report-interval-secs", "600", "--block-count", "4"]);
    let live = Live::start(&mut command)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = sleeps(live.pid())?;
        thread::sleep(Duration::from_secs(1));
        let after = sleeps(live.pid())?;
        // Its start may still go on.
        if after.len() == 4 && before == after {
            break;
        }
        ensure!(Instant::now() < deadline, "{before:?}, then {after:?}");
    }
    live.signal(Signal::SIGTERM)?;
    let done = live.end()?;
    done.check_quiet()?;
    ensure!(number(&last(&done)?, "packets")? == 0, "{}", done.stdout);
    Ok(())
}

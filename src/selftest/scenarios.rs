//! Processes, threads and stages: what netmon must make of whole lives, not calls.
//!
//! Owns the cases that need more than one report. Each is run under a watch
//! that others may have used before.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::driver::Generator;
use super::expect;
use super::generator::ledger::{Direction, Movement, Report};
use super::generator::{Unsupported, sleeps_in};
use super::namespaces;
use super::outcome::{Outcome, Verdict};
use super::watch::Watch;
use crate::model::snapshot::{ProcessRow, Snapshot};

/// One of them; errors are those of [`super::suite::case`].
pub type Scenario = fn(&mut Watch) -> anyhow::Result<Outcome>;

/// All of them with their names, in the order they are run.
pub const ALL: &[(&str, Scenario)] = &[
    ("short_lives", short_lives),
    ("pid_reuse", pid_reuse),
    ("four_threads", four_threads),
    ("storm_while_reading", |w| while_reading(w, "storm", 4000)),
    ("short_lives_while_reading", |w| {
        while_reading(w, "swarm", 200)
    }),
    ("fork_shares_a_socket", fork_shares_a_socket),
    ("exec_keeps_the_row", |w| exec_keeps_the_row(w, &[])),
    ("exec_by_another_thread", |w| {
        exec_keeps_the_row(w, &text(2))
    }),
    ("pid_namespace", pid_namespace),
    ("first_thread_exits", first_thread_exits),
    ("killed_in_a_blocked_send", killed_in_a_blocked_send),
    ("same_ends_twice", namespaces::same_ends_twice),
];

/// How long netmon may take to notice an end or to make room.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// A number as a generator's only argument.
pub fn text(number: u32) -> [String; 1] {
    [number.to_string()]
}

/// Starts `name`, checks its only report and returns it with what was counted.
fn one_report(
    watch: &mut Watch,
    name: &str,
    arguments: &[String],
) -> anyhow::Result<(Report, Arc<Snapshot>, Outcome)> {
    let before = watch.last.clone();
    let mut generator = Generator::start(name, arguments)?;
    let report = generator.report()?;
    let after = watch.quiet()?;
    let outcome = Outcome::of(watch.plan, &before, &after, &report)?;
    generator.end()?;
    Ok((report, after, outcome))
}

/// Reads as often as it can while the generator is at work.
///
/// # Errors
/// If a reading fails or the generator does.
pub fn read_during(watch: &mut Watch, generator: &mut Generator) -> anyhow::Result<Report> {
    thread::scope(|scope| {
        let reader = scope.spawn(|| generator.report());
        while !reader.is_finished() {
            watch.step()?;
        }
        reader.join().ok().context("the reader panicked")?
    })
}

/// Nothing gets lost between two readings, however close.
fn while_reading(watch: &mut Watch, name: &str, size: u32) -> anyhow::Result<Outcome> {
    let before = watch.last.clone();
    let mut generator = Generator::start(name, &text(size))?;
    let report = read_during(watch, &mut generator)?;
    let after = watch.quiet()?;
    let outcome = Outcome::of(watch.plan, &before, &after, &report)?;
    generator.end()?;
    Ok(outcome)
}

fn rows_with_pid(snapshot: &Snapshot, pid: u32) -> Vec<&ProcessRow> {
    let rows = snapshot.processes.iter();
    rows.filter(|row| row.id.pid == pid).collect()
}

/// 200 processes of a few milliseconds: all found, named, final.
fn short_lives(watch: &mut Watch) -> anyhow::Result<Outcome> {
    let (report, after, outcome) = one_report(watch, "swarm", &text(200))?;
    ensure!(
        report.who.len() == 200,
        "{} processes reported",
        report.who.len()
    );
    for who in &report.who {
        let row = expect::find_process(&after, who).context("a row is missing")?;
        ensure!(row.exited, "{} has ended and is shown as alive", who.comm);
    }
    Ok(outcome)
}

/// Two lives of one PID are two rows.
fn pid_reuse(watch: &mut Watch) -> anyhow::Result<Outcome> {
    let mut generator = Generator::start("reuse", &[])?;
    let report = generator.report()?;
    if let Some(reason) = report.unsupported {
        return Err(Unsupported(reason).into());
    }
    let after = watch.quiet()?;
    let pid = report.who[0].pid;
    let rows = rows_with_pid(&after, pid);
    let mut counted: Vec<(u64, u64)> = rows
        .iter()
        .map(|row| (row.totals.tx_bytes, row.totals.rx_bytes))
        .collect();
    counted.sort_unstable();
    ensure!(
        counted == [(1111, 1111), (2222, 2222)],
        "PID {pid} lived twice and moved 1111 and 2222 bytes each way; counted {counted:?}"
    );
    ensure!(
        rows[0].id.start_ns != rows[1].id.start_ns,
        "one start time for two lives"
    );
    ensure!(
        rows.iter().all(|row| row.exited),
        "an ended process shown as alive"
    );
    let outcome = Outcome {
        truth: expect::moved(&report),
        counted: rows.iter().map(|row| row.totals).sum(),
        verdict: Verdict::Exact,
    };
    generator.end()?;
    Ok(outcome)
}

fn four_threads(watch: &mut Watch) -> anyhow::Result<Outcome> {
    let (report, after, outcome) = one_report(watch, "threads", &text(4))?;
    let rows = rows_with_pid(&after, report.who[0].pid).len();
    ensure!(rows == 1, "{rows} rows for one process");
    let flows = report.moved.len();
    ensure!(flows == 8, "{flows} flows reported");
    Ok(outcome)
}

/// The bytes belong to whoever moved them, not to who opened the socket.
fn fork_shares_a_socket(watch: &mut Watch) -> anyhow::Result<Outcome> {
    let (report, _, outcome) = one_report(watch, "fork", &[])?;
    ensure!(
        report.who.len() == 2,
        "{} processes reported",
        report.who.len()
    );
    Ok(outcome)
}

/// The PID of the machine, not the one of the process's own namespace.
fn pid_namespace(watch: &mut Watch) -> anyhow::Result<Outcome> {
    let (report, _, outcome) = one_report(watch, "namespace", &[])?;
    ensure!(report.who[0].pid != 1, "the process does not know its PID");
    Ok(outcome)
}

/// The process lives as long as any of its threads.
fn first_thread_exits(watch: &mut Watch) -> anyhow::Result<Outcome> {
    let before = watch.last.clone();
    let mut generator = Generator::start("leader-exits", &[])?;
    let report = generator.report()?;
    let alive = watch.quiet()?;
    let outcome = Outcome::of(watch.plan, &before, &alive, &report)?;
    let who = &report.who[0];
    let row = expect::find_process(&alive, who).context("no row")?;
    ensure!(!row.exited, "shown as ended while a thread lives");
    generator.end()?;
    let after = watch.quiet()?;
    let row = expect::find_process(&after, who).context("no row after its end")?;
    ensure!(row.exited, "shown as alive after its end");
    Ok(outcome)
}

fn exec_keeps_the_row(watch: &mut Watch, arguments: &[String]) -> anyhow::Result<Outcome> {
    let before = watch.last.clone();
    let mut generator = Generator::start("exec", arguments)?;
    let first = generator.report()?;
    let between = watch.quiet()?;
    Outcome::of(watch.plan, &before, &between, &first)?;
    let old = expect::find_process(&between, &first.who[0]).context("no row before exec")?;
    ensure!(
        old.identity.name == "before-exec",
        "named {:?}",
        old.identity.name
    );

    generator.go_on("")?;
    let mut both = generator.report()?;
    both.moved.extend(first.moved);
    let after = watch.quiet()?;
    let outcome = Outcome::of(watch.plan, &before, &after, &both)?;
    let new = expect::find_process(&after, &both.who[0]).context("no row after exec")?;
    ensure!(new.id == old.id, "exec made another process of it");
    let (shown, truth) = (&new.identity.name, &both.who[0].comm);
    ensure!(
        shown == truth,
        "after exec it is {truth:?}, shown {shown:?}"
    );
    generator.end()?;
    Ok(outcome)
}

/// Only the peer can say what a killed sender had moved: all of it arrives,
/// because the kernel delivers what is queued when it closes the socket.
fn killed_in_a_blocked_send(watch: &mut Watch) -> anyhow::Result<Outcome> {
    let before = watch.last.clone();
    let mut sink = Generator::start("sink", &[])?;
    let port = sink.report()?.value.context("no port")?;
    let mut sender = Generator::start("blocked", &text(port as u32))?;
    let sender_report = sender.report()?;
    wait_until_blocked(sender.pid())?;
    sender.kill()?;
    watch.step()?;

    sink.go_on("")?;
    let mut report = sink.report()?;
    let (received, amount) = *report.moved.first().context("nothing received")?;
    let sent = Movement {
        pid: sender.pid(),
        local: received.remote,
        remote: received.local,
        peer: received.local,
        direction: Direction::Sent,
        ..received
    };
    let mut amount = amount;
    amount.operations = 1;
    report.moved.push((sent, amount));
    report.who.extend(sender_report.who);
    let after = watch.quiet()?;
    let outcome = Outcome::of(watch.plan, &before, &after, &report)?;
    sink.end()?;
    Ok(outcome)
}

/// Waits until `pid` sleeps in a sending call.
fn wait_until_blocked(pid: u32) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut sleeping = 0;
    // Twice in a row, so that it is not a moment between two parts of the call.
    while sleeping < 2 {
        ensure!(Instant::now() < deadline, "the sender never blocked");
        thread::sleep(Duration::from_millis(10));
        let sleeps = sleeps_in(pid, libc::SYS_sendto)?;
        sleeping = if sleeps { sleeping + 1 } else { 0 };
    }
    Ok(())
}

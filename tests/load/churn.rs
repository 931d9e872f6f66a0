//! Connections opened and closed as fast as the machine can.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::generator::{ANSWER, QUESTION};
use crate::handle::{Load, Report};
use crate::memory::{check_peak, peak};
use crate::netmon::Live;
use crate::record::{Run, watch};
use crate::traffic::Moved;
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("churn::thousands_a_second", thousands_a_second),
        root("churn::as_fast_as_it_goes", as_fast_as_it_goes),
    ]
}

/// What the one end of such a connection moves, and the other.
const NEAR: Moved = [QUESTION as u64, ANSWER as u64, 1, 1];
const FAR: Moved = [ANSWER as u64, QUESTION as u64, 1, 1];

/// Most memory in MB: what one late reading brings at once on a loaded machine is in it.
const MEMORY: u64 = 80;

/// How much of it a stage may add once it grows no more. A leak of what is kept of a
/// connection would add several times as much in each.
const SLACK: u64 = 1_000_000;

/// Stages until then: the buffers grow with the flows of one reading, and a loaded
/// machine is late to read.
const STAGES: usize = 8;

/// Batches of a stage, each of some connections at least so long after the other.
const BATCHES: usize = 20;
const BATCH: usize = 700;
const PACE: Duration = Duration::from_millis(100);

/// Some seconds of it: when all that is kept of the past has been filled many times,
/// memory grows no more.
fn thousands_a_second() -> anyhow::Result<()> {
    let mut live = watch(&["--interval", "100ms", "--max-flows", "4096"])?;
    live.line()?;
    let mut load = Load::start("churn", 0)?;
    let mut peaks = Vec::new();
    let mut report = Report::default();
    let mut is_steady = false;
    while peaks.len() < 3 || !is_steady {
        ensure!(peaks.len() < STAGES, "memory grows: {peaks:?}");
        let start = Instant::now();
        for _ in 0..BATCHES {
            let next = Instant::now() + PACE;
            report = load.stage(BATCH)?;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let rate = (BATCHES * BATCH) as f64 / start.elapsed().as_secs_f64();
        live.line()?;
        let now = peak(live.pid())?;
        is_steady = peaks.last().is_some_and(|last| now <= last + SLACK);
        peaks.push(now);
        println!("{rate:.0} connections opened and closed per second, peaks {peaks:?}");
    }
    check(live, &load, &report, peaks.len() * BATCHES * BATCH)?;
    load.reap()
}

/// More than the map has room for, and more ends than can be noted.
fn as_fast_as_it_goes() -> anyhow::Result<()> {
    let mut live = watch(&[])?;
    live.line()?;
    let mut load = Load::start("churn", 0)?;
    let connections = 40_000;
    let report = load.stage(connections)?;
    let rate = connections as f64 / report.took.as_secs_f64();
    println!("{rate:.0} connections opened and closed per second");
    live.line()?;
    check(live, &load, &report, connections)?;
    load.reap()
}

fn check(live: Live, load: &Load, report: &Report, connections: usize) -> anyhow::Result<()> {
    check_peak("memory", live.pid(), MEMORY)?;
    let run = Run::end(live)?;
    run.last.check_process(load.pid(), report.moved)?;
    run.last.check_protocol("tcp", report.moved)?;
    run.check_books()?;
    check_closed(&run, load.pid(), connections)
}

/// Every end of every connection was seen and seen closed, except for those that
/// the record says it lost.
pub fn check_closed(run: &Run, pid: u32, connections: usize) -> anyhow::Result<()> {
    let loss = run.last.loss;
    let mut seen = [0_u64; 2];
    for row in run.flows(pid) {
        let counts = row.counts();
        let end = [NEAR, FAR]
            .iter()
            .any(|end| match loss.untracked_flow_bytes {
                0 => counts == *end,
                _ => counts.iter().zip(end).all(|(count, end)| count <= end),
            });
        ensure!(end, "nobody's end: {row:?}");
        seen[usize::from(row.closed)] += 1;
    }
    let [open, closed] = seen;
    println!("{closed} ends seen closed, {open} not; {loss:?}");
    ensure!(
        open <= loss.missed_events,
        "{open} were never closed: {loss:?}"
    );
    let ends = 2 * connections as u64;
    let rows = open + closed;
    ensure!(rows <= ends, "{rows} rows of {ends} ends: {loss:?}");
    // An end without a row has lost its bytes, and an end is at least so many.
    let unseen = ends - rows;
    let least = unseen * (QUESTION + ANSWER) as u64;
    ensure!(
        least <= loss.untracked_flow_bytes,
        "{unseen} ends unseen: {loss:?}"
    );
    Ok(())
}

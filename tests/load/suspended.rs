//! A netmon that is stopped while others go on, and continued.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::churn::check_closed;
use crate::handle::Load;
use crate::memory::want_descriptors;
use crate::netmon::{Live, PATIENCE};
use crate::record::{Record, Row, Run, watch};
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("suspended::ten_seconds", ten_seconds),
        root("suspended::more_ends_than_noted", more_ends_than_noted),
        root("suspended::at_any_moment", at_any_moment),
    ]
}

const ROOM: [&str; 2] = ["--max-flows", "131072"];
const STOPPED: Duration = Duration::from_secs(10);

/// Ends of connections that the kernel notes down between two readings.
const NOTED: u64 = 18_724;

/// Stops `live` and waits until it stands.
fn stop(live: &Live) -> anyhow::Result<Instant> {
    live.signal(Signal::SIGSTOP)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", live.pid()))?;
        if status.contains("State:\tT") {
            return Ok(Instant::now());
        }
        ensure!(Instant::now() < deadline, "it does not stop: {status}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Continues `live`; the record of the interval in which it was stopped.
fn resume(live: &mut Live, stopped: Instant) -> anyhow::Result<Record> {
    let length = stopped.elapsed();
    live.signal(Signal::SIGCONT)?;
    // The one before may have been written and not read by now.
    for _ in 0..2 {
        let record = Record::parse(&live.line()?)?;
        if record.interval_seconds >= length.as_secs_f64() {
            let true_at_most = (stopped.elapsed() + Duration::from_secs(1)).as_secs_f64();
            ensure!(record.interval_seconds <= true_at_most, "too long");
            println!("stopped {length:.2?}: {:.2} s", record.interval_seconds);
            return Ok(record);
        }
    }
    anyhow::bail!("no interval of {length:?}")
}

/// Everything that moved meanwhile is in the next record, at the rate it had.
fn ten_seconds() -> anyhow::Result<()> {
    let mut live = watch(&ROOM)?;
    live.line()?;
    // As fast as the threshold for two seconds; over ten it is nowhere near.
    let mut bulk = Traffic::prepare(&Plan::udp("nml-bulk", 16_000, 2600).over_tcp())?;
    let mut churn = Load::start("churn", 0)?;
    // Right after a record, when it sleeps.
    live.line()?;
    let stopped = stop(&live)?;
    bulk.go()?;
    let mut moved = vec![(bulk.pid(), bulk.moved()?, false)];
    for _ in 0..20 {
        let mut short = Traffic::start(&Plan::udp("nml-short", 500, 20))?;
        moved.push((short.pid(), short.moved()?, true));
        short.reap()?;
    }
    let connections = 1000;
    moved.push((churn.pid(), churn.stage(connections)?.moved, false));
    thread::sleep(STOPPED.saturating_sub(stopped.elapsed()));

    let record = resume(&mut live, stopped)?;
    let seconds = record.interval_seconds;
    for &(pid, moved, ended) in &moved {
        record.check_process(pid, moved)?;
        let row = record.process(pid)?;
        ensure!(row.exited == ended, "ended: {ended}: {row:?}");
        for (rate, bytes) in [(row.tx_rate, moved[0]), (row.rx_rate, moved[1])] {
            let expected = bytes as f64 / seconds;
            let off = (rate - expected).abs();
            ensure!(off <= 0.01 * expected, "{expected} B/s: {row:?}");
        }
        // It moved nothing before: the average has not caught up.
        let rate = row.tx_rate + row.rx_rate;
        let sane = (0.0..=rate).contains(&row.smoothed_rate);
        ensure!(sane, "smoothed: {row:?}");
    }
    let own = |pid: u32| moved.iter().any(|(own, ..)| *own == pid);
    for row in record.flows.iter().filter(|row| own(row.pid)) {
        let rate = (row.tx_rate + row.rx_rate) * seconds;
        let [sent, received, ..] = row.counts();
        let off = (rate - (sent + received) as f64).abs();
        ensure!(off <= 1.0 + 0.01 * rate, "over {seconds} s: {row:?}");
    }
    // And nothing is caught up with later.
    live.line()?;
    let run = Run::end(live)?;
    for record in [&record, &run.last] {
        let anomaly = record.anomalies.iter().find(|row| own(row.pid));
        ensure!(anomaly.is_none(), "a false anomaly: {anomaly:?}");
    }
    for (pid, moved, _) in moved {
        run.last.check_process(pid, moved)?;
    }
    let lost = run.last.loss.untracked_flow_bytes;
    ensure!(lost == 0, "{lost} bytes without a flow");
    check_closed(&run, churn.pid(), connections)?;
    bulk.reap()?;
    churn.reap()
}

/// More connections end than the kernel can note down: their flows stay open as
/// long as the process lives, which is said, and no byte is wrong.
fn more_ends_than_noted() -> anyhow::Result<()> {
    let mut live = watch(&ROOM)?;
    live.line()?;
    let mut churn = Load::start("churn", 0)?;
    let pid = churn.pid();
    // Right after a record, when it sleeps.
    live.line()?;
    let stopped = stop(&live)?;
    let connections = 12_000;
    let ends = 2 * connections as u64;
    let moved = churn.stage(connections)?.moved;
    let record = resume(&mut live, stopped)?;
    record.check_process(pid, moved)?;
    let missed = record.loss.missed_events;
    println!("{ends} ends, {missed} events missed");
    ensure!(missed >= ends - NOTED, "only {missed} of {ends} said");
    let own = record.flows.iter().filter(|row| row.pid == pid);
    let open = own.filter(|row| !row.closed).count() as u64;
    ensure!(open >= ends - NOTED, "{open} flows are open");
    ensure!(open <= missed, "{open} flows are open, {missed} missed");

    // The end of the process is the end of its flows.
    churn.reap()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let record = Record::parse(&live.line()?)?;
        if record.process(pid).is_ok_and(|row| row.exited) {
            break;
        }
        ensure!(Instant::now() < deadline, "its end was not seen");
    }
    live.line()?;
    let run = Run::end(live)?;
    run.last.check_process(pid, moved)?;
    let still = run.flows(pid).find(|row| !row.closed);
    ensure!(still.is_none(), "still open: {still:?}");
    check_closed(&run, pid, connections).context("in the end")
}

/// Times it is stopped, each at another moment of its interval, some of them in
/// the midst of a reading.
const STOPS: u32 = 16;

/// What moves while it is stopped is not taken for the next interval's.
fn at_any_moment() -> anyhow::Result<()> {
    // Many flows, so that readings take long; few rows, so that records do not.
    want_descriptors(10_100)?;
    let mut crowd = Load::start("live", 5000)?;
    let mut bulk = Load::start("live", 1)?;
    let pid = bulk.pid().to_string();
    let mut live = watch(&["--interval", "50ms", "--pid", &pid, ROOM[0], ROOM[1]])?;
    live.line()?;
    crowd.stage(1)?;
    let (mut before, mut most) = (0, 0.0_f64);
    for at in 0..STOPS {
        live.line()?;
        thread::sleep(Duration::from_millis(5) * at);
        let stopped = stop(&live)?;
        let [sent, received, ..] = bulk.stage(2000)?.moved;
        let length = Duration::from_millis(200);
        thread::sleep(length.saturating_sub(stopped.elapsed()));
        most = most.max((sent + received - before) as f64 / stopped.elapsed().as_secs_f64());
        before = sent + received;
        live.signal(Signal::SIGCONT)?;
        live.line()?;
    }
    live.line()?;
    for line in live.interrupt()?.stdout.lines() {
        let record: Value = serde_json::from_str(line)?;
        for list in ["processes", "flows"] {
            for row in record[list].as_array().context("no list")? {
                let row: Row = serde_json::from_value(row.clone())?;
                let rate = row.tx_rate + row.rx_rate;
                ensure!(rate <= most, "at most {most:.0} B/s: {row:?}");
            }
        }
    }
    Ok(())
}

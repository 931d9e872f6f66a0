//! `netmon stream` in JSON: fields, sums, ends of processes, ends of a run.
//!
//! What a record must look like is `contract`'s business.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::contract::{check_line, check_moved, check_run, last, process, rows};
use crate::netmon::{Live, netmon, roomy, run};
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("records::contract_under_traffic", contract_under_traffic),
        root("records::sums_with_kernel_threads", kernel_threads),
        root("records::count", count),
        root("records::duration", duration),
        root("records::sigint", || ends_on(Signal::SIGINT)),
        root("records::sigterm", || ends_on(Signal::SIGTERM)),
        root("records::sighup", || ends_on(Signal::SIGHUP)),
        root("records::ended_processes", ended_processes),
        root("records::two_at_once", two_at_once),
        root("records::engine_socket", engine_socket),
        root("records::full_flow_map", full_flow_map),
    ]
}

/// Starts a stream whose first record comes only at its end, and waits until all
/// of its programs are attached.
fn silent() -> anyhow::Result<Live> {
    Live::start(&mut roomy(["stream", "--interval", "1m"]))?.attached()
}

/// Traffic that goes on, and processes that come and go, while `live` writes;
/// the records of the whole run.
fn busy(mut live: Live) -> anyhow::Result<Vec<serde_json::Value>> {
    live.line()?;
    let udp = Traffic::start(&Plan::endless("nmr-udp", 700, Duration::ZERO))?;
    let tcp = Plan::endless("nmr-tcp", 3000, Duration::from_micros(50)).over_tcp();
    let tcp = Traffic::start(&Plan {
        address: std::net::Ipv6Addr::LOCALHOST.into(),
        ..tcp
    })?;
    let mut short = Vec::new();
    for _ in 0..10 {
        let mut traffic = Traffic::start(&Plan::udp("nmr-short", 90, 40))?;
        short.push((traffic.pid(), traffic.moved()?));
        traffic.reap()?;
    }
    for _ in 0..3 {
        live.line()?;
    }
    let moving = [udp.pid(), tcp.pid()];
    let moved = [udp.end()?, tcp.end()?];
    let records = check_run(&live.interrupt()?.stdout)?;
    let last = last(&records)?;
    for (pid, moved) in short {
        let row = process(last, pid);
        check_moved(row, moved)?;
        ensure!(
            row.context("no row")?["exited"] == true,
            "not ended: {row:?}"
        );
    }
    for (pid, moved) in moving.into_iter().zip(moved) {
        check_moved(process(last, pid), moved)?;
    }
    Ok(records)
}

fn contract_under_traffic() -> anyhow::Result<()> {
    let arguments = ["stream", "--interval", "100ms", "--threshold", "10KB"];
    let records = busy(Live::start(&mut roomy(arguments))?)?;
    let seen = |list: &str| records.iter().any(|record| !rows(record, list).is_empty());
    for list in ["protocols", "processes", "flows", "anomalies"] {
        ensure!(seen(list), "{list} were never there");
    }
    let named = |name: &str| {
        records
            .iter()
            .flat_map(|record| rows(record, "anomalies"))
            .any(|row| row["name"] == name && row["threshold"] == 10_000.0)
    };
    ensure!(named("nmr-udp"), "no anomaly of a flow above the threshold");
    Ok(())
}

/// The sums hold with kernel threads listed, too. Whether any moves bytes is up to
/// the machine: nothing here makes one.
fn kernel_threads() -> anyhow::Result<()> {
    let arguments = ["stream", "--interval", "50ms", "--kernel-threads"];
    for record in busy(Live::start(&mut roomy(arguments))?)? {
        ensure!(
            !rows(&record, "processes").iter().any(|row| {
                row["name"] == "[kernel]" && row["exited"] == false && row["tx_rate"] != 0.0
            }),
            "summed up although listed: {record}"
        );
    }
    Ok(())
}

fn count() -> anyhow::Result<()> {
    let done = run(&mut roomy(["stream", "--count", "3", "--interval", "50ms"]))?;
    done.check_quiet()?;
    let records = check_run(&done.stdout)?;
    ensure!(records.len() == 3, "{} records", records.len());
    Ok(())
}

fn duration() -> anyhow::Result<()> {
    let start = Instant::now();
    let arguments = ["stream", "--duration", "1s", "--interval", "200ms"];
    let done = run(&mut roomy(arguments))?;
    let took = start.elapsed();
    done.check_quiet()?;
    let records = check_run(&done.stdout)?;
    println!("--duration 1s took {took:.2?}, {} records", records.len());
    ensure!(took >= Duration::from_secs(1), "ended after {took:?}");
    ensure!(
        (1..=6).contains(&records.len()),
        "{} records",
        records.len()
    );
    Ok(())
}

fn ends_on(signal: Signal) -> anyhow::Result<()> {
    let mut traffic = Traffic::prepare(&Plan::udp("nmr-last", 100, 1000))?;
    let live = silent()?;
    traffic.go()?;
    let moved = traffic.moved()?;
    let held = live.held();
    live.signal(signal)?;
    let done = live.end()?;
    done.check_quiet()?;
    held.check_gone()?;
    let records = check_run(&done.stdout)?;
    ensure!(records.len() == 1, "{} records", records.len());
    let row = process(last(&records)?, traffic.pid());
    check_moved(row, moved)?;
    ensure!(
        row.context("no row")?["exited"] == false,
        "it lives: {row:?}"
    );
    let flows = rows(last(&records)?, "flows").iter();
    let flows: Vec<_> = flows.filter(|row| row["pid"] == traffic.pid()).collect();
    ensure!(flows.len() == 2, "one flow per socket: {flows:?}");
    traffic.reap()
}

fn wall() -> anyhow::Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

fn ended_processes() -> anyhow::Result<()> {
    let mut live = Live::start(&mut roomy(["stream", "--interval", "300ms"]))?;
    live.line()?;
    let mut traffic = Traffic::start(&Plan::udp("nmr-ended", 10, 7))?;
    let moved = traffic.moved()?;
    let pid = traffic.pid();
    traffic.reap()?;
    let ended = wall()?;
    // The reading that follows the end may have begun before it, and may then
    // carry a later time: the one after it has not.
    let mut later = 0;
    let found = loop {
        let record = check_line(&live.line()?)?;
        let row = process(&record, pid).filter(|row| row["exited"] == true);
        if let Some(row) = row {
            break row.clone();
        }
        let time: jiff::Timestamp = record["time"].as_str().context("no time")?.parse()?;
        later += u32::from(time.as_millisecond() > i64::try_from(ended.as_millis())?);
        ensure!(
            later < 2,
            "not in the record that follows its end: {record}"
        );
    };
    check_moved(Some(&found), moved)?;
    // Some records on, only the last one has it again.
    for _ in 0..4 {
        live.line()?;
    }
    let records = check_run(&live.interrupt()?.stdout)?;
    let row = process(last(&records)?, pid).context("not in the final record")?;
    check_moved(Some(row), moved)?;
    ensure!(row["exited"] == true, "{row}");
    Ok(())
}

fn two_at_once() -> anyhow::Result<()> {
    let mut traffic = Traffic::prepare(&Plan::udp("nmr-two", 500, 3000))?;
    let both = [silent()?, silent()?];
    traffic.go()?;
    let moved = traffic.moved()?;
    for live in both {
        let records = check_run(&live.interrupt()?.stdout)?;
        check_moved(process(last(&records)?, traffic.pid()), moved)?;
    }
    traffic.reap()
}

fn engine_socket() -> anyhow::Result<()> {
    let arguments = ["stream", "--interval", "100ms", "--engine", "socket"];
    for record in busy(Live::start(&mut roomy(arguments))?)? {
        ensure!(record["engine"] == "socket", "{}", record["engine"]);
    }
    let done = run(&mut roomy(["stream", "--count", "1", "--interval", "50ms"]))?;
    let records = check_run(&done.stdout)?;
    ensure!(last(&records)?["engine"] == "syscall", "not the default");
    Ok(())
}

/// What finds no room in the flow map is said, and missing nowhere else.
fn full_flow_map() -> anyhow::Result<()> {
    let arguments = ["stream", "--interval", "100ms", "--max-flows", "64"];
    let mut live = Live::start(&mut netmon(arguments))?;
    live.line()?;
    let mut all = Vec::new();
    for _ in 0..50 {
        let mut traffic = Traffic::start(&Plan::udp("nmr-many", 20, 3))?;
        let moved = traffic.moved()?;
        all.push((traffic, moved));
    }
    let records = check_run(&live.interrupt()?.stdout)?;
    let last = last(&records)?;
    for (traffic, moved) in &all {
        check_moved(process(last, traffic.pid()), *moved)?;
    }
    let lost = last["loss"]["untracked_flow_bytes"].as_u64();
    ensure!(lost > Some(0), "100 flows in a map of 64: {}", last["loss"]);
    Ok(())
}

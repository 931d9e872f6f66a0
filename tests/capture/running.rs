//! A running `netmon capture` whose reports are read, and what must hold for each of them.

use std::process::Command;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::netmon::{Done, Live, netmon};

/// `netmon capture` on an interface with a small ring, a report a second.
pub fn capture(interface: &str, words: &[&str]) -> Command {
    let mut command = netmon(["capture", "--iface", interface]);
    command.args(["--report-interval-secs", "1"]);
    command.args(["--block-size", "65536", "--block-count", "32"]);
    command.args(words);
    command
}

/// A capture that writes JSON Lines and has written one.
pub struct Running {
    pub live: Live,
}

impl Running {
    pub fn start(interface: &str, words: &[&str]) -> anyhow::Result<Running> {
        let mut command = capture(interface, words);
        let mut live = Live::start(command.args(["--format", "json"]))?;
        check(&live.line()?)?;
        Ok(Running { live })
    }

    /// The next report.
    pub fn report(&mut self) -> anyhow::Result<Value> {
        check(&self.live.line()?)
    }

    /// Ends it by SIGTERM; its last report.
    pub fn end(self) -> anyhow::Result<Value> {
        self.live.signal(Signal::SIGTERM)?;
        let done = self.live.end()?;
        done.check_quiet()?;
        last(&done)
    }
}

/// The last report of a run, all of which are checked.
pub fn last(done: &Done) -> anyhow::Result<Value> {
    reports(done)?.pop().context("no report")
}

/// What is said of each worker.
const WORK: [&str; 6] = [
    "packets",
    "bytes",
    "dropped",
    "freezes",
    "unreadable",
    "entries",
];

/// All reports of a run.
pub fn reports(done: &Done) -> anyhow::Result<Vec<Value>> {
    let reports: Vec<Value> = done.stdout.lines().map(check).collect::<Result<_, _>>()?;
    for pair in reports.windows(2) {
        for name in ["packets", "bytes", "dropped", "ignored", "not_ip"] {
            let (before, after) = (number(&pair[0], name)?, number(&pair[1], name)?);
            let delta = number(&pair[1]["delta"], name)?;
            ensure!(
                after - before == delta,
                "{name}: {before}, {after}: {delta}"
            );
        }
        let workers = |report: &Value| report["workers"].as_array().cloned();
        let (before, after) = (workers(&pair[0]), workers(&pair[1]));
        for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
            let delta = &after["delta"];
            for name in WORK {
                let new = number(after, name)? - number(before, name)?;
                ensure!(number(delta, name)? == new, "{name}: {before}, {after}");
            }
        }
        let entries = |report: &Value| number(&report["table"], "entries");
        let new = number(&pair[1]["table"], "new")?;
        ensure!(entries(&pair[0])? + new == entries(&pair[1])?, "table");
    }
    Ok(reports)
}

/// A number of a report, or of a part of one.
pub fn number(part: &Value, name: &str) -> anyhow::Result<u64> {
    let number = part.get(name).and_then(Value::as_u64);
    number.with_context(|| format!("no number {name} in {part}"))
}

/// Reads one line; fails unless it is whole and its rows sum up to its totals.
fn check(line: &str) -> anyhow::Result<Value> {
    let report: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
    ensure!(report["schema"] == 1, "{line}");
    let rows = |name: &str| report[name].as_array().with_context(|| line.to_owned());
    let sum = |list: &[Value], name: &str| -> anyhow::Result<u64> {
        list.iter().map(|row| number(row, name)).sum()
    };
    for (total, ways) in [
        ("bytes", ["tx_bytes", "rx_bytes"]),
        ("packets", ["tx_packets", "rx_packets"]),
    ] {
        let all = number(&report, total)?;
        for way in ways {
            let listed = sum(rows("addresses")?, way)?;
            let rest = number(&report["unlisted"], way)? + number(&report["other"], way)?;
            ensure!(listed + rest == all, "{way} of all rows: {line}");
        }
        ensure!(
            sum(rows("workers")?, total)? == all,
            "{total} of workers: {line}"
        );
        if !report["flows"].is_null() {
            let listed = sum(rows("flows")?, total)?;
            let rest = [&report["unlisted_flows"], &report["other_flows"]];
            let rest = number(rest[0], total)? + number(rest[1], total)?;
            ensure!(listed + rest == all, "{total} of all flows: {line}");
        }
    }
    let table = &report["table"];
    let workers = rows("workers")?;
    let deltas: Vec<Value> = workers.iter().map(|one| one["delta"].clone()).collect();
    for name in ["packets", "bytes", "dropped"] {
        let all = number(&report["delta"], name)?;
        ensure!(sum(&deltas, name)? == all, "{name} of deltas: {line}");
    }
    ensure!(
        sum(workers, "entries")? == number(table, "entries")?
            && sum(&deltas, "entries")? == number(table, "new")?,
        "entries of workers: {line}"
    );
    let (entries, limit) = (number(table, "entries")?, number(table, "limit")?);
    ensure!(entries <= limit, "{line}");
    Ok(report)
}

/// What an address moved, by a report: sent bytes and packets, received bytes and packets.
pub fn moved(report: &Value, address: &str) -> anyhow::Result<[u64; 4]> {
    let rows = report["addresses"].as_array().context("no addresses")?;
    let row = rows.iter().find(|row| row["address"] == address);
    let row = row.with_context(|| format!("no {address} in {report}"))?;
    Ok([
        number(row, "tx_bytes")?,
        number(row, "tx_packets")?,
        number(row, "rx_bytes")?,
        number(row, "rx_packets")?,
    ])
}

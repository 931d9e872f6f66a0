//! A running `netmon iface` in a namespace, and what the kernel says beside it.
//!
//! Owns when both speak of the same frames. Judges nothing.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::netmon::{BINARY, Done, Live, PATIENCE, run};
use crate::space::Space;

/// A report about every so often.
pub const INTERVAL: &str = "100ms";

/// `netmon iface` in a namespace, with these arguments.
pub fn iface(space: &Space, arguments: &[&str]) -> std::process::Command {
    let mut command = space.command();
    command.args([BINARY, "iface"]).args(arguments);
    command
}

/// One that reports in JSON all the time.
pub fn reporting(space: &Space, arguments: &[&str]) -> anyhow::Result<Live> {
    let mut command = iface(space, arguments);
    let live = Live::start(command.args(["--format", "json", "--interval", INTERVAL]));
    let mut live = live?;
    // It is attached and reading now.
    live.line()?;
    Ok(live)
}

/// Waits until one that reports late has attached its programs.
pub fn attached(live: &Live) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut held = live.held();
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = live.held();
        if !now.links.is_empty() && now == held {
            return Ok(());
        }
        held = now;
        ensure!(Instant::now() < deadline, "nothing attached: {held:?}");
    }
}

/// Ends it by SIGINT; checks that it ended well, said `words` on stderr and left nothing
/// behind; returns all that it said.
pub fn interrupt(live: Live, words: &[&str]) -> anyhow::Result<Done> {
    let held = live.held();
    live.signal(Signal::SIGINT)?;
    let done = live.end()?;
    done.check_code(0)?;
    done.check_says(words)?;
    held.wait_gone(0)?;
    Ok(done)
}

/// The next report.
pub fn report(live: &mut Live) -> anyhow::Result<Value> {
    parsed(&live.line()?)
}

/// A line as the object it is.
pub fn parsed(line: &str) -> anyhow::Result<Value> {
    let report: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
    ensure!(report["schema"] == 1, "{line}");
    Ok(report)
}

/// What a report says of the interface of that name.
pub fn of<'a>(report: &'a Value, name: &str) -> anyhow::Result<&'a Value> {
    let mut rows = report["interfaces"].as_array().into_iter().flatten();
    rows.find(|row| row["interface"] == name)
        .with_context(|| format!("no {name} in {report}"))
}

/// A number at a path such as `/sampled/tx/udp/bytes`.
pub fn number(row: &Value, path: &str) -> anyhow::Result<u64> {
    let found = row.pointer(path).and_then(Value::as_u64);
    found.with_context(|| format!("no number {path} in {row}"))
}

/// What the kernel's own counters say of an interface: bytes and packets sent, received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel(pub [u64; 4]);

impl Kernel {
    /// As `ip` tells.
    pub fn read(space: &Space, name: &str) -> anyhow::Result<Kernel> {
        let words = ["ip", "-json", "-statistics", "link", "show", "dev", name];
        let done = run(space.command().args(words))?;
        done.check_code(0)?;
        let told: Value = serde_json::from_str(&done.stdout)?;
        let at = |path: &str| number(&told[0], &format!("/stats64/{path}"));
        Ok(Kernel([
            at("tx/bytes")?,
            at("tx/packets")?,
            at("rx/bytes")?,
            at("rx/packets")?,
        ]))
    }

    /// What was added to `before`.
    pub fn since(self, before: Kernel) -> [u64; 4] {
        std::array::from_fn(|at| self.0[at] - before.0[at])
    }
}

/// The same of a report's row: of what the sampler counted as frames.
pub fn frames(row: &Value) -> anyhow::Result<[u64; 4]> {
    Ok([
        number(row, "/sampled/tx/frames/bytes")?,
        number(row, "/sampled/tx/frames/packets")?,
        number(row, "/sampled/rx/frames/bytes")?,
        number(row, "/sampled/rx/frames/packets")?,
    ])
}

/// The same of the kernel's counters as netmon reports them.
pub fn totals(row: &Value) -> anyhow::Result<[u64; 4]> {
    Ok([
        number(row, "/tx_bytes")?,
        number(row, "/tx_packets")?,
        number(row, "/rx_bytes")?,
        number(row, "/rx_packets")?,
    ])
}

/// An interface's row and the kernel's counters at a time when nothing moved, so that
/// both speak of the same frames.
pub fn settled(live: &mut Live, space: &Space, name: &str) -> anyhow::Result<(Value, Kernel)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = Kernel::read(space, name)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let mut later = 0;
        // What the kernel has counted may still be on its way to a program; of two
        // readings the second has it.
        let row = loop {
            let report = report(live)?;
            let time: Timestamp = report["time"].as_str().context("no time")?.parse()?;
            later += u32::from(u128::try_from(time.as_millisecond())? > now.as_millis());
            if later == 2 {
                break of(&report, name)?.clone();
            }
        };
        if Kernel::read(space, name)? == before {
            return Ok((row, before));
        }
        if Instant::now() >= deadline {
            bail!("{name} never rests");
        }
    }
}

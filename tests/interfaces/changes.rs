//! Interfaces that come, go, are renamed and go down while they are sampled.

use std::time::Instant;

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::netmon::{Live, PATIENCE};
use crate::space::{Space, datagrams, pair, two};
use crate::station::{interrupt, number, of, report, reporting, settled};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("changes::all_that_are_up", all_that_are_up),
        root("changes::a_named_one_comes_back", a_named_one_comes_back),
    ]
}

/// Waits for a report in which just these are sampled.
fn await_names(live: &mut Live, names: &[&str]) -> anyhow::Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let report = report(live)?;
        let rows = report["interfaces"].as_array().into_iter().flatten();
        let mut found: Vec<&str> = rows.filter_map(|row| row["interface"].as_str()).collect();
        found.sort_unstable();
        if found == names {
            return Ok(report);
        }
        ensure!(Instant::now() < deadline, "not {names:?}: {report}");
    }
}

/// Datagrams from one namespace to the other are counted where they go out.
fn check_counted(
    live: &mut Live,
    (a, own): (&Space, &str),
    (b, other): (&Space, &str),
    name: &str,
) -> anyhow::Result<()> {
    let path = "/sampled/tx/udp/packets";
    let (row, _) = settled(live, a, name)?;
    let before = number(&row, path)?;
    let (from, to) = pair((a, own), (b, other))?;
    datagrams(&from, &to, 100, 30)?;
    let (row, _) = settled(live, a, name)?;
    ensure!(number(&row, path)? == before + 30, "{row}");
    Ok(())
}

fn all_that_are_up() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let mut live = reporting(&a, &[])?;
    await_names(&mut live, &["a0", "lo"])?;
    a.join(("a1", "10.9.1.1/24"), &b, ("b1", "10.9.1.2/24"))?;
    await_names(&mut live, &["a0", "a1", "lo"])?;
    check_counted(&mut live, (&a, "10.9.1.1"), (&b, "10.9.1.2"), "a1")?;
    check_counted(&mut live, (&a, "10.9.0.1"), (&b, "10.9.0.2"), "a0")?;
    let before = number(of(&report(&mut live)?, "a0")?, "/sampled/tx/udp/packets")?;

    a.sh("ip link delete a1
        ip link set a0 down
        ip link set a0 name \"$(printf 'a\\033,b')\"
        ip link set dev \"$(printf 'a\\033,b')\" up")?;
    let report = await_names(&mut live, &["a?,b", "lo"])?;
    // A new name is no new interface.
    let after = number(of(&report, "a?,b")?, "/sampled/tx/udp/packets")?;
    ensure!(after >= before, "{before}, {after}: {report}");

    let done = interrupt(live, &["a0: ", "a1: no longer sampled", "a?,b: "])?;
    ensure!(!done.stderr.contains('\u{1b}'), "{:?}", done.stderr);
    Ok(())
}

fn a_named_one_comes_back() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.join(("a1", "10.9.1.1/24"), &b, ("b1", "10.9.1.2/24"))?;
    let mut live = reporting(&a, &["--iface", "a0,a1"])?;
    await_names(&mut live, &["a0", "a1"])?;
    check_counted(&mut live, (&a, "10.9.1.1"), (&b, "10.9.1.2"), "a1")?;
    a.sh("ip link delete a1")?;
    await_names(&mut live, &["a0"])?;
    a.join(("a1", "10.9.1.1/24"), &b, ("b1", "10.9.1.2/24"))?;
    // One that nobody asked for.
    a.join(("a2", "10.9.2.1/24"), &b, ("b2", "10.9.2.2/24"))?;
    await_names(&mut live, &["a0", "a1"])?;
    check_counted(&mut live, (&a, "10.9.1.1"), (&b, "10.9.1.2"), "a1")?;
    let done = interrupt(live, &["a1: no longer sampled"])?;
    ensure!(!done.stderr.contains("a2"), "{}", done.stderr);
    Ok(())
}

//! Scenarios of more flows than anyone looks at: a full map, connections that are gone.
//!
//! Each has a watch of its own, so that what it fills harms no other case.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use netmon::collect::accounting::Plan;
use netmon::model::flow::Totals;
use netmon::model::snapshot::Snapshot;
use netmon::selftest::driver::Generator;
use netmon::selftest::expect::{self, Ends};
use netmon::selftest::generator::ledger::Report;
use netmon::selftest::scenarios::{PATIENCE, read_during, text};
use netmon::selftest::watch::Watch;

use crate::shared::MAX_FLOWS;

/// 20,000 peers of one socket: a full map loses flows, never bytes.
pub fn more_flows_than_room(watch: &mut Watch) -> anyhow::Result<()> {
    let before = watch.last.clone();
    let mut generator = Generator::start("peers", &[])?;
    generator.report()?;
    generator.go_on("20000")?;
    let mut all = generator.report()?;
    let after = watch.quiet()?;
    if watch.plan == Plan::Socket {
        // Without the call's arguments all of it is one flow.
        expect::check(watch.plan, &before, &after, &all)?;
        return Ok(());
    }
    let (flows, lost) = check_full(watch, &before, &after, &all)?;
    ensure!(
        lost > 0 && flows > 0,
        "{flows} flows shown, {lost} bytes without one"
    );
    ensure!(
        flows <= MAX_FLOWS as usize,
        "{flows} flows in a map of {MAX_FLOWS}"
    );

    // The peers fall silent; once they are forgotten new ones must find room.
    let deadline = Instant::now() + PATIENCE;
    loop {
        thread::sleep(Duration::from_millis(500));
        let earlier = watch.quiet()?;
        generator.go_on("300")?;
        let more = generator.report()?;
        let later = watch.quiet()?;
        all.moved.extend(more.moved);
        let lost = later.loss.untracked_flow_bytes - earlier.loss.untracked_flow_bytes;
        if lost == 0 {
            break;
        }
        ensure!(
            Instant::now() < deadline,
            "no room for new flows after {PATIENCE:?}"
        );
    }
    let pid = all.who[0].pid;
    let truth = expect::sum(&expect::flows_of(watch.plan, &all, pid));
    let row = expect::find_process(&watch.last, &all.who[0]).context("no row")?;
    ensure!(
        truth.is_met_by(&row.totals),
        "true {:?}, counted {:?}",
        truth.totals,
        row.totals
    );
    generator.end()?;
    Ok(())
}

/// Process row, totals and every shown flow are exact, and what has no flow is
/// counted as such. Returns the number of flows and the bytes without one.
fn check_full(
    watch: &Watch,
    before: &Snapshot,
    after: &Snapshot,
    report: &Report,
) -> anyhow::Result<(usize, u64)> {
    let who = &report.who[0];
    let expected = expect::flows_of(watch.plan, report, who.pid);
    let truth = expect::sum(&expected);
    let row = expect::find_process(after, who).context("no row")?;
    let counted = row.totals;
    ensure!(
        truth.is_met_by(&counted),
        "process: true {:?}, counted {counted:?}",
        truth.totals
    );
    let flows = expect::counted_flows(after, row);
    for (ends, counted) in &flows {
        let truth = expected
            .get(ends)
            .with_context(|| format!("no such flow: {ends:?}"))?;
        ensure!(
            truth.is_met_by(counted),
            "{ends:?}: true {:?}, counted {counted:?}",
            truth.totals
        );
    }
    let shown: Totals = flows.values().copied().sum();
    let lost = after.loss.untracked_flow_bytes - before.loss.untracked_flow_bytes;
    // Other processes that move bytes lose flows too.
    expect::at_least(
        "flows and what has none",
        truth.totals.bytes(),
        shown.bytes() + lost,
        expect::was_alone(before, after, report),
    )?;
    Ok((flows.len(), lost))
}

/// 2,000 connections that are gone before anyone looks: each is shown, closed.
pub fn short_connections(watch: &mut Watch) -> anyhow::Result<()> {
    let before = watch.last.clone();
    let mut generator = Generator::start("connections", &text(2000))?;
    let report = generator.report()?;
    let who = &report.who[0];
    let mut closed: BTreeMap<Ends, Totals> = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    let after = loop {
        let snapshot = watch.quiet()?;
        let row = expect::find_process(&snapshot, who).context("no row")?;
        let flows = expect::rows_of(&snapshot, row).filter(|flow| flow.closed);
        for flow in flows {
            let key = flow.key;
            closed.insert((key.protocol, key.local, key.remote), flow.totals);
        }
        if closed.len() == report.moved.len() {
            break snapshot;
        }
        let (found, all) = (closed.len(), report.moved.len());
        ensure!(
            Instant::now() < deadline,
            "{found} of {all} flows shown as closed"
        );
        thread::sleep(Duration::from_millis(50));
    };
    let truth = expect::flows_of(watch.plan, &report, who.pid);
    for (ends, expected) in &truth {
        let counted = closed
            .get(ends)
            .with_context(|| format!("never shown: {ends:?}"))?;
        ensure!(
            expected.is_met_by(counted),
            "{ends:?}: true {:?}, counted {counted:?}",
            expected.totals
        );
    }
    let all = expect::sum(&truth);
    let row = expect::find_process(&after, who).context("no row")?;
    ensure!(
        all.is_met_by(&row.totals),
        "process: true {:?}, counted {:?}",
        all.totals,
        row.totals
    );
    let lost = after.loss.untracked_flow_bytes - before.loss.untracked_flow_bytes;
    ensure!(lost == 0, "{lost} bytes without a flow");
    generator.end()?;
    Ok(())
}

/// Flows are removed while others are born: the process row stays exact, and the
/// books say that the flows do.
pub fn connections_while_reading(watch: &mut Watch) -> anyhow::Result<()> {
    let mut generator = Generator::start("connections", &text(3000))?;
    let report = read_during(watch, &mut generator)?;
    let who = &report.who[0];
    let truth = expect::sum(&expect::flows_of(watch.plan, &report, who.pid));
    let after = watch.quiet()?;
    let row = expect::find_process(&after, who).context("no row")?;
    ensure!(
        truth.is_met_by(&row.totals),
        "true {:?}, counted {:?}",
        truth.totals,
        row.totals
    );
    let lost = after.balance.lost;
    ensure!(lost == 0, "{lost} bytes without a flow");
    generator.end()?;
    Ok(())
}

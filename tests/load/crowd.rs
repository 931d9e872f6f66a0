//! More flows than the map has room for, next to a netmon that has room for all:
//! live connections, and the peers of a server.

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::handle::{Load, Report};
use crate::memory::{check_peak, want_descriptors};
use crate::netmon::Live;
use crate::record::{Run, watch};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("crowd::live_flows", live_flows),
        root("crowd::peers_of_a_server", peers_of_a_server),
    ]
}

/// Connections whose both ends are this machine's: twice as many flows.
const CONNECTIONS: usize = 5000;
const PEERS: usize = 50_000;

/// Room for every flow here and those of a machine that runs other things, too.
const ROOM: &str = "262144";

/// One with room for all, whose only record is its last, and one without.
fn both(few: &str) -> anyhow::Result<[Live; 2]> {
    let all = watch(&["--interval", "1m", "--max-flows", ROOM])?.attached()?;
    let mut few = watch(&["--max-flows", few])?;
    few.line()?;
    Ok([all, few])
}

/// Fails unless both have `pid` and `protocol` to the byte, the first each flow,
/// and the second says to the byte what it has no flow for.
fn check(
    [all, mut few]: [Live; 2],
    pid: u32,
    protocol: &str,
    report: &Report,
) -> anyhow::Result<[Run; 2]> {
    // The reading that has seen it all.
    few.line()?;
    check_peak("memory with a full map", few.pid(), 60)?;
    let runs = [Run::end(all)?, Run::end(few)?];
    for run in &runs {
        run.last.check_process(pid, report.moved)?;
        run.last.check_protocol(protocol, report.moved)?;
        run.check_books()?;
        ensure!(run.last.loss.missed_events == 0, "{:?}", run.last.loss);
    }
    let lost = runs
        .each_ref()
        .map(|run| run.last.loss.untracked_flow_bytes);
    ensure!(
        lost[0] == 0 && lost[1] > 0,
        "bytes without a flow: {lost:?}"
    );
    let found = runs[0].check_flows(pid, report)?;
    let shown = runs[1].check_flows(pid, report)?;
    println!(
        "{found} flows, each exact; with a full map {shown} were seen, {} of {} bytes have none",
        lost[1],
        report.moved[0] + report.moved[1]
    );
    Ok(runs)
}

fn live_flows() -> anyhow::Result<()> {
    want_descriptors(2 * CONNECTIONS as u64 + 100)?;
    let mut load = Load::start("live", CONNECTIONS)?;
    let mut both = both("4096")?;
    load.stage(1)?;
    // Flows leave the full map and come back.
    for _ in 0..4 {
        both[1].line()?;
    }
    load.stage(2)?;
    both[1].line()?;
    let report = load.stage(1)?;
    let runs = check(both, load.pid(), "tcp", &report)?;
    for row in runs[0].flows(load.pid()) {
        ensure!(!row.closed, "it lives: {row:?}");
    }
    load.reap()
}

fn peers_of_a_server() -> anyhow::Result<()> {
    let mut load = Load::start("peers", 0)?;
    let both = both("10240")?;
    let report = load.stage(PEERS)?;
    println!(
        "{} of {PEERS} peers were heard, in {:.1} s",
        report.flows.len(),
        report.took.as_secs_f64()
    );
    let [all, _] = check(both, load.pid(), "udp", &report)?;
    // The peers' own socket is one flow more.
    let flows = all.flows(load.pid()).count();
    ensure!(flows == report.flows.len() + 1, "{flows} flows");
    load.reap()
}

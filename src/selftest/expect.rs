//! What a plan must have counted for a report, and the comparison, to the byte.
//!
//! Owns the list of blind spots of each plan: they are asserted as such, so that
//! a change of one is noticed. Moves nothing and reads nothing by itself.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, bail, ensure};

use super::generator::ledger::{Amount, Direction, How, Movement, Report, Who};
use super::watch::{is_quiet, rows_total};
use crate::collect::accounting::Plan;
use crate::model::flow::{Address, Endpoint, Protocol, Totals};
use crate::model::snapshot::{FlowRow, ProcessRow, Snapshot};

/// A flow within one process.
pub type Ends = (Protocol, Option<Endpoint>, Option<Endpoint>);

/// What is to be counted for one flow or process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// What the calls returned.
    pub totals: Totals,
    /// Some of it was sent in pieces, so there may be more operations than calls.
    sent_in_pieces: bool,
    received_in_pieces: bool,
}

impl Expected {
    fn add(&mut self, movement: &Movement, amount: Amount) {
        let (bytes, operations) = match movement.direction {
            Direction::Sent => (&mut self.totals.tx_bytes, &mut self.totals.tx_operations),
            Direction::Received => (&mut self.totals.rx_bytes, &mut self.totals.rx_operations),
        };
        *bytes += amount.bytes;
        *operations += amount.operations;
        let in_pieces = match movement.direction {
            Direction::Sent => &mut self.sent_in_pieces,
            Direction::Received => &mut self.received_in_pieces,
        };
        *in_pieces |= matches!(movement.how, How::Pieces | How::RingPieces);
    }

    fn merge(&mut self, other: &Expected) {
        self.totals += other.totals;
        self.sent_in_pieces |= other.sent_in_pieces;
        self.received_in_pieces |= other.received_in_pieces;
    }

    /// True when exactly this was counted.
    pub fn is_met_by(&self, counted: &Totals) -> bool {
        let mut wanted = self.totals;
        if self.sent_in_pieces && counted.tx_operations <= wanted.tx_bytes {
            wanted.tx_operations = wanted.tx_operations.max(counted.tx_operations);
        }
        if self.received_in_pieces && counted.rx_operations <= wanted.rx_bytes {
            wanted.rx_operations = wanted.rx_operations.max(counted.rx_operations);
        }
        wanted == *counted
    }
}

/// The movement as `plan` can see it; `None` where it is blind.
fn as_seen(plan: Plan, movement: &Movement) -> Option<Movement> {
    let mut seen = *movement;
    // Its number is another call's in the native ABI, and no hook has the bytes.
    if movement.how == How::CompatSplice {
        return None;
    }
    let is_ring = matches!(movement.how, How::Ring | How::RingPieces);
    match plan {
        Plan::EnterExit if matches!(movement.how, How::RingMany | How::Aio | How::Compat) => {
            return None;
        }
        // A request names its peer in no system call's arguments.
        _ if is_ring && plan != Plan::Socket => seen.remote = movement.peer,
        Plan::Residual | Plan::Functions | Plan::EnterExit => {}
        Plan::Socket => {
            if matches!(
                movement.how,
                How::SpliceFromTcp | How::RingSplice | How::ZerocopyReceive
            ) {
                return None;
            }
            // It does not see the call's arguments: it knows the peer of the socket only.
            seen.remote = movement.peer;
        }
    }
    Some(seen)
}

/// What of the report `plan` cannot see, in a few words; none if it sees all of it.
pub fn unseen(plan: Plan, report: &Report) -> Option<String> {
    let lacks = |movement: &Movement| match as_seen(plan, movement) {
        None => Some(movement.how.words()),
        Some(seen) if seen.remote != movement.remote => Some("peers that only the call names are"),
        Some(_) => None,
    };
    let what = report.moved.iter().find_map(|(moved, _)| lacks(moved))?;
    Some(format!("{}: {what} not seen", plan.engine().method))
}

/// All that the calls of the report returned.
pub fn moved(report: &Report) -> Totals {
    let mut all = Expected::default();
    for (movement, amount) in &report.moved {
        all.add(movement, *amount);
    }
    all.totals
}

/// A dual-stack socket bound to no address says `::`; to an IPv4 peer that is 0.0.0.0.
fn normal(protocol: Protocol, local: Option<Endpoint>, remote: Option<Endpoint>) -> Ends {
    let is_v4 = remote.is_some_and(|remote| matches!(remote.address, Address::Ip(IpAddr::V4(_))));
    let local = local.map(|mut local| {
        if is_v4 && local.address.ip().is_some_and(|ip| ip.is_unspecified()) {
            local.address = Address::Ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        }
        local
    });
    (protocol, local, remote)
}

/// The flows of process `pid` that `plan` must have counted for `report`.
pub fn flows_of(plan: Plan, report: &Report, pid: u32) -> BTreeMap<Ends, Expected> {
    let mut flows: BTreeMap<Ends, Expected> = BTreeMap::new();
    let own = report.moved.iter().filter(|(moved, _)| moved.pid == pid);
    for (movement, amount) in own {
        if let Some(seen) = as_seen(plan, movement) {
            let ends = normal(seen.protocol, seen.local, seen.remote);
            flows.entry(ends).or_default().add(movement, *amount);
        }
    }
    flows
}

/// All of them together.
pub fn sum(flows: &BTreeMap<Ends, Expected>) -> Expected {
    let mut all = Expected::default();
    for expected in flows.values() {
        all.merge(expected);
    }
    all
}

/// The row of the process that introduced itself as `who`.
pub fn find_process<'a>(snapshot: &'a Snapshot, who: &Who) -> Option<&'a ProcessRow> {
    // SAFETY: takes an integer only.
    let hertz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
    let tick_ns = 1_000_000_000 / hertz;
    snapshot
        .processes
        .iter()
        .find(|row| row.id.pid == who.pid && row.id.start_ns / tick_ns == who.start_ticks)
}

/// What was counted for each flow of `process`.
pub fn counted_flows(snapshot: &Snapshot, process: &ProcessRow) -> BTreeMap<Ends, Totals> {
    by_ends(rows_of(snapshot, process))
}

/// What these rows count for each pair of ends.
pub fn by_ends<'a>(rows: impl Iterator<Item = &'a FlowRow>) -> BTreeMap<Ends, Totals> {
    let mut flows: BTreeMap<Ends, Totals> = BTreeMap::new();
    for flow in rows {
        let key = &flow.key;
        let ends = normal(key.protocol, key.local, key.remote);
        *flows.entry(ends).or_default() += flow.totals;
    }
    flows
}

/// The flow rows of `process`.
pub fn rows_of<'a>(
    snapshot: &'a Snapshot,
    process: &ProcessRow,
) -> impl Iterator<Item = &'a FlowRow> {
    let id = process.id;
    let flows = snapshot.flows.iter();
    flows.filter(move |flow| flow.key.process == id)
}

/// Compares every process, flow and total of `report` with what was counted
/// from `before` to `after`; the error says true and counted side by side.
pub fn check(
    plan: Plan,
    before: &Snapshot,
    after: &Snapshot,
    report: &Report,
) -> anyhow::Result<()> {
    let mut ours = Expected::default();
    let mut by_protocol = [0_u64; Protocol::COUNT];
    let mut unknown_peer = 0;
    for who in &report.who {
        let flows = flows_of(plan, report, who.pid);
        check_process(after, who, &flows)?;
        ours.merge(&sum(&flows));
        for ((protocol, local, remote), expected) in &flows {
            by_protocol[protocol.index()] += expected.totals.bytes();
            // A family without IP addresses has no peer that anyone could know.
            if local.is_some() && remote.is_none() {
                unknown_peer += expected.totals.bytes();
            }
        }
    }
    let others = others_moved(before, after, report);
    let all = after.overall().0.since(&before.overall().0);
    let is_exact = is_quiet(before) && is_quiet(after);
    let left = if is_exact { all.since(&others) } else { all };
    ensure!(
        ours.is_met_by(&left) || (!is_exact && left.bytes() >= ours.totals.bytes()),
        "protocol totals without the other processes:\n{}",
        side_by_side("all", Some(&ours), Some(&left))
    );
    let is_alone = was_alone(before, after, report);
    let delta = |snapshot: &Snapshot, protocol| {
        let mut rows = snapshot.protocols.iter();
        let row = rows.find(|row| row.protocol == protocol);
        row.map_or(0, |row| row.totals.bytes())
    };
    for protocol in Protocol::ALL {
        let counted = delta(after, protocol) - delta(before, protocol);
        let truth = by_protocol[protocol.index()];
        at_least(protocol.name(), truth, counted, is_alone)?;
    }
    let unknown = after.loss.unknown_peer_bytes - before.loss.unknown_peer_bytes;
    let has_addresses = report.moved.iter().all(|(moved, _)| moved.local.is_some());
    at_least(
        "unknown peers",
        unknown_peer,
        unknown,
        is_alone && has_addresses,
    )
}

/// What processes that are not of this report moved from `before` to `after`.
fn others_moved(before: &Snapshot, after: &Snapshot, report: &Report) -> Totals {
    let is_other = |pid| report.who.iter().all(|who| who.pid != pid);
    rows_total(after, is_other).since(&rows_total(before, is_other))
}

/// True when nobody else moved bytes from `before` to `after`.
pub fn was_alone(before: &Snapshot, after: &Snapshot, report: &Report) -> bool {
    is_quiet(before) && is_quiet(after) && others_moved(before, after, report).is_zero()
}

/// Exact while nobody else moved bytes, else a lower bound.
pub fn at_least(what: &str, truth: u64, counted: u64, exactly: bool) -> anyhow::Result<()> {
    ensure!(
        counted == truth || (!exactly && counted > truth),
        "{what}: {truth} bytes true, {counted} counted"
    );
    Ok(())
}

/// Compares the row and the flow rows of one process.
pub fn check_process(
    after: &Snapshot,
    who: &Who,
    flows: &BTreeMap<Ends, Expected>,
) -> anyhow::Result<()> {
    let truth = sum(flows);
    let Some(row) = find_process(after, who) else {
        if truth.totals.is_zero() {
            return Ok(());
        }
        let same_pid: Vec<_> = after
            .processes
            .iter()
            .filter(|row| row.id.pid == who.pid)
            .collect();
        bail!(
            "no row for {who:?}, which moved {:?}; rows with its PID: {same_pid:?}",
            truth.totals
        );
    };
    let counted = counted_flows(after, row);
    let mut table = String::new();
    let mut is_right = truth.is_met_by(&row.totals);
    let text = side_by_side("process", Some(&truth), Some(&row.totals));
    writeln!(table, "{text}")?;
    for (ends, expected) in flows {
        let found = counted.get(ends);
        is_right &= found.is_some_and(|found| expected.is_met_by(found));
        writeln!(
            table,
            "{}",
            side_by_side(&name(ends), Some(expected), found)
        )?;
    }
    for (ends, found) in counted.iter().filter(|(ends, _)| !flows.contains_key(ends)) {
        // A flow of which nothing counted is no flow, but it is no wrong count either.
        is_right &= found.is_zero();
        writeln!(table, "{}", side_by_side(&name(ends), None, Some(found)))?;
    }
    ensure!(is_right, "process {} ({}):\n{table}", who.pid, who.comm);
    ensure!(
        !row.kernel_thread,
        "process {} shown as a kernel thread",
        who.pid
    );
    let name = &row.identity.name;
    ensure!(*name == who.comm, "{} is named {name:?}", who.comm);
    for flow in rows_of(after, row) {
        let namespace = flow.key.network_namespace;
        ensure!(
            namespace == who.network_namespace,
            "network namespace {namespace} counted, {} true",
            who.network_namespace
        );
        let owner = after.process_of(flow).context("a flow of no process")?;
        ensure!(owner.id == row.id, "a flow that points at another process");
    }
    Ok(())
}

fn name((protocol, local, remote): &Ends) -> String {
    let text = |end: &Option<Endpoint>| end.map_or_else(|| "?".to_owned(), |end| end.to_string());
    format!("{protocol} {} > {}", text(local), text(remote))
}

/// One line of a failure: `bytes/operations`, true and counted, `*` where they differ.
fn side_by_side(what: &str, truth: Option<&Expected>, counted: Option<&Totals>) -> String {
    let numbers = |totals: Option<&Totals>| {
        totals.map_or_else(
            || "none".to_owned(),
            |t| {
                format!(
                    "tx {}/{} rx {}/{}",
                    t.tx_bytes, t.tx_operations, t.rx_bytes, t.rx_operations
                )
            },
        )
    };
    let is_right = match (truth, counted) {
        (Some(truth), Some(counted)) => truth.is_met_by(counted),
        _ => false,
    };
    format!(
        "{} {what:<48} true {:<28} counted {}",
        if is_right { ' ' } else { '*' },
        numbers(truth.map(|truth| &truth.totals)),
        numbers(counted)
    )
}

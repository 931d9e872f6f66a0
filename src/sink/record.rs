//! A snapshot as the JSON record outside programs rely on (schema 1).
//!
//! Names and meanings of the fields are a contract; only how a [`Snapshot`]
//! becomes one is decided here. Writes to nothing.

mod interface;

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

pub(super) use self::interface::{InterfaceRecord, interface};
use crate::model::coverage::Coverage;
use crate::model::filter::{Filter, Judge};
use crate::model::flow::{Address, Endpoint, FlowKey, Protocol, Totals};
use crate::model::snapshot::{AggregateRow, FlowRow, ProcessRow, ProtocolRow, Rates, Snapshot};
use crate::model::tcp::TcpHealth;

/// Version of the record's layout.
pub const SCHEMA: u32 = 1;

/// One interval. Bytes and operations are cumulative, rates bytes/s.
#[derive(Debug, Serialize)]
pub struct Record<'a> {
    schema: u32,
    sequence: u64,
    time: String,
    interval_seconds: f64,
    engine: &'a str,
    protocols: Vec<ProtocolRecord>,
    processes: Vec<ProcessRecord<'a>>,
    flows: Vec<FlowRecord<'a>>,
    anomalies: Vec<AnomalyRecord<'a>>,
    loss: LossRecord,
    coverage: Option<CoverageRecord<'a>>,
    interfaces: Vec<InterfaceRecord<'a>>,
}

#[derive(Debug, Serialize)]
struct ProtocolRecord {
    protocol: Protocol,
    #[serde(flatten)]
    totals: Totals,
    tx_rate: f64,
    rx_rate: f64,
}

#[derive(Debug, Serialize)]
struct ProcessRecord<'a> {
    pid: u32,
    start_time: Option<String>,
    name: &'a str,
    command: &'a str,
    uid: u32,
    user: &'a str,
    cgroup: Option<&'a str>,
    unit: Option<&'a str>,
    container: Option<&'a str>,
    #[serde(flatten)]
    totals: Totals,
    tx_rate: f64,
    rx_rate: f64,
    smoothed_rate: f64,
    kernel_thread: bool,
    exited: bool,
    anomalous: bool,
}

#[derive(Debug, Serialize)]
struct FlowRecord<'a> {
    pid: u32,
    name: &'a str,
    protocol: Protocol,
    local_address: Option<Address>,
    local_port: Option<u16>,
    remote_address: Option<Address>,
    remote_port: Option<u16>,
    #[serde(flatten)]
    totals: Totals,
    tx_rate: f64,
    rx_rate: f64,
    smoothed_rate: f64,
    closed: bool,
    anomalous: bool,
    tcp: Option<TcpHealth>,
}

#[derive(Debug, Serialize)]
pub(super) struct AnomalyRecord<'a> {
    kind: &'static str,
    pid: u32,
    name: &'a str,
    remote_address: Option<Address>,
    remote_port: Option<u16>,
    protocol: Protocol,
    value: f64,
    threshold: f64,
    since: String,
}

#[derive(Debug, Serialize)]
pub(super) struct LossRecord {
    untracked_flow_bytes: u64,
    missed_events: u64,
    unknown_peer_bytes: u64,
}

/// All in bytes or packets. Bytes are cumulative, estimates made anew each time.
#[derive(Debug, Serialize)]
pub(super) struct CoverageRecord<'a> {
    interfaces: Vec<&'a str>,
    wire_tx_bytes: u64,
    wire_rx_bytes: u64,
    wire_tx_packets: u64,
    wire_rx_packets: u64,
    payload_tx_bytes: u64,
    payload_rx_bytes: u64,
    overhead_tx_estimate: u64,
    overhead_rx_estimate: u64,
    other_tx_estimate: u64,
    other_rx_estimate: u64,
    excess_tx_estimate: u64,
    excess_rx_estimate: u64,
    explained: Option<f64>,
}

/// A time since the Unix epoch as RFC 3339 in UTC with milliseconds.
pub fn time(since_epoch: Duration) -> String {
    let milliseconds = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
    let timestamp = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX);
    format!("{timestamp:.3}")
}

/// Rates have no meaning below a hundredth of a byte per second.
pub(super) fn rounded(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
}

/// Seconds, to a tenth of a millisecond.
pub(super) fn rounded_seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 1e4
}

fn address(end: Option<Endpoint>) -> Option<Address> {
    end.map(|end| end.address)
}

/// A port where the protocol has ports.
fn port(end: Option<Endpoint>) -> Option<u16> {
    end.map(|end| end.port).filter(|port| *port != 0)
}

impl<'a> Record<'a> {
    /// The record of `snapshot` with the rows that `filter` lets through, and
    /// with `protocols` that balance with its processes (see `books`).
    /// `protocols`, `loss`, `coverage` and `interfaces` always speak of the whole machine,
    /// and the sums of unlisted processes are there only when nothing is filtered.
    pub fn new(snapshot: &'a Snapshot, protocols: &[ProtocolRow], filter: &Filter) -> Record<'a> {
        let judge = filter.judge(snapshot);
        let shown = judge.processes();
        let mut processes: Vec<ProcessRecord<'a>> = snapshot
            .processes
            .iter()
            .zip(&shown)
            .filter(|(_, shown)| **shown)
            .map(|(row, _)| process(row, snapshot.boot))
            .collect();
        if filter.is_empty() {
            processes.extend(snapshot.aggregates.iter().map(aggregate));
        }
        Record {
            schema: SCHEMA,
            sequence: snapshot.sequence,
            time: time(snapshot.at.wall),
            interval_seconds: rounded_seconds(snapshot.interval),
            engine: &snapshot.engine.name,
            protocols: protocols
                .iter()
                .map(|row| ProtocolRecord {
                    protocol: row.protocol,
                    totals: row.totals,
                    tx_rate: rounded(row.rates.tx),
                    rx_rate: rounded(row.rates.rx),
                })
                .collect(),
            processes,
            flows: snapshot
                .flows
                .iter()
                .filter_map(|row| Some((row, snapshot.process_of(row)?)))
                .filter(|(row, _)| judge.shows(row))
                .map(|(row, process)| flow(row, process))
                .collect(),
            anomalies: anomalies(snapshot, &judge),
            loss: loss(snapshot),
            coverage: snapshot.coverage.as_ref().map(coverage),
            interfaces: snapshot.interfaces.iter().map(interface).collect(),
        }
    }
}

fn process(row: &ProcessRow, boot: Duration) -> ProcessRecord<'_> {
    let who = &row.identity;
    ProcessRecord {
        pid: row.id.pid,
        // What is of no process began at no time.
        start_time: (row.id.pid != 0).then(|| time(boot + Duration::from_nanos(row.id.start_ns))),
        name: &who.name,
        command: &who.command,
        uid: who.uid,
        user: &who.user,
        cgroup: who.cgroup.as_deref(),
        unit: who.unit.as_deref(),
        container: who.container.as_deref(),
        totals: row.totals,
        tx_rate: rounded(row.rates.tx),
        rx_rate: rounded(row.rates.rx),
        smoothed_rate: rounded(row.rates.smoothed),
        kernel_thread: row.kernel_thread,
        exited: row.exited,
        anomalous: row.anomalous,
    }
}

fn aggregate<'a>(row: &AggregateRow) -> ProcessRecord<'a> {
    let Rates {
        tx, rx, smoothed, ..
    } = row.rates;
    ProcessRecord {
        pid: 0,
        start_time: None,
        name: row.name,
        command: "-",
        uid: 0,
        user: "-",
        cgroup: None,
        unit: None,
        container: None,
        totals: row.totals,
        tx_rate: rounded(tx),
        rx_rate: rounded(rx),
        smoothed_rate: rounded(smoothed),
        kernel_thread: row.kernel_thread,
        exited: row.name == "[exited]",
        anomalous: false,
    }
}

fn flow<'a>(row: &FlowRow, process: &'a ProcessRow) -> FlowRecord<'a> {
    FlowRecord {
        pid: process.id.pid,
        name: &process.identity.name,
        protocol: row.key.protocol,
        local_address: address(row.key.local),
        local_port: port(row.key.local),
        remote_address: address(row.key.remote),
        remote_port: port(row.key.remote),
        totals: row.totals,
        tx_rate: rounded(row.rates.tx),
        rx_rate: rounded(row.rates.rx),
        smoothed_rate: rounded(row.rates.smoothed),
        closed: row.closed,
        anomalous: row.anomalous,
        tcp: row.tcp,
    }
}

pub(super) fn anomalies<'a>(snapshot: &'a Snapshot, judge: &Judge<'_>) -> Vec<AnomalyRecord<'a>> {
    let anomalous = snapshot.flows.iter().filter(|row| row.anomalous);
    let shown: HashSet<FlowKey> = anomalous
        .filter(|row| judge.shows(row))
        .map(|row| row.key)
        .collect();
    snapshot
        .anomalies
        .iter()
        .filter(|anomaly| shown.contains(&anomaly.key))
        .map(|anomaly| AnomalyRecord {
            kind: "rate",
            pid: anomaly.key.process.pid,
            name: &anomaly.name,
            remote_address: address(anomaly.key.remote),
            remote_port: port(anomaly.key.remote),
            protocol: anomaly.key.protocol,
            value: rounded(anomaly.value),
            threshold: anomaly.threshold,
            since: time(anomaly.since),
        })
        .collect()
}

pub(super) fn loss(snapshot: &Snapshot) -> LossRecord {
    LossRecord {
        untracked_flow_bytes: snapshot.loss.untracked_flow_bytes,
        missed_events: snapshot.loss.missed_events,
        unknown_peer_bytes: snapshot.loss.unknown_peer_bytes,
    }
}

pub(super) fn coverage(coverage: &Coverage) -> CoverageRecord<'_> {
    let Coverage { links, tx, rx, .. } = coverage;
    CoverageRecord {
        interfaces: links.iter().map(|name| &**name).collect(),
        wire_tx_bytes: tx.wire_bytes,
        wire_rx_bytes: rx.wire_bytes,
        wire_tx_packets: tx.wire_packets,
        wire_rx_packets: rx.wire_packets,
        payload_tx_bytes: tx.payload_bytes,
        payload_rx_bytes: rx.payload_bytes,
        overhead_tx_estimate: tx.overhead_bytes,
        overhead_rx_estimate: rx.overhead_bytes,
        other_tx_estimate: tx.other_bytes,
        other_rx_estimate: rx.other_bytes,
        excess_tx_estimate: tx.excess_bytes,
        excess_rx_estimate: rx.excess_bytes,
        // Downwards: 1 means all.
        explained: coverage
            .explained()
            .map(|share| (share * 1e4).floor() / 1e4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(time(Duration::ZERO), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            time(Duration::from_millis(1_763_682_599_512)),
            "2025-11-20T23:49:59.512Z"
        );
    }
}

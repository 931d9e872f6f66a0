//! From a server's records to [`Snapshot`]s as the screen knows them.
//!
//! Owns what a record leaves open: which process a flow belongs to, how snapshots are
//! numbered and how much time lies between them, and that no sum can overflow. Bytes of
//! the last interval are in no record, and 0 here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::interface;
pub use super::record::Unfit;
use super::record::{
    AnomalyRecord, CoverageRecord, FlowRecord, ProcessRecord, ProtocolRecord, Record,
};
use crate::model::anomaly::Anomaly;
use crate::model::coverage::{Coverage, Covered};
use crate::model::flow::{FlowKey, ProcessId, Protocol, Totals};
use crate::model::packets::unattributed::{self, Reason};
use crate::model::sample::{Identity, Moment};
use crate::model::snapshot::{
    AggregateRow, Balance, Engine, FlowRow, Loss, ProcessRow, ProtocolRow, Rates, Snapshot,
};

/// Monotonic time of the first snapshot: any will do from which a minute can be taken.
const START: Duration = Duration::from_secs(3600);

/// A snapshot, and whose it is.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What was counted there.
    pub snapshot: Arc<Snapshot>,
    /// Name of the host; empty where it is not told.
    pub host: String,
}

/// Makes snapshots of one record after the other; see the module's text.
#[derive(Debug)]
pub struct Decoder {
    sequence: u64,
    /// Time of the last record, on a clock of its own and on the server's.
    last: Option<Moment>,
    /// What the wire had moved by then, sent and received.
    wire: Option<(u64, u64)>,
    engine: Arc<Engine>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder {
            sequence: 0,
            last: None,
            wire: None,
            engine: Arc::new(Engine::new("", "", &[])),
        }
    }
}

impl Decoder {
    /// The snapshot of the next record. Snapshots are numbered here, as a server that
    /// was started again begins at 1.
    ///
    /// # Errors
    /// If it is no record that can be shown.
    pub fn decode(&mut self, data: &[u8]) -> Result<Arrival, Unfit> {
        let record = Record::read(data)?;
        check_sums(&record)?;
        let at = self.moment(&record);
        let coverage = record
            .coverage
            .as_ref()
            .and_then(|it| self.coverage(it, at));
        let monitor = &record.monitor;
        let engine = Engine {
            name: record.engine.clone(),
            method: monitor.engine_method.clone(),
            blind_spots: monitor.blind_spots.clone(),
        };
        if *self.engine != engine {
            self.engine = Arc::new(engine);
        }
        let sums = |row: &&ProcessRecord| row.pid == 0 && row.name != unattributed::NAME;
        let mut processes: Vec<ProcessRow> = record
            .processes
            .iter()
            .filter(|row| !sums(row))
            .map(process)
            .collect();
        let flows = flows(&record.flows, &mut processes);
        let off = monitor.books_off_bytes;
        self.sequence += 1;
        self.last = Some(at);
        let snapshot = Snapshot {
            sequence: self.sequence,
            at,
            // Starts are told as times, and kept as time since the epoch.
            boot: Duration::ZERO,
            interval: record.interval_seconds,
            nominal_interval: monitor.nominal_interval_seconds,
            engine: Arc::clone(&self.engine),
            threshold: rate(monitor.threshold),
            protocols: record.protocols.iter().map(protocol).collect(),
            anomalies: anomalies(&record.anomalies, &flows, &processes),
            processes,
            flows,
            aggregates: record
                .processes
                .iter()
                .filter(sums)
                .map(aggregate)
                .collect(),
            loss: Loss {
                untracked_flow_bytes: record.loss.untracked_flow_bytes,
                missed_events: record.loss.missed_events,
                unknown_peer_bytes: record.loss.unknown_peer_bytes,
            },
            // Of the books only the result is told.
            balance: Balance {
                processes: off,
                totals: off,
                settled: off,
                ..Balance::default()
            },
            coverage,
            interfaces: interface::interfaces(&record.interfaces),
        };
        Ok(Arrival {
            snapshot: Arc::new(snapshot),
            host: record.monitor.host,
        })
    }

    /// When it was. The server's clock may be set, back too; then the interval tells
    /// how much time went by.
    fn moment(&self, record: &Record) -> Moment {
        let wall = record.time;
        let monotonic = self.last.map_or(START, |last| {
            let passed = wall.checked_sub(last.wall).filter(|time| !time.is_zero());
            let passed = passed.unwrap_or(record.interval_seconds);
            last.monotonic.saturating_add(passed)
        });
        Moment { monotonic, wall }
    }

    /// `None` for parts that do not add up, which no screen could show.
    fn coverage(&mut self, record: &CoverageRecord, at: Moment) -> Option<Coverage> {
        let tx = Covered {
            wire_bytes: record.wire_tx_bytes,
            wire_packets: record.wire_tx_packets,
            payload_bytes: record.payload_tx_bytes,
            overhead_bytes: record.overhead_tx_estimate,
            other_bytes: record.other_tx_estimate,
            excess_bytes: record.excess_tx_estimate,
        };
        let rx = Covered {
            wire_bytes: record.wire_rx_bytes,
            wire_packets: record.wire_rx_packets,
            payload_bytes: record.payload_rx_bytes,
            overhead_bytes: record.overhead_rx_estimate,
            other_bytes: record.other_rx_estimate,
            excess_bytes: record.excess_rx_estimate,
        };
        tx.wire_bytes.checked_add(rx.wire_bytes)?;
        if !(adds_up(&tx) && adds_up(&rx)) {
            return None;
        }
        let wire = (tx.wire_bytes, rx.wire_bytes);
        let before = self.wire.replace(wire).zip(self.last);
        let rates = before.and_then(|(before, last)| {
            let passed = at.monotonic.saturating_sub(last.monotonic).as_secs_f64();
            let moved = |now: u64, before: u64| now.checked_sub(before).map(|it| it as f64);
            Some(Rates {
                tx: rate(moved(wire.0, before.0)? / passed),
                rx: rate(moved(wire.1, before.1)? / passed),
                ..Rates::default()
            })
        });
        Some(Coverage {
            links: record
                .interfaces
                .iter()
                .map(|it| it.as_str().into())
                .collect(),
            tx,
            rx,
            wire_rates: rates.unwrap_or_default(),
        })
    }
}

/// [`Covered`] says which sums are equal.
fn adds_up(covered: &Covered) -> bool {
    let explained = covered.payload_bytes.checked_add(covered.overhead_bytes);
    let parts = explained.and_then(|sum| sum.checked_add(covered.other_bytes));
    let whole = covered.wire_bytes.checked_add(covered.excess_bytes);
    parts.is_some()
        && parts == whole
        && covered.excess_bytes <= covered.payload_bytes
        && covered.other_bytes <= covered.wire_bytes
}

/// Screens add counts up, of both directions and all rows.
fn check_sums(record: &Record) -> Result<(), Unfit> {
    fn fits(mut rows: impl Iterator<Item = Totals>) -> bool {
        let mut sums = [0_u64; 2];
        rows.all(|row| {
            let counts = [
                [row.tx_bytes, row.rx_bytes],
                [row.tx_operations, row.rx_operations],
            ];
            sums.iter_mut().zip(counts).all(|(sum, [tx, rx])| {
                let next = sum.checked_add(tx).and_then(|sum| sum.checked_add(rx));
                next.map(|next| *sum = next).is_some()
            })
        })
    }
    if fits(record.protocols.iter().map(ProtocolRecord::totals))
        && fits(record.processes.iter().map(ProcessRecord::totals))
        && fits(record.flows.iter().map(FlowRecord::totals))
        && interface::fit(&record.interfaces)
    {
        Ok(())
    } else {
        Err(Unfit::Broken("its sums overflow".to_owned()))
    }
}

/// A rate as screens expect it.
pub(super) fn rate(value: f64) -> f64 {
    if value.is_finite() {
        value.max(0.0)
    } else {
        0.0
    }
}

pub(super) fn rates(tx: f64, rx: f64, smoothed: f64) -> Rates {
    Rates {
        tx: rate(tx),
        rx: rate(rx),
        smoothed: rate(smoothed),
        ..Rates::default()
    }
}

fn protocol(row: &ProtocolRecord) -> ProtocolRow {
    ProtocolRow {
        protocol: row.protocol,
        totals: row.totals(),
        rates: rates(row.tx_rate, row.rx_rate, 0.0),
    }
}

fn process(row: &ProcessRecord) -> ProcessRow {
    let start = row.start_time.unwrap_or_default().as_nanos();
    let id = ProcessId {
        pid: row.pid,
        start_ns: u64::try_from(start).unwrap_or(u64::MAX),
    };
    // There is one of those rows for each reason, which its command tells.
    let reason = Reason::ALL
        .into_iter()
        .find(|reason| row.pid == 0 && reason.text() == row.command);
    ProcessRow {
        id: reason.map_or(id, Reason::process),
        identity: Arc::new(Identity {
            name: row.name.clone(),
            command: row.command.clone(),
            // No record has it.
            executable: None,
            uid: row.uid,
            user: row.user.clone(),
            cgroup: row.cgroup.clone(),
            unit: row.unit.clone(),
            container: row.container.clone(),
        }),
        totals: row.totals(),
        rates: rates(row.tx_rate, row.rx_rate, row.smoothed_rate),
        by_protocol: [Totals::default(); Protocol::COUNT],
        kernel_thread: row.kernel_thread,
        exited: row.exited,
        anomalous: row.anomalous,
    }
}

fn aggregate(row: &ProcessRecord) -> AggregateRow {
    AggregateRow {
        name: match row.name.as_str() {
            "[kernel]" => "[kernel]",
            "[exited]" => "[exited]",
            "[untracked]" => "[untracked]",
            _ => "[other]",
        },
        kernel_thread: row.kernel_thread,
        totals: row.totals(),
        rates: rates(row.tx_rate, row.rx_rate, row.smoothed_rate),
    }
}

/// The flows, each with its process, which gets its bytes by protocol.
///
/// A flow names its process by PID alone. Where two processes had it in turn, it is the
/// later one's of that name; of bytes that are nobody's it does not say for which reason.
fn flows(rows: &[FlowRecord], processes: &mut [ProcessRow]) -> Vec<FlowRow> {
    let mut by_pid: HashMap<u32, Vec<usize>> = HashMap::with_capacity(processes.len());
    for (index, process) in processes.iter().enumerate() {
        by_pid.entry(process.id.pid).or_default().push(index);
    }
    for indices in by_pid.values_mut() {
        indices.sort_by_key(|index| std::cmp::Reverse(processes[*index].id.start_ns));
    }
    let mut flows = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(candidates) = by_pid.get(&row.pid) else {
            continue;
        };
        let named = |index: &&usize| processes[**index].identity.name == row.name;
        let Some(index) = candidates.iter().find(named).or(candidates.first()) else {
            continue;
        };
        let owner = &mut processes[*index];
        owner.by_protocol[row.protocol.index()] += row.totals();
        flows.push(FlowRow {
            key: FlowKey {
                process: owner.id,
                protocol: row.protocol,
                network_namespace: 0,
                local: row.local(),
                remote: row.remote(),
            },
            process: *index,
            totals: row.totals(),
            rates: rates(row.tx_rate, row.rx_rate, row.smoothed_rate),
            tcp: row.tcp,
            closed: row.closed,
            anomalous: row.anomalous,
        });
    }
    flows
}

/// The anomalies, each with the flow that it is most likely about.
fn anomalies(rows: &[AnomalyRecord], flows: &[FlowRow], processes: &[ProcessRow]) -> Vec<Anomaly> {
    let mut left: Vec<&FlowRow> = flows.iter().filter(|flow| flow.anomalous).collect();
    let mut anomalies = Vec::with_capacity(rows.len());
    for row in rows {
        let matches = |flow: &&FlowRow| {
            flow.key.process.pid == row.pid
                && flow.key.protocol == row.protocol
                && flow.key.remote == row.remote()
                && flow.rates.smoothed == rate(row.value)
                && processes[flow.process].identity.name == row.name
        };
        let key = match left.iter().position(matches) {
            Some(at) => left.swap_remove(at).key,
            None => FlowKey {
                process: ProcessId {
                    pid: row.pid,
                    start_ns: 0,
                },
                protocol: row.protocol,
                network_namespace: 0,
                local: None,
                remote: row.remote(),
            },
        };
        anomalies.push(Anomaly {
            key,
            name: row.name.clone(),
            value: rate(row.value),
            threshold: rate(row.threshold),
            since: row.since,
        });
    }
    anomalies
}

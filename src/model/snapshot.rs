//! What every screen and sink sees: one immutable picture of one interval.
//!
//! Plain data. How it came about is the tracker's business, how it is written
//! down the sinks'.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use super::anomaly::Anomaly;
use super::coverage::Coverage;
use super::flow::{FlowKey, ProcessId, Protocol, Totals};
use super::interface::Interface;
use super::sample::{Identity, Moment};
use super::tcp::TcpHealth;

/// Which hooks count, and what they cannot see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// The name records carry: `syscall`, `socket` or [`PACKET`].
    pub name: String,
    /// How it counts on this kernel, in a few words.
    pub method: String,
    /// Paths this engine cannot count on this kernel; empty is best.
    pub blind_spots: Vec<String>,
}

/// The name of the engine that counts packets.
pub const PACKET: &str = "packet";

impl Engine {
    /// An engine of these words.
    pub fn new(name: &str, method: &str, blind_spots: &[&str]) -> Engine {
        Engine {
            name: name.to_owned(),
            method: method.to_owned(),
            blind_spots: blind_spots.iter().copied().map(str::to_owned).collect(),
        }
    }

    /// Whether it looks for the owners of packets, and so estimates.
    pub fn estimates(&self) -> bool {
        self.name == PACKET
    }
}

/// Bytes of the last interval and bytes per second, both directions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Sent in the last interval, bytes: the sums of these over all snapshots of a
    /// run in which a row is listed are its totals.
    pub tx_bytes: u64,
    /// Received in the last interval, bytes.
    pub rx_bytes: u64,
    /// Sent, bytes/s over the last interval.
    pub tx: f64,
    /// Received, bytes/s over the last interval.
    pub rx: f64,
    /// EMA of tx + rx, bytes/s.
    pub smoothed: f64,
}

impl AddAssign for Rates {
    fn add_assign(&mut self, other: Rates) {
        self.tx_bytes += other.tx_bytes;
        self.rx_bytes += other.rx_bytes;
        self.tx += other.tx;
        self.rx += other.rx;
        self.smoothed += other.smoothed;
    }
}

/// One protocol's line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProtocolRow {
    /// Which protocol.
    pub protocol: Protocol,
    /// Cumulative since netmon started.
    pub totals: Totals,
    /// Of the last interval.
    pub rates: Rates,
}

/// One process's line.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessRow {
    /// Which process.
    pub id: ProcessId,
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Cumulative since netmon started.
    pub totals: Totals,
    /// Of the last interval.
    pub rates: Rates,
    /// Cumulative by [`Protocol::index`], as far as the flows tell.
    pub by_protocol: [Totals; Protocol::COUNT],
    /// Runs in the kernel.
    pub kernel_thread: bool,
    /// Has ended; the counts are final.
    pub exited: bool,
    /// Its smoothed rate is above the threshold.
    pub anomalous: bool,
}

/// One flow's line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowRow {
    /// Which flow.
    pub key: FlowKey,
    /// Index of its process in [`Snapshot::processes`].
    pub process: usize,
    /// Cumulative since netmon started, as long as netmon remembers the flow: twice
    /// as many as the kernel's map holds after they were last listed.
    pub totals: Totals,
    /// Of the last interval.
    pub rates: Rates,
    /// How its connection fares, as last told by the kernel; `None` for what is no TCP
    /// and where nobody asked.
    pub tcp: Option<TcpHealth>,
    /// Closed, or idle for so long that netmon forgets it.
    pub closed: bool,
    /// Its smoothed rate is above the threshold.
    pub anomalous: bool,
}

/// Bytes that belong to no listed process, under a name in brackets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AggregateRow {
    /// `[kernel]`, `[exited]` or `[untracked]`.
    pub name: &'static str,
    /// True for `[kernel]`.
    pub kernel_thread: bool,
    /// Cumulative since netmon started.
    pub totals: Totals,
    /// Of the last interval.
    pub rates: Rates,
}

/// What is known not to be fully attributed. All cumulative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loss {
    /// Bytes counted by process and protocol but not by flow: the map was full.
    pub untracked_flow_bytes: u64,
    /// Events a kernel program could not handle.
    pub missed_events: u64,
    /// Bytes of flows whose remote end nobody can know.
    pub unknown_peer_bytes: u64,
}

impl Loss {
    /// True while there is nothing to report.
    pub fn is_zero(&self) -> bool {
        *self == Loss::default()
    }
}

/// The same bytes summed three ways; the kernel updates them in the order
/// totals, processes, flows and they are read in the opposite order, so
/// `flows + lost <= processes <= totals` at every tick, and all are equal when
/// nothing moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balance {
    /// Σ over all flows ever seen, bytes.
    pub flows: u64,
    /// Bytes that found no room in the flow map.
    pub lost: u64,
    /// Σ over all processes ever seen, bytes.
    pub processes: u64,
    /// Σ over the protocols, bytes.
    pub totals: u64,
    /// `totals` of a tick at least a second ago: by now all of it must have reached
    /// the flows, even from a CPU that was taken away while it counted.
    pub settled: u64,
}

impl Balance {
    /// Bytes that are provably missing somewhere: 0 unless something is wrong.
    pub fn discrepancy(&self) -> u64 {
        let by_flow = self.flows + self.lost;
        self.settled
            .saturating_sub(by_flow)
            .max(by_flow.saturating_sub(self.processes))
            .max(self.processes.saturating_sub(self.totals))
    }
}

/// One interval, complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// 1 for the first snapshot of a run.
    pub sequence: u64,
    /// When the kernel was read.
    pub at: Moment,
    /// Wall-clock time of boot since the Unix epoch; add
    /// [`ProcessId::start_ns`] to get a process's start. Constant over a run.
    pub boot: Duration,
    /// Measured length of this interval.
    pub interval: Duration,
    /// The interval asked for.
    pub nominal_interval: Duration,
    /// What counted: the same `Arc` over a run.
    pub engine: Arc<Engine>,
    /// Anomaly threshold, bytes/s.
    pub threshold: f64,
    /// Every protocol that ever moved a byte, in the order of [`Protocol::ALL`].
    pub protocols: Vec<ProtocolRow>,
    /// Processes, in no particular order.
    pub processes: Vec<ProcessRow>,
    /// Flows of those processes, in no particular order.
    pub flows: Vec<FlowRow>,
    /// Bytes of processes that are not listed.
    pub aggregates: Vec<AggregateRow>,
    /// Rows above the threshold, highest first.
    pub anomalies: Vec<Anomaly>,
    /// What is not fully attributed.
    pub loss: Loss,
    /// The books.
    pub balance: Balance,
    /// How much of the machine's traffic is explained; `None` where the interfaces
    /// could not be read.
    pub coverage: Option<Coverage>,
    /// The interfaces of netmon's network namespace, by `ifindex`.
    pub interfaces: Vec<Interface>,
}

impl Snapshot {
    /// Totals and rates of all protocols together.
    pub fn overall(&self) -> (Totals, Rates) {
        let mut totals = Totals::default();
        let mut rates = Rates::default();
        for row in &self.protocols {
            totals += row.totals;
            rates += row.rates;
        }
        (totals, rates)
    }

    /// The process a flow belongs to.
    pub fn process_of(&self, flow: &FlowRow) -> Option<&ProcessRow> {
        self.processes.get(flow.process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Balance = Balance {
        flows: 70,
        lost: 20,
        processes: 95,
        totals: 100,
        settled: 90,
    };

    #[test]
    fn books_in_order_have_no_discrepancy() {
        assert_eq!(Balance::default().discrepancy(), 0);
        assert_eq!(SOUND.discrepancy(), 0);
    }

    #[test]
    fn every_breach_is_told_with_its_size() {
        // The last tick's bytes did not all reach the flows.
        let late = Balance {
            settled: 93,
            ..SOUND
        };
        assert_eq!(late.discrepancy(), 3);
        // More at the flows than at the processes.
        let flows = Balance { flows: 80, ..SOUND };
        assert_eq!(flows.discrepancy(), 5);
        let lost = Balance { lost: 31, ..SOUND };
        assert_eq!(lost.discrepancy(), 6);
        // More at the processes than in all.
        let processes = Balance {
            processes: 107,
            ..SOUND
        };
        assert_eq!(processes.discrepancy(), 7);
        // The largest of several.
        let all = Balance {
            flows: 200,
            ..processes
        };
        assert_eq!(all.discrepancy(), 113);
    }
}

//! Interfaces: what each one moved, by direction and by protocol.
//!
//! Owns the sums, rates, averages and peaks over two sources: the kernel's own counters
//! of every interface, and what an interface sampler tells apart where one is attached.
//! Plain arithmetic; time is an argument.

mod count;
mod flows;
mod meter;
mod survey;
mod table;

use std::sync::Arc;
use std::time::Duration;

pub use count::{Class, Count, Pace, Way, WayPace};
pub use flows::{Exchange, FlowReading, WireFlow, WireFlowRow, WireFlows};
pub use survey::{InterfaceReport, Survey};
pub use table::InterfaceTable;

use super::flow::Totals;
use super::rate::per_second;
use super::snapshot::Rates;

/// How a sampler sees an interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hook {
    /// What sees packets that come in: `xdp native`, `xdp generic`.
    pub ingress: String,
    /// What sees packets that go out: `tcx`, `tc clsact`.
    pub egress: String,
    /// Why these, in a few words.
    pub reason: String,
}

/// One reading of a sampler: counters of one interface, cumulative since it was
/// attached there.
#[derive(Debug, Clone, PartialEq)]
pub struct WireCounters {
    /// `ifindex` of the interface.
    pub index: u32,
    /// The same `Arc` as long as it stays attached.
    pub hook: Arc<Hook>,
    /// Sent.
    pub tx: Way,
    /// Received.
    pub rx: Way,
}

/// An interface that should be sampled and is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsampled {
    /// Its `ifindex`.
    pub index: u32,
    /// Why, and what to do about it; one line.
    pub why: Arc<str>,
}

/// What a sampler tells of an interface.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// How it is seen.
    pub hook: Arc<Hook>,
    /// Sent since the sampling began.
    pub tx: Way,
    /// Received since the sampling began.
    pub rx: Way,
    /// Sent, of the last interval.
    pub tx_pace: WayPace,
    /// Received, of the last interval.
    pub rx_pace: WayPace,
    /// How long it has been sampled: the intervals in which it was.
    pub uptime: Duration,
    /// Highest bytes/s of an interval so far, both directions.
    pub peak: f64,
}

impl Sampled {
    /// Bytes/s since the sampling began, both directions.
    pub fn average(&self) -> f64 {
        per_second(self.tx.all().bytes + self.rx.all().bytes, self.uptime)
    }
}

/// One interface's line.
#[derive(Debug, Clone, PartialEq)]
pub struct Interface {
    /// Its `ifindex`.
    pub index: u32,
    /// Its name, fit for a terminal.
    pub name: Arc<str>,
    /// It is a loopback: what it sends it receives.
    pub loopback: bool,
    /// Bytes of frames, and packets in place of operations, by the kernel's counters:
    /// cumulative since netmon first saw the interface.
    pub totals: Totals,
    /// Of the last interval, by the same counters.
    pub rates: Rates,
    /// Packets/s sent, of the last interval.
    pub tx_packets: f64,
    /// Packets/s received, of the last interval.
    pub rx_packets: f64,
    /// How long netmon has counted it.
    pub uptime: Duration,
    /// Highest bytes/s of an interval so far, both directions.
    pub peak: f64,
    /// What a sampler tells, where one is attached.
    pub sampled: Option<Sampled>,
    /// Why none is, where one was asked for; one line.
    pub unsampled: Option<Arc<str>>,
}

impl Interface {
    /// Bytes/s since netmon first saw it, both directions.
    pub fn average(&self) -> f64 {
        per_second(self.totals.tx_bytes + self.totals.rx_bytes, self.uptime)
    }
}

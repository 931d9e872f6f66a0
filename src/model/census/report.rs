//! What a report says, in numbers.
//!
//! Owns the types and their sums. How they look is the sinks' business.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::key::FlowKey;
use super::tally::{BothWays, Count};
use crate::model::sample::Moment;

/// One report. Counts are cumulative since the capture began, those named `new` of
/// this interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// When the last packet that it counts had been read.
    pub at: Moment,
    /// Length of the interval.
    pub elapsed: Duration,
    /// The interface's name.
    pub interface: Arc<str>,
    /// All frames.
    pub frames: Frames,
    /// All frames of this interval.
    pub new: Frames,
    /// The addresses that moved most in this interval, most first; if they are few,
    /// then those that moved most in all.
    pub addresses: Vec<AddressRow>,
    /// Addresses that have a row but no place in `addresses`.
    pub unlisted: Rest,
    /// Addresses that no row was left for.
    pub other: BothWays,
    /// The same of this interval.
    pub new_other: BothWays,
    /// The table of addresses.
    pub table: TableState,
    /// Flows, if they are counted.
    pub flows: Option<FlowReport>,
    /// Each worker.
    pub workers: Vec<WorkerRow>,
}

/// The flows of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowReport {
    /// Those that moved most in this interval, as `addresses` of a report.
    pub rows: Vec<FlowRow>,
    /// Flows that have a row but no place in `rows`.
    pub unlisted: Count,
    /// Flows that no row was left for.
    pub other: Count,
    /// The same of this interval.
    pub new_other: Count,
    /// The table of flows.
    pub table: TableState,
}

/// What became of the frames on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frames {
    /// Counted by their addresses.
    pub counted: Count,
    /// Frames that the kernel had no room for.
    pub dropped: u64,
    /// Frames that the lists of networks keep out.
    pub ignored: u64,
    /// Frames that are not IP, or end before their addresses; `None` if they are left
    /// out by who does not count them.
    pub not_ip: Option<u64>,
}

impl Frames {
    /// What came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Frames) -> Frames {
        // Counters that never fall; a kernel's that did would read as none.
        Frames {
            counted: self.counted.since(earlier.counted),
            dropped: self.dropped.saturating_sub(earlier.dropped),
            ignored: self.ignored.saturating_sub(earlier.ignored),
            not_ip: self
                .not_ip
                .map(|not_ip| not_ip.saturating_sub(earlier.not_ip.unwrap_or(0))),
        }
    }
}

/// One address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AddressRow {
    /// Which.
    pub address: IpAddr,
    /// What it moved in all.
    pub total: BothWays,
    /// Bytes per second that it sent in this interval.
    pub tx_rate: f64,
    /// Bytes per second that were sent to it in this interval.
    pub rx_rate: f64,
}

/// One flow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowRow {
    /// Which.
    pub flow: FlowKey,
    /// What it moved in all.
    pub total: Count,
    /// Bytes per second in this interval.
    pub rate: f64,
}

/// Rows that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rest {
    /// How many.
    pub rows: u64,
    /// What they moved in all.
    pub total: BothWays,
}

/// How full a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableState {
    /// Rows that are there.
    pub entries: u64,
    /// Of them, those that came in this interval.
    pub new: u64,
    /// Rows that it has room for.
    pub limit: u64,
}

/// One worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerRow {
    /// What it did in all.
    pub total: Worker,
    /// What it did in this interval.
    pub new: Worker,
}

/// What one worker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Worker {
    /// What it counted.
    pub counted: Count,
    /// Frames that its ring had no room for.
    pub dropped: u64,
    /// Times that its ring was full.
    pub freezes: u64,
    /// Frames that it was given and that end before their addresses (without a filter,
    /// those that are not IP, too).
    pub unreadable: u64,
    /// Rows of the table of addresses that came with what it handed over: of all workers
    /// together those that are there.
    pub entries: u64,
}

impl Worker {
    /// What it did since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Worker) -> Worker {
        Worker {
            counted: self.counted.since(earlier.counted),
            dropped: self.dropped.saturating_sub(earlier.dropped),
            freezes: self.freezes.saturating_sub(earlier.freezes),
            unreadable: self.unreadable.saturating_sub(earlier.unreadable),
            entries: self.entries.saturating_sub(earlier.entries),
        }
    }
}

//! One reading of the kernel: raw cumulative counters, before any arithmetic.
//!
//! Filled by a collector, consumed by the tracker. The vectors are meant to be
//! cleared and refilled, so that a steady state allocates nothing.

use std::sync::Arc;
use std::time::Duration;

use super::flow::{Connection, FlowKey, ProcessId, Protocol, Totals};
use super::interface::{Unsampled, WireCounters};
use super::network::{LinkCounters, Network};
use super::tcp::TcpTable;

/// When something was read: one instant on the two clocks a reader needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Monotonic time since boot (`CLOCK_MONOTONIC`); rates use this one.
    pub monotonic: Duration,
    /// Wall-clock time since the Unix epoch; only ever shown.
    pub wall: Duration,
}

/// Who a process is, resolved once per process and program image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// Short name (`comm`), at most 15 bytes in Linux; `-` when unknown.
    pub name: String,
    /// Command line with single spaces between arguments, the name in brackets
    /// for a kernel thread, `-` when unknown.
    pub command: String,
    /// Path of the program it runs, `None` when unknown and for a kernel thread. The
    /// file may be gone or replaced.
    pub executable: Option<String>,
    /// Effective user id.
    pub uid: u32,
    /// User name, or the number where no name is known.
    pub user: String,
    /// Path in the unified cgroup hierarchy, `None` when unknown.
    pub cgroup: Option<String>,
    /// systemd unit named by the cgroup path.
    pub unit: Option<String>,
    /// Container id (12 hex digits) named by the cgroup path.
    pub container: Option<String>,
}

/// Kernel counters of one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowCounters {
    /// Which flow.
    pub key: FlowKey,
    /// Cumulative since the kernel created this map entry.
    pub totals: Totals,
    /// The socket was already closed when these bytes moved.
    pub closed: bool,
}

/// Kernel counters of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessCounters {
    /// Which process.
    pub id: ProcessId,
    /// Cumulative since the kernel created this map entry.
    pub totals: Totals,
    /// Who it is; the same `Arc` as long as nothing changed.
    pub identity: Arc<Identity>,
    /// `PF_KTHREAD` was set when it was first seen.
    pub kernel_thread: bool,
    /// The last thread of the process has exited.
    pub exited: bool,
}

/// Everything one poll of the kernel brought.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Live flows.
    pub flows: Vec<FlowCounters>,
    /// Final counters of flows taken out of the kernel's map since the last sample.
    pub removed_flows: Vec<FlowCounters>,
    /// Live processes, and those that ended since the last sample.
    pub processes: Vec<ProcessCounters>,
    /// Processes taken out of the kernel's map since the last sample.
    pub removed_processes: Vec<ProcessId>,
    /// Connections that reached their closed state since the last sample.
    pub closed: Vec<Connection>,
    /// Cumulative totals by [`Protocol::index`].
    pub protocols: [Totals; Protocol::COUNT],
    /// Bytes that found no room in the flow map: cumulative, counted everywhere else.
    pub untracked_flows: Totals,
    /// Bytes that found no room in the process map: cumulative, in the totals.
    pub untracked_processes: Totals,
    /// Events the kernel programs could not handle: cumulative.
    pub missed_events: u64,
    /// How the machine is connected: the same `Arc` as long as nothing changed,
    /// `None` where it could not be read.
    pub network: Option<Arc<Network>>,
    /// Its interfaces' counters, each cumulative.
    pub links: Vec<LinkCounters>,
    /// What an interface sampler counted, of each interface it is attached to.
    pub wire: Vec<WireCounters>,
    /// Interfaces that it should be attached to and is not.
    pub unsampled: Vec<Unsampled>,
    /// How the TCP connections fare, where that was asked for since the last sample.
    pub tcp: Option<Arc<TcpTable>>,
}

impl Sample {
    /// Empties the sample and keeps its memory.
    pub fn clear(&mut self) {
        self.flows.clear();
        self.removed_flows.clear();
        self.processes.clear();
        self.removed_processes.clear();
        self.closed.clear();
        self.protocols = Default::default();
        self.untracked_flows = Totals::default();
        self.untracked_processes = Totals::default();
        self.missed_events = 0;
        self.network = None;
        self.links.clear();
        self.wire.clear();
        self.unsampled.clear();
        self.tcp = None;
    }
}

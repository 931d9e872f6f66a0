//! The rows that snapshots no longer list, kept for a run's final record.
//!
//! Bounded: beyond the limits the oldest rows stay in the `[exited]` sum (for
//! processes) or are left out (flows); no byte leaves the totals.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::flow::{FlowKey, ProcessId};
use super::snapshot::{FlowRow, ProcessRow, Rates, Snapshot};

/// Most ended rows kept, of processes and of flows each: about 20 MB in all.
pub const KEPT: usize = 16_384;

/// Ended processes and flows, as last seen.
#[derive(Debug, Default)]
pub struct Ended {
    processes: HashMap<ProcessId, ProcessRow>,
    process_order: VecDeque<ProcessId>,
    flows: HashMap<FlowKey, FlowRow>,
    flow_order: VecDeque<FlowKey>,
}

impl Ended {
    /// Remembers what ended in `snapshot`. A later snapshot that lists the same
    /// row again replaces it.
    pub fn absorb(&mut self, snapshot: &Snapshot) {
        for row in snapshot.processes.iter().filter(|row| row.exited) {
            if self.processes.insert(row.id, row.clone()).is_none() {
                self.process_order.push_back(row.id);
            }
        }
        for row in snapshot.flows.iter().filter(|row| row.closed) {
            if self.flows.insert(row.key, *row).is_none() {
                self.flow_order.push_back(row.key);
            }
        }
        while self.process_order.len() > KEPT {
            if let Some(oldest) = self.process_order.pop_front() {
                self.processes.remove(&oldest);
            }
        }
        while self.flow_order.len() > KEPT {
            if let Some(oldest) = self.flow_order.pop_front() {
                self.flows.remove(&oldest);
            }
        }
    }

    /// The last snapshot of a run with every remembered row put back.
    pub fn complete(mut self, last: &Snapshot) -> Arc<Snapshot> {
        self.absorb(last);
        let mut snapshot = last.clone();
        let mut index: HashMap<ProcessId, usize> = snapshot
            .processes
            .iter()
            .enumerate()
            .map(|(at, row)| (row.id, at))
            .collect();
        for id in &self.process_order {
            let Some(row) = self.processes.get(id).filter(|_| !index.contains_key(id)) else {
                continue;
            };
            index.insert(*id, snapshot.processes.len());
            snapshot.processes.push(ProcessRow {
                rates: Rates::default(),
                anomalous: false,
                ..row.clone()
            });
            let name = if row.kernel_thread {
                "[kernel]"
            } else {
                "[exited]"
            };
            if let Some(sum) = snapshot.aggregates.iter_mut().find(|sum| sum.name == name) {
                sum.totals = sum.totals.since(&row.totals);
            }
        }
        snapshot.aggregates.retain(|row| !row.totals.is_zero());

        let listed: std::collections::HashSet<FlowKey> =
            snapshot.flows.iter().map(|row| row.key).collect();
        for key in self.flow_order.iter().filter(|key| !listed.contains(key)) {
            let (Some(row), Some(&process)) = (self.flows.get(key), index.get(&key.process)) else {
                continue;
            };
            snapshot.flows.push(FlowRow {
                process,
                rates: Rates::default(),
                anomalous: false,
                ..*row
            });
        }
        Arc::new(snapshot)
    }
}

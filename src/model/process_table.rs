//! Every process the tracker knows, and which of them the kernel may forget.
//!
//! Owns cumulative counts and smoothed rates per process, and what is left of
//! processes that are no longer listed. Knows nothing of flows but their bytes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::counter::Counter;
use super::flow::{ProcessId, Protocol, Totals};
use super::sample::{Identity, Sample};
use super::tracker::{Settings, Tick};

/// One process.
#[derive(Debug, Clone)]
pub struct ProcessState {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Its counts and rates.
    pub counter: Counter,
    /// What its flows moved, by protocol.
    pub by_protocol: [Totals; Protocol::COUNT],
    /// Runs in the kernel.
    pub kernel_thread: bool,
    /// Its last thread has exited.
    pub exited: bool,
    /// Tick and monotonic time at which its entry had left the kernel's map.
    gone: Option<(u64, Duration)>,
    leaving: bool,
}

/// All processes; see the module's text.
#[derive(Debug, Default)]
pub struct ProcessTable {
    processes: HashMap<ProcessId, ProcessState, RandomState>,
    /// Bytes of all processes, forgotten ones included.
    pub bytes: u64,
    /// Counts of processes that ended and are no longer listed.
    pub exited: Totals,
    /// The same, of kernel threads.
    pub exited_kernel: Totals,
    /// Processes to take out of the kernel's map, decided by the last tick.
    pub removals: Vec<ProcessId>,
}

impl ProcessTable {
    /// Takes a reading in.
    pub fn read(&mut self, sample: &Sample, tick: &Tick) {
        // What was removed after the last reading, then what is there now: a
        // process that moved bytes after its end has a new entry, from 0.
        for id in &sample.removed_processes {
            if let Some(state) = self.processes.get_mut(id) {
                state.counter.restart();
                state.leaving = false;
                state.gone = Some((tick.sequence, tick.now.monotonic));
            }
        }
        for counters in &sample.processes {
            let state = self
                .processes
                .entry(counters.id)
                .or_insert_with(|| ProcessState {
                    identity: Arc::clone(&counters.identity),
                    counter: Counter::default(),
                    by_protocol: Default::default(),
                    kernel_thread: counters.kernel_thread,
                    exited: false,
                    gone: None,
                    leaving: false,
                });
            if !Arc::ptr_eq(&state.identity, &counters.identity) {
                state.identity = Arc::clone(&counters.identity);
            }
            state.exited |= counters.exited;
            state.gone = None;
            self.bytes += state.counter.read(counters.totals).bytes();
        }
    }

    /// A flow of that process moved bytes.
    pub fn flow_moved(&mut self, id: &ProcessId, protocol: Protocol, moved: Totals) {
        if let Some(state) = self.processes.get_mut(id) {
            state.by_protocol[protocol.index()] += moved;
        }
    }

    /// Rates of every process; decides which may leave the kernel's map, and
    /// forgets those that were shown with their final counts for long enough.
    pub fn settle(&mut self, tick: &Tick, settings: &Settings) {
        self.removals.clear();
        let listed = self.processes.values().filter(|s| s.gone.is_some()).count();
        let crowded = listed > settings.max_listed_ended;
        let (exited, exited_kernel) = (&mut self.exited, &mut self.exited_kernel);
        let removals = &mut self.removals;
        self.processes.retain(|id, state| {
            state.counter.settle(tick);
            if state.exited && !state.leaving && state.gone.is_none() {
                state.leaving = true;
                removals.push(*id);
            }
            let keep = match state.gone {
                Some((sequence, at)) => {
                    tick.sequence == sequence
                        || (!crowded && tick.now.monotonic.saturating_sub(at) < settings.linger)
                }
                None => true,
            };
            if !keep {
                *if state.kernel_thread {
                    &mut *exited_kernel
                } else {
                    &mut *exited
                } += state.counter.totals;
            }
            keep
        });
    }

    /// One process.
    pub fn get(&self, id: &ProcessId) -> Option<&ProcessState> {
        self.processes.get(id)
    }

    /// Every process known.
    pub fn iter(&self) -> impl Iterator<Item = (&ProcessId, &ProcessState)> {
        self.processes.iter()
    }
}

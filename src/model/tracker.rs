//! From one reading of the kernel to the next: deltas, rates, anomalies, ends.
//!
//! [`Tracker::tick`] takes a [`Sample`] and the time and gives an immutable
//! [`Snapshot`]. It also decides what goes back to the kernel: smoothed rates,
//! and entries nobody will write again ([`Tracker::feedback`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::anomaly::{Anomaly, Judgement, is_anomalous};
use super::counter::Counter;
use super::coverage::Meter;
use super::flow::{FlowKey, ProcessId, Protocol, Totals};
use super::flow_table::FlowTable;
use super::interface::InterfaceTable;
use super::process_table::ProcessTable;
use super::rate::Ema;
use super::sample::{Moment, Sample};
use super::snapshot::{
    AggregateRow, Balance, Engine, FlowRow, Loss, ProcessRow, ProtocolRow, Rates, Snapshot,
};

/// What a tracker is told once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Nominal time between two readings.
    pub interval: Duration,
    /// Weight of a nominal interval in the EMA, in (0, 1].
    pub alpha: f64,
    /// Smoothed rates above this are anomalous, bytes/s.
    pub threshold: f64,
    /// List kernel threads one by one.
    pub kernel_threads: bool,
    /// How long ended flows and processes stay listed after their final count.
    pub linger: Duration,
    /// Most ended flows (and processes) that linger.
    pub max_listed_ended: usize,
    /// Capacity of the kernel's flow map.
    pub max_flows: usize,
    /// What counts, for the snapshots.
    pub engine: Arc<Engine>,
    /// Wall-clock time of boot since the Unix epoch.
    pub boot: Duration,
}

/// The time of one tick, and what follows from it.
#[derive(Debug, Clone, Copy)]
pub struct Tick {
    /// Number of this tick, from 1.
    pub sequence: u64,
    /// When the kernel was read.
    pub now: Moment,
    /// Since the tick before.
    pub elapsed: Duration,
    /// The EMA's weight for `elapsed`.
    pub weight: f64,
}

/// What goes back to the kernel after a tick.
#[derive(Debug, Clone, Copy)]
pub struct Feedback<'a> {
    /// Smoothed rates that changed, bytes/s.
    pub rates: &'a [(FlowKey, u64)],
    /// Flows whose entries may be removed.
    pub flows: &'a [FlowKey],
    /// Processes whose entries may be removed.
    pub processes: &'a [ProcessId],
}

/// The state between two readings.
#[derive(Debug)]
pub struct Tracker {
    settings: Settings,
    sequence: u64,
    last: Moment,
    flows: FlowTable,
    processes: ProcessTable,
    protocols: [Counter; Protocol::COUNT],
    untracked: Counter,
    meter: Meter,
    interfaces: InterfaceTable,
    settling: Settling,
}

/// How long a CPU of a virtual machine may stand still in the midst of a kernel
/// program, with the bytes in one sum and not yet in the next.
const SETTLING: Duration = Duration::from_secs(1);

/// Sums of the protocols, bytes, that are old enough to have reached the flows.
#[derive(Debug, Default)]
struct Settling {
    settled: u64,
    next: u64,
    /// When `next` was taken.
    since: Duration,
}

impl Settling {
    fn take(&mut self, totals: u64, now: Duration) {
        if now.saturating_sub(self.since) >= SETTLING {
            self.settled = self.next;
            self.next = totals;
            self.since = now;
        }
    }
}

impl Tracker {
    /// A tracker whose first interval begins at `start`.
    pub fn new(settings: Settings, start: Moment) -> Tracker {
        Tracker {
            settings,
            sequence: 0,
            last: start,
            flows: FlowTable::default(),
            processes: ProcessTable::default(),
            protocols: Default::default(),
            untracked: Counter::default(),
            meter: Meter::default(),
            interfaces: InterfaceTable::default(),
            settling: Settling {
                since: start.monotonic,
                ..Settling::default()
            },
        }
    }

    /// Takes in where the interfaces stand when the first interval begins. Without
    /// it what they move counts from the first tick on.
    pub fn begin(&mut self, sample: &Sample) {
        self.meter.read(sample);
        self.interfaces.begin(sample);
    }

    /// Changes the nominal interval from the next tick on.
    pub fn set_interval(&mut self, interval: Duration) {
        self.settings.interval = interval;
    }

    /// Judges otherwise from the next tick on.
    pub fn set_judgement(&mut self, judgement: Judgement) {
        let Judgement { alpha, threshold } = judgement;
        self.settings.alpha = alpha;
        self.settings.threshold = threshold;
    }

    /// What the last tick wants done in the kernel's maps.
    pub fn feedback(&self) -> Feedback<'_> {
        Feedback {
            rates: &self.flows.rates,
            flows: &self.flows.removals,
            processes: &self.processes.removals,
        }
    }

    /// Takes a reading in and says what it means.
    pub fn tick(&mut self, sample: &Sample, now: Moment) -> Arc<Snapshot> {
        self.sequence += 1;
        let elapsed = now.monotonic.saturating_sub(self.last.monotonic);
        self.last = now;
        let ema = Ema {
            alpha: self.settings.alpha,
            interval: self.settings.interval,
        };
        let tick = Tick {
            sequence: self.sequence,
            now,
            elapsed,
            weight: ema.weight(elapsed),
        };

        self.processes.read(sample, &tick);
        self.meter.read(sample);
        let (processes, meter) = (&mut self.processes, &mut self.meter);
        self.flows.read(sample, now.monotonic, |key, moved, first| {
            processes.flow_moved(&key.process, key.protocol, moved);
            meter.flow_moved(key, moved, first);
        });
        self.meter.settle(&tick);
        self.interfaces.tick(sample, &tick);
        for (counter, totals) in self.protocols.iter_mut().zip(sample.protocols) {
            counter.read(totals);
            counter.settle(&tick);
        }
        self.untracked.read(sample.untracked_processes);
        self.untracked.settle(&tick);

        self.processes.settle(&tick, &self.settings);
        let processes = &self.processes;
        self.flows
            .settle(&tick, &self.settings, &sample.closed, |key| {
                processes
                    .get(&key.process)
                    .is_some_and(|state| state.exited)
            });

        let snapshot = self.snapshot(sample, &tick);
        let totals = snapshot.balance.totals;
        self.settling.take(totals, now.monotonic);
        Arc::new(snapshot)
    }

    fn snapshot(&self, sample: &Sample, tick: &Tick) -> Snapshot {
        let (processes, index) = self.process_rows();
        let (flows, anomalies) = self.flow_rows(&index, &processes);
        let untracked = self.untracked.totals.bytes();
        Snapshot {
            sequence: tick.sequence,
            at: tick.now,
            boot: self.settings.boot,
            interval: tick.elapsed,
            nominal_interval: self.settings.interval,
            engine: Arc::clone(&self.settings.engine),
            threshold: self.settings.threshold,
            protocols: self.protocol_rows(),
            aggregates: self.aggregate_rows(),
            processes,
            flows,
            anomalies,
            loss: Loss {
                untracked_flow_bytes: sample.untracked_flows.bytes(),
                missed_events: sample.missed_events,
                unknown_peer_bytes: self.flows.unknown_peer_bytes,
            },
            balance: Balance {
                flows: self.flows.bytes,
                lost: sample.untracked_flows.bytes(),
                processes: self.processes.bytes + untracked,
                totals: self.protocols.iter().map(|p| p.totals.bytes()).sum(),
                settled: self.settling.settled,
            },
            coverage: self.meter.coverage(),
            interfaces: self.interfaces.rows(),
        }
    }

    fn protocol_rows(&self) -> Vec<ProtocolRow> {
        Protocol::ALL
            .into_iter()
            .zip(&self.protocols)
            .filter(|(_, counter)| !counter.totals.is_zero())
            .map(|(protocol, counter)| ProtocolRow {
                protocol,
                totals: counter.totals,
                rates: counter.rates,
            })
            .collect()
    }

    fn process_rows(&self) -> (Vec<ProcessRow>, HashMap<ProcessId, usize, RandomState>) {
        let mut rows = Vec::new();
        let mut index = HashMap::default();
        for (id, state) in self.processes.iter() {
            if state.kernel_thread && !self.settings.kernel_threads {
                continue;
            }
            index.insert(*id, rows.len());
            rows.push(ProcessRow {
                id: *id,
                identity: Arc::clone(&state.identity),
                totals: state.counter.totals,
                rates: state.counter.rates,
                by_protocol: state.by_protocol,
                kernel_thread: state.kernel_thread,
                exited: state.exited,
                anomalous: is_anomalous(state.counter.rates.smoothed, self.settings.threshold),
            });
        }
        (rows, index)
    }

    fn flow_rows(
        &self,
        index: &HashMap<ProcessId, usize, RandomState>,
        processes: &[ProcessRow],
    ) -> (Vec<FlowRow>, Vec<Anomaly>) {
        let mut rows = Vec::with_capacity(self.flows.len());
        let mut anomalies = Vec::new();
        for (key, state) in self.flows.iter() {
            let Some(&process) = index.get(&key.process) else {
                continue;
            };
            rows.push(FlowRow {
                key: *key,
                process,
                totals: state.counter.totals,
                rates: state.counter.rates,
                tcp: state.tcp,
                closed: state.ended,
                anomalous: state.anomalous_since.is_some(),
            });
            if let Some(since) = state.anomalous_since {
                anomalies.push(Anomaly {
                    key: *key,
                    name: processes[process].identity.name.clone(),
                    value: state.counter.rates.smoothed,
                    threshold: self.settings.threshold,
                    since,
                });
            }
        }
        anomalies.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.key.cmp(&b.key)));
        (rows, anomalies)
    }

    fn aggregate_rows(&self) -> Vec<AggregateRow> {
        let mut kernel = (Totals::default(), Rates::default());
        if !self.settings.kernel_threads {
            for (_, state) in self.processes.iter().filter(|(_, s)| s.kernel_thread) {
                kernel.0 += state.counter.totals;
                kernel.1 += state.counter.rates;
            }
        }
        kernel.0 += self.processes.exited_kernel;
        let idle = Rates::default();
        [
            ("[kernel]", true, kernel.0, kernel.1),
            ("[exited]", false, self.processes.exited, idle),
            (
                "[untracked]",
                false,
                self.untracked.totals,
                self.untracked.rates,
            ),
        ]
        .into_iter()
        .filter(|(_, _, totals, _)| !totals.is_zero())
        .map(|(name, kernel_thread, totals, rates)| AggregateRow {
            name,
            kernel_thread,
            totals,
            rates,
        })
        .collect()
    }
}

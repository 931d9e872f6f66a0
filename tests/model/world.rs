//! A kernel of maps in memory with a tracker on top, stepped by hand.
//!
//! Keeps the collector's side of the contract (what feedback names is removed,
//! and its last counters are in the next sample), and checks after every tick
//! what must hold for every snapshot of any history. Judges no particular one.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use netmon::model::ended::Ended;
use netmon::model::flow::{Address, Connection, Endpoint, FlowKey, ProcessId, Protocol, Totals};
use netmon::model::sample::{FlowCounters, Identity, Moment, ProcessCounters, Sample};
use netmon::model::snapshot::{Engine, FlowRow, ProcessRow, Snapshot};
use netmon::model::tracker::{Settings, Tracker};

/// The nominal tick.
pub const TICK: Duration = Duration::from_millis(500);

/// Wall-clock time of boot.
const BOOT: Duration = Duration::from_secs(1_790_000_000);

/// What most tests run with.
pub fn settings() -> Settings {
    Settings {
        interval: TICK,
        alpha: 0.4,
        threshold: 1_000_000.0,
        kernel_threads: false,
        linger: Duration::from_secs(3),
        max_listed_ended: 100,
        max_flows: 1000,
        engine: Arc::new(Engine::new("syscall", "", &[])),
        boot: BOOT,
    }
}

/// A process of that PID; `start_ns` follows from it.
pub fn process(pid: u32) -> ProcessId {
    ProcessId {
        pid,
        start_ns: u64::from(pid) * 1_000,
    }
}

/// The n-th flow of a process.
pub fn flow(process: ProcessId, protocol: Protocol, n: u16) -> FlowKey {
    let end = |address: [u8; 4], port| {
        Some(Endpoint {
            address: Address::Ip(IpAddr::V4(Ipv4Addr::from(address))),
            port,
        })
    };
    FlowKey {
        process,
        protocol,
        network_namespace: 1,
        local: end([10, 0, 0, 5], 10_000 + n),
        remote: end([192, 0, 2, 1], 443),
    }
}

pub fn bytes(tx: u64, rx: u64) -> Totals {
    Totals {
        tx_bytes: tx,
        rx_bytes: rx,
        tx_operations: u64::from(tx > 0),
        rx_operations: u64::from(rx > 0),
    }
}

pub struct World {
    pub tracker: Tracker,
    /// What the next tick will see.
    pub sample: Sample,
    pub now: Duration,
    capacity: usize,
    flows: BTreeMap<FlowKey, FlowCounters>,
    /// What `anomaly_map` holds: 0 when a flow is born, then what feedback says.
    written: BTreeMap<FlowKey, u64>,
    processes: BTreeMap<ProcessId, ProcessCounters>,
    flow_bytes: u64,
    last: Option<Arc<Snapshot>>,
    ended: Ended,
}

impl World {
    pub fn new(settings: Settings) -> World {
        let capacity = settings.max_flows;
        let now = Duration::from_secs(100);
        World {
            tracker: Tracker::new(settings, moment(now)),
            sample: Sample::default(),
            now,
            capacity,
            flows: BTreeMap::new(),
            written: BTreeMap::new(),
            processes: BTreeMap::new(),
            flow_bytes: 0,
            last: None,
            ended: Ended::default(),
        }
    }

    /// A process appears before it moves anything.
    pub fn starts(&mut self, id: ProcessId, name: &str, kernel_thread: bool) {
        let identity = Arc::new(Identity {
            name: name.to_owned(),
            ..Identity::default()
        });
        self.processes.entry(id).or_insert(ProcessCounters {
            id,
            totals: Totals::default(),
            identity,
            kernel_thread,
            exited: false,
        });
    }

    /// Bytes move, and are counted as the programs do it.
    pub fn moves(&mut self, key: FlowKey, moved: Totals) {
        self.starts(key.process, "worker", false);
        self.sample.protocols[key.protocol.index()] += moved;
        if let Some(process) = self.processes.get_mut(&key.process) {
            process.totals += moved;
        }
        self.counts(key, moved);
    }

    /// Bytes of a process that found no room in the process map.
    pub fn moves_without_process(&mut self, key: FlowKey, moved: Totals) {
        assert!(!self.processes.contains_key(&key.process));
        self.sample.protocols[key.protocol.index()] += moved;
        self.sample.untracked_processes += moved;
        self.counts(key, moved);
    }

    fn counts(&mut self, key: FlowKey, moved: Totals) {
        if self.flows.len() >= self.capacity && !self.flows.contains_key(&key) {
            self.sample.untracked_flows += moved;
            return;
        }
        self.flow_bytes += moved.bytes();
        self.written.entry(key).or_insert(0);
        let entry = self.flows.entry(key).or_insert(FlowCounters {
            key,
            totals: Totals::default(),
            closed: false,
        });
        entry.totals += moved;
    }

    /// The socket of a flow announces its end.
    pub fn closes(&mut self, connection: Connection) {
        self.sample.closed.push(connection);
    }

    /// The entry of a flow says that its last bytes moved after the end.
    pub fn marks_closed(&mut self, key: &FlowKey) {
        if let Some(entry) = self.flows.get_mut(key) {
            entry.closed = true;
        }
    }

    /// The process runs another program.
    pub fn executes(&mut self, id: ProcessId, name: &str) {
        let process = self.processes.get_mut(&id).expect("a process");
        process.identity = Arc::new(Identity {
            name: name.to_owned(),
            ..Identity::default()
        });
    }

    pub fn exits(&mut self, id: ProcessId) {
        if let Some(process) = self.processes.get_mut(&id) {
            process.exited = true;
        }
    }

    /// Takes the entry of a flow out of the map, whoever asked for it.
    pub fn removes(&mut self, key: &FlowKey) {
        self.written.remove(key);
        self.sample.removed_flows.extend(self.flows.remove(key));
    }

    /// Someone else takes the entry of a flow out of the map and says nothing.
    pub fn vanishes(&mut self, key: &FlowKey) {
        self.flows.remove(key);
    }

    /// Whether the flow has an entry in the kernel.
    pub fn holds(&self, key: &FlowKey) -> bool {
        self.flows.contains_key(key)
    }

    /// One tick after the nominal interval.
    pub fn tick(&mut self) -> Arc<Snapshot> {
        self.tick_after(TICK)
    }

    /// Ticks until `time` has passed; gives the last snapshot.
    pub fn pass(&mut self, time: Duration) -> Arc<Snapshot> {
        let until = self.now + time;
        loop {
            let snapshot = self.tick();
            if self.now >= until {
                return snapshot;
            }
        }
    }

    /// One tick after `elapsed`, with everything that must always hold.
    pub fn tick_after(&mut self, elapsed: Duration) -> Arc<Snapshot> {
        let snapshot = self.tick_only(elapsed);
        let feedback = self.tracker.feedback();
        let (flows, processes) = (feedback.flows.to_vec(), feedback.processes.to_vec());
        self.written.extend(feedback.rates.iter().copied());
        for key in &flows {
            assert!(
                self.holds(key),
                "asked to remove what is not there: {key:?}"
            );
            self.removes(key);
        }
        for id in &processes {
            assert!(self.processes.remove(id).is_some(), "not there: {id:?}");
            self.sample.removed_processes.push(*id);
        }
        for row in &snapshot.flows {
            if let Some(rate) = self.written.get(&row.key) {
                assert_eq!(*rate, row.rates.smoothed.round() as u64, "{row:?}");
            }
        }
        snapshot
    }

    /// As [`World::tick_after`], but nothing is removed: a collector that died.
    pub fn tick_only(&mut self, elapsed: Duration) -> Arc<Snapshot> {
        self.now += elapsed;
        self.sample.flows = self.flows.values().copied().collect();
        self.sample.processes = self.processes.values().cloned().collect();
        let snapshot = self.tracker.tick(&self.sample, moment(self.now));
        self.sample.removed_flows.clear();
        self.sample.removed_processes.clear();
        self.sample.closed.clear();
        self.check(&snapshot);
        self.ended.absorb(&snapshot);
        self.last = Some(Arc::clone(&snapshot));
        snapshot
    }

    /// The last snapshot, with everything that ended put back.
    pub fn finish(self) -> Arc<Snapshot> {
        let last = self.last.as_ref().expect("a tick");
        let complete = self.ended.complete(last);
        assert_eq!(rows_and_sums(&complete), complete.overall().0);
        for row in &complete.flows {
            let owner = complete.process_of(row).expect("an owner");
            assert_eq!(owner.id, row.key.process);
        }
        complete
    }

    fn check(&self, snapshot: &Snapshot) {
        let protocols: Totals = self.sample.protocols.into_iter().sum();
        assert_eq!(rows_and_sums(snapshot), protocols);
        assert_eq!(snapshot.overall().0, protocols);
        assert_eq!(snapshot.balance.discrepancy(), 0, "{:?}", snapshot.balance);
        assert_eq!(snapshot.balance.flows, self.flow_bytes);
        for row in &snapshot.flows {
            let owner = snapshot.process_of(row).expect("an owner");
            assert_eq!(owner.id, row.key.process);
            assert_eq!(row.anomalous, row.rates.smoothed > snapshot.threshold);
        }
        assert_eq!(
            snapshot.flows.iter().filter(|row| row.anomalous).count(),
            snapshot.anomalies.len()
        );
        for (key, rate) in self.tracker.feedback().rates {
            assert!(self.holds(key), "a rate for what is not there: {key:?}");
            assert!(!self.tracker.feedback().flows.contains(key), "{rate}");
        }
        if let Some(last) = &self.last {
            never_fell(last, snapshot);
        }
    }
}

fn rows_and_sums(snapshot: &Snapshot) -> Totals {
    let rows = snapshot.processes.iter().map(|row| row.totals);
    let sums = snapshot.aggregates.iter().map(|row| row.totals);
    rows.chain(sums).sum()
}

/// No count of a row that is still listed may fall.
fn never_fell(before: &Snapshot, after: &Snapshot) {
    let flows: HashMap<_, _> = before.flows.iter().map(|row| (row.key, row)).collect();
    for row in &after.flows {
        if let Some(earlier) = flows.get(&row.key) {
            assert!(
                not_less(&row.totals, &earlier.totals),
                "{earlier:?}, {row:?}"
            );
        }
    }
    let owners: HashMap<_, _> = before.processes.iter().map(|row| (row.id, row)).collect();
    for row in &after.processes {
        if let Some(earlier) = owners.get(&row.id) {
            assert!(
                not_less(&row.totals, &earlier.totals),
                "{earlier:?}, {row:?}"
            );
            assert!(row.exited >= earlier.exited);
            for (now, then) in row.by_protocol.iter().zip(&earlier.by_protocol) {
                assert!(not_less(now, then));
            }
        }
    }
    for row in &after.protocols {
        let mut earlier = before.protocols.iter();
        if let Some(earlier) = earlier.find(|other| other.protocol == row.protocol) {
            assert!(not_less(&row.totals, &earlier.totals));
        }
    }
    assert!(after.balance.flows >= before.balance.flows);
    assert!(after.loss.unknown_peer_bytes >= before.loss.unknown_peer_bytes);
}

fn not_less(now: &Totals, then: &Totals) -> bool {
    now.tx_bytes >= then.tx_bytes
        && now.rx_bytes >= then.rx_bytes
        && now.tx_operations >= then.tx_operations
        && now.rx_operations >= then.rx_operations
}

fn moment(now: Duration) -> Moment {
    Moment {
        monotonic: now,
        wall: BOOT + now,
    }
}

/// The row of a flow, if it is listed.
pub fn row<'a>(snapshot: &'a Snapshot, key: &FlowKey) -> Option<&'a FlowRow> {
    snapshot.flows.iter().find(|row| row.key == *key)
}

/// The row of a process, if it is listed.
pub fn owner(snapshot: &Snapshot, id: ProcessId) -> Option<&ProcessRow> {
    snapshot.processes.iter().find(|row| row.id == id)
}

/// What an aggregate row counts.
pub fn aggregate(snapshot: &Snapshot, name: &str) -> Option<Totals> {
    let mut rows = snapshot.aggregates.iter();
    rows.find(|row| row.name == name).map(|row| row.totals)
}

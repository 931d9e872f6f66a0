//! The stored past as snapshots, so that a screen of the present can show it.
//!
//! Owns how a bucket becomes a snapshot. Which bucket is next is the history's business.

mod interfaces;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::model::anomaly::Anomaly;
use crate::model::flow::{Address, Endpoint, FlowKey, ProcessId, Protocol, Totals};
use crate::model::rate::per_second;
use crate::model::sample::{Identity, Moment};
use crate::model::snapshot::{
    AggregateRow, Balance, Engine, FlowRow, Loss, ProcessRow, ProtocolRow, Rates, Snapshot,
};
use crate::sink::history::answer::Who;
use crate::sink::history::past::{Past, PastAlert, PastRow};
use crate::sink::history::reader::Reader;

/// What stands in the place of what counted.
fn engine() -> Arc<Engine> {
    Arc::new(Engine {
        name: "history".to_owned(),
        method: "stored buckets of time".to_owned(),
        blind_spots: Vec::new(),
    })
}

/// Names of rows that are no processes.
const AGGREGATES: [&str; 3] = ["[kernel]", "[exited]", "[untracked]"];

/// A history to step through.
pub struct StoredPast {
    reader: Reader,
}

impl StoredPast {
    /// Opens a history.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open(file: &Path) -> Result<StoredPast> {
        let reader = Reader::open(file)?;
        Ok(StoredPast { reader })
    }

    /// The last stretch that began before `wall` (since the Unix epoch).
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn before(&mut self, wall: Duration) -> Result<Option<Arc<Snapshot>>> {
        // The one that began within the second of `wall` began before it too.
        let past = self
            .reader
            .past_before(seconds(wall, wall.subsec_nanos() > 0))?;
        Ok(past.map(|past| Arc::new(snapshot(&past))))
    }

    /// The first stretch that began after `wall`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn after(&mut self, wall: Duration) -> Result<Option<Arc<Snapshot>>> {
        let past = self.reader.past_after(seconds(wall, false))?;
        Ok(past.map(|past| Arc::new(snapshot(&past))))
    }
}

/// Whole seconds of a time, one more if it is to be rounded up.
fn seconds(wall: Duration, up: bool) -> i64 {
    i64::try_from(wall.as_secs()).unwrap_or(i64::MAX - 1) + i64::from(up)
}

/// A bucket as the snapshot of an interval of its length, in which all that it holds
/// moved.
fn snapshot(past: &Past) -> Snapshot {
    let start = Duration::from_secs(past.start.max(0).cast_unsigned());
    let length = Duration::from_secs(past.length.max(1).cast_unsigned());
    let mut scene = Scene {
        length,
        places: HashMap::new(),
        processes: Vec::new(),
        flows: HashMap::new(),
        aggregates: Vec::new(),
    };
    past.rows.iter().for_each(|row| scene.add(row));
    let mut flows: Vec<FlowRow> = scene.flows.into_values().collect();
    flows.sort_unstable_by_key(|row| row.key);
    let protocols = past.protocols.iter().map(|(protocol, tx, rx)| {
        let totals = totals(*tx, *rx);
        ProtocolRow {
            protocol: *protocol,
            totals,
            rates: rates(&totals, length),
        }
    });
    let interfaces = past.interfaces.iter();
    let interfaces = interfaces.map(|row| interfaces::row(row, length));
    let mut processes = scene.processes;
    let anomalies: Vec<Anomaly> = past.alerts.iter().filter_map(anomaly).collect();
    for alert in &past.alerts {
        let is_it = |key: &ProcessId| *key == process_id(alert.process, alert.pid);
        for row in processes.iter_mut().filter(|row| is_it(&row.id)) {
            row.anomalous = true;
        }
        let remote = alert.remote.as_deref().and_then(address);
        let protocol = alert.protocol;
        for row in flows.iter_mut().filter(|row| is_it(&row.key.process)) {
            let same_end = row.key.remote.map(|end| end.address) == remote;
            row.anomalous |= same_end && Some(row.key.protocol) == protocol;
        }
    }
    Snapshot {
        sequence: start.as_secs(),
        at: Moment {
            monotonic: start,
            wall: start,
        },
        boot: start,
        interval: length,
        nominal_interval: length,
        engine: engine(),
        threshold: past.alerts.first().map_or(0.0, |alert| alert.threshold),
        protocols: protocols.collect(),
        processes,
        flows,
        aggregates: scene.aggregates,
        anomalies,
        loss: Loss::default(),
        balance: Balance::default(),
        coverage: None,
        interfaces: interfaces.collect(),
    }
}

/// The rows of a snapshot that is being made.
struct Scene {
    length: Duration,
    /// Index of each process.
    places: HashMap<ProcessId, usize>,
    processes: Vec<ProcessRow>,
    flows: HashMap<FlowKey, FlowRow>,
    aggregates: Vec<AggregateRow>,
}

impl Scene {
    fn add(&mut self, row: &PastRow) {
        let moved = totals(row.tx_bytes, row.rx_bytes);
        let rates = rates(&moved, self.length);
        let aggregate = AGGREGATES.into_iter().find(|name| *name == row.who.name);
        if let Some(name) = aggregate.filter(|_| row.pid == 0) {
            self.add_aggregate(name, moved, rates);
            return;
        }
        let id = process_id(row.process, row.pid);
        let place = *self.places.entry(id).or_insert_with(|| {
            self.processes.push(process(id, row));
            self.processes.len() - 1
        });
        let process = &mut self.processes[place];
        process.totals += moved;
        process.rates += rates;
        let Some(protocol) = row.protocol else {
            return;
        };
        process.by_protocol[protocol.index()] += moved;
        let key = flow_key(id, protocol, row.remote.as_deref(), 0);
        let flow = self.flows.entry(key).or_insert(FlowRow {
            key,
            process: place,
            totals: Totals::default(),
            rates: Rates::default(),
            tcp: None,
            closed: false,
            anomalous: false,
        });
        flow.totals += moved;
        flow.rates += rates;
    }

    fn add_aggregate(&mut self, name: &'static str, moved: Totals, rates: Rates) {
        let known = self.aggregates.iter_mut().find(|row| row.name == name);
        match known {
            Some(row) => {
                row.totals += moved;
                row.rates += rates;
            }
            None => self.aggregates.push(AggregateRow {
                name,
                kernel_thread: name == "[kernel]",
                totals: moved,
                rates,
            }),
        }
    }
}

fn process(id: ProcessId, row: &PastRow) -> ProcessRow {
    ProcessRow {
        id,
        identity: Arc::new(identity(&row.who, row.uid)),
        totals: Totals::default(),
        rates: Rates::default(),
        by_protocol: [Totals::default(); Protocol::COUNT],
        kernel_thread: false,
        exited: false,
        anomalous: false,
    }
}

/// Command lines are not kept: the program's path stands in their place.
fn identity(who: &Who, uid: u32) -> Identity {
    Identity {
        name: who.name.clone(),
        command: who.executable.clone().unwrap_or_else(|| "-".to_owned()),
        uid,
        user: who.user.clone(),
        unit: who.unit.clone(),
        container: who.container.clone(),
        ..Identity::default()
    }
}

/// The start of a process is not kept; its number in the history tells two apart that
/// have the same id, or none.
fn process_id(process: i64, pid: u32) -> ProcessId {
    ProcessId {
        pid,
        start_ns: process.max(0).cast_unsigned(),
    }
}

fn flow_key(process: ProcessId, protocol: Protocol, remote: Option<&str>, port: u16) -> FlowKey {
    FlowKey {
        process,
        protocol,
        network_namespace: 0,
        local: None,
        remote: remote
            .and_then(address)
            .map(|address| Endpoint { address, port }),
    }
}

/// An IP address, else the name of an interface.
fn address(text: &str) -> Option<Address> {
    let interface = || text.parse().ok().map(Address::Interface);
    text.parse().ok().or_else(interface)
}

fn anomaly(alert: &PastAlert) -> Option<Anomaly> {
    let process = process_id(alert.process, alert.pid);
    let remote = alert.remote.as_deref();
    Some(Anomaly {
        key: flow_key(process, alert.protocol?, remote, alert.remote_port),
        name: alert.name.clone(),
        value: alert.peak,
        threshold: alert.threshold,
        since: Duration::try_from_secs_f64(alert.started).unwrap_or_default(),
    })
}

fn totals(tx_bytes: u64, rx_bytes: u64) -> Totals {
    Totals {
        tx_bytes,
        rx_bytes,
        ..Totals::default()
    }
}

/// All of it moved in one interval, so the smoothed rate is the rate.
fn rates(moved: &Totals, length: Duration) -> Rates {
    let (tx, rx) = (
        per_second(moved.tx_bytes, length),
        per_second(moved.rx_bytes, length),
    );
    Rates {
        tx_bytes: moved.tx_bytes,
        rx_bytes: moved.rx_bytes,
        tx,
        rx,
        smoothed: tx + rx,
    }
}

//! What is kept from snapshot to snapshot.
//!
//! Owns which number goes into which sum. Locks nothing and writes nothing down.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use super::histogram::Histogram;
use super::interfaces::Interfaces;
use super::labels::{Labels, Who};
use super::top::{Bytes, Top};
use crate::model::coverage::Coverage;
use crate::model::flow::{Protocol, Totals};
use crate::model::sample::Identity;
use crate::model::snapshot::{Engine, Loss, Rates, Snapshot};
use crate::sink::books::Books;

/// The name of the series that sums whoever is not in the top.
const OTHER: &str = "other";

/// Names of bytes that belong to no listed process, each with a series of its own:
/// there are never more.
const AGGREGATES: [&str; 2] = ["[kernel]", "[untracked]"];

/// What a process has for a user when nobody knows its name: an empty one is the mark
/// of a sum.
const NOBODY: &str = "-";

/// Bytes of one label set.
#[derive(Debug, Clone)]
pub struct Series {
    /// Whose.
    pub labels: Labels,
    /// Cumulative while this set was in the top.
    pub bytes: Bytes,
    /// A sum of many, which comes after the others.
    sum: bool,
}

impl Series {
    fn sum(name: &str, bytes: Bytes) -> Series {
        let labels = Who {
            process: name,
            user: "",
            unit: "",
        };
        Series {
            labels: labels.into(),
            bytes,
            sum: true,
        }
    }

    /// The order in which series are written down.
    pub fn order(&self, other: &Series) -> Ordering {
        let key = |series: &Series| (series.sum, series.labels.process.starts_with('['));
        key(self)
            .cmp(&key(other))
            .then_with(|| self.labels.cmp(&other.labels))
    }
}

/// What the last snapshot said, processes apart.
#[derive(Debug, Clone)]
pub struct Counts {
    /// What counts.
    pub engine: Arc<Engine>,
    /// The interval asked for.
    pub interval: Duration,
    /// Anomaly threshold, bytes/s.
    pub threshold: f64,
    /// Cumulative by protocol, the silent ones too, so that a rate has a value to start
    /// from; their bytes sum up to those of the processes.
    pub protocols: [(Protocol, Totals); Protocol::COUNT],
    /// Flows listed.
    pub flows: usize,
    /// Processes listed.
    pub processes: usize,
    /// Flows above the threshold.
    pub anomalies: usize,
    /// Times that a flow rose above the threshold.
    pub anomalies_begun: u64,
    /// What is not fully attributed.
    pub loss: Loss,
    /// Beside what the interfaces moved.
    pub coverage: Option<Coverage>,
}

/// See the module's text.
#[derive(Debug)]
pub struct State {
    top: Top,
    aggregates: [Bytes; AGGREGATES.len()],
    books: Books,
    /// What the interfaces moved.
    pub interfaces: Interfaces,
    /// What the last snapshot said.
    pub counts: Option<Counts>,
    /// How long each reading took.
    pub cycle: Histogram,
    /// How much later than asked for each came.
    pub lateness: Histogram,
}

impl State {
    pub fn new(top: usize) -> State {
        State {
            top: Top::new(top),
            aggregates: Default::default(),
            books: Books::default(),
            interfaces: Interfaces::default(),
            counts: None,
            cycle: Histogram::default(),
            lateness: Histogram::default(),
        }
    }

    pub fn absorb(&mut self, snapshot: &Snapshot, took: Duration) {
        self.cycle.observe(took);
        let late = snapshot.interval.saturating_sub(snapshot.nominal_interval);
        self.lateness.observe(late);

        self.top.begin(snapshot.at.monotonic);
        for row in &snapshot.processes {
            self.top.count(who(&row.identity), moved(&row.rates));
        }
        for row in &snapshot.aggregates {
            // `[exited]` is not among them: it never moves a byte.
            if let Some(at) = AGGREGATES.iter().position(|name| *name == row.name) {
                self.aggregates[at] += moved(&row.rates);
            }
        }
        self.interfaces.absorb(&snapshot.interfaces);
        let before = self.counts.as_ref().map_or(0, |last| last.anomalies_begun);
        self.counts = Some(self.read(snapshot, before));
    }

    fn read(&mut self, snapshot: &Snapshot, begun: u64) -> Counts {
        let mut protocols = Protocol::ALL.map(|protocol| (protocol, Totals::default()));
        for row in self.books.protocols(snapshot) {
            protocols[row.protocol.index()].1 = row.totals;
        }
        let begin = snapshot.anomalies.iter();
        let begin = begin.filter(|anomaly| anomaly.since == snapshot.at.wall);
        Counts {
            engine: Arc::clone(&snapshot.engine),
            interval: snapshot.nominal_interval,
            threshold: snapshot.threshold,
            protocols,
            flows: snapshot.flows.len(),
            processes: snapshot.processes.len(),
            anomalies: snapshot.anomalies.len(),
            anomalies_begun: begun + begin.count() as u64,
            loss: snapshot.loss,
            coverage: snapshot.coverage.clone(),
        }
    }

    /// Bytes of the top, in no order, and of the sums.
    pub fn series(&self) -> Vec<Series> {
        let top = self.top.series().map(|(labels, bytes)| Series {
            labels: labels.clone(),
            bytes,
            sum: false,
        });
        let sums = AGGREGATES.into_iter().zip(self.aggregates);
        let sums = sums.chain([(OTHER, self.top.other())]);
        top.chain(sums.map(|(name, bytes)| Series::sum(name, bytes)))
            .collect()
    }
}

/// The labels of a process. A container is told by its own id, which says more than
/// the unit that some runtimes make for it.
fn who(identity: &Identity) -> Who<'_> {
    let unit = identity.container.as_ref().or(identity.unit.as_ref());
    let user = Some(identity.user.as_str()).filter(|user| !user.is_empty());
    Who {
        process: &identity.name,
        user: user.unwrap_or(NOBODY),
        unit: unit.map_or("", String::as_str),
    }
}

fn moved(rates: &Rates) -> Bytes {
    Bytes {
        tx: rates.tx_bytes,
        rx: rates.rx_bytes,
    }
}

//! One snapshot as the server shows it, each form encoded once, by whoever needs it
//! first, and shared by all.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use serde::Serialize;

use super::summary::Summary;
use crate::model::filter::Filter;
use crate::model::snapshot::{ProtocolRow, Snapshot};
use crate::sink::health::Health;
use crate::sink::record::{InterfaceRecord, Record, interface};

/// What an event stream tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// All rows, for a program that shows them itself.
    Record,
    /// Sums and the largest rows, for a page.
    Summary,
}

impl View {
    /// All of them.
    pub const ALL: [View; 2] = [View::Record, View::Summary];

    /// The name of its events, and in the parameter `view`.
    pub fn name(self) -> &'static str {
        match self {
            View::Record => "record",
            View::Summary => "summary",
        }
    }
}

/// What is told of the server besides its snapshots.
#[derive(Debug)]
pub struct Machine {
    /// The machine's name.
    pub host: String,
    /// netmon's version.
    pub version: &'static str,
    /// What is wrong with it.
    pub health: Arc<Health>,
}

/// One snapshot; see the module's text.
#[derive(Debug)]
pub struct Picture {
    snapshot: Arc<Snapshot>,
    protocols: Vec<ProtocolRow>,
    machine: Arc<Machine>,
    record: OnceLock<Bytes>,
    events: [OnceLock<Bytes>; View::ALL.len()],
}

/// What an event adds to the record: what a screen tells in its header.
#[derive(Serialize)]
struct Monitor<'a> {
    host: &'a str,
    version: &'a str,
    engine_method: &'a str,
    blind_spots: &'a [String],
    threshold: f64,
    nominal_interval_seconds: f64,
    books_off_bytes: u64,
}

/// `/api/interfaces`
#[derive(Serialize)]
struct Interfaces<'a> {
    interfaces: Vec<InterfaceRecord<'a>>,
}

impl Picture {
    /// The picture of `snapshot`, with `protocols` that balance with its processes.
    pub fn new(
        snapshot: Arc<Snapshot>,
        protocols: Vec<ProtocolRow>,
        machine: Arc<Machine>,
    ) -> Picture {
        Picture {
            snapshot,
            protocols,
            machine,
            record: OnceLock::new(),
            events: Default::default(),
        }
    }

    /// What it shows.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The record, JSON.
    pub fn record(&self) -> Bytes {
        let encode = || self.filtered(&Filter::default());
        self.record.get_or_init(encode).clone()
    }

    /// The record of the rows that `filter` lets through, JSON.
    pub fn filtered(&self, filter: &Filter) -> Bytes {
        json(&Record::new(&self.snapshot, &self.protocols, filter))
    }

    /// The interfaces alone, as the record has them, JSON.
    pub fn interfaces(&self) -> Bytes {
        json(&Interfaces {
            interfaces: self.snapshot.interfaces.iter().map(interface).collect(),
        })
    }

    /// The event of a view, as it is sent.
    pub fn event(&self, view: View) -> Bytes {
        let encode = || match view {
            View::Record => self.framed(view, &self.record_and_monitor()),
            View::Summary => self.framed(view, &json(&self.summary())),
        };
        self.events[view as usize].get_or_init(encode).clone()
    }

    /// Whether somebody needed the event of a view already.
    #[cfg(test)]
    pub fn is_encoded(&self, view: View) -> bool {
        self.events[view as usize].get().is_some()
    }

    fn summary(&self) -> Summary<'_> {
        Summary::new(&self.snapshot, &self.protocols, &self.machine)
    }

    /// The record's object with one member more.
    fn record_and_monitor(&self) -> Vec<u8> {
        let snapshot = &self.snapshot;
        let monitor = json(&Monitor {
            host: &self.machine.host,
            version: self.machine.version,
            engine_method: &snapshot.engine.method,
            blind_spots: &snapshot.engine.blind_spots,
            threshold: snapshot.threshold,
            nominal_interval_seconds: snapshot.nominal_interval.as_secs_f64(),
            books_off_bytes: snapshot.balance.discrepancy(),
        });
        let record = self.record();
        let open = record.strip_suffix(b"}").unwrap_or(&record);
        [open, b",\"monitor\":", &monitor, b"}"].concat()
    }

    /// JSON has no line breaks, so that one line of data holds it.
    fn framed(&self, view: View, data: &[u8]) -> Bytes {
        let head = format!(
            "event: {}\nid: {}\ndata: ",
            view.name(),
            self.snapshot.sequence
        );
        [head.as_bytes(), data, b"\n\n"].concat().into()
    }
}

/// Plain data with named fields: neither they nor memory refuse to be written.
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

//! What the details of one row show, gathered from a snapshot.
//!
//! Owns the choice and order of that; `detail` draws it. A row that is gone
//! keeps what was last known of it.

use std::cmp::Reverse;

use crate::model::interface::{Class, Interface};
use crate::model::snapshot::{AggregateRow, FlowRow, ProcessRow, Snapshot};

use super::history::{History, Minute};
use super::order;
use super::state::RowId;

/// Everything known of one row.
#[derive(Debug, Clone)]
pub struct Details {
    /// What the row is.
    pub id: RowId,
    /// The process, or the owner of the flow.
    pub process: Option<ProcessRow>,
    /// The flow itself, where the row is one.
    pub flow: Option<FlowRow>,
    /// The sum, where the row is one.
    pub aggregate: Option<AggregateRow>,
    /// The interface, where the row is one.
    pub interface: Option<Interface>,
    /// All flows of the process, busiest first.
    pub flows: Vec<FlowRow>,
    /// Its last minute.
    pub minute: Minute,
    /// The snapshot no longer has the row.
    pub gone: bool,
}

impl Details {
    /// Details of a row of `snapshot`.
    pub fn new(id: RowId, snapshot: &Snapshot, history: &History) -> Details {
        let mut details = Details {
            id,
            process: None,
            flow: None,
            aggregate: None,
            interface: None,
            flows: Vec::new(),
            minute: Minute::default(),
            gone: true,
        };
        details.update(snapshot, history);
        details
    }

    /// Takes in a newer snapshot.
    pub fn update(&mut self, snapshot: &Snapshot, history: &History) {
        self.gone = match self.id {
            RowId::Process(id) => !self.update_process(snapshot, |row| row.id == id),
            RowId::Flow(key) => {
                let found = snapshot.flows.iter().find(|row| row.key == key);
                self.flow = found.copied().or(self.flow);
                self.update_process(snapshot, |row| row.id == key.process);
                found.is_none()
            }
            RowId::Aggregate(name) => {
                let found = snapshot.aggregates.iter().find(|row| row.name == name);
                self.aggregate = found.copied().or(self.aggregate);
                found.is_none()
            }
            RowId::Interface(index) => {
                let found = snapshot.interfaces.iter().find(|row| row.index == index);
                self.interface = found.cloned().or(self.interface.take());
                found.is_none()
            }
        };
        if !self.gone {
            self.minute = history.row(&self.id);
        }
    }

    /// Lines that scroll: flows, or what an interface is told apart into.
    pub fn scrollable(&self) -> usize {
        match &self.interface {
            Some(it) if it.sampled.is_some() => Class::COUNT,
            _ => self.flows.len(),
        }
    }

    fn update_process(&mut self, snapshot: &Snapshot, is_it: impl Fn(&ProcessRow) -> bool) -> bool {
        let Some(index) = snapshot.processes.iter().position(is_it) else {
            return false;
        };
        self.process = snapshot.processes.get(index).cloned();
        self.flows.clear();
        self.flows
            .extend(snapshot.flows.iter().filter(|row| row.process == index));
        self.flows.sort_by_key(|row| {
            (
                Reverse(order::rate_key(row.rates.smoothed)),
                Reverse(row.totals.bytes()),
                row.key,
            )
        });
        true
    }
}

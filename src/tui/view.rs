//! The cached view: which rows the table has, and in which order.
//!
//! Rebuilt once per snapshot or change of order or filter, and kept for every
//! frame in between. Formats nothing: only visible rows are ever formatted,
//! and that when they are drawn.

use std::sync::Arc;

use crate::model::filter::Filter;
use crate::model::flow::{Endpoint, Totals};
use crate::model::snapshot::{Rates, Snapshot};

use super::columns::{Contents, Ends};
use super::history::{History, Minute};
use super::inspect::Details;
use super::interfaces;
use super::order::{Key, Row, Sorter};
use super::state::{Page, RowId, State};

/// What the screen shows of one snapshot; see the module's text.
#[derive(Debug, Clone)]
pub struct View {
    /// Where the rows' contents are.
    pub snapshot: Arc<Snapshot>,
    /// The table whose rows these are.
    pub page: Page,
    /// Rows in their order, after the filter.
    pub rows: Vec<Row>,
    /// Flows of each process, by its index in the snapshot.
    pub flow_counts: Vec<u32>,
    /// What the columns must hold.
    pub contents: Contents,
    /// Rows of the interfaces that are not idle; they come first.
    pub active: usize,
    /// The last minute of each row, where the rows are interfaces.
    pub minutes: Vec<Minute>,
    /// Totals and rates of everything, whatever the filter.
    pub overall: (Totals, Rates),
    /// The last minute of everything.
    pub minute: Minute,
    /// The row looked into, while its details are open.
    pub details: Option<Details>,
    /// Memory of the last sort, kept for the next.
    keys: Vec<Key>,
}

impl View {
    /// The view of a first snapshot.
    pub fn new(snapshot: Arc<Snapshot>, filter: &Filter, state: &State) -> View {
        let mut view = View {
            snapshot: Arc::clone(&snapshot),
            page: state.page,
            rows: Vec::new(),
            flow_counts: Vec::new(),
            contents: Contents::default(),
            active: 0,
            minutes: Vec::new(),
            overall: snapshot.overall(),
            minute: Minute::default(),
            details: None,
            keys: Vec::new(),
        };
        view.rebuild(snapshot, filter, state);
        view
    }

    /// Chooses and sorts the rows anew.
    pub fn rebuild(&mut self, snapshot: Arc<Snapshot>, filter: &Filter, state: &State) {
        self.snapshot = snapshot;
        self.page = state.page;
        self.overall = self.snapshot.overall();
        self.survey_flows();
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        let sorter = Sorter {
            snapshot: &self.snapshot,
            flow_counts: &self.flow_counts,
            sort: state.sort(),
        };
        match state.page {
            Page::Processes => keys.extend(choose_processes(&sorter, filter)),
            Page::Flows => keys.extend(choose_flows(&sorter, filter)),
            Page::Interfaces => {}
        }
        sorter.sort(&mut keys);
        self.rows.clear();
        self.rows.extend(keys.iter().map(Key::row));
        self.keys = keys;
        if state.page == Page::Interfaces {
            let text = filter.text.as_str();
            let choice = interfaces::choose(&self.snapshot.interfaces, text, state.sort());
            self.active = choice.active;
            self.rows
                .extend(choice.indices.into_iter().map(Row::Interface));
        }
    }

    /// Takes in what the history knows of the time the snapshot ends.
    pub fn remember(&mut self, history: &History) {
        self.minute = history.all();
        self.minutes.clear();
        if self.page == Page::Interfaces {
            let ids = self.rows.iter().filter_map(|row| self.id(*row));
            let minutes = ids.map(|id| history.row(&id)).collect();
            self.minutes = minutes;
        }
    }

    fn survey_flows(&mut self) {
        self.flow_counts.clear();
        self.flow_counts.resize(self.snapshot.processes.len(), 0);
        let mut health = self.contents.health;
        for flow in &self.snapshot.flows {
            if let Some(count) = self.flow_counts.get_mut(flow.process) {
                *count += 1;
            }
            let is_long = |end: Endpoint| end.address.is_ipv6();
            if flow.key.local.is_some_and(is_long) || flow.key.remote.is_some_and(is_long) {
                self.contents.ends = Ends::Long;
            }
            health |= flow.tcp.is_some();
        }
        self.contents.health = health;
    }

    /// What a row is.
    pub fn id(&self, row: Row) -> Option<RowId> {
        match row {
            Row::Process(index) => {
                let row = self.snapshot.processes.get(index as usize)?;
                Some(RowId::Process(row.id))
            }
            Row::Flow(index) => {
                let row = self.snapshot.flows.get(index as usize)?;
                Some(RowId::Flow(row.key))
            }
            Row::Aggregate(index) => {
                let row = self.snapshot.aggregates.get(index as usize)?;
                Some(RowId::Aggregate(row.name))
            }
            Row::Interface(index) => {
                let row = self.snapshot.interfaces.get(index as usize)?;
                Some(RowId::Interface(row.index))
            }
        }
    }

    /// What stands at a place of the table.
    pub fn id_at(&self, place: usize) -> Option<RowId> {
        self.rows.get(place).and_then(|row| self.id(*row))
    }

    /// Where in the table something stands.
    pub fn place_of(&self, id: RowId) -> Option<usize> {
        self.rows.iter().position(|row| self.id(*row) == Some(id))
    }

    /// Rows of the table that are no sums.
    pub fn listed(&self) -> usize {
        let is_listed = |row: &&Row| !matches!(row, Row::Aggregate(_));
        self.rows.iter().filter(is_listed).count()
    }

    /// Rows of the page before the filter.
    pub fn unfiltered(&self) -> usize {
        match self.page {
            Page::Processes => self.snapshot.processes.len(),
            Page::Flows => self.snapshot.flows.len(),
            Page::Interfaces => self.snapshot.interfaces.len(),
        }
    }
}

fn choose_processes<'a>(
    sorter: &'a Sorter<'_>,
    filter: &'a Filter,
) -> impl Iterator<Item = Key> + 'a {
    let snapshot = sorter.snapshot;
    let shown = (!filter.is_empty()).then(|| filter.judge(snapshot).processes());
    let processes = (0..snapshot.processes.len())
        .filter(move |index| shown.as_ref().is_none_or(|shown| shown[*index]))
        .filter_map(|index| sorter.process(index));
    // Sums have no owner and no ends: a filter other than by name hides them.
    let text = filter.text.to_lowercase();
    let only_text = Filter {
        text: filter.text.clone(),
        ..Filter::default()
    } == *filter;
    let aggregates = snapshot
        .aggregates
        .iter()
        .enumerate()
        .filter(move |(_, row)| only_text && !row.totals.is_zero() && row.name.contains(&text))
        .filter_map(|(index, _)| sorter.aggregate(index));
    processes.chain(aggregates)
}

fn choose_flows<'a>(sorter: &'a Sorter<'_>, filter: &'a Filter) -> impl Iterator<Item = Key> + 'a {
    let snapshot = sorter.snapshot;
    let judge = (!filter.is_empty()).then(|| filter.judge(snapshot));
    snapshot
        .flows
        .iter()
        .enumerate()
        .filter(move |(_, flow)| judge.as_ref().is_none_or(|judge| judge.shows(flow)))
        .filter_map(|(index, _)| sorter.flow(index))
}

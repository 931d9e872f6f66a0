//! What a person has set on the screen: page, order, filter text, selection.
//!
//! Plain state and its changes. Knows neither the terminal nor the data shown.

use std::time::Duration;

use crate::model::flow::{FlowKey, ProcessId};
use crate::model::units::Unit;

use super::columns::Column;

/// What the body of the screen lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Page {
    /// One row per process.
    #[default]
    Processes,
    /// One row per flow.
    Flows,
    /// One block per interface.
    Interfaces,
}

impl Page {
    /// All of them, in the order of their keys from 1 on.
    pub const ALL: [Page; 3] = [Page::Processes, Page::Flows, Page::Interfaces];

    /// The next one (1) or the one before (-1), round and round.
    #[must_use]
    pub fn neighbour(self, step: isize) -> Page {
        let at = (self as isize + step).rem_euclid(Self::ALL.len() as isize);
        Self::ALL[at as usize]
    }
}

/// What a row is, whatever its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowId {
    /// A process.
    Process(ProcessId),
    /// A flow.
    Flow(FlowKey),
    /// Bytes of processes that are not listed, by the name of their sum.
    Aggregate(&'static str),
    /// An interface, by its `ifindex`.
    Interface(u32),
}

/// The order of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// By which column.
    pub column: Column,
    /// Largest first.
    pub descending: bool,
}

impl Sort {
    /// The order that a page starts with: what is busiest is what one looks for. The
    /// graphs of interfaces are compared over time, so they keep their places; see
    /// [`State::suit_order`].
    fn of_page(page: Page) -> Sort {
        let column = match page {
            Page::Processes | Page::Flows => Column::Smoothed,
            Page::Interfaces => Column::Interface,
        };
        Sort {
            column,
            descending: column.starts_descending(),
        }
    }
}

/// What the keys act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The table.
    #[default]
    Table,
    /// The filter text is being edited.
    Filter,
    /// The details of one row.
    Detail,
}

/// Intervals that `+` and `-` step through.
pub const INTERVALS: [Duration; 7] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Characters a filter text may have; nobody types more, but a paste can.
const FILTER_LENGTH: usize = 256;

/// Everything a person can set; see the module's text.
#[derive(Debug, Clone)]
pub struct State {
    /// The page shown.
    pub page: Page,
    /// Order of each page.
    sorts: [Sort; Page::ALL.len()],
    /// A person chose that of the interfaces.
    has_chosen: bool,
    /// The live filter text of processes and flows.
    filter: String,
    /// That of the interfaces.
    interface_filter: String,
    /// What the keys act on.
    pub mode: Mode,
    /// The help lies over everything.
    pub help: bool,
    /// What rates are counted in.
    pub unit: Unit,
    /// The interval asked for.
    pub interval: Duration,
    /// The selected row; without one the table shows its top.
    pub selected: Option<RowId>,
    /// First visible row of the table.
    pub offset: usize,
    /// The table scrolls to keep the selected row visible. The wheel looses it.
    pub follow: bool,
    /// First visible flow of the details.
    pub detail_offset: usize,
    /// First visible line of the help.
    pub help_offset: usize,
    /// There is a past to step into.
    pub has_past: bool,
    /// What the last key came to, where that is not seen otherwise. It stands until the
    /// next key.
    pub notice: Option<String>,
    /// What is wrong beside the screen.
    pub trouble: Option<String>,
    /// Grows when order or choice of the rows changes.
    revision: u64,
}

impl State {
    /// The state at the start: processes, busiest first.
    pub fn new(interval: Duration, filter: String) -> State {
        State {
            page: Page::default(),
            sorts: Page::ALL.map(Sort::of_page),
            has_chosen: false,
            filter,
            interface_filter: String::new(),
            mode: Mode::default(),
            help: false,
            unit: Unit::default(),
            interval,
            selected: None,
            offset: 0,
            follow: true,
            detail_offset: 0,
            help_offset: 0,
            has_past: false,
            notice: None,
            trouble: None,
            revision: 0,
        }
    }

    /// Number that changes whenever the rows must be chosen and sorted again.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The order of the table shown.
    pub fn sort(&self) -> Sort {
        self.sorts[self.page as usize]
    }

    /// The live filter text: processes and flows share one, interfaces have their own,
    /// as no interface is called like a process.
    pub fn filter(&self) -> &str {
        match self.page {
            Page::Processes | Page::Flows => &self.filter,
            Page::Interfaces => &self.interface_filter,
        }
    }

    fn filter_mut(&mut self) -> &mut String {
        match self.page {
            Page::Processes | Page::Flows => &mut self.filter,
            Page::Interfaces => &mut self.interface_filter,
        }
    }

    fn set_sort(&mut self, sort: Sort) {
        self.has_chosen |= self.page == Page::Interfaces;
        self.sorts[self.page as usize] = sort;
        self.revision += 1;
    }

    /// Shows the next page.
    pub fn turn_page(&mut self) {
        self.show_page(self.page.neighbour(1));
    }

    /// Shows a page. A selected flow's process is selected among the processes.
    pub fn show_page(&mut self, page: Page) {
        if page == self.page {
            return;
        }
        self.page = page;
        self.selected = match (page, self.selected) {
            (Page::Processes, Some(RowId::Flow(key))) => Some(RowId::Process(key.process)),
            _ => None,
        };
        self.offset = 0;
        self.follow = true;
        self.revision += 1;
    }

    /// Sorts by the next (1) or previous (-1) of `columns`, of which there is
    /// at least one.
    pub fn sort_by_neighbour(&mut self, columns: &[Column], step: isize) {
        let at = columns
            .iter()
            .position(|column| *column == self.sort().column)
            .unwrap_or(0) as isize;
        let next = (at + step).rem_euclid((columns.len() as isize).max(1));
        if let Some(column) = columns.get(next as usize) {
            self.sort_by(*column);
        }
    }

    /// Sorts by a column in its natural direction, or turns the direction when
    /// the table is sorted by it already.
    pub fn sort_by(&mut self, column: Column) {
        if self.sort().column == column {
            self.reverse();
        } else {
            self.set_sort(Sort {
                column,
                descending: column.starts_descending(),
            });
        }
    }

    /// Sorts interfaces as suits a page that has room for a line each or for more, until
    /// a person chooses: of many, the busiest are what one looks for.
    pub fn suit_order(&mut self, is_list: bool) {
        if self.page != Page::Interfaces || self.has_chosen {
            return;
        }
        let sort = match is_list {
            true => Sort {
                column: Column::Smoothed,
                descending: true,
            },
            false => Sort::of_page(Page::Interfaces),
        };
        if self.sort() != sort {
            self.sorts[self.page as usize] = sort;
            self.revision += 1;
        }
    }

    /// Turns the direction of the order.
    pub fn reverse(&mut self) {
        let sort = self.sort();
        self.set_sort(Sort {
            descending: !sort.descending,
            ..sort
        });
    }

    /// Adds a character to the filter text.
    pub fn type_character(&mut self, character: char) {
        if !character.is_control() && self.filter().chars().count() < FILTER_LENGTH {
            self.filter_mut().push(character);
            self.revision += 1;
        }
    }

    /// Takes the last character off the filter text; off an empty one, editing ends.
    pub fn erase_character(&mut self) {
        if self.filter_mut().pop().is_some() {
            self.revision += 1;
        } else {
            self.mode = Mode::Table;
        }
    }

    /// Empties the filter text and goes back to the table.
    pub fn clear_filter(&mut self) {
        if !self.filter().is_empty() {
            self.filter_mut().clear();
            self.revision += 1;
        }
        self.mode = Mode::Table;
    }

    /// Steps to a longer (1) or shorter (-1) interval, which it returns.
    pub fn step_interval(&mut self, step: isize) -> Duration {
        let next = if step > 0 {
            INTERVALS.into_iter().find(|i| *i > self.interval)
        } else {
            INTERVALS.into_iter().rev().find(|i| *i < self.interval)
        };
        self.interval = next.unwrap_or(self.interval);
        self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns;
    use super::*;

    fn state() -> State {
        State::new(Duration::from_millis(500), String::new())
    }

    #[test]
    fn the_same_column_again_reverses() {
        let mut state = state();
        state.sort_by(Column::Process);
        assert!(!state.sort().descending);
        state.sort_by(Column::Process);
        assert!(state.sort().descending);
        state.sort_by(Column::Total);
        assert!(state.sort().descending);
    }

    #[test]
    fn columns_are_walked_around() {
        let mut state = state();
        let columns = columns::of_page(Page::Processes);
        for _ in columns {
            state.sort_by_neighbour(columns, 1);
        }
        assert_eq!(state.sort().column, Column::Smoothed);
        state.sort_by_neighbour(columns, -1);
        assert_eq!(state.sort().column, Column::Rx);
    }

    #[test]
    fn each_page_keeps_its_order() {
        let mut state = state();
        state.sort_by(Column::Pid);
        state.turn_page();
        assert_eq!(state.sort(), Sort::of_page(Page::Flows));
        state.turn_page();
        assert_eq!(state.sort().column, Column::Interface);
        state.turn_page();
        assert_eq!(state.sort().column, Column::Pid);
    }

    #[test]
    fn pages_go_round_both_ways() {
        for page in Page::ALL {
            assert_eq!(page.neighbour(1).neighbour(-1), page);
            assert_ne!(page.neighbour(1), page.neighbour(-1));
        }
        assert_eq!(Page::Processes.neighbour(-1), Page::Interfaces);
    }

    #[test]
    fn interfaces_have_a_filter_of_their_own() {
        let mut state = state();
        state.type_character('a');
        state.show_page(Page::Interfaces);
        assert_eq!(state.filter(), "");
        state.type_character('e');
        state.show_page(Page::Flows);
        assert_eq!(state.filter(), "a");
        state.show_page(Page::Interfaces);
        assert_eq!(state.filter(), "e");
    }

    #[test]
    fn intervals_step_and_stop_at_the_ends() {
        let mut state = state();
        assert_eq!(state.step_interval(1), Duration::from_secs(1));
        assert_eq!(state.step_interval(-1), Duration::from_millis(500));
        state.interval = Duration::from_millis(300);
        assert_eq!(state.step_interval(1), Duration::from_millis(500));
        state.interval = Duration::from_secs(10);
        assert_eq!(state.step_interval(1), Duration::from_secs(10));
        state.interval = Duration::from_millis(100);
        assert_eq!(state.step_interval(-1), Duration::from_millis(100));
    }

    #[test]
    fn every_edit_of_the_filter_asks_for_a_new_choice_of_rows() {
        let mut state = state();
        let before = state.revision();
        state.type_character('a');
        state.type_character('\u{1b}');
        assert_eq!(state.filter(), "a");
        assert_eq!(state.revision(), before + 1);
        state.erase_character();
        assert_eq!(state.revision(), before + 2);
        state.mode = Mode::Filter;
        state.erase_character();
        assert_eq!((state.revision(), state.mode), (before + 2, Mode::Table));
    }
}

//! The order of the rows.
//!
//! Sorts processes and flows by a column. Ties are broken the same way
//! whatever the direction (more bytes first, then PID, then identity), so that
//! rows at rest keep their places. Does not choose which rows there are.

use std::cmp::{Ordering, Reverse};
use std::net::IpAddr;

use crate::model::flow::{Address, Endpoint, Protocol, Totals};
use crate::model::snapshot::{FlowRow, ProcessRow, Rates, Snapshot};

use super::columns::Column;
use super::state::Sort;

/// A row of the table: where in the snapshot it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// Index in [`Snapshot::processes`].
    Process(u32),
    /// Index in [`Snapshot::flows`].
    Flow(u32),
    /// Index in [`Snapshot::aggregates`].
    Aggregate(u32),
    /// Index in [`Snapshot::interfaces`].
    Interface(u32),
}

/// What most comparisons need, side by side in memory: the rows themselves
/// are hundreds of bytes apart.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Orders as the column does, as far as 64 bits can tell.
    primary: u64,
    total: Reverse<u64>,
    pid: u32,
    row: Row,
}

impl Key {
    /// The row the key stands for.
    pub fn row(&self) -> Row {
        self.row
    }
}

/// The bits of a rate: of numbers that are not negative they are in their
/// order. Nothing, in whatever form, is 0.
pub fn rate_key(rate: f64) -> u64 {
    if rate > 0.0 { rate.to_bits() } else { 0 }
}

/// The first eight bytes, in any case.
fn text_key(text: &str) -> u64 {
    let mut key = [0; 8];
    for (slot, byte) in key.iter_mut().zip(text.bytes()) {
        *slot = byte.to_ascii_lowercase();
    }
    u64::from_be_bytes(key)
}

/// Unknown ends before IPv4 before IPv6 before interfaces; of IPv6 only the first
/// 62 bits, of an interface's name too.
fn end_key(end: Option<Endpoint>) -> u64 {
    match end {
        None => 0,
        Some(Endpoint {
            address: Address::Ip(IpAddr::V4(address)),
            port,
        }) => 1 << 62 | u64::from(address.to_bits()) << 16 | u64::from(port),
        Some(Endpoint {
            address: Address::Ip(IpAddr::V6(address)),
            ..
        }) => 2 << 62 | (address.to_bits() >> 66) as u64,
        Some(Endpoint {
            address: Address::Interface(name),
            ..
        }) => 3 << 62 | (u128::from_be_bytes(name.0) >> 66) as u64,
    }
}

fn quantity_key(column: Column, totals: &Totals, rates: &Rates) -> u64 {
    match column {
        Column::Tx => rate_key(rates.tx),
        Column::Rx => rate_key(rates.rx),
        Column::Smoothed => rate_key(rates.smoothed),
        _ => totals.bytes(),
    }
}

/// The protocol that moved most of a process's bytes, and how many it used.
pub fn main_protocol(process: &ProcessRow) -> (Option<Protocol>, usize) {
    let used = Protocol::ALL
        .into_iter()
        .filter(|protocol| process.by_protocol[protocol.index()].bytes() > 0);
    let count = used.clone().count();
    let main = used.max_by_key(|protocol| {
        (
            process.by_protocol[protocol.index()].bytes(),
            Reverse(protocol.index()),
        )
    });
    (main, count)
}

/// Sorts rows of one snapshot.
pub struct Sorter<'a> {
    /// Where the rows are.
    pub snapshot: &'a Snapshot,
    /// Flows of each process, by its index.
    pub flow_counts: &'a [u32],
    /// By what.
    pub sort: Sort,
}

impl Sorter<'_> {
    /// The key of a process.
    pub fn process(&self, index: usize) -> Option<Key> {
        let row = self.snapshot.processes.get(index)?;
        let column = self.sort.column;
        let primary = match column {
            Column::Pid => u64::from(row.id.pid),
            Column::Process => text_key(&row.identity.name),
            Column::User => text_key(&row.identity.user),
            Column::Command => text_key(&row.identity.command),
            Column::Protocol => main_protocol(row).0.map_or(0, |p| p.index() as u64 + 1),
            Column::Flows => u64::from(self.flow_counts.get(index).copied().unwrap_or(0)),
            _ => quantity_key(column, &row.totals, &row.rates),
        };
        Some(self.key(primary, &row.totals, row.id.pid, Row::Process(index as u32)))
    }

    /// The key of a flow.
    pub fn flow(&self, index: usize) -> Option<Key> {
        let row = self.snapshot.flows.get(index)?;
        let column = self.sort.column;
        let identity = self.snapshot.process_of(row).map(|row| &row.identity);
        let primary = match column {
            Column::Pid => u64::from(row.key.process.pid),
            Column::Process => identity.map_or(0, |who| text_key(&who.name)),
            Column::User => identity.map_or(0, |who| text_key(&who.user)),
            Column::Protocol => row.key.protocol.index() as u64,
            Column::Local => end_key(row.key.local),
            Column::Remote => end_key(row.key.remote),
            // One that nobody asked about comes after one without any.
            Column::Rtt => row.tcp.map_or(0, |tcp| u64::from(tcp.rtt_us) + 1),
            Column::Retransmits => row.tcp.map_or(0, |tcp| u64::from(tcp.retransmits) + 1),
            _ => quantity_key(column, &row.totals, &row.rates),
        };
        let pid = row.key.process.pid;
        Some(self.key(primary, &row.totals, pid, Row::Flow(index as u32)))
    }

    /// The key of a sum over processes that are not listed; it has no PID and
    /// its name is in brackets.
    pub fn aggregate(&self, index: usize) -> Option<Key> {
        let row = self.snapshot.aggregates.get(index)?;
        let primary = match self.sort.column {
            Column::Process | Column::Command => text_key(row.name),
            Column::Pid | Column::User | Column::Protocol | Column::Flows => 0,
            column => quantity_key(column, &row.totals, &row.rates),
        };
        Some(self.key(primary, &row.totals, 0, Row::Aggregate(index as u32)))
    }

    fn key(&self, primary: u64, totals: &Totals, pid: u32, row: Row) -> Key {
        Key {
            primary: if self.sort.descending {
                !primary
            } else {
                primary
            },
            total: Reverse(totals.bytes()),
            pid,
            row,
        }
    }

    /// Sorts the keys.
    pub fn sort(&self, keys: &mut [Key]) {
        keys.sort_unstable_by(|a, b| {
            a.primary
                .cmp(&b.primary)
                .then_with(|| self.beyond_the_key(a.row, b.row))
                .then_with(|| a.total.cmp(&b.total))
                .then_with(|| a.pid.cmp(&b.pid))
                .then_with(|| self.identity(a.row, b.row))
        });
    }

    /// Compares what 64 bits could not tell apart: long texts and IPv6.
    fn beyond_the_key(&self, a: Row, b: Row) -> Ordering {
        let column = self.sort.column;
        let order = match column {
            Column::Process => self.texts(a, b, |row| row.identity.name.as_str()),
            Column::User => self.texts(a, b, |row| row.identity.user.as_str()),
            Column::Command => self.texts(a, b, |row| row.identity.command.as_str()),
            Column::Local | Column::Remote => match (self.flow_row(a), self.flow_row(b)) {
                (Some(a), Some(b)) if column == Column::Local => a.key.local.cmp(&b.key.local),
                (Some(a), Some(b)) => a.key.remote.cmp(&b.key.remote),
                _ => Ordering::Equal,
            },
            _ => Ordering::Equal,
        };
        if self.sort.descending {
            order.reverse()
        } else {
            order
        }
    }

    fn texts(&self, a: Row, b: Row, text: fn(&ProcessRow) -> &str) -> Ordering {
        match (self.owner(a), self.owner(b)) {
            (Some(a), Some(b)) => {
                let lower = |row| text(row).bytes().map(|byte| byte.to_ascii_lowercase());
                lower(a).cmp(lower(b))
            }
            _ => Ordering::Equal,
        }
    }

    fn identity(&self, a: Row, b: Row) -> Ordering {
        match (self.flow_row(a), self.flow_row(b)) {
            (Some(a), Some(b)) => a.key.cmp(&b.key),
            _ => self
                .owner(a)
                .map(|row| row.id)
                .cmp(&self.owner(b).map(|row| row.id)),
        }
    }

    fn flow_row(&self, row: Row) -> Option<&FlowRow> {
        match row {
            Row::Flow(index) => self.snapshot.flows.get(index as usize),
            _ => None,
        }
    }

    fn owner(&self, row: Row) -> Option<&ProcessRow> {
        match row {
            Row::Process(index) => self.snapshot.processes.get(index as usize),
            Row::Flow(_) => self
                .flow_row(row)
                .and_then(|flow| self.snapshot.process_of(flow)),
            Row::Aggregate(_) | Row::Interface(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends() -> impl Strategy<Value = Option<Endpoint>> {
        let end = (any::<IpAddr>(), any::<u16>());
        proptest::option::of(end.prop_map(|(address, port)| Endpoint {
            address: Address::Ip(address),
            port,
        }))
    }

    proptest! {
        #[test]
        fn a_lesser_key_is_a_lesser_end(a in ends(), b in ends()) {
            if end_key(a) < end_key(b) {
                prop_assert!(a < b);
            }
        }

        #[test]
        fn a_lesser_key_is_a_lesser_text(a in "[a-zA-Z0-9_-]{0,12}", b in "[a-zA-Z0-9_-]{0,12}") {
            if text_key(&a) < text_key(&b) {
                prop_assert!(a.to_ascii_lowercase() < b.to_ascii_lowercase());
            }
        }

        #[test]
        fn keys_of_rates_are_in_their_order(a in 0.0f64..1e15, b in 0.0f64..1e15) {
            prop_assert_eq!(rate_key(a).cmp(&rate_key(b)), a.total_cmp(&b));
        }
    }

    #[test]
    fn nothing_below_zero_comes_first() {
        assert_eq!(rate_key(-0.0), 0);
        assert_eq!(rate_key(-1.0), 0);
        assert_eq!(rate_key(f64::NAN), 0);
    }
}

//! The census: what each address (and each flow) on an interface has moved.
//!
//! Owns the tables of a capture, how the workers' tallies are merged into them, and
//! which rows a report lists. Every packet is in exactly one row of its source and one
//! of its destination; once a table is full, addresses without a row share one that is
//! called `other`, so that the sum of all rows is the total at all times. A row is
//! never taken back: an address's count is whole, or it has none.

pub mod key;
pub mod report;
mod table;
pub mod tally;

use std::cmp::Reverse;
use std::collections::TryReserveError;
use std::fmt::Debug;
use std::hash::Hash;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use self::key::{AddressKey, FlowKey};
use self::report::{
    AddressRow, FlowReport, FlowRow, Frames, Report, Rest, TableState, Worker, WorkerRow,
};
use self::table::Table;
use self::tally::{BothWays, Count, Tally};
use super::rate::per_second;
use super::sample::Moment;

/// What a table counts; its bytes rank the rows.
trait Measure: Copy + Default + AddAssign + Debug {
    /// The bytes alone.
    type Bytes: Copy + Default + Ord + AddAssign + Debug;
    /// The bytes, each way apart.
    fn bytes(self) -> Self::Bytes;
    /// The bytes of all ways.
    fn sum(bytes: Self::Bytes) -> u64;
}

impl Measure for Count {
    type Bytes = Ways<1>;

    fn bytes(self) -> Ways<1> {
        Ways([self.bytes])
    }

    fn sum(bytes: Ways<1>) -> u64 {
        bytes.0[0]
    }
}

impl Measure for BothWays {
    type Bytes = Ways<2>;

    fn bytes(self) -> Ways<2> {
        Ways([self.tx.bytes, self.rx.bytes])
    }

    fn sum(bytes: Ways<2>) -> u64 {
        bytes.0[0] + bytes.0[1]
    }
}

/// Bytes of one way or of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ways<const N: usize>([u64; N]);

impl<const N: usize> Default for Ways<N> {
    fn default() -> Ways<N> {
        Ways([0; N])
    }
}

impl<const N: usize> AddAssign for Ways<N> {
    fn add_assign(&mut self, other: Ways<N>) {
        for (to, by) in self.0.iter_mut().zip(other.0) {
            *to += by;
        }
    }
}

/// A row's value: all, and the bytes of this interval. With its key it takes 64
/// bytes, a cache line.
#[derive(Debug, Clone, Copy, Default)]
struct Entry<V: Measure> {
    total: V,
    new: V::Bytes,
}

/// The rows of all workers together.
#[derive(Debug)]
struct Register<K, V: Measure> {
    table: Table<K, Entry<V>>,
    limit: u32,
    /// Rows that moved something in this interval.
    moved: Vec<u32>,
    other: V,
    new_other: V,
    /// Rows at the last report.
    reported: usize,
}

impl<K: Copy + Eq + Ord + Hash, V: Measure> Register<K, V> {
    fn new(limit: u32) -> Result<Register<K, V>, TryReserveError> {
        let mut moved = Vec::new();
        moved.try_reserve_exact(limit as usize)?;
        Ok(Register {
            table: Table::new(limit)?,
            limit,
            moved,
            other: V::default(),
            new_other: V::default(),
            reported: 0,
        })
    }

    fn bytes(limit: u32) -> usize {
        Table::<K, Entry<V>>::bytes(limit) + limit as usize * size_of::<u32>()
    }

    /// Adds what a worker counted; how many rows are new.
    fn absorb(&mut self, rows: &[(K, V)]) -> usize {
        let before = self.table.len();
        for (key, moved) in rows {
            let Some(number) = self.table.find(*key) else {
                self.other += *moved;
                self.new_other += *moved;
                continue;
            };
            let entry = self.table.value(number);
            // A packet has a length, so what moved nothing yet has 0 bytes.
            if V::sum(entry.new) == 0 {
                self.moved.push(number);
            }
            entry.total += *moved;
            entry.new += moved.bytes();
        }
        self.table.len() - before
    }

    /// The `top` rows of this interval; if fewer moved something, those of all time
    /// after them.
    fn top(&mut self, top: usize) -> Vec<&(K, Entry<V>)> {
        // Only a quiet interval looks at all rows, and then nobody waits for them.
        if self.moved.len() < top && self.moved.len() < self.table.len() {
            // A table's limit is a u32.
            self.moved.clear();
            self.moved.extend(0..self.table.len() as u32);
        }
        let table = &self.table;
        let rank = |number: &u32| {
            let (key, entry) = table.row(*number);
            let total = V::sum(entry.total.bytes());
            (Reverse((V::sum(entry.new), total)), *key)
        };
        let top = top.min(self.moved.len());
        if top < self.moved.len() {
            self.moved.select_nth_unstable_by_key(top, rank);
        }
        let first = &mut self.moved[..top];
        first.sort_unstable_by_key(rank);
        first.iter().map(|number| table.row(*number)).collect()
    }

    /// Begins the next interval; how full the table is.
    fn next(&mut self) -> TableState {
        for number in self.moved.drain(..) {
            self.table.value(number).new = V::Bytes::default();
        }
        self.new_other = V::default();
        let entries = self.table.len();
        let new = entries - std::mem::replace(&mut self.reported, entries);
        TableState {
            entries: entries as u64,
            new: new as u64,
            limit: u64::from(self.limit),
        }
    }
}

/// All that was counted; see the module's text.
#[derive(Debug)]
pub struct Census {
    addresses: Register<AddressKey, BothWays>,
    flows: Option<Register<FlowKey, Count>>,
    counted: Count,
    unreadable: u64,
    /// At the last report.
    reported: Frames,
    reported_workers: Vec<Worker>,
}

/// What a report holds beside the tables.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When the workers had handed over.
    pub at: Moment,
    /// Time since the last report.
    pub elapsed: Duration,
    /// The interface's name.
    pub interface: Arc<str>,
    /// Frames that the lists of networks kept out, in all.
    pub ignored: u64,
    /// Frames that the filter kept out because they are not IP, in all; `None` if it does
    /// not count them.
    pub not_ip: Option<u64>,
    /// Each worker.
    pub workers: Vec<Worker>,
}

impl Census {
    /// An empty census of at most `max_addresses`, and as many flows if `flows`.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(max_addresses: u32, flows: bool) -> Result<Census, TryReserveError> {
        Ok(Census {
            addresses: Register::new(max_addresses)?,
            flows: flows.then(|| Register::new(max_addresses)).transpose()?,
            counted: Count::default(),
            unreadable: 0,
            reported: Frames::default(),
            reported_workers: Vec::new(),
        })
    }

    /// Bytes that one takes when all its tables are full.
    pub fn bytes(max_addresses: u32, flows: bool) -> usize {
        let flows = if flows {
            Register::<FlowKey, Count>::bytes(max_addresses)
        } else {
            0
        };
        Register::<AddressKey, BothWays>::bytes(max_addresses) + flows
    }

    /// Takes over what `worker` has counted, adds it to what that did, and leaves its
    /// tally empty.
    pub fn absorb(&mut self, tally: &mut Tally, worker: &mut Worker) {
        tally.settle();
        worker.counted += tally.counted;
        worker.unreadable += tally.unreadable;
        worker.entries += self.addresses.absorb(tally.addresses.rows()) as u64;
        if let (Some(flows), Some(counted)) = (&mut self.flows, &tally.flows) {
            flows.absorb(counted.rows());
        }
        self.counted += tally.counted;
        self.unreadable += tally.unreadable;
        tally.clear();
    }

    /// What was counted up to now, with at most `top` rows of each kind; the next
    /// interval begins.
    pub fn report(&mut self, facts: Facts, top: usize) -> Report {
        let frames = Frames {
            counted: self.counted,
            dropped: facts.workers.iter().map(|worker| worker.dropped).sum(),
            ignored: facts.ignored,
            not_ip: facts.not_ip.map(|not_ip| not_ip + self.unreadable),
        };
        let new = frames.since(&self.reported);
        self.reported = frames;
        let workers = self.worker_rows(facts.workers);
        let elapsed = facts.elapsed;
        let addresses: Vec<AddressRow> = (self.addresses.top(top).into_iter())
            .map(|(key, entry)| AddressRow {
                address: key.address(),
                total: entry.total,
                tx_rate: per_second(entry.new.0[0], elapsed),
                rx_rate: per_second(entry.new.0[1], elapsed),
            })
            .collect();
        let (other, new_other) = (self.addresses.other, self.addresses.new_other);
        let table = self.addresses.next();
        let unlisted = self.unlisted(&addresses, &table);
        Report {
            at: facts.at,
            elapsed,
            interface: facts.interface,
            frames,
            new,
            unlisted,
            addresses,
            other,
            new_other,
            table,
            flows: self.flow_report(top, elapsed),
            workers,
        }
    }

    /// What is neither listed nor `other`: every packet has one source and one
    /// destination, so it is what is left of the total.
    fn unlisted(&self, listed: &[AddressRow], table: &TableState) -> Rest {
        let mut seen = self.addresses.other;
        for row in listed {
            seen += row.total;
        }
        Rest {
            rows: table.entries - listed.len() as u64,
            total: BothWays {
                tx: left(self.counted, seen.tx),
                rx: left(self.counted, seen.rx),
            },
        }
    }

    fn worker_rows(&mut self, workers: Vec<Worker>) -> Vec<WorkerRow> {
        self.reported_workers
            .resize(workers.len(), Worker::default());
        let before = self.reported_workers.iter();
        let rows = (workers.iter().zip(before))
            .map(|(total, before)| WorkerRow {
                total: *total,
                new: total.since(before),
            })
            .collect();
        self.reported_workers = workers;
        rows
    }

    fn flow_report(&mut self, top: usize, elapsed: Duration) -> Option<FlowReport> {
        let flows = self.flows.as_mut()?;
        let rows: Vec<FlowRow> = (flows.top(top).into_iter())
            .map(|(key, entry)| FlowRow {
                flow: *key,
                total: entry.total,
                rate: per_second(entry.new.0[0], elapsed),
            })
            .collect();
        let (other, new_other) = (flows.other, flows.new_other);
        let mut seen = other;
        for row in &rows {
            seen += row.total;
        }
        Some(FlowReport {
            unlisted: left(self.counted, seen),
            rows,
            other,
            new_other,
            table: flows.next(),
        })
    }
}

/// The rest of `all`, of which `seen` is a part.
fn left(all: Count, seen: Count) -> Count {
    Count {
        bytes: all.bytes - seen.bytes,
        packets: all.packets - seen.packets,
    }
}

#[cfg(test)]
mod tests;

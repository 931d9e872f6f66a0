//! A snapshot for a page: sums, counts and the largest rows.
//!
//! Names and meanings of the fields are those of the record, where it has them.

mod interfaces;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use self::interfaces::{InterfaceSum, interfaces};
use super::picture::Machine;
use crate::model::endpoint::Address;
use crate::model::filter::Filter;
use crate::model::flow::{Protocol, Totals};
use crate::model::snapshot::{AggregateRow, ProcessRow, ProtocolRow, Rates, Snapshot};
use crate::sink::record::{
    AnomalyRecord, CoverageRecord, LossRecord, anomalies, coverage, loss, rounded, rounded_seconds,
    time,
};

/// Most processes, most remote addresses and most interfaces.
const ROWS: usize = 50;

/// One interval. Bytes are cumulative, rates bytes/s.
#[derive(Serialize)]
pub struct Summary<'a> {
    time: String,
    interval_seconds: f64,
    host: &'a str,
    version: &'a str,
    engine: &'a str,
    threshold: f64,
    health: String,
    rates: AllRates,
    totals: Moved,
    counts: Counts,
    protocols: Vec<ProtocolSum>,
    processes: Vec<ProcessSum<'a>>,
    remotes: Vec<RemoteSum>,
    anomalies: Vec<AnomalyRecord<'a>>,
    loss: LossRecord,
    coverage: Option<CoverageRecord<'a>>,
    interfaces: Vec<InterfaceSum<'a>>,
}

#[derive(Serialize)]
struct AllRates {
    #[serde(flatten)]
    both: BothRates,
    smoothed_rate: f64,
}

#[derive(Serialize)]
struct Moved {
    tx_bytes: u64,
    rx_bytes: u64,
}

#[derive(Serialize)]
struct BothRates {
    tx_rate: f64,
    rx_rate: f64,
}

#[derive(Serialize)]
struct Counts {
    processes: usize,
    flows: usize,
    interfaces: usize,
}

#[derive(Serialize)]
struct ProtocolSum {
    protocol: Protocol,
    #[serde(flatten)]
    moved: Moved,
    #[serde(flatten)]
    rates: BothRates,
}

#[derive(Serialize)]
struct ProcessSum<'a> {
    pid: u32,
    name: &'a str,
    command: &'a str,
    user: &'a str,
    unit: Option<&'a str>,
    container: Option<&'a str>,
    #[serde(flatten)]
    moved: Moved,
    #[serde(flatten)]
    rates: AllRates,
    anomalous: bool,
    exited: bool,
}

#[derive(Serialize)]
struct RemoteSum {
    remote_address: Option<Address>,
    #[serde(flatten)]
    moved: Moved,
    #[serde(flatten)]
    rates: BothRates,
}

impl<'a> Summary<'a> {
    /// The summary of `snapshot`, with `protocols` that balance with its processes.
    pub fn new(
        snapshot: &'a Snapshot,
        protocols: &[ProtocolRow],
        machine: &'a Machine,
    ) -> Summary<'a> {
        let mut totals = Totals::default();
        let mut rates = Rates::default();
        for row in protocols {
            totals += row.totals;
            rates += row.rates;
        }
        Summary {
            time: time(snapshot.at.wall),
            interval_seconds: rounded_seconds(snapshot.interval),
            host: &machine.host,
            version: machine.version,
            engine: &snapshot.engine.name,
            threshold: snapshot.threshold,
            health: machine.health.text(),
            rates: all(rates),
            totals: moved(totals),
            counts: Counts {
                processes: snapshot.processes.len(),
                flows: snapshot.flows.len(),
                interfaces: snapshot.interfaces.len(),
            },
            protocols: protocols
                .iter()
                .map(|row| ProtocolSum {
                    protocol: row.protocol,
                    moved: moved(row.totals),
                    rates: both(row.rates),
                })
                .collect(),
            processes: processes(snapshot),
            remotes: remotes(snapshot),
            anomalies: anomalies(snapshot, &Filter::default().judge(snapshot)),
            loss: loss(snapshot),
            coverage: snapshot.coverage.as_ref().map(coverage),
            interfaces: interfaces(&snapshot.interfaces),
        }
    }
}

fn moved(totals: Totals) -> Moved {
    Moved {
        tx_bytes: totals.tx_bytes,
        rx_bytes: totals.rx_bytes,
    }
}

fn both(rates: Rates) -> BothRates {
    BothRates {
        tx_rate: rounded(rates.tx),
        rx_rate: rounded(rates.rx),
    }
}

fn all(rates: Rates) -> AllRates {
    AllRates {
        both: both(rates),
        smoothed_rate: rounded(rates.smoothed),
    }
}

/// The `ROWS` largest of `rows`, largest first: by rate, and where that is the same by
/// bytes.
fn largest<T>(rows: impl Iterator<Item = T>, of: impl Fn(&T) -> (f64, u64)) -> Vec<T> {
    // Rates are never negative: their bits are in the order of their values.
    let key = |row: &T| {
        let (rate, bytes) = of(row);
        Reverse((rate.to_bits(), bytes))
    };
    let mut rows: Vec<T> = rows.collect();
    if rows.len() > ROWS {
        rows.select_nth_unstable_by_key(ROWS, key);
        rows.truncate(ROWS);
    }
    rows.sort_by_key(key);
    rows
}

/// A process's row, or that of many in one.
enum Row<'a> {
    Process(&'a ProcessRow),
    Aggregate(&'a AggregateRow),
}

fn processes(snapshot: &Snapshot) -> Vec<ProcessSum<'_>> {
    let listed = snapshot.processes.iter().map(Row::Process);
    let rows = listed.chain(snapshot.aggregates.iter().map(Row::Aggregate));
    let size = |row: &Row<'_>| match row {
        Row::Process(row) => (row.rates.smoothed, row.totals.bytes()),
        Row::Aggregate(row) => (row.rates.smoothed, row.totals.bytes()),
    };
    let rows = largest(rows, size).into_iter();
    rows.map(|row| match row {
        Row::Process(row) => process(row),
        Row::Aggregate(row) => aggregate(row),
    })
    .collect()
}

fn process(row: &ProcessRow) -> ProcessSum<'_> {
    let who = &row.identity;
    ProcessSum {
        pid: row.id.pid,
        name: &who.name,
        command: &who.command,
        user: &who.user,
        unit: who.unit.as_deref(),
        container: who.container.as_deref(),
        moved: moved(row.totals),
        rates: all(row.rates),
        anomalous: row.anomalous,
        exited: row.exited,
    }
}

fn aggregate<'a>(row: &AggregateRow) -> ProcessSum<'a> {
    ProcessSum {
        pid: 0,
        name: row.name,
        command: "-",
        user: "-",
        unit: None,
        container: None,
        moved: moved(row.totals),
        rates: all(row.rates),
        anomalous: false,
        exited: row.name == "[exited]",
    }
}

fn remotes(snapshot: &Snapshot) -> Vec<RemoteSum> {
    let mut sums: BTreeMap<Option<Address>, (Totals, Rates)> = BTreeMap::new();
    for row in &snapshot.flows {
        let remote = row.key.remote.map(|end| end.address);
        let (totals, rates) = sums.entry(remote).or_default();
        *totals += row.totals;
        *rates += row.rates;
    }
    let size = |(_, (totals, rates)): &(_, (Totals, Rates))| (rates.tx + rates.rx, totals.bytes());
    let rows = largest(sums.into_iter(), size).into_iter();
    rows.map(|(remote_address, (totals, rates))| RemoteSum {
        remote_address,
        moved: moved(totals),
        rates: both(rates),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_bytes_decide_among_equals() {
        let rows = (0..200u64).map(|n| (f64::from(u32::try_from(n / 2).unwrap_or(0)), n));
        let found = largest(rows, |row| *row);
        assert_eq!(found.len(), ROWS);
        assert_eq!(found[..3], [(99.0, 199), (99.0, 198), (98.0, 197)]);
        assert_eq!(found.last(), Some(&(75.0, 150)));
        assert_eq!(
            largest([(0.0, 1), (0.0, 2)].into_iter(), |row| *row)[0].1,
            2
        );
    }
}

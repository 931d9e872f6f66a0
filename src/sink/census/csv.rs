//! A report as CSV rows (RFC 4180), one per total, table, address, flow and worker.
//!
//! Owns the columns. Counts are cumulative, but in rows `interval` and `worker_interval`
//! those of this interval, as rates and `new` always are; what a row has no value for is
//! empty.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use crate::model::census::report::{FlowReport, Report, TableState, Worker, WorkerRow};
use crate::model::census::tally::{BothWays, Count};
use crate::model::packet::protocol_name;
use crate::model::rate::per_second;
use crate::sink::record::time;
use crate::sink::stream::quoted;

/// The columns. In rows of flows `tx` is from `address` to `remote_address`; `entries`,
/// `new` and `limit` are those of the table of flows in row `flows`, else of the table of
/// addresses. `unreadable` are frames that end before their addresses, which `not_ip` has
/// as well.
pub(super) const HEADER: &str = "time,interface,kind,worker,address,port,remote_address,\
remote_port,protocol,tx_bytes,rx_bytes,tx_packets,rx_packets,tx_rate,rx_rate,dropped,ignored,\
not_ip,unreadable,freezes,entries,new,limit";

/// Fields of a row, in the order of the columns; what is left empty is empty.
#[derive(Default)]
struct Row {
    kind: &'static str,
    worker: Option<usize>,
    ends: [Option<(IpAddr, Option<u16>)>; 2],
    protocol: String,
    total: BothWays,
    rates: Option<(f64, f64)>,
    one_way: bool,
    losses: [Option<u64>; 5],
    /// Rows that are there, that are new, that there is room for.
    table: [Option<u64>; 3],
}

/// Writes the rows of one report.
pub(super) fn write(to: &mut dyn Write, report: &Report) -> io::Result<()> {
    let prefix = format!("{},{}", time(report.at.wall), quoted(&report.interface));
    let mut row = |row: Row| line(to, &prefix, &row);
    let new = report.table.new;
    for (kind, frames, of, table) in [
        ("total", &report.frames, TOTAL, state(&report.table)),
        ("interval", &report.new, NEW, [None, Some(new), None]),
    ] {
        let sum =
            |number: fn(&Worker) -> u64| Some(report.workers.iter().map(of).map(number).sum());
        row(Row {
            kind,
            total: same(frames.counted),
            rates: Some(twice(report.new.counted.bytes, report.elapsed)),
            losses: [
                Some(frames.dropped),
                Some(frames.ignored),
                frames.not_ip,
                sum(|worker| worker.unreadable),
                sum(|worker| worker.freezes),
            ],
            table,
            ..Row::default()
        })?;
    }
    for listed in &report.addresses {
        row(Row {
            kind: "address",
            ends: [Some((listed.address, None)), None],
            total: listed.total,
            rates: Some((listed.tx_rate, listed.rx_rate)),
            ..Row::default()
        })?;
    }
    row(Row {
        kind: "unlisted",
        total: report.unlisted.total,
        ..Row::default()
    })?;
    let new = &report.new_other;
    row(Row {
        kind: "other",
        total: report.other,
        rates: Some((
            per_second(new.tx.bytes, report.elapsed),
            per_second(new.rx.bytes, report.elapsed),
        )),
        ..Row::default()
    })?;
    if let Some(report) = &report.flows {
        flows(report, &mut row)?;
    }
    for (worker, did) in report.workers.iter().enumerate() {
        let new = Some(did.new.entries);
        for (kind, did, table) in [
            ("worker", &did.total, [Some(did.total.entries), new, None]),
            ("worker_interval", &did.new, [None, new, None]),
        ] {
            row(Row {
                kind,
                worker: Some(worker),
                total: same(did.counted),
                losses: [
                    Some(did.dropped),
                    None,
                    None,
                    Some(did.unreadable),
                    Some(did.freezes),
                ],
                table,
                ..Row::default()
            })?;
        }
    }
    Ok(())
}

/// What a worker did in all, and in this interval.
const TOTAL: fn(&WorkerRow) -> &Worker = |row| &row.total;
const NEW: fn(&WorkerRow) -> &Worker = |row| &row.new;

fn state(table: &TableState) -> [Option<u64>; 3] {
    [table.entries, table.new, table.limit].map(Some)
}

fn flows(report: &FlowReport, row: &mut dyn FnMut(Row) -> io::Result<()>) -> io::Result<()> {
    row(Row {
        kind: "flows",
        one_way: true,
        table: state(&report.table),
        total: one_way(report.rows.iter().fold(
            Count {
                bytes: report.unlisted.bytes + report.other.bytes,
                packets: report.unlisted.packets + report.other.packets,
            },
            |mut sum, listed| {
                sum += listed.total;
                sum
            },
        )),
        ..Row::default()
    })?;
    for listed in &report.rows {
        let (flow, ports) = (listed.flow, listed.flow.ports());
        row(Row {
            kind: "flow",
            ends: [
                Some((flow.source.address(), ports.map(|ports| ports.0))),
                Some((flow.destination.address(), ports.map(|ports| ports.1))),
            ],
            protocol: protocol_name(flow.protocol()).into_owned(),
            one_way: true,
            total: one_way(listed.total),
            rates: Some((listed.rate, 0.0)),
            ..Row::default()
        })?;
    }
    for (kind, total) in [
        ("unlisted_flows", report.unlisted),
        ("other_flows", report.other),
    ] {
        row(Row {
            kind,
            one_way: true,
            total: one_way(total),
            ..Row::default()
        })?;
    }
    Ok(())
}

/// What was sent was received.
fn same(count: Count) -> BothWays {
    BothWays {
        tx: count,
        rx: count,
    }
}

fn one_way(count: Count) -> BothWays {
    BothWays {
        tx: count,
        rx: Count::default(),
    }
}

fn twice(bytes: u64, elapsed: Duration) -> (f64, f64) {
    let rate = per_second(bytes, elapsed);
    (rate, rate)
}

fn line(to: &mut dyn Write, prefix: &str, row: &Row) -> io::Result<()> {
    write!(to, "{prefix},{},{}", row.kind, optional(row.worker))?;
    for end in row.ends {
        let (address, port) = end.unzip();
        write!(to, ",{},{}", optional(address), optional(port.flatten()))?;
    }
    write!(to, ",{}", row.protocol)?;
    let BothWays { tx, rx } = row.total;
    let received = |number: u64| optional((!row.one_way).then_some(number));
    write!(to, ",{},{}", tx.bytes, received(rx.bytes))?;
    write!(to, ",{},{}", tx.packets, received(rx.packets))?;
    let rate = |rate: Option<f64>| rate.map_or_else(String::new, |rate| format!("{rate:.2}"));
    let (tx, rx) = row.rates.unzip();
    write!(to, ",{},{}", rate(tx), rate(rx.filter(|_| !row.one_way)))?;
    for loss in row.losses {
        write!(to, ",{}", optional(loss))?;
    }
    for number in row.table {
        write!(to, ",{}", optional(number))?;
    }
    writeln!(to)
}

fn optional(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

//! A report as tables of at most 80 columns, for a person.
//!
//! Owns columns and words. Largest of the interval first, as the report has them.

use std::io::{self, Write};

use crate::model::census::report::{FlowReport, FlowRow, Frames, Report, TableState};
use crate::model::census::tally::{BothWays, Count};
use crate::model::endpoint::{Endpoint, printable};
use crate::model::packet::protocol_name;
use crate::model::rate::per_second;
use crate::model::units::{Unit, amount, rate};
use crate::sink::record::time;

/// Columns of an address, at least and at most: `255.255.255.255`, and what the numbers
/// leave. A longer one has a line of its own above them.
const ADDRESS: [usize; 2] = [15, 28];
/// Columns of a flow's two ends beside its numbers.
const ENDS: usize = 34;
/// Columns of a line.
const LINE: usize = 80;

/// Writes one report and an empty line.
pub(super) fn write(to: &mut dyn Write, report: &Report, workers: bool) -> io::Result<()> {
    let name: String = printable(&report.interface).collect();
    let seconds = report.elapsed.as_secs_f64();
    writeln!(to, "{}  {name}  {seconds:.1} s", time(report.at.wall))?;
    frames(to, report)?;
    addresses(to, report)?;
    if let Some(report) = &report.flows {
        flows(to, report)?;
    }
    if workers {
        lines(to, report)?;
    }
    writeln!(to)
}

/// What became of all frames, in this interval and since the beginning.
fn frames(to: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(
        to,
        "         {:>10} {:>13} {:>13} {:>13} {:>13}",
        "BYTES", "PACKETS", "DROPPED", "IGNORED", "NOT IP"
    )?;
    let mut row = |name: &str, frames: &Frames| {
        writeln!(
            to,
            "{name:<8} {:>10} {:>13} {:>13} {:>13} {:>13}",
            amount(frames.counted.bytes, Unit::Bytes),
            frames.counted.packets,
            frames.dropped,
            frames.ignored,
            (frames.not_ip).map_or_else(|| "-".to_owned(), |not_ip| not_ip.to_string()),
        )
    };
    row("interval", &report.new)?;
    row("all", &report.frames)
}

/// How full a table is, with the words of what it holds.
fn fill(table: &TableState, what: &str) -> String {
    let full = match table.entries == table.limit {
        true => ", full",
        false => "",
    };
    format!(
        "{} {what}, {} new (room for {}{full})",
        table.entries, table.new, table.limit
    )
}

/// A row, whose name has a line of its own if it is longer than its column.
fn named(to: &mut dyn Write, name: &str, width: usize, numbers: &str) -> io::Result<()> {
    if name.len() <= width {
        return writeln!(to, "{name:<width$} {numbers}");
    }
    writeln!(to, "{name}")?;
    writeln!(to, "{:<width$} {numbers}", "")
}

fn addresses(to: &mut dyn Write, report: &Report) -> io::Result<()> {
    let rows: Vec<_> = (report.addresses.iter())
        .map(|row| (row.address.to_string(), row))
        .collect();
    let longest = rows.iter().map(|(address, _)| address.len()).max();
    let width = longest.unwrap_or(0).clamp(ADDRESS[0], ADDRESS[1]);
    writeln!(to, "{}", fill(&report.table, "addresses"))?;
    writeln!(
        to,
        "{:<width$} {:>12} {:>12} {:>10} {:>13}",
        "ADDRESS", "TX", "RX", "TOTAL", "PACKETS"
    )?;
    let mut line = |name: &str, rates: Option<(f64, f64)>, total: &BothWays| {
        let (tx, rx) = rates
            .map(|(tx, rx)| (rate(tx, Unit::Bytes), rate(rx, Unit::Bytes)))
            .unzip();
        let cell = |text: Option<_>| text.map_or_else(String::new, |text: _| format!("{text}"));
        let numbers = format!(
            "{:>12} {:>12} {:>10} {:>13}",
            cell(tx),
            cell(rx),
            amount(total.tx.bytes + total.rx.bytes, Unit::Bytes),
            total.tx.packets + total.rx.packets,
        );
        named(to, name, width, &numbers)
    };
    for (address, row) in &rows {
        line(address, Some((row.tx_rate, row.rx_rate)), &row.total)?;
    }
    if report.unlisted.rows > 0 {
        let name = format!("{} more", report.unlisted.rows);
        line(&name, None, &report.unlisted.total)?;
    }
    if report.other != BothWays::default() {
        let per_second = |bytes| per_second(bytes, report.elapsed);
        let (tx, rx) = (report.new_other.tx.bytes, report.new_other.rx.bytes);
        let rates = (per_second(tx), per_second(rx));
        line("other", Some(rates), &report.other)?;
    }
    Ok(())
}

fn flows(to: &mut dyn Write, report: &FlowReport) -> io::Result<()> {
    writeln!(to, "{}", fill(&report.table, "flows"))?;
    writeln!(
        to,
        "{:<ENDS$} {:<7} {:>12} {:>10} {:>13}",
        "FLOW", "", "RATE", "TOTAL", "PACKETS"
    )?;
    let numbers = |protocol: &str, speed: &str, total: &Count| {
        let (bytes, packets) = (amount(total.bytes, Unit::Bytes), total.packets);
        format!("{protocol:<7} {speed:>12} {bytes:>10} {packets:>13}")
    };
    for row in &report.rows {
        let protocol = protocol_name(row.flow.protocol());
        let numbers = numbers(&protocol, &rate(row.rate, Unit::Bytes), &row.total);
        let (source, destination) = ends(row);
        let both = format!("{source} > {destination}");
        if both.len() <= LINE {
            named(to, &both, ENDS, &numbers)?;
        } else {
            writeln!(to, "{source}")?;
            named(to, &format!("  > {destination}"), ENDS, &numbers)?;
        }
    }
    if report.unlisted.packets > 0 {
        let more = report.table.entries - report.rows.len() as u64;
        let numbers = numbers("", "", &report.unlisted);
        named(to, &format!("{more} more"), ENDS, &numbers)?;
    }
    if report.other.packets > 0 {
        named(to, "other", ENDS, &numbers("", "", &report.other))?;
    }
    Ok(())
}

fn ends(row: &FlowRow) -> (String, String) {
    let (source, destination) = row.flow.ports().unwrap_or_default();
    let end = |address: std::net::IpAddr, port| {
        let address = address.into();
        Endpoint { address, port }.to_string()
    };
    (
        end(row.flow.source.address(), source),
        end(row.flow.destination.address(), destination),
    )
}

/// What each worker did, in this interval and since the beginning.
fn lines(to: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(
        to,
        "{:<12} {:>10} {:>13} {:>13} {:>7} {:>10} {:>9}",
        "WORKER", "BYTES", "PACKETS", "DROPPED", "FREEZES", "UNREADABLE", "ADDRESSES"
    )?;
    for (number, worker) in report.workers.iter().enumerate() {
        for (span, did) in [("interval", &worker.new), ("all", &worker.total)] {
            writeln!(
                to,
                "{number:<3} {span:<8} {:>10} {:>13} {:>13} {:>7} {:>10} {:>9}",
                amount(did.counted.bytes, Unit::Bytes),
                did.counted.packets,
                did.dropped,
                did.freezes,
                did.unreadable,
                did.entries,
            )?;
        }
    }
    Ok(())
}

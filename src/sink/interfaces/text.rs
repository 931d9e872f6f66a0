//! A report as a table for a person, 80 columns wide.

use std::io::{self, Write};
use std::time::Duration;

use crate::model::flow::Endpoint;
use crate::model::interface::{Class, Interface, InterfaceReport, Sampled, WayPace, WireFlowRow};
use crate::model::packet::protocol_name;
use crate::model::units::{self, SHORT_WIDTH, Unit, short};
use crate::sink::record::time;

/// Columns of the longest name of an interface.
const NAME_WIDTH: usize = 15;

/// Columns of a number and the blank before it.
const CELL: usize = SHORT_WIDTH + 1;

/// Writes one report and an empty line after it. Rates are in bits, as links are sold.
pub fn write(to: &mut dyn Write, report: &InterfaceReport) -> io::Result<()> {
    writeln!(
        to,
        "{}  {:.1} s  bit/s, packets/s; HTTP(S) is part of TCP, UDP",
        time(report.at.wall),
        report.interval.as_secs_f64(),
    )?;
    write!(to, "{:<NAME_WIDTH$}   ", "INTERFACE")?;
    for title in [
        "RATE", "PACKETS", "TCP", "UDP", "ICMP", "OTHER", "HTTP", "HTTPS",
    ] {
        write!(to, "{title:>width$}", width = CELL.max(title.len() + 1))?;
    }
    writeln!(to)?;
    for row in &report.interfaces {
        if let Some(sampled) = &row.sampled {
            interface(to, row, sampled)?;
        }
    }
    if report.interfaces.is_empty() {
        writeln!(to, "no interface that is up")?;
    }
    if !report.flows.is_empty() {
        flows(to, report)?;
    }
    writeln!(to)
}

fn interface(to: &mut dyn Write, row: &Interface, sampled: &Sampled) -> io::Result<()> {
    direction(to, &row.name, "rx", &sampled.rx_pace)?;
    direction(to, "", "tx", &sampled.tx_pace)?;
    let rate = |rate| units::rate(rate, Unit::Bits);
    writeln!(
        to,
        "  both: average {}, peak {}, {} in {}",
        rate(sampled.average()),
        rate(sampled.peak),
        units::amount(sampled.tx.all().bytes + sampled.rx.all().bytes, Unit::Bytes),
        uptime(sampled.uptime),
    )
}

fn direction(to: &mut dyn Write, name: &str, direction: &str, pace: &WayPace) -> io::Result<()> {
    write!(to, "{name:<NAME_WIDTH$} {direction}")?;
    let bits = |class| pace.of(class).bytes * 8.0;
    let all = pace.all();
    write!(to, "{:>CELL$}", short(all.bytes * 8.0))?;
    // Its title is wider than a number.
    write!(to, "{:>width$}", short(all.packets), width = CELL + 1)?;
    for rate in [
        bits(Class::Tcp),
        bits(Class::Udp),
        bits(Class::Icmp),
        bits(Class::OtherIp) + bits(Class::NotIp),
        bits(Class::Http),
        bits(Class::Https),
    ] {
        write!(to, "{:>CELL$}", short(rate))?;
    }
    writeln!(to)
}

/// The flows that moved most; only an IPv6 address may take more than 80 columns.
fn flows(to: &mut dyn Write, report: &InterfaceReport) -> io::Result<()> {
    writeln!(
        to,
        "{:>SHORT_WIDTH$}{:>CELL$} {:<4} {:<10} SOURCE > DESTINATION",
        "FORTH", "BACK", "PROT", "INTERFACE"
    )?;
    for row in &report.flows {
        let WireFlowRow { flow, .. } = row;
        let name = report.interface(flow.index).map_or("-", |row| &*row.name);
        let end = |(address, port)| Endpoint { address, port };
        writeln!(
            to,
            "{:>SHORT_WIDTH$}{:>CELL$} {:<4} {name:<10} {} > {}",
            short(row.forth.bytes * 8.0),
            short(row.back.bytes * 8.0),
            protocol_name(flow.protocol),
            end(flow.source),
            end(flow.destination),
        )?;
    }
    Ok(())
}

/// `1m 12s`, without parts of a second.
fn uptime(time: Duration) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    format!("{:#}", jiff::SignedDuration::from_secs(seconds))
}

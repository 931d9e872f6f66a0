//! A report as CSV: a row per interface and direction, one per flow and direction.

use std::io::{self, Write};

use crate::model::flow::Address;
use crate::model::interface::{
    Class, Count, Interface, InterfaceReport, Pace, Sampled, Way, WayPace, WireFlowRow,
};
use crate::model::packet::protocol_name;
use crate::sink::record::time;
use crate::sink::stream::quoted;

/// What stands before a row's numbers. `direction` is `rx` or `tx` of an interface, `forth`
/// or `back` of a flow.
const ROW: &str = "time,sequence,kind,interface,index,direction,protocol,source_address,\
source_port,destination_address,destination_port";

/// What stands at the end of an interface's rows, of both directions together.
const BOTH: &str = "average_rate,peak_rate,uptime_seconds";

/// The header line: what was counted of all packets, of frames, of each class.
pub fn header(to: &mut dyn Write) -> io::Result<()> {
    write!(to, "{ROW},packets,bytes,packet_rate,rate")?;
    for name in ["frames"].into_iter().chain(Class::ALL.map(Class::name)) {
        write!(
            to,
            ",{name}_packets,{name}_bytes,{name}_packet_rate,{name}_rate"
        )?;
    }
    writeln!(to, ",{BOTH}")
}

/// The rows of one report.
pub fn write(to: &mut dyn Write, report: &InterfaceReport) -> io::Result<()> {
    let prefix = format!("{},{}", time(report.at.wall), report.sequence);
    for row in &report.interfaces {
        if let Some(sampled) = &row.sampled {
            let rx = ("rx", &sampled.rx, &sampled.rx_pace);
            let tx = ("tx", &sampled.tx, &sampled.tx_pace);
            for (direction, way, pace) in [rx, tx] {
                interface(to, &prefix, row, sampled, (direction, way, pace))?;
            }
        }
    }
    for row in &report.flows {
        flow(to, &prefix, report, row)?;
    }
    Ok(())
}

fn interface(
    to: &mut dyn Write,
    prefix: &str,
    row: &Interface,
    sampled: &Sampled,
    (direction, way, pace): (&str, &Way, &WayPace),
) -> io::Result<()> {
    let (name, index) = (quoted(&row.name), row.index);
    write!(to, "{prefix},interface,{name},{index},{direction},,,,,")?;
    numbers(to, way.all(), pace.all())?;
    numbers(to, way.frames, pace.frames)?;
    for class in Class::ALL {
        numbers(to, way.of(class), pace.of(class))?;
    }
    let (average, peak) = (sampled.average(), sampled.peak);
    let uptime = sampled.uptime.as_secs_f64();
    writeln!(to, ",{average:.2},{peak:.2},{uptime:.4}")
}

fn numbers(to: &mut dyn Write, count: Count, pace: Pace) -> io::Result<()> {
    let (Count { packets, bytes }, rate) = (count, pace.bytes);
    write!(to, ",{packets},{bytes},{:.2},{rate:.2}", pace.packets)
}

fn flow(
    to: &mut dyn Write,
    prefix: &str,
    report: &InterfaceReport,
    row: &WireFlowRow,
) -> io::Result<()> {
    let flow = &row.flow;
    let name = report.interface(flow.index).map_or("", |row| &*row.name);
    let (name, index) = (quoted(name), flow.index);
    let ends = format!("{},{}", end(flow.source), end(flow.destination));
    for (direction, count, pace) in [
        ("forth", row.totals.forth, row.forth),
        ("back", row.totals.back, row.back),
    ] {
        let protocol = protocol_name(flow.protocol);
        write!(
            to,
            "{prefix},flow,{name},{index},{direction},{protocol},{ends}"
        )?;
        numbers(to, count, pace)?;
        // Of frames, of classes, of both directions there is nothing.
        writeln!(to, "{}", ",".repeat(4 * (1 + Class::COUNT) + 3))?;
    }
    Ok(())
}

/// Address and port as CSV fields.
fn end((address, port): (Address, u16)) -> String {
    let address = quoted(&address.to_string());
    match port {
        0 => format!("{address},"),
        port => format!("{address},{port}"),
    }
}

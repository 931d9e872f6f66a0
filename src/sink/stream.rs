//! `netmon stream`: snapshots on a writer, as JSON Lines, CSV or text.
//!
//! Owns the three formats. Neither samples nor decides when to write.

use std::io::{self, Write};

use super::books::Books;
use super::record::{Record, time};
use crate::model::endpoint::printable;
use crate::model::filter::Filter;
use crate::model::flow::{Endpoint, Totals};
use crate::model::interface::{Class, Interface, Sampled};
use crate::model::snapshot::{ProtocolRow, Rates, Snapshot};
use crate::model::tcp::TcpHealth;
use crate::model::units::{self, Unit};

/// What a record looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// One row per protocol, process and flow, below a header line. Interfaces have rows
    /// only where a sampler was asked for: a reader that takes whatever is no protocol for
    /// a process's would count them.
    Csv,
    /// A table for reading.
    Text,
}

/// Columns of the CSV format; `ended` is `exited` of a process and `closed` of a flow. What
/// comes after `anomalous` is how the connection of a flow fares, empty elsewhere. Of an
/// interface `name` is its name, and its operations are packets; without a protocol it is
/// what the interface counts, with one what its sampler told apart.
const CSV_HEADER: &str = "time,sequence,kind,pid,name,user,protocol,local_address,local_port,\
remote_address,remote_port,tx_bytes,rx_bytes,tx_operations,rx_operations,tx_rate,rx_rate,\
smoothed_rate,ended,anomalous,rtt_us,rtt_variance_us,retransmits,lost,congestion_window,send_mss";

/// Most interfaces of a record in the text format.
const TEXT_INTERFACES: usize = 10;

/// Writes snapshots that pass `filter` to `to`, flushed one by one.
pub struct Stream<W: Write> {
    to: W,
    format: Format,
    filter: Filter,
    books: Books,
    started: bool,
}

impl<W: Write> Stream<W> {
    /// A stream that has written nothing yet.
    pub fn new(to: W, format: Format, filter: Filter) -> Stream<W> {
        Stream {
            to,
            format,
            filter,
            books: Books::default(),
            started: false,
        }
    }

    /// Writes one snapshot.
    ///
    /// # Errors
    /// Those of the writer; `BrokenPipe` means the reader has seen enough.
    pub fn write(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let protocols = self.books.protocols(snapshot);
        match self.format {
            Format::Json => {
                let record = Record::new(snapshot, &protocols, &self.filter);
                serde_json::to_writer(&mut self.to, &record)?;
                writeln!(self.to)?;
            }
            Format::Csv => self.csv(snapshot, &protocols)?,
            Format::Text => self.text(snapshot)?,
        }
        self.started = true;
        self.to.flush()
    }

    fn csv(&mut self, snapshot: &Snapshot, protocols: &[ProtocolRow]) -> io::Result<()> {
        if !self.started {
            writeln!(self.to, "{CSV_HEADER}")?;
        }
        let prefix = format!("{},{}", time(snapshot.at.wall), snapshot.sequence);
        for row in protocols {
            write!(self.to, "{prefix},protocol,,,,{},,,,,", row.protocol)?;
            self.csv_numbers(&row.totals, &row.rates, [false, false], None)?;
        }
        for row in &snapshot.interfaces {
            self.csv_interface(&prefix, row)?;
        }
        let judge = self.filter.judge(snapshot);
        for (row, _) in snapshot
            .processes
            .iter()
            .zip(judge.processes())
            .filter(|(_, s)| *s)
        {
            let name = quoted(&row.identity.name);
            let user = quoted(&row.identity.user);
            write!(
                self.to,
                "{prefix},process,{},{name},{user},,,,,,",
                row.id.pid
            )?;
            self.csv_numbers(&row.totals, &row.rates, [row.exited, row.anomalous], None)?;
        }
        if self.filter.is_empty() {
            for row in &snapshot.aggregates {
                write!(self.to, "{prefix},process,0,{},-,,,,,,", row.name)?;
                let exited = row.name == "[exited]";
                self.csv_numbers(&row.totals, &row.rates, [exited, false], None)?;
            }
        }
        for row in &snapshot.flows {
            let Some(process) = snapshot.process_of(row) else {
                continue;
            };
            if !judge.shows(row) {
                continue;
            }
            let (local, local_port) = csv_end(row.key.local);
            let (remote, remote_port) = csv_end(row.key.remote);
            write!(
                self.to,
                "{prefix},flow,{},{},{},{},{local},{local_port},{remote},{remote_port},",
                process.id.pid,
                quoted(&process.identity.name),
                quoted(&process.identity.user),
                row.key.protocol,
            )?;
            self.csv_numbers(
                &row.totals,
                &row.rates,
                [row.closed, row.anomalous],
                row.tcp.as_ref(),
            )?;
        }
        Ok(())
    }

    /// An interface that is sampled.
    fn csv_interface(&mut self, prefix: &str, row: &Interface) -> io::Result<()> {
        let Some(sampled) = &row.sampled else {
            return Ok(());
        };
        let name = quoted(&row.name);
        write!(self.to, "{prefix},interface,,{name},,,,,,,")?;
        self.csv_numbers(&row.totals, &row.rates, [false, false], None)?;
        for class in Class::ALL {
            let (tx, rx) = (sampled.tx.of(class), sampled.rx.of(class));
            let (tx_pace, rx_pace) = (sampled.tx_pace.of(class), sampled.rx_pace.of(class));
            writeln!(
                self.to,
                "{prefix},interface,,{name},,{},,,,,{},{},{},{},{:.2},{:.2},,false,false,,,,,,",
                class.name(),
                tx.bytes,
                rx.bytes,
                tx.packets,
                rx.packets,
                tx_pace.bytes,
                rx_pace.bytes,
            )?;
        }
        Ok(())
    }

    fn csv_numbers(
        &mut self,
        totals: &Totals,
        rates: &Rates,
        [ended, anomalous]: [bool; 2],
        tcp: Option<&TcpHealth>,
    ) -> io::Result<()> {
        write!(
            self.to,
            "{},{},{},{},{:.2},{:.2},{:.2},{ended},{anomalous},",
            totals.tx_bytes,
            totals.rx_bytes,
            totals.tx_operations,
            totals.rx_operations,
            rates.tx,
            rates.rx,
            rates.smoothed,
        )?;
        let Some(tcp) = tcp else {
            return writeln!(self.to, ",,,,,");
        };
        writeln!(
            self.to,
            "{},{},{},{},{},{}",
            tcp.rtt_us,
            tcp.rtt_variance_us,
            tcp.retransmits,
            tcp.lost,
            tcp.congestion_window,
            tcp.send_mss,
        )
    }

    /// The flows that moved something in the interval, fastest first.
    fn text(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let (totals, rates) = snapshot.overall();
        let size = |bytes| units::amount(bytes, Unit::Bytes).to_string();
        let rate = |rate| units::rate(rate, Unit::Bytes).to_string();
        write!(
            self.to,
            "{}  tx {} rx {}  total tx {} rx {}  {} processes {} flows  engine {}",
            time(snapshot.at.wall),
            rate(rates.tx),
            rate(rates.rx),
            size(totals.tx_bytes),
            size(totals.rx_bytes),
            snapshot.processes.len(),
            snapshot.flows.len(),
            snapshot.engine.name,
        )?;
        let loss = &snapshot.loss;
        if loss.untracked_flow_bytes > 0 {
            write!(
                self.to,
                "  without flow {}",
                size(loss.untracked_flow_bytes)
            )?;
        }
        if loss.missed_events > 0 {
            write!(self.to, "  missed events {}", loss.missed_events)?;
        }
        if let Some(coverage) = &snapshot.coverage {
            let (tx, rx) = (coverage.tx.wire_bytes, coverage.rx.wire_bytes);
            write!(self.to, "  wire tx {} rx {}", size(tx), size(rx))?;
            if let Some(explained) = coverage.explained() {
                // Downwards: 100 % means all.
                write!(self.to, " explained {:.0} %", (explained * 100.0).floor())?;
            }
        }
        writeln!(
            self.to,
            "\n{:>8} {:<16} {:<7} {:<28} {:<28} {:>13} {:>13} {:>12}",
            "PID", "NAME", "PROTO", "LOCAL", "REMOTE", "TX", "RX", "TOTAL"
        )?;
        let judge = self.filter.judge(snapshot);
        let mut flows: Vec<_> = snapshot
            .flows
            .iter()
            .filter(|row| row.rates.tx + row.rates.rx > 0.0)
            .filter(|row| judge.shows(row))
            .filter_map(|row| Some((row, snapshot.process_of(row)?)))
            .collect();
        let speed = |rates: &Rates| rates.tx + rates.rx;
        flows.sort_by(|(a, _), (b, _)| {
            speed(&b.rates)
                .total_cmp(&speed(&a.rates))
                .then(a.key.cmp(&b.key))
        });
        for (row, process) in flows {
            writeln!(
                self.to,
                "{:>8} {:<16} {:<7} {:<28} {:<28} {:>13} {:>13} {:>12}{}",
                process.id.pid,
                // Chosen by the process: nothing in it may steer a terminal.
                printable(&process.identity.name).collect::<String>(),
                row.key.protocol.name(),
                text_end(row.key.local),
                text_end(row.key.remote),
                rate(row.rates.tx),
                rate(row.rates.rx),
                size(row.totals.bytes()),
                if row.anomalous { " !" } else { "" },
            )?;
        }
        self.text_interfaces(&snapshot.interfaces)?;
        writeln!(self.to)
    }

    /// The interfaces that moved something in the interval, fastest first. No filter
    /// hides one: they speak of the machine.
    fn text_interfaces(&mut self, interfaces: &[Interface]) -> io::Result<()> {
        let speed = |row: &Interface| row.rates.tx + row.rates.rx;
        let mut rows: Vec<&Interface> = interfaces.iter().filter(|row| speed(row) > 0.0).collect();
        if rows.is_empty() {
            return Ok(());
        }
        rows.sort_by(|a, b| speed(b).total_cmp(&speed(a)).then(a.index.cmp(&b.index)));
        let rate = |rate| units::rate(rate, Unit::Bytes).to_string();
        writeln!(
            self.to,
            "{:>8} {:<16} {:>13} {:>13} {:>12} {:>12} {:>13} {:>12}",
            "", "INTERFACE", "TX", "RX", "TX PKT/s", "RX PKT/s", "PEAK", "TOTAL"
        )?;
        for row in rows.iter().take(TEXT_INTERFACES) {
            writeln!(
                self.to,
                "{:>8} {:<16} {:>13} {:>13} {:>12.1} {:>12.1} {:>13} {:>12}",
                "",
                row.name,
                rate(row.rates.tx),
                rate(row.rates.rx),
                row.tx_packets,
                row.rx_packets,
                rate(row.peak),
                units::amount(row.totals.bytes(), Unit::Bytes).to_string(),
            )?;
            if let Some(sampled) = &row.sampled {
                writeln!(self.to, "{:>8} {}", "", classes(sampled))?;
            }
        }
        match rows.len().saturating_sub(TEXT_INTERFACES) {
            0 => Ok(()),
            more => writeln!(self.to, "{:>8} and {more} more", ""),
        }
    }
}

/// What a sampler told apart in the interval, both directions together.
fn classes(sampled: &Sampled) -> String {
    let rate = |class| sampled.tx_pace.of(class).bytes + sampled.rx_pace.of(class).bytes;
    let moved = Class::ALL.into_iter().filter(|class| rate(*class) > 0.0);
    let words = moved.map(|class| {
        let rate = units::rate(rate(class), Unit::Bytes);
        format!("{} {rate}", class.name())
    });
    format!("  {}", words.collect::<Vec<_>>().join(", "))
}

/// A CSV field (RFC 4180).
pub fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// Address and port as CSV fields; the address may be an interface's name.
fn csv_end(end: Option<Endpoint>) -> (String, String) {
    let Some(Endpoint { address, port }) = end else {
        return (String::new(), String::new());
    };
    let port = match port {
        0 => String::new(),
        port => port.to_string(),
    };
    (quoted(&address.to_string()), port)
}

fn text_end(end: Option<Endpoint>) -> String {
    end.map_or_else(|| "-".to_owned(), |end| end.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::endpoint::Address;

    #[test]
    fn csv_fields_are_quoted_where_needed() {
        assert_eq!(quoted("curl"), "curl");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"hi\"\n"), "\"say \"\"hi\"\"\n\"");
    }

    #[test]
    fn ends_are_csv_fields() {
        let field = |address, port| csv_end(Some(Endpoint { address, port }));
        let both = |address: &str, port: &str| (address.to_owned(), port.to_owned());
        let interface = |name: &str| Address::Interface(name.parse().unwrap());
        assert_eq!(csv_end(None), both("", ""));
        assert_eq!(field(interface("eth0"), 0), both("eth0", ""));
        assert_eq!(field(interface("a,\"b"), 0), both("\"a,\"\"b\"", ""));
        let address = "2001:db8::1".parse().unwrap();
        assert_eq!(field(address, 443), both("2001:db8::1", "443"));
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let shown: String = printable("\x1b[2Jevil").collect();
        assert_eq!(shown, "?[2Jevil");
    }
}

//! A report as one JSON object on a line (schema 1).
//!
//! Names and meanings of the fields are a contract: counts are cumulative since the
//! capture began, those in `delta` and all rates (bytes per second) of this interval.
//! Over `addresses`, `unlisted` and `other` the packets and bytes sum up to those of
//! the whole, sent and received alike; so do `flows`, `unlisted_flows`, `other_flows`.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use crate::model::census::report::{
    AddressRow, FlowReport, FlowRow, Frames, Report, TableState, Worker,
};
use crate::model::census::tally::{BothWays, Count};
use crate::model::packet::protocol_name;
use crate::model::rate::per_second;
use crate::sink::record::{rounded, time};

const SCHEMA: u32 = 1;

#[derive(Debug, Serialize)]
struct ReportRecord<'a> {
    schema: u32,
    time: String,
    interval_seconds: f64,
    interface: &'a str,
    #[serde(flatten)]
    frames: FramesRecord,
    delta: FramesRecord,
    addresses: Vec<AddressRecord>,
    unlisted: UnlistedRecord,
    other: OtherRecord,
    flows: Option<Vec<FlowRecord>>,
    unlisted_flows: Option<CountRecord>,
    other_flows: Option<CountRecord>,
    table: TableRecord,
    flow_table: Option<TableRecord>,
    workers: Vec<WorkerRecord>,
}

#[derive(Debug, Serialize)]
struct FramesRecord {
    #[serde(flatten)]
    counted: CountRecord,
    dropped: u64,
    ignored: u64,
    /// `null` where they are left out uncounted.
    not_ip: Option<u64>,
}

#[derive(Debug, Serialize)]
struct CountRecord {
    packets: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct WaysRecord {
    tx_bytes: u64,
    rx_bytes: u64,
    tx_packets: u64,
    rx_packets: u64,
}

#[derive(Debug, Serialize)]
struct AddressRecord {
    address: IpAddr,
    #[serde(flatten)]
    total: WaysRecord,
    tx_rate: f64,
    rx_rate: f64,
}

#[derive(Debug, Serialize)]
struct UnlistedRecord {
    addresses: u64,
    #[serde(flatten)]
    total: WaysRecord,
}

#[derive(Debug, Serialize)]
struct OtherRecord {
    #[serde(flatten)]
    total: WaysRecord,
    tx_rate: f64,
    rx_rate: f64,
}

#[derive(Debug, Serialize)]
struct FlowRecord {
    protocol: String,
    source: IpAddr,
    source_port: Option<u16>,
    destination: IpAddr,
    destination_port: Option<u16>,
    #[serde(flatten)]
    total: CountRecord,
    rate: f64,
}

#[derive(Debug, Serialize)]
struct TableRecord {
    entries: u64,
    new: u64,
    limit: u64,
}

#[derive(Debug, Serialize)]
struct WorkerRecord {
    worker: usize,
    #[serde(flatten)]
    total: WorkRecord,
    delta: WorkRecord,
}

#[derive(Debug, Serialize)]
struct WorkRecord {
    #[serde(flatten)]
    counted: CountRecord,
    dropped: u64,
    freezes: u64,
    /// Frames that it was given and that end before their addresses; `not_ip` of the
    /// whole has them, too.
    unreadable: u64,
    /// Rows of the table of addresses that it brought.
    entries: u64,
}

/// Writes one line.
pub(super) fn write(to: &mut dyn Write, report: &Report) -> io::Result<()> {
    serde_json::to_writer(&mut *to, &record(report))?;
    writeln!(to)
}

fn record(report: &Report) -> ReportRecord<'_> {
    let flows = report.flows.as_ref();
    let workers = report.workers.iter().enumerate();
    let rate = |bytes| rounded(per_second(bytes, report.elapsed));
    ReportRecord {
        schema: SCHEMA,
        time: time(report.at.wall),
        interval_seconds: report.elapsed.as_secs_f64(),
        interface: &report.interface,
        frames: frames(&report.frames),
        delta: frames(&report.new),
        addresses: report.addresses.iter().map(address).collect(),
        unlisted: UnlistedRecord {
            addresses: report.unlisted.rows,
            total: ways(&report.unlisted.total),
        },
        other: OtherRecord {
            total: ways(&report.other),
            tx_rate: rate(report.new_other.tx.bytes),
            rx_rate: rate(report.new_other.rx.bytes),
        },
        flows: flows.map(|flows| flows.rows.iter().map(flow).collect()),
        unlisted_flows: flows.map(|flows| count(flows.unlisted)),
        other_flows: flows.map(|flows: &FlowReport| count(flows.other)),
        table: table(&report.table),
        flow_table: flows.map(|flows| table(&flows.table)),
        workers: workers
            .map(|(worker, did)| WorkerRecord {
                worker,
                total: work(&did.total),
                delta: work(&did.new),
            })
            .collect(),
    }
}

fn frames(frames: &Frames) -> FramesRecord {
    FramesRecord {
        counted: count(frames.counted),
        dropped: frames.dropped,
        ignored: frames.ignored,
        not_ip: frames.not_ip,
    }
}

fn work(worker: &Worker) -> WorkRecord {
    WorkRecord {
        counted: count(worker.counted),
        dropped: worker.dropped,
        freezes: worker.freezes,
        unreadable: worker.unreadable,
        entries: worker.entries,
    }
}

fn count(count: Count) -> CountRecord {
    CountRecord {
        packets: count.packets,
        bytes: count.bytes,
    }
}

fn ways(ways: &BothWays) -> WaysRecord {
    WaysRecord {
        tx_bytes: ways.tx.bytes,
        rx_bytes: ways.rx.bytes,
        tx_packets: ways.tx.packets,
        rx_packets: ways.rx.packets,
    }
}

fn address(row: &AddressRow) -> AddressRecord {
    AddressRecord {
        address: row.address,
        total: ways(&row.total),
        tx_rate: rounded(row.tx_rate),
        rx_rate: rounded(row.rx_rate),
    }
}

fn flow(row: &FlowRow) -> FlowRecord {
    let ports = row.flow.ports();
    FlowRecord {
        protocol: protocol_name(row.flow.protocol()).into_owned(),
        source: row.flow.source.address(),
        source_port: ports.map(|(source, _)| source),
        destination: row.flow.destination.address(),
        destination_port: ports.map(|(_, destination)| destination),
        total: count(row.total),
        rate: rounded(row.rate),
    }
}

fn table(table: &TableState) -> TableRecord {
    TableRecord {
        entries: table.entries,
        new: table.new,
        limit: table.limit,
    }
}

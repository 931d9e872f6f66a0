//! A report as a JSON object (schema 1), its interfaces as in the record of `stream`.
//!
//! Names and meanings of the fields are a contract. Writes to nothing.

use serde::Serialize;

use crate::model::flow::Address;
use crate::model::interface::{InterfaceReport, WireFlowRow};
use crate::model::packet::protocol_name;
use crate::sink::record::{InterfaceRecord, SCHEMA, interface, rounded, rounded_seconds, time};

/// One interval; `flows` only where they are counted.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    schema: u32,
    sequence: u64,
    time: String,
    interval_seconds: f64,
    interfaces: Vec<InterfaceRecord<'a>>,
    flows: Vec<FlowRecord<'a>>,
}

/// One flow. Bytes and packets are cumulative for as long as netmon has known it without
/// a break, rates bytes/s and packets/s.
#[derive(Debug, Serialize)]
struct FlowRecord<'a> {
    interface: Option<&'a str>,
    index: u32,
    protocol: String,
    source_address: Address,
    source_port: Option<u16>,
    destination_address: Address,
    destination_port: Option<u16>,
    forth_bytes: u64,
    back_bytes: u64,
    forth_packets: u64,
    back_packets: u64,
    forth_rate: f64,
    back_rate: f64,
    forth_packet_rate: f64,
    back_packet_rate: f64,
}

impl<'a> Report<'a> {
    /// The object of `report`.
    pub fn new(report: &'a InterfaceReport) -> Report<'a> {
        Report {
            schema: SCHEMA,
            sequence: report.sequence,
            time: time(report.at.wall),
            interval_seconds: rounded_seconds(report.interval),
            interfaces: report.interfaces.iter().map(interface).collect(),
            flows: report.flows.iter().map(|row| flow(report, row)).collect(),
        }
    }
}

fn flow<'a>(report: &'a InterfaceReport, row: &WireFlowRow) -> FlowRecord<'a> {
    let flow = &row.flow;
    // A port where the protocol has ports.
    let port = |port: u16| (port != 0).then_some(port);
    FlowRecord {
        interface: report.interface(flow.index).map(|row| &*row.name),
        index: flow.index,
        protocol: protocol_name(flow.protocol).into_owned(),
        source_address: flow.source.0,
        source_port: port(flow.source.1),
        destination_address: flow.destination.0,
        destination_port: port(flow.destination.1),
        forth_bytes: row.totals.forth.bytes,
        back_bytes: row.totals.back.bytes,
        forth_packets: row.totals.forth.packets,
        back_packets: row.totals.back.packets,
        forth_rate: rounded(row.forth.bytes),
        back_rate: rounded(row.back.bytes),
        forth_packet_rate: rounded(row.forth.packets),
        back_packet_rate: rounded(row.back.packets),
    }
}

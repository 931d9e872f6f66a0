//! What reports look like: 80 columns, one object a line, as many fields as columns.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::model::census::report::Report;
use crate::model::census::tally::Tally;
use crate::model::census::{Census, Facts, report::Worker};
use crate::model::packet::Packet;
use crate::model::sample::Moment;

fn packet(source: IpAddr, destination: IpAddr, protocol: u8) -> Packet {
    Packet {
        source,
        destination,
        protocol,
        ports: (protocol != 1).then_some((40_000, 443)),
        payload: 0,
        fragment: false,
        id: 0,
    }
}

/// A report of packets from many hosts to one, more than there is room for.
fn report(hosts: u32, length: u32, six: bool, flows: bool) -> Report {
    let address = |number: u32| match six {
        true => IpAddr::from((u128::MAX - u128::from(number)).to_be_bytes()),
        false => IpAddr::from((u32::from_be_bytes([10, 0, 0, 0]) + number).to_be_bytes()),
    };
    let mut tally = Tally::new(16, flows).unwrap();
    let mut census = Census::new(16, flows).unwrap();
    for number in 1..=hosts {
        let protocol = if number == 1 { 1 } else { 6 };
        let times = hosts + 1 - number;
        for _ in 0..times {
            let packet = packet(address(number), address(0), protocol);
            tally.count_packet(&packet, length).unwrap();
        }
    }
    let mut worker = Worker {
        dropped: 5,
        freezes: 1,
        ..Worker::default()
    };
    census.absorb(&mut tally, &mut worker);
    let facts = Facts {
        at: Moment {
            monotonic: Duration::from_secs(60),
            wall: Duration::from_millis(1_763_726_400_500),
        },
        elapsed: Duration::from_secs(2),
        interface: "eth0".into(),
        ignored: 3,
        not_ip: Some(4),
        workers: vec![worker],
    };
    census.report(facts, 3)
}

fn written(report: &Report, format: Format, times: usize) -> String {
    let mut to = Vec::new();
    let mut reports = Reports::new(&mut to, format);
    for _ in 0..times {
        reports.write(report).unwrap();
    }
    String::from_utf8(to).unwrap()
}

const TEXT: Format = Format::Text { workers: true };

#[test]
fn text_is_for_reading() {
    let text = written(&report(4, 1000, false, true), TEXT, 1);
    insta::assert_snapshot!(text);
}

/// What does not fit beside its numbers has a line of its own, with no number left out.
#[test]
fn long_addresses_are_for_reading() {
    let text = written(&report(4, 1000, true, true), TEXT, 1);
    insta::assert_snapshot!(text);
}

#[test]
fn what_has_no_row_is_said_in_the_text() {
    let text = written(&report(20, 1000, false, true), TEXT, 1);
    assert!(
        text.contains("16 addresses, 16 new (room for 16, full)"),
        "{text}"
    );
    assert!(text.contains("\n13 more "), "{text}");
    let others = text.lines().filter(|line| line.starts_with("other "));
    assert_eq!(others.count(), 2, "{text}");
}

#[test]
fn nothing_is_wider_than_80_columns() {
    for six in [false, true] {
        let mut report = report(30, u32::MAX, six, true);
        for frames in [&mut report.frames, &mut report.new] {
            frames.counted.bytes = u64::MAX;
            frames.counted.packets = 9_999_999_999_999;
            frames.dropped = 9_999_999_999_999;
        }
        for row in &mut report.addresses {
            row.tx_rate = 1e18;
            row.rx_rate = 1e18;
            row.total.rx.packets = 9_999_999_999_999 - row.total.tx.packets;
        }
        for row in report.flows.iter_mut().flat_map(|flows| &mut flows.rows) {
            row.rate = 1e18;
            row.total = report.frames.counted;
        }
        for line in written(&report, TEXT, 1).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn an_interface_cannot_steer_the_terminal() {
    let mut report = report(1, 100, false, false);
    report.interface = "a\x1b[2J".into();
    let text = written(&report, TEXT, 1);
    assert!(text.contains("a?[2J") && !text.contains('\x1b'), "{text}");
}

#[test]
fn a_report_is_one_json_object() {
    let text = written(&report(20, 100, false, true), Format::Json, 2);
    assert_eq!(text.lines().count(), 2);
    let record: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(record["schema"], 1);
    assert_eq!(record["time"], "2025-11-21T12:00:00.500Z");
    assert_eq!(record["interval_seconds"], 2.0);
    assert_eq!(record["bytes"], 21_000);
    assert_eq!(record["delta"]["packets"], 210);
    assert_eq!(record["not_ip"], 4);
    assert_eq!(
        record["addresses"][0],
        json!({"address": "10.0.0.0", "tx_bytes": 0, "rx_bytes": 21_000, "tx_packets": 0,
               "rx_packets": 210, "tx_rate": 0.0, "rx_rate": 10_500.0})
    );
    assert_eq!(
        record["flows"][0],
        json!({"protocol": "icmp", "source": "10.0.0.1", "source_port": null,
               "destination": "10.0.0.0", "destination_port": null, "packets": 20,
               "bytes": 2000, "rate": 1000.0})
    );
    assert_eq!(
        record["table"],
        json!({"entries": 16, "new": 16, "limit": 16})
    );
    assert_eq!(record["unlisted"]["addresses"], 13);
    assert_eq!(record["other"]["tx_packets"], 15);
    assert_eq!(record["other_flows"]["packets"], 10);
    let worker = &record["workers"][0];
    assert_eq!(worker["dropped"], 5);
    assert_eq!(worker["entries"], 16);
    assert_eq!(
        worker["delta"],
        json!({"packets": 210, "bytes": 21_000, "dropped": 5, "freezes": 1, "unreadable": 0,
               "entries": 16})
    );
}

#[test]
fn what_is_not_known_is_null() {
    let mut report = report(1, 100, false, false);
    report.frames.not_ip = None;
    let text = written(&report, Format::Json, 1);
    let record: Value = serde_json::from_str(&text).unwrap();
    for name in [
        "not_ip",
        "flows",
        "unlisted_flows",
        "other_flows",
        "flow_table",
    ] {
        assert_eq!(record.get(name), Some(&Value::Null), "{name}");
    }
}

#[test]
fn every_csv_row_has_every_column() {
    let text = written(&report(20, 100, true, true), Format::Csv, 2);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(csv::HEADER));
    let columns = csv::HEADER.split(',').count();
    let mut kinds = Vec::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), columns, "{line}");
        kinds.push(fields[2]);
    }
    let report = [
        "total",
        "interval",
        "address",
        "address",
        "address",
        "unlisted",
        "other",
        "flows",
        "flow",
        "flow",
        "flow",
        "unlisted_flows",
        "other_flows",
        "worker",
        "worker_interval",
    ];
    assert_eq!(kinds, [report, report].concat());
}

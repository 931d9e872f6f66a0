//! What a record says of the wire, of interfaces and of how connections fare, to the letter.

use anyhow::ensure;
use serde_json::Value;

use super::Kind::{Count, Flag, List, Number, Object, ObjectOrNull, ShareOrNull, Text, TextOrNull};
use super::{Fields, check_fields, part, rows};

const COVERAGE: Fields = &[
    ("interfaces", List),
    ("wire_tx_bytes", Count),
    ("wire_rx_bytes", Count),
    ("wire_tx_packets", Count),
    ("wire_rx_packets", Count),
    ("payload_tx_bytes", Count),
    ("payload_rx_bytes", Count),
    ("overhead_tx_estimate", Count),
    ("overhead_rx_estimate", Count),
    ("other_tx_estimate", Count),
    ("other_rx_estimate", Count),
    ("excess_tx_estimate", Count),
    ("excess_rx_estimate", Count),
    ("explained", ShareOrNull),
];

const INTERFACE: Fields = &[
    ("interface", Text),
    ("index", Count),
    ("loopback", Flag),
    ("tx_bytes", Count),
    ("rx_bytes", Count),
    ("tx_packets", Count),
    ("rx_packets", Count),
    ("tx_rate", Number),
    ("rx_rate", Number),
    ("tx_packet_rate", Number),
    ("rx_packet_rate", Number),
    ("smoothed_rate", Number),
    ("average_rate", Number),
    ("peak_rate", Number),
    ("uptime_seconds", Number),
    ("sampled", ObjectOrNull),
    ("unsampled", TextOrNull),
];

const SAMPLED: Fields = &[
    ("ingress", Text),
    ("egress", Text),
    ("reason", Text),
    ("uptime_seconds", Number),
    ("average_rate", Number),
    ("peak_rate", Number),
    ("tx", Object),
    ("rx", Object),
];

const WAY: Fields = &[
    ("frames", Object),
    ("tcp", Object),
    ("udp", Object),
    ("icmp", Object),
    ("other_ip", Object),
    ("not_ip", Object),
    ("http", Object),
    ("https", Object),
];

const COUNTED: Fields = &[
    ("packets", Count),
    ("bytes", Count),
    ("packet_rate", Number),
    ("rate", Number),
];

const HEALTH: Fields = &[
    ("rtt_us", Count),
    ("rtt_variance_us", Count),
    ("retransmits", Count),
    ("lost", Count),
    ("congestion_window", Count),
    ("send_mss", Count),
];

/// Every part has its place, and in each direction they add up.
pub fn check_coverage(coverage: &Value) -> anyhow::Result<()> {
    if coverage.is_null() {
        return Ok(());
    }
    check_fields(coverage, COVERAGE, "coverage")?;
    for direction in ["tx", "rx"] {
        let part = |name| part(coverage, name, direction);
        ensure!(
            part("wire") + part("excess") == part("payload") + part("overhead") + part("other"),
            "the parts do not add up: {coverage}"
        );
    }
    Ok(())
}

/// Checks every field of a record's interfaces and of its connections' health.
pub fn check_interfaces(record: &Value) -> anyhow::Result<()> {
    let interfaces = rows(record, "interfaces");
    for row in interfaces {
        check_fields(row, INTERFACE, "an interface")?;
        let sampled = &row["sampled"];
        if sampled.is_null() {
            continue;
        }
        check_fields(sampled, SAMPLED, "what is sampled")?;
        for way in ["tx", "rx"] {
            let way = &sampled[way];
            check_fields(way, WAY, "a direction")?;
            for (name, _) in WAY {
                check_fields(&way[name], COUNTED, name)?;
            }
            let packets = |class: &str| way[class]["packets"].as_u64();
            ensure!(
                packets("http") <= packets("tcp"),
                "more HTTP than TCP: {way}"
            );
        }
    }
    let index = |row: &Value| row["index"].as_u64();
    ensure!(
        interfaces.is_sorted_by(|a, b| index(a) < index(b)),
        "not by index, or one twice: {interfaces:?}"
    );
    for flow in rows(record, "flows") {
        let health = &flow["tcp"];
        if health.is_null() {
            continue;
        }
        ensure!(
            ["tcp", "mptcp"].iter().any(|it| flow["protocol"] == *it),
            "no TCP: {flow}"
        );
        check_fields(health, HEALTH, "a connection")?;
    }
    Ok(())
}

/// The four counts of each interface, none of which ever falls, and what it is.
pub fn counts(record: &Value) -> impl Iterator<Item = (String, [u64; 4])> {
    const COUNTS: [&str; 4] = ["tx_bytes", "rx_bytes", "tx_packets", "rx_packets"];
    rows(record, "interfaces").iter().map(|row| {
        let counts = COUNTS.map(|name| row[name].as_u64().unwrap_or(u64::MAX));
        (format!("interface {}", row["index"]), counts)
    })
}

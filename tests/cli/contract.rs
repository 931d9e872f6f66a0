//! What a record must look like, to the letter, and whether a run's records agree.
//!
//! Owns the contract's fields, types and sums. Starts nothing.

#[path = "wire.rs"]
mod wire;

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::traffic::Moved;

/// What a field may hold.
#[derive(Clone, Copy)]
enum Kind {
    Count,
    Number,
    Flag,
    Text,
    TextOrNull,
    Time,
    /// Null for the rows that stand for several processes only.
    StartTime,
    Protocol,
    PortOrNull,
    List,
    Object,
    ObjectOrNull,
    /// From 0 to 1; null as long as too little moved.
    ShareOrNull,
}

use Kind::{
    Count, Flag, List, Number, Object, ObjectOrNull, PortOrNull, StartTime, Text, TextOrNull, Time,
};

type Fields = &'static [(&'static str, Kind)];

const RECORD: Fields = &[
    ("schema", Count),
    ("sequence", Count),
    ("time", Time),
    ("interval_seconds", Number),
    ("engine", Text),
    ("protocols", List),
    ("processes", List),
    ("flows", List),
    ("anomalies", List),
    ("loss", Object),
    ("coverage", ObjectOrNull),
    ("interfaces", List),
];

const PROTOCOL: Fields = &[
    ("protocol", Kind::Protocol),
    ("tx_bytes", Count),
    ("rx_bytes", Count),
    ("tx_operations", Count),
    ("rx_operations", Count),
    ("tx_rate", Number),
    ("rx_rate", Number),
];

const PROCESS: Fields = &[
    ("pid", Count),
    ("start_time", StartTime),
    ("name", Text),
    ("command", Text),
    ("uid", Count),
    ("user", Text),
    ("cgroup", TextOrNull),
    ("unit", TextOrNull),
    ("container", TextOrNull),
    ("tx_bytes", Count),
    ("rx_bytes", Count),
    ("tx_operations", Count),
    ("rx_operations", Count),
    ("tx_rate", Number),
    ("rx_rate", Number),
    ("smoothed_rate", Number),
    ("kernel_thread", Flag),
    ("exited", Flag),
    ("anomalous", Flag),
];

const FLOW: Fields = &[
    ("pid", Count),
    ("name", Text),
    ("protocol", Kind::Protocol),
    ("local_address", TextOrNull),
    ("local_port", PortOrNull),
    ("remote_address", TextOrNull),
    ("remote_port", PortOrNull),
    ("tx_bytes", Count),
    ("rx_bytes", Count),
    ("tx_operations", Count),
    ("rx_operations", Count),
    ("tx_rate", Number),
    ("rx_rate", Number),
    ("smoothed_rate", Number),
    ("closed", Flag),
    ("anomalous", Flag),
    ("tcp", ObjectOrNull),
];

const ANOMALY: Fields = &[
    ("kind", Text),
    ("pid", Count),
    ("name", Text),
    ("remote_address", TextOrNull),
    ("remote_port", PortOrNull),
    ("protocol", Kind::Protocol),
    ("value", Number),
    ("threshold", Number),
    ("since", Time),
];

const LOSS: Fields = &[
    ("untracked_flow_bytes", Count),
    ("missed_events", Count),
    ("unknown_peer_bytes", Count),
];

const PROTOCOLS: [&str; 9] = [
    "tcp", "udp", "icmp", "sctp", "mptcp", "raw", "packet", "vsock", "other",
];

/// The four counts of a protocol, a process or a flow.
pub const COUNTS: [&str; 4] = ["tx_bytes", "rx_bytes", "tx_operations", "rx_operations"];

fn check_kind(value: &Value, kind: Kind) -> bool {
    match kind {
        Count => value.is_u64(),
        Number => value.as_f64().is_some_and(|number| number >= 0.0),
        Flag => value.is_boolean(),
        Text => value.is_string(),
        TextOrNull => value.is_null() || value.as_str().is_some_and(|text| !text.is_empty()),
        Time => is_time(value),
        StartTime => value.is_null() || is_time(value),
        Kind::Protocol => value.as_str().is_some_and(|name| PROTOCOLS.contains(&name)),
        PortOrNull => value.is_null() || value.as_u64().is_some_and(|p| (1..=65535).contains(&p)),
        List => value.is_array(),
        Object => value.is_object(),
        ObjectOrNull => value.is_null() || value.is_object(),
        Kind::ShareOrNull => {
            value.is_null() || value.as_f64().is_some_and(|it| (0.0..=1.0).contains(&it))
        }
    }
}

/// `2026-11-20T23:59:59.512Z`: UTC with milliseconds.
fn is_time(value: &Value) -> bool {
    const SHAPE: &str = "0000-00-00T00:00:00.000Z";
    value.as_str().is_some_and(|text| {
        text.len() == SHAPE.len()
            && text
                .chars()
                .zip(SHAPE.chars())
                .all(|(c, shape)| match shape {
                    '0' => c.is_ascii_digit(),
                    _ => c == shape,
                })
    })
}

fn check_fields(value: &Value, fields: Fields, what: &str) -> anyhow::Result<()> {
    let object = value
        .as_object()
        .with_context(|| format!("{what}: {value}"))?;
    for (name, kind) in fields {
        let field = object
            .get(*name)
            .with_context(|| format!("{what} has no `{name}`: {value}"))?;
        ensure!(
            check_kind(field, *kind),
            "`{name}` of {what} is {field}: {value}"
        );
    }
    if let Some(extra) = object
        .keys()
        .find(|key| fields.iter().all(|(name, _)| name != key))
    {
        bail!("{what} has an extra field `{extra}`");
    }
    Ok(())
}

/// The rows of one of a record's lists.
pub fn rows<'a>(record: &'a Value, list: &str) -> &'a [Value] {
    record[list].as_array().map_or(&[], Vec::as_slice)
}

/// The process row of `pid`; there is one only, since no PID came twice.
pub fn process(record: &Value, pid: u32) -> Option<&Value> {
    let mut found = rows(record, "processes").iter();
    found.find(|row| row["pid"] == pid)
}

/// The four counts of a row.
pub fn counts(row: &Value) -> [u64; 4] {
    COUNTS.map(|name| row[name].as_u64().unwrap_or(u64::MAX))
}

/// Fails unless the row's counts are those that a generator says are true.
pub fn check_moved(row: Option<&Value>, moved: Moved) -> anyhow::Result<()> {
    let row = row.context("the process is not in the record")?;
    ensure!(counts(row) == moved, "{moved:?} were true: {row}");
    Ok(())
}

fn check_row_rules(record: &Value) -> anyhow::Result<()> {
    for row in rows(record, "processes") {
        let sum = row["pid"] == 0;
        ensure!(
            row["start_time"].is_null() == sum,
            "only sums have no start: {row}"
        );
        ensure!(
            sum == row["name"]
                .as_str()
                .is_some_and(|name| name.starts_with('[') || name == "<unattributed>"),
            "pid 0 and a name in brackets belong together: {row}"
        );
    }
    let ends = rows(record, "flows")
        .iter()
        .chain(rows(record, "anomalies"));
    for row in ends {
        for end in ["local_address", "remote_address"] {
            let Some(text) = row[end].as_str() else {
                continue;
            };
            let is_interface = row["protocol"] == "packet" && end == "remote_address";
            let is_address = text.parse::<std::net::IpAddr>().is_ok();
            ensure!(is_address != is_interface, "`{end}`: {row}");
        }
    }
    for row in rows(record, "flows") {
        for end in ["local", "remote"] {
            let known = !row[format!("{end}_address")].is_null();
            let port = !row[format!("{end}_port")].is_null();
            ensure!(known || !port, "a port without an address: {row}");
        }
        if row["protocol"] == "tcp" {
            ensure!(!row["remote_port"].is_null(), "TCP without a peer: {row}");
        }
    }
    for row in rows(record, "anomalies") {
        ensure!(row["kind"] == "rate", "what kind: {row}");
        let (value, threshold) = (row["value"].as_f64(), row["threshold"].as_f64());
        ensure!(value > threshold, "not above the threshold: {row}");
    }
    Ok(())
}

/// Parses one line and checks every field of it.
pub fn check_line(line: &str) -> anyhow::Result<Value> {
    let record: Value = serde_json::from_str(line).with_context(|| format!("line: {line}"))?;
    check_fields(&record, RECORD, "the record")?;
    for (list, fields) in [
        ("protocols", PROTOCOL),
        ("processes", PROCESS),
        ("flows", FLOW),
        ("anomalies", ANOMALY),
    ] {
        for row in rows(&record, list) {
            check_fields(row, fields, list)?;
        }
    }
    check_fields(&record["loss"], LOSS, "loss")?;
    wire::check_coverage(&record["coverage"])?;
    wire::check_interfaces(&record)?;
    ensure!(record["schema"] == 1, "schema {}", record["schema"]);
    check_row_rules(&record)?;
    Ok(record)
}

/// A direction's bytes on the wire, of payload, or of what is estimated from both.
pub fn part(coverage: &Value, name: &str, direction: &str) -> u64 {
    let what = match name {
        "wire" | "payload" => "bytes",
        _ => "estimate",
    };
    let field = &coverage[format!("{name}_{direction}_{what}")];
    field.as_u64().unwrap_or(u64::MAX / 8)
}

/// Fails unless the processes of a record sum up to its protocols.
pub fn check_sums(record: &Value) -> anyhow::Result<()> {
    let sum = |list: &str| {
        let zero = [0u64; 4];
        rows(record, list)
            .iter()
            .map(counts)
            .fold(zero, |sum, row| std::array::from_fn(|at| sum[at] + row[at]))
    };
    let (processes, protocols) = (sum("processes"), sum("protocols"));
    ensure!(
        processes == protocols,
        "record {}: processes {processes:?}, protocols {protocols:?}",
        record["sequence"]
    );
    Ok(())
}

/// What the wire moved and the payload on it, each of which never falls.
fn moved_by_wire(coverage: &Value) -> [u64; 4] {
    let part = |name, direction| part(coverage, name, direction);
    [
        part("wire", "tx"),
        part("wire", "rx"),
        part("payload", "tx"),
        part("payload", "rx"),
    ]
}

/// Checks every line of an unfiltered run, their order, their sums, and that no
/// count ever falls. Returns the records.
pub fn check_run(output: &str) -> anyhow::Result<Vec<Value>> {
    let records = check_lines(output)?;
    let mut before: HashMap<String, [u64; 4]> = HashMap::new();
    for record in &records {
        check_sums(record)?;
        let protocols = rows(record, "protocols").iter();
        let protocols = protocols.map(|row| (row["protocol"].to_string(), counts(row)));
        let processes = rows(record, "processes").iter();
        let processes = processes
            .filter(|row| row["pid"] != 0)
            .map(|row| (format!("{} {}", row["pid"], row["start_time"]), counts(row)));
        let coverage = Some(&record["coverage"]).filter(|coverage| !coverage.is_null());
        let coverage = coverage.map(|coverage| ("coverage".to_owned(), moved_by_wire(coverage)));
        for (key, now) in protocols
            .chain(processes)
            .chain(coverage)
            .chain(wire::counts(record))
        {
            let earlier = before.insert(key.clone(), now).unwrap_or_default();
            ensure!(
                earlier
                    .iter()
                    .zip(now)
                    .all(|(earlier, now)| *earlier <= now),
                "{key} fell from {earlier:?} to {now:?}"
            );
        }
    }
    Ok(records)
}

/// Checks every line of a run and their order.
pub fn check_lines(output: &str) -> anyhow::Result<Vec<Value>> {
    ensure!(output.ends_with('\n'), "the last line is cut: {output}");
    let mut records = Vec::new();
    for (line, sequence) in output.lines().zip(1..) {
        let record = check_line(line)?;
        ensure!(
            record["sequence"] == sequence,
            "{} in place of {sequence}",
            record["sequence"]
        );
        records.push(record);
    }
    Ok(records)
}

/// The last record of a run.
pub fn last(records: &[Value]) -> anyhow::Result<&Value> {
    records.last().context("no record at all")
}

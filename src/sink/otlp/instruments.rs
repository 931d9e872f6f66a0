//! What the numbers are called in OpenTelemetry.
//!
//! Names, units and attributes follow its semantic conventions where there are some
//! (`process.network.io`, `system.network.io`, `network.io.direction`); what is netmon's
//! own is under `netmon.`.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::Moment;
use crate::model::coverage::Covered;
use crate::model::interface::{Class, Count};
use crate::model::snapshot::Loss;
use crate::sink::metrics::{Counts, Reading};

/// Attributes and value.
type Row<T> = (Vec<KeyValue>, T);

/// Rows of a reading.
type Rows<T> = fn(&Reading) -> Vec<Row<T>>;

fn direction(name: &'static str) -> KeyValue {
    KeyValue::new("network.io.direction", name)
}

/// The row of each direction: what else it is about, then sent and received.
fn both<T>(about: &[KeyValue], sent: T, received: T) -> [Row<T>; 2] {
    let with = |name| about.iter().cloned().chain([direction(name)]).collect();
    [(with("transmit"), sent), (with("receive"), received)]
}

fn one<T>(value: T) -> Vec<Row<T>> {
    vec![(Vec::new(), value)]
}

/// Rows of what the last snapshot said; none before the first.
fn of_counts<T>(reading: &Reading, rows: impl Fn(&Counts) -> Vec<Row<T>>) -> Vec<Row<T>> {
    reading.counts.as_ref().map(rows).unwrap_or_default()
}

fn of_wire(reading: &Reading, value: fn(&Covered) -> u64) -> Vec<Row<u64>> {
    of_counts(reading, |counts| {
        let coverage = counts.coverage.as_ref();
        coverage.map_or_else(Vec::new, |coverage| {
            both(&[], value(&coverage.tx), value(&coverage.rx)).into()
        })
    })
}

fn of_loss(reading: &Reading, value: fn(&Loss) -> u64) -> Vec<Row<u64>> {
    of_counts(reading, |counts| one(value(&counts.loss)))
}

fn processes(reading: &Reading) -> Vec<Row<u64>> {
    let rows = reading.series.iter().flat_map(|series| {
        let labels = &series.labels;
        let about = [
            KeyValue::new("process.executable.name", labels.process.to_string()),
            KeyValue::new("process.owner", labels.user.to_string()),
            KeyValue::new("netmon.unit", labels.unit.to_string()),
        ];
        both(&about, series.bytes.tx, series.bytes.rx)
    });
    rows.collect()
}

fn protocols(
    reading: &Reading,
    value: fn(&crate::model::flow::Totals) -> [u64; 2],
) -> Vec<Row<u64>> {
    of_counts(reading, |counts| {
        let rows = counts.protocols.iter().flat_map(|(protocol, totals)| {
            let about = [KeyValue::new("network.transport", protocol.name())];
            let [sent, received] = value(totals);
            both(&about, sent, received)
        });
        rows.collect()
    })
}

fn interfaces(reading: &Reading, of: fn(Count) -> u64) -> Vec<Row<u64>> {
    let rows = reading.interfaces.iter().flat_map(|series| {
        let [sent, received] = series.moved.map(of);
        both(&[interface(&series.name)], sent, received)
    });
    rows.collect()
}

fn classes(reading: &Reading, of: fn(Count) -> u64) -> Vec<Row<u64>> {
    let rows = reading.interfaces.iter().flat_map(|series| {
        let name = interface(&series.name);
        series
            .classes
            .into_iter()
            .flat_map(move |[sent, received]| {
                let name = name.clone();
                Class::ALL.into_iter().flat_map(move |class| {
                    let about = [name.clone(), KeyValue::new("netmon.class", class.name())];
                    let [sent, received] =
                        [sent, received].map(|counts| of(counts[class as usize]));
                    both(&about, sent, received)
                })
            })
    });
    rows.collect()
}

fn interface(name: &str) -> KeyValue {
    KeyValue::new("network.interface.name", name.to_owned())
}

const COUNTERS: &[(&str, &str, &str, Rows<u64>)] = &[
    (
        "process.network.io",
        "By",
        "Payload bytes moved by the processes that move the most; all others are \"other\"",
        processes,
    ),
    (
        "netmon.protocol.io",
        "By",
        "Payload bytes moved by all processes of the machine",
        |reading| protocols(reading, |totals| [totals.tx_bytes, totals.rx_bytes]),
    ),
    (
        "netmon.protocol.operations",
        "{operation}",
        "Calls or messages that moved them",
        |reading| {
            protocols(reading, |totals| {
                [totals.tx_operations, totals.rx_operations]
            })
        },
    ),
    (
        "netmon.anomalies.begun",
        "{anomaly}",
        "Times that a flow rose above the threshold",
        |reading| of_counts(reading, |counts| one(counts.anomalies_begun)),
    ),
    (
        "netmon.untracked_flow.io",
        "By",
        "Payload bytes counted by process and protocol that found no room as a flow",
        |reading| of_loss(reading, |loss| loss.untracked_flow_bytes),
    ),
    (
        "netmon.missed_events",
        "{event}",
        "Events the kernel could not hand to the counting programs",
        |reading| of_loss(reading, |loss| loss.missed_events),
    ),
    (
        "netmon.unknown_peer.io",
        "By",
        "Payload bytes of flows whose remote end nobody can know",
        |reading| of_loss(reading, |loss| loss.unknown_peer_bytes),
    ),
    (
        "system.network.io",
        "By",
        "Bytes that the interfaces moved, headers included, loopback apart",
        |reading| of_wire(reading, |wire| wire.wire_bytes),
    ),
    (
        "system.network.packet.count",
        "{packet}",
        "Packets that the interfaces moved, loopback apart",
        |reading| of_wire(reading, |wire| wire.wire_packets),
    ),
    (
        "netmon.wire.payload",
        "By",
        "Payload bytes counted of flows that cross the interfaces",
        |reading| of_wire(reading, |wire| wire.payload_bytes),
    ),
    (
        "netmon.interface.io",
        "By",
        "Bytes of frames that each interface moved, loopback too",
        |reading| interfaces(reading, |count| count.bytes),
    ),
    (
        "netmon.interface.packet.count",
        "{packet}",
        "Packets that each interface moved, loopback too",
        |reading| interfaces(reading, |count| count.packets),
    ),
    (
        "netmon.interface.class.io",
        "By",
        "Bytes of frames that a sampled interface moved, by what they were; http and https are parts of tcp and udp",
        |reading| classes(reading, |count| count.bytes),
    ),
    (
        "netmon.interface.class.packet.count",
        "{packet}",
        "Packets that a sampled interface moved, by what they were",
        |reading| classes(reading, |count| count.packets),
    ),
    (
        "netmon.read_cycles",
        "{reading}",
        "Readings of the kernel's counters",
        |reading| one(reading.cycle.count),
    ),
];

const TIMES: &[(&str, &str, Rows<f64>)] = &[
    (
        "netmon.read_cycle.time",
        "Time spent on reading the kernel's counters",
        |reading| one(reading.cycle.sum),
    ),
    (
        "process.cpu.time",
        "Time on a CPU in user space and in the kernel",
        |reading| reading.own.cpu_seconds.map_or_else(Vec::new, one),
    ),
];

const GAUGES: &[(&str, &str, &str, Rows<u64>)] = &[
    (
        "netmon.flows",
        "{flow}",
        "Flows that are known now",
        |reading| of_counts(reading, |counts| one(counts.flows as u64)),
    ),
    (
        "netmon.processes",
        "{process}",
        "Processes that moved bytes and are listed now",
        |reading| of_counts(reading, |counts| one(counts.processes as u64)),
    ),
    (
        "netmon.anomalies",
        "{flow}",
        "Flows above the threshold now",
        |reading| of_counts(reading, |counts| one(counts.anomalies as u64)),
    ),
    (
        "netmon.wire.overhead_estimate",
        "By",
        "Headers that the payload on the wire needed since the start, estimated",
        |reading| of_wire(reading, |wire| wire.overhead_bytes),
    ),
    (
        "netmon.wire.other_estimate",
        "By",
        "What no process explains since the start",
        |reading| of_wire(reading, |wire| wire.other_bytes),
    ),
    (
        "netmon.wire.excess_estimate",
        "By",
        "Payload beyond what the interfaces moved",
        |reading| of_wire(reading, |wire| wire.excess_bytes),
    ),
    (
        "netmon.healthy",
        "1",
        "1 while nothing is wrong",
        |reading| one(u64::from(reading.healthy)),
    ),
    (
        "process.memory.usage",
        "By",
        "Memory that is resident",
        |reading| reading.own.resident_bytes.map_or_else(Vec::new, one),
    ),
    ("process.thread.count", "{thread}", "Threads", |reading| {
        reading.own.threads.map_or_else(Vec::new, one)
    }),
    (
        "process.unix.file_descriptor.count",
        "{file_descriptor}",
        "Open file descriptors",
        |reading| reading.own.open_fds.map_or_else(Vec::new, one),
    ),
];

fn explained(reading: &Reading) -> Vec<Row<f64>> {
    of_counts(reading, |counts| {
        let share = counts.coverage.as_ref().and_then(|it| it.explained());
        share.map_or_else(Vec::new, one)
    })
}

fn observe<T: 'static>(
    moment: &Arc<Moment>,
    rows: Rows<T>,
) -> impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + use<T> {
    let moment = Arc::clone(moment);
    move |instrument| {
        for (attributes, value) in rows(&moment.reading()) {
            instrument.observe(value, &attributes);
        }
    }
}

/// Makes all instruments, each of which tells of `moment` when it is asked.
pub fn register(meter: &Meter, moment: &Arc<Moment>) {
    for &(name, unit, description, rows) in COUNTERS {
        let counter = meter.u64_observable_counter(name).with_unit(unit);
        let counter = counter.with_description(description);
        counter.with_callback(observe(moment, rows)).build();
    }
    for &(name, description, rows) in TIMES {
        let counter = meter.f64_observable_counter(name).with_unit("s");
        let counter = counter.with_description(description);
        counter.with_callback(observe(moment, rows)).build();
    }
    for &(name, unit, description, rows) in GAUGES {
        let gauge = meter.u64_observable_gauge(name).with_unit(unit);
        let gauge = gauge.with_description(description);
        gauge.with_callback(observe(moment, rows)).build();
    }
    meter
        .f64_observable_gauge("netmon.wire.explained")
        .with_unit("1")
        .with_description("Share of the interfaces' bytes that is payload or its headers")
        .with_callback(observe(moment, explained))
        .build();
}

//! Where the numbers stand, as OpenMetrics text.
//!
//! Owns the families: their names, units, help and labels. Names end in their unit and
//! counters in `_total`, as OpenMetrics wants.

mod interfaces;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::Histogram;
use super::own::Own;
use super::{Counts, Reading};
use crate::model::coverage::Coverage;

/// Values of `direction`, by the names that OpenTelemetry's `network.io.direction` has.
const SENT: (&str, &str) = ("direction", "transmit");
const RECEIVED: (&str, &str) = ("direction", "receive");

/// The text, complete.
pub fn write(reading: Reading) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(reading));
    let mut text = String::new();
    // Writing to a string cannot fail, nor does any value here.
    let _ = encode(&mut text, &registry);
    text
}

impl Collector for Reading {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        page.processes(self)?;
        if let Some(counts) = &self.counts {
            page.counts(counts)?;
            if let Some(coverage) = &counts.coverage {
                page.coverage(coverage)?;
            }
            page.build(self.version, counts)?;
        }
        page.interfaces(&self.interfaces)?;
        page.times(self)?;
        page.health(self)?;
        page.own(&self.own)
    }
}

/// Families written one after the other.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn processes(&mut self, reading: &Reading) -> fmt::Result {
        let rows = reading.series.iter().flat_map(|series| {
            let labels = &series.labels;
            let who = [
                ("process", &*labels.process),
                ("user", &*labels.user),
                ("unit", &*labels.unit),
            ];
            let [process, user, unit] = who;
            [
                ([process, user, unit, SENT], series.bytes.tx),
                ([process, user, unit, RECEIVED], series.bytes.rx),
            ]
        });
        self.counters(
            "netmon_process",
            "Payload bytes moved by the processes that move the most; all others are in process=\"other\"",
            Some(&Unit::Bytes),
            rows,
        )
    }

    fn counts(&mut self, counts: &Counts) -> fmt::Result {
        let rows = |values: fn(&(_, _)) -> [u64; 2]| {
            counts.protocols.iter().flat_map(move |row| {
                let protocol = ("protocol", row.0.name());
                let [sent, received] = values(row);
                [([protocol, SENT], sent), ([protocol, RECEIVED], received)]
            })
        };
        self.counters(
            "netmon_protocol",
            "Payload bytes moved by all processes of the machine",
            Some(&Unit::Bytes),
            rows(|(_, totals)| [totals.tx_bytes, totals.rx_bytes]),
        )?;
        self.counters(
            "netmon_protocol_operations",
            "Calls or messages that moved them",
            None,
            rows(|(_, totals)| [totals.tx_operations, totals.rx_operations]),
        )?;
        self.gauge(
            "netmon_flows",
            "Flows that are known now",
            None,
            counts.flows,
        )?;
        self.gauge(
            "netmon_processes",
            "Processes that moved bytes and are listed now",
            None,
            counts.processes,
        )?;
        self.gauge(
            "netmon_anomalies",
            "Flows above the threshold now",
            None,
            counts.anomalies,
        )?;
        self.counter(
            "netmon_anomalies_begun",
            "Times that a flow rose above the threshold",
            None,
            counts.anomalies_begun,
        )?;
        let threshold = Unit::Other("bytes_per_second".to_owned());
        self.gauge(
            "netmon_anomaly_threshold",
            "Smoothed rate above which a flow is an anomaly",
            Some(&threshold),
            counts.threshold,
        )?;
        self.gauge(
            "netmon_interval",
            "Time between two readings that was asked for",
            Some(&Unit::Seconds),
            counts.interval.as_secs_f64(),
        )?;
        self.counter(
            "netmon_untracked_flow",
            "Payload bytes counted by process and protocol that found no room as a flow",
            Some(&Unit::Bytes),
            counts.loss.untracked_flow_bytes,
        )?;
        self.counter(
            "netmon_missed_events",
            "Events the kernel could not hand to the counting programs",
            None,
            counts.loss.missed_events,
        )?;
        self.counter(
            "netmon_unknown_peer",
            "Payload bytes of flows whose remote end nobody can know",
            Some(&Unit::Bytes),
            counts.loss.unknown_peer_bytes,
        )
    }

    fn coverage(&mut self, coverage: &Coverage) -> fmt::Result {
        let Coverage { tx, rx, .. } = coverage;
        let both = |sent: u64, received: u64| [([SENT], sent), ([RECEIVED], received)];
        let bytes = Some(&Unit::Bytes);
        self.counters(
            "netmon_wire",
            "Bytes that the interfaces moved, headers included, loopback apart",
            bytes,
            both(tx.wire_bytes, rx.wire_bytes),
        )?;
        self.counters(
            "netmon_wire_packets",
            "Packets that the interfaces moved, loopback apart",
            None,
            both(tx.wire_packets, rx.wire_packets),
        )?;
        self.counters(
            "netmon_wire_payload",
            "Payload bytes counted of flows that cross the interfaces",
            bytes,
            both(tx.payload_bytes, rx.payload_bytes),
        )?;
        self.gauges(
            "netmon_wire_overhead_estimate",
            "Headers that this payload needed since the start, estimated",
            bytes,
            both(tx.overhead_bytes, rx.overhead_bytes),
        )?;
        self.gauges("netmon_wire_other_estimate", "What no process explains since the start: forwarded, the kernel's own, retransmitted or not counted", bytes, both(tx.other_bytes, rx.other_bytes))?;
        self.gauges(
            "netmon_wire_excess_estimate",
            "Payload beyond what the interfaces moved: still in a buffer, or never on them",
            bytes,
            both(tx.excess_bytes, rx.excess_bytes),
        )?;
        let Some(explained) = coverage.explained() else {
            return Ok(());
        };
        let ratio = Unit::Other("ratio".to_owned());
        self.gauge(
            "netmon_wire_explained",
            "Share of the interfaces' bytes since the start that is payload or its headers",
            Some(&ratio),
            explained,
        )
    }

    fn build(&mut self, version: &str, counts: &Counts) -> fmt::Result {
        let help = "What runs, and how it counts on this kernel";
        let mut metric = self
            .0
            .encode_descriptor("netmon_build", help, None, MetricType::Info)?;
        metric.encode_info(&[
            ("version", version),
            ("engine", &*counts.engine.name),
            ("method", &*counts.engine.method),
        ])
    }

    fn times(&mut self, reading: &Reading) -> fmt::Result {
        self.histogram(
            "netmon_read_cycle",
            "Time to read the kernel's counters and make a picture of them",
            &reading.cycle,
        )?;
        self.histogram(
            "netmon_read_lateness",
            "How much later than asked for a reading came",
            &reading.lateness,
        )
    }

    fn health(&mut self, reading: &Reading) -> fmt::Result {
        let up = |well: bool| u32::from(well);
        self.gauge(
            "netmon_healthy",
            "1 while /health says OK",
            None,
            up(reading.healthy),
        )?;
        for (part, well) in &reading.parts {
            let name = format!("netmon_{part}_up");
            self.gauge(
                &name,
                &format!("1 while nothing is wrong with the part {part}"),
                None,
                up(*well),
            )?;
        }
        Ok(())
    }

    fn own(&mut self, own: &Own) -> fmt::Result {
        if let Some(seconds) = own.cpu_seconds {
            self.counter(
                "process_cpu",
                "Time on a CPU in user space and in the kernel",
                Some(&Unit::Seconds),
                seconds,
            )?;
        }
        if let Some(seconds) = own.start_seconds {
            self.gauge(
                "process_start_time",
                "Start of the process since the Unix epoch",
                Some(&Unit::Seconds),
                seconds,
            )?;
        }
        let bytes = Some(&Unit::Bytes);
        let gauges = [
            (
                "process_resident_memory",
                "Memory that is resident",
                bytes,
                own.resident_bytes,
            ),
            (
                "process_virtual_memory",
                "Address space",
                bytes,
                own.virtual_bytes,
            ),
            (
                "process_open_fds",
                "Open file descriptors",
                None,
                own.open_fds,
            ),
            (
                "process_max_fds",
                "Most file descriptors it may open",
                None,
                own.max_fds,
            ),
            ("process_threads", "Threads", None, own.threads),
        ];
        for (name, help, unit, value) in gauges {
            if let Some(value) = value {
                self.gauge(name, help, unit, value)?;
            }
        }
        Ok(())
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        rows: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (labels, value) in rows {
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        rows: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in rows {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }

    fn histogram(&mut self, name: &str, help: &str, times: &Histogram) -> fmt::Result {
        let mut metric =
            self.0
                .encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(times.sum, times.count, &times.buckets(), None)
    }
}

//! An interface's row of the record: what it moved, and what its sampler tells apart.
//!
//! Names and meanings of the fields are a contract, as those of the record are. Writes
//! to nothing.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{rounded, rounded_seconds};
use crate::model::interface::{Class, Count, Interface, Pace, Sampled, Way, WayPace};

/// One interface. Bytes (of frames) and packets are cumulative since netmon first saw
/// it, rates bytes/s and packets/s, average and peak bytes/s of both directions together.
/// `unsampled` says why a sampler that was asked for is not there.
#[derive(Debug, Serialize)]
pub(in crate::sink) struct InterfaceRecord<'a> {
    interface: &'a str,
    index: u32,
    loopback: bool,
    tx_bytes: u64,
    rx_bytes: u64,
    tx_packets: u64,
    rx_packets: u64,
    tx_rate: f64,
    rx_rate: f64,
    tx_packet_rate: f64,
    rx_packet_rate: f64,
    smoothed_rate: f64,
    average_rate: f64,
    peak_rate: f64,
    uptime_seconds: f64,
    sampled: Option<SampledRecord<'a>>,
    unsampled: Option<&'a str>,
}

/// What a sampler tells of it: cumulative since it was attached, the rates as above.
#[derive(Debug, Serialize)]
struct SampledRecord<'a> {
    ingress: &'a str,
    egress: &'a str,
    reason: &'a str,
    uptime_seconds: f64,
    average_rate: f64,
    peak_rate: f64,
    tx: WayRecord<'a>,
    rx: WayRecord<'a>,
}

/// One direction: `frames` as the interface counts them, then each class by its name.
#[derive(Debug)]
struct WayRecord<'a> {
    way: &'a Way,
    pace: &'a WayPace,
}

#[derive(Debug, Serialize)]
struct CountRecord {
    packets: u64,
    bytes: u64,
    packet_rate: f64,
    rate: f64,
}

impl Serialize for WayRecord<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(1 + Class::COUNT))?;
        map.serialize_entry("frames", &count(self.way.frames, self.pace.frames))?;
        for class in Class::ALL {
            let counted = count(self.way.of(class), self.pace.of(class));
            map.serialize_entry(class.name(), &counted)?;
        }
        map.end()
    }
}

fn count(count: Count, pace: Pace) -> CountRecord {
    CountRecord {
        packets: count.packets,
        bytes: count.bytes,
        packet_rate: rounded(pace.packets),
        rate: rounded(pace.bytes),
    }
}

/// The row of an interface.
pub(in crate::sink) fn interface(row: &Interface) -> InterfaceRecord<'_> {
    InterfaceRecord {
        interface: &row.name,
        index: row.index,
        loopback: row.loopback,
        tx_bytes: row.totals.tx_bytes,
        rx_bytes: row.totals.rx_bytes,
        tx_packets: row.totals.tx_operations,
        rx_packets: row.totals.rx_operations,
        tx_rate: rounded(row.rates.tx),
        rx_rate: rounded(row.rates.rx),
        tx_packet_rate: rounded(row.tx_packets),
        rx_packet_rate: rounded(row.rx_packets),
        smoothed_rate: rounded(row.rates.smoothed),
        average_rate: rounded(row.average()),
        peak_rate: rounded(row.peak),
        uptime_seconds: rounded_seconds(row.uptime),
        sampled: row.sampled.as_ref().map(sampled),
        unsampled: row.unsampled.as_deref(),
    }
}

fn sampled(sampled: &Sampled) -> SampledRecord<'_> {
    SampledRecord {
        ingress: &sampled.hook.ingress,
        egress: &sampled.hook.egress,
        reason: &sampled.hook.reason,
        uptime_seconds: rounded_seconds(sampled.uptime),
        average_rate: rounded(sampled.average()),
        peak_rate: rounded(sampled.peak),
        tx: WayRecord {
            way: &sampled.tx,
            pace: &sampled.tx_pace,
        },
        rx: WayRecord {
            way: &sampled.rx,
            pace: &sampled.rx_pace,
        },
    }
}

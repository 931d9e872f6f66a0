//! The interfaces of a record as a server sends them, and what they mean.
//!
//! Owns that no sum of theirs can overflow, that their names are fit for a terminal, and
//! that there is one row of each. Bytes of the last interval are in no record, and 0 here.

use std::sync::Arc;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::snapshot::{rate, rates};
use crate::model::endpoint::printable;
use crate::model::flow::Totals;
use crate::model::interface::{Class, Count, Hook, Interface, Pace, Sampled, Way, WayPace};

/// Nothing was counted for longer: a thousand years.
const LONGEST: Duration = Duration::from_secs(1000 * 366 * 86_400);

/// Most characters of a name: `IFNAMSIZ` less the end.
const NAME: usize = 15;

/// Most characters of what is told of a sampler.
const WORDS: usize = 400;

/// One interface.
#[derive(Debug, Deserialize)]
pub struct InterfaceRecord {
    interface: String,
    index: u32,
    #[serde(default)]
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
    peak_rate: f64,
    #[serde(deserialize_with = "long")]
    uptime_seconds: Duration,
    #[serde(default)]
    sampled: Option<SampledRecord>,
    #[serde(default)]
    unsampled: Option<String>,
}

#[derive(Debug, Deserialize)]
struct SampledRecord {
    ingress: String,
    egress: String,
    #[serde(default)]
    reason: String,
    #[serde(deserialize_with = "long")]
    uptime_seconds: Duration,
    peak_rate: f64,
    tx: WayRecord,
    rx: WayRecord,
}

/// Classes that a server does not tell apart are 0.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WayRecord {
    frames: CountRecord,
    tcp: CountRecord,
    udp: CountRecord,
    icmp: CountRecord,
    other_ip: CountRecord,
    not_ip: CountRecord,
    http: CountRecord,
    https: CountRecord,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct CountRecord {
    packets: u64,
    bytes: u64,
    packet_rate: f64,
    rate: f64,
}

impl InterfaceRecord {
    /// All that screens may add up: bytes and packets by the kernel's counters, and by
    /// the sampler's.
    fn sums(&self) -> Option<[u64; 4]> {
        let ways = self.sampled.iter().flat_map(|it| [&it.tx, &it.rx]);
        let mut counts = ways.flat_map(|way| {
            let classes = Class::ALL.map(|class| way.of(class));
            classes.into_iter().chain([way.frames])
        });
        let (bytes, packets) = counts.try_fold((0_u64, 0_u64), |(bytes, packets), it| {
            let bytes = bytes.checked_add(it.bytes)?;
            Some((bytes, packets.checked_add(it.packets)?))
        })?;
        Some([
            self.tx_bytes.checked_add(self.rx_bytes)?,
            self.tx_packets.checked_add(self.rx_packets)?,
            bytes,
            packets,
        ])
    }
}

impl WayRecord {
    fn of(&self, class: Class) -> CountRecord {
        match class {
            Class::Tcp => self.tcp,
            Class::Udp => self.udp,
            Class::Icmp => self.icmp,
            Class::OtherIp => self.other_ip,
            Class::NotIp => self.not_ip,
            Class::Http => self.http,
            Class::Https => self.https,
        }
    }
}

/// Whether all rows can be added up.
pub fn fit(rows: &[InterfaceRecord]) -> bool {
    let mut sums = [0_u64; 4];
    rows.iter().all(|row| {
        let Some(more) = row.sums() else {
            return false;
        };
        sums.iter_mut().zip(more).all(|(sum, more)| {
            let next = sum.checked_add(more);
            next.map(|next| *sum = next).is_some()
        })
    })
}

/// The interfaces by `ifindex`, each once.
pub fn interfaces(rows: &[InterfaceRecord]) -> Vec<Interface> {
    let mut rows: Vec<Interface> = rows.iter().map(interface).collect();
    rows.sort_by_key(|row| row.index);
    rows.dedup_by_key(|row| row.index);
    rows
}

fn interface(row: &InterfaceRecord) -> Interface {
    Interface {
        index: row.index,
        name: shown(&row.interface, NAME).into(),
        loopback: row.loopback,
        totals: Totals {
            tx_bytes: row.tx_bytes,
            rx_bytes: row.rx_bytes,
            tx_operations: row.tx_packets,
            rx_operations: row.rx_packets,
        },
        rates: rates(row.tx_rate, row.rx_rate, row.smoothed_rate),
        tx_packets: rate(row.tx_packet_rate),
        rx_packets: rate(row.rx_packet_rate),
        uptime: row.uptime_seconds,
        peak: rate(row.peak_rate),
        sampled: row.sampled.as_ref().map(sampled),
        unsampled: row.unsampled.as_ref().map(|why| shown(why, WORDS).into()),
    }
}

fn sampled(row: &SampledRecord) -> Sampled {
    Sampled {
        hook: Arc::new(Hook {
            ingress: shown(&row.ingress, WORDS),
            egress: shown(&row.egress, WORDS),
            reason: shown(&row.reason, WORDS),
        }),
        tx: way(&row.tx),
        rx: way(&row.rx),
        tx_pace: way_pace(&row.tx),
        rx_pace: way_pace(&row.rx),
        uptime: row.uptime_seconds,
        peak: rate(row.peak_rate),
    }
}

fn way(row: &WayRecord) -> Way {
    let count = |row: CountRecord| Count {
        packets: row.packets,
        bytes: row.bytes,
    };
    Way {
        frames: count(row.frames),
        classes: Class::ALL.map(|class| count(row.of(class))),
    }
}

fn way_pace(row: &WayRecord) -> WayPace {
    let pace = |row: CountRecord| Pace {
        packets: rate(row.packet_rate),
        bytes: rate(row.rate),
    };
    WayPace {
        frames: pace(row.frames),
        classes: Class::ALL.map(|class| pace(row.of(class))),
    }
}

fn shown(text: &str, most: usize) -> String {
    printable(text).take(most).collect()
}

fn long<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let length = Duration::try_from_secs_f64(f64::deserialize(from)?);
    let length = length.map_err(D::Error::custom)?;
    Ok(length.min(LONGEST))
}

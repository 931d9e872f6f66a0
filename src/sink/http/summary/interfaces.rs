//! The interfaces of a summary: what a page draws of each.
//!
//! Names and meanings of the fields are those of the record, where it has them.

use std::cmp::Reverse;

use serde::Serialize;

use super::{BothRates, Moved, ROWS, both, moved};
use crate::model::interface::{Class, Interface, Sampled};
use crate::sink::record::{rounded, rounded_seconds};

#[derive(Serialize)]
pub struct InterfaceSum<'a> {
    interface: &'a str,
    index: u32,
    loopback: bool,
    #[serde(flatten)]
    moved: Moved,
    tx_packets: u64,
    rx_packets: u64,
    #[serde(flatten)]
    rates: BothRates,
    tx_packet_rate: f64,
    rx_packet_rate: f64,
    smoothed_rate: f64,
    #[serde(flatten)]
    since: Since,
    sampled: Option<SampledSum<'a>>,
    unsampled: Option<&'a str>,
}

/// Bytes/s of both directions since the counting began.
#[derive(Serialize)]
struct Since {
    average_rate: f64,
    peak_rate: f64,
    uptime_seconds: f64,
}

#[derive(Serialize)]
struct SampledSum<'a> {
    ingress: &'a str,
    egress: &'a str,
    reason: &'a str,
    #[serde(flatten)]
    since: Since,
    classes: [ClassSum; Class::COUNT],
}

#[derive(Serialize)]
struct ClassSum {
    class: &'static str,
    #[serde(flatten)]
    rates: BothRates,
    tx_packet_rate: f64,
    rx_packet_rate: f64,
}

/// The sampled and then the largest of `all`, but by `ifindex`: lines that a page draws
/// must not change places.
pub fn interfaces(all: &[Interface]) -> Vec<InterfaceSum<'_>> {
    let mut rows: Vec<&Interface> = all.iter().collect();
    if rows.len() > ROWS {
        // Rates are never negative: their bits are in the order of their values.
        rows.select_nth_unstable_by_key(ROWS, |row| {
            let rate = row.rates.smoothed.to_bits();
            Reverse((row.sampled.is_some(), rate, row.totals.bytes()))
        });
        rows.truncate(ROWS);
        rows.sort_unstable_by_key(|row| row.index);
    }
    rows.into_iter().map(interface).collect()
}

fn interface(row: &Interface) -> InterfaceSum<'_> {
    InterfaceSum {
        interface: &row.name,
        index: row.index,
        loopback: row.loopback,
        moved: moved(row.totals),
        tx_packets: row.totals.tx_operations,
        rx_packets: row.totals.rx_operations,
        rates: both(row.rates),
        tx_packet_rate: rounded(row.tx_packets),
        rx_packet_rate: rounded(row.rx_packets),
        smoothed_rate: rounded(row.rates.smoothed),
        since: Since {
            average_rate: rounded(row.average()),
            peak_rate: rounded(row.peak),
            uptime_seconds: rounded_seconds(row.uptime),
        },
        sampled: row.sampled.as_ref().map(sampled),
        unsampled: row.unsampled.as_deref(),
    }
}

fn sampled(sampled: &Sampled) -> SampledSum<'_> {
    SampledSum {
        ingress: &sampled.hook.ingress,
        egress: &sampled.hook.egress,
        reason: &sampled.hook.reason,
        since: Since {
            average_rate: rounded(sampled.average()),
            peak_rate: rounded(sampled.peak),
            uptime_seconds: rounded_seconds(sampled.uptime),
        },
        classes: Class::ALL.map(|class| {
            let (tx, rx) = (sampled.tx_pace.of(class), sampled.rx_pace.of(class));
            ClassSum {
                class: class.name(),
                rates: BothRates {
                    tx_rate: rounded(tx.bytes),
                    rx_rate: rounded(rx.bytes),
                },
                tx_packet_rate: rounded(tx.packets),
                rx_packet_rate: rounded(rx.packets),
            }
        }),
    }
}

//! Interfaces for snapshots: a loopback, a card that is sampled, one that is not.
//!
//! Included by tests; deterministic, no clock.

#![allow(dead_code)] // Nobody needs all of it.

use std::sync::Arc;
use std::time::Duration;

use netmon::model::flow::Totals;
use netmon::model::interface::{Class, Count, Hook, Interface, Pace, Sampled, Way, WayPace};
use netmon::model::snapshot::Rates;
use netmon::model::tcp::TcpHealth;

/// An interface that nobody samples: `n` decides what it moved.
pub fn interface(index: u32, name: &str, n: u64) -> Interface {
    Interface {
        index,
        name: name.into(),
        loopback: name == "lo",
        totals: Totals {
            tx_bytes: n * 1_000,
            rx_bytes: n * 2_000,
            tx_operations: n * 10,
            rx_operations: n * 20,
        },
        rates: Rates {
            tx_bytes: n * 4,
            rx_bytes: n * 8,
            tx: n as f64 * 8.0,
            rx: n as f64 * 16.0,
            smoothed: n as f64 * 21.5,
        },
        tx_packets: n as f64 / 2.0,
        rx_packets: n as f64 / 4.0,
        uptime: Duration::from_millis(12_500),
        peak: n as f64 * 100.0,
        sampled: None,
        unsampled: None,
    }
}

/// The counts of one direction: as many packets of each class as its place, times `n`.
fn way(n: u64) -> Way {
    let mut way = Way {
        frames: Count {
            packets: n * 9,
            bytes: n * 900,
        },
        ..Way::default()
    };
    for (at, class) in Class::ALL.into_iter().enumerate() {
        let packets = (at as u64 + 1) * n;
        way.classes[class as usize] = Count {
            packets,
            bytes: packets * 100,
        };
    }
    way
}

fn pace(way: &Way) -> WayPace {
    let half = |count: Count| Pace {
        packets: count.packets as f64 / 2.0,
        bytes: count.bytes as f64 / 2.0,
    };
    WayPace {
        frames: half(way.frames),
        classes: way.classes.map(half),
    }
}

/// The same interface with a sampler that saw, sent, `n` packets of TCP, twice as many of
/// UDP and so on, 100 bytes each, and twice as many of all of them received.
pub fn sampled(index: u32, name: &str, n: u64) -> Interface {
    let (tx, rx) = (way(n), way(n * 2));
    let hook = Hook {
        ingress: "xdp generic".to_owned(),
        egress: "tcx".to_owned(),
        reason: "a native program turns GRO off".to_owned(),
    };
    Interface {
        sampled: Some(Sampled {
            hook: Arc::new(hook),
            tx,
            rx,
            tx_pace: pace(&tx),
            rx_pace: pace(&rx),
            uptime: Duration::from_secs(10),
            peak: n as f64 * 5_000.0,
        }),
        ..interface(index, name, n)
    }
}

/// A loopback, a card that is sampled and one that is not.
pub fn few() -> Vec<Interface> {
    vec![
        interface(1, "lo", 3),
        sampled(2, "eth0", 500),
        interface(7, "wg0", 40),
    ]
}

/// How a connection fares.
pub fn health() -> TcpHealth {
    TcpHealth {
        rtt_us: 12_345,
        rtt_variance_us: 678,
        retransmits: 9,
        lost: 1,
        congestion_window: 10,
        send_mss: 1_448,
    }
}

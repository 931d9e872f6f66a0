//! Interfaces to draw: a small machine's, sampled and not, busy and idle.

use std::sync::Arc;
use std::time::Duration;

use netmon::model::interface::{Class, Count, Hook, Interface, Pace, Sampled, Way, WayPace};
use netmon::model::snapshot::Snapshot;

use crate::fixture;

/// An interface that has moved `seconds` times what it moves now.
pub fn interface(index: u32, name: &str, tx: f64, rx: f64, seconds: u64) -> Interface {
    let moved = |rate: f64| (rate as u64).saturating_mul(seconds);
    Interface {
        index,
        name: name.into(),
        loopback: name == "lo",
        totals: fixture::totals(moved(tx), moved(rx)),
        rates: fixture::rates(tx, rx),
        tx_packets: tx / 1400.0,
        rx_packets: rx / 1400.0,
        uptime: Duration::from_secs(seconds),
        peak: (tx + rx) * 2.5,
        sampled: None,
        unsampled: None,
    }
}

/// Attaches a sampler to an interface: `shares` of each class, in their order.
pub fn sample(interface: &mut Interface, shares: [f64; Class::COUNT]) {
    let way = |bytes: u64| Way {
        frames: Count {
            packets: bytes / 1400,
            bytes,
        },
        classes: shares.map(|share| {
            let bytes = (bytes as f64 * share) as u64;
            Count {
                packets: bytes.div_ceil(1400),
                bytes,
            }
        }),
    };
    let pace = |rate: f64| WayPace {
        frames: Pace {
            packets: rate / 1400.0,
            bytes: rate,
        },
        classes: shares.map(|share| Pace {
            packets: rate * share / 1400.0,
            bytes: rate * share,
        }),
    };
    interface.sampled = Some(Sampled {
        hook: Arc::new(Hook {
            ingress: "xdp generic".to_owned(),
            egress: "tcx".to_owned(),
            reason: "native would turn off segmentation offloads of this driver (veth)".to_owned(),
        }),
        tx: way(interface.totals.tx_bytes),
        rx: way(interface.totals.rx_bytes),
        tx_pace: pace(interface.rates.tx),
        rx_pace: pace(interface.rates.rx),
        uptime: interface.uptime,
        peak: interface.peak,
    });
}

/// The small machine's interfaces: a card that is sampled, a radio and a loopback that
/// are not, and two at rest. What moves goes up and down with the sequence.
pub fn wired(sequence: u64) -> Snapshot {
    let mut snapshot = fixture::scene(sequence, false);
    let wave = |length: u64, high: f64| {
        let part = (sequence % length) as f64 / length as f64;
        high * (0.2 + (part * std::f64::consts::TAU).sin().abs())
    };
    let mut eth0 = interface(
        2,
        "eth0",
        wave(20, 1.4 * fixture::MIB),
        wave(34, 9.0 * fixture::MIB),
        sequence.div_ceil(2) + 7_000,
    );
    sample(&mut eth0, [0.9, 0.08, 0.001, 0.0, 0.019, 0.05, 0.8]);
    snapshot.interfaces = vec![
        interface(1, "lo", 9_300.0, 9_300.0, 7_000),
        eth0,
        interface(3, "wlan0", wave(50, 2_000.0), wave(9, 130_000.0), 300),
        interface(4, "tun0", 0.0, 0.0, 7_000),
        interface(7, "veth1a2b3c4", 0.0, 0.0, 12),
    ];
    snapshot
}

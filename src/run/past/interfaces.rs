//! What interfaces moved in a stored bucket, as the rows of a snapshot.
//!
//! Knows nothing of the history beyond the bucket it is given.

use std::sync::Arc;
use std::time::Duration;

use crate::model::endpoint::printable;
use crate::model::flow::Totals;
use crate::model::interface::{Count, Hook, Interface, Sampled, Way, WayPace};
use crate::model::rate::per_second;
use crate::sink::history::answer::Frames;
use crate::sink::history::past::PastInterface;

/// What an interface's number in the history is counted from: no `ifindex` is that large,
/// so that none is taken for another interface of the present.
const NUMBERS: u32 = 1 << 31;

/// A row of the interval of `length` in which all of it moved.
pub fn row(past: &PastInterface, length: Duration) -> Interface {
    let moved = totals(&past.moved);
    let rates = super::rates(&moved, length);
    Interface {
        index: u32::try_from(past.number).map_or(u32::MAX, |number| NUMBERS.saturating_add(number)),
        name: printable(&past.name).collect::<String>().into(),
        // The history does not tell; every network namespace begins with one of this name.
        loopback: past.name == "lo",
        totals: moved,
        rates,
        tx_packets: per_second(moved.tx_operations, length),
        rx_packets: per_second(moved.rx_operations, length),
        uptime: length,
        // Of the time between readings, which are not to the millisecond where buckets end.
        peak: (past.peak as f64).max(rates.smoothed),
        sampled: (!past.classes.is_empty()).then(|| sampled(past, length)),
        unsampled: None,
    }
}

fn totals(moved: &Frames) -> Totals {
    Totals {
        tx_bytes: moved.tx_bytes,
        rx_bytes: moved.rx_bytes,
        tx_operations: moved.tx_packets,
        rx_operations: moved.rx_packets,
    }
}

/// The history does not tell how it was sampled, in how many frames, nor the peak.
fn sampled(past: &PastInterface, length: Duration) -> Sampled {
    let way = |side: fn(&Frames) -> Count| {
        let mut way = Way::default();
        for (class, moved) in &past.classes {
            way.classes[*class as usize] = side(moved);
        }
        way
    };
    let tx = way(|moved| Count {
        packets: moved.tx_packets,
        bytes: moved.tx_bytes,
    });
    let rx = way(|moved| Count {
        packets: moved.rx_packets,
        bytes: moved.rx_bytes,
    });
    Sampled {
        hook: Arc::new(Hook::default()),
        tx_pace: WayPace::new(&tx, length),
        rx_pace: WayPace::new(&rx, length),
        tx,
        rx,
        uptime: length,
        peak: 0.0,
    }
}

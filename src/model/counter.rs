//! A cumulative count with its rates, fed from kernel counters that may start again.
//!
//! Owns the rule for a counter that was removed and born again. Does not know
//! whose count it is.

use super::flow::Totals;
use super::rate::{per_second, smooth};
use super::snapshot::Rates;
use super::tracker::Tick;

/// Cumulative counts with their rates.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counter {
    /// Cumulative since netmon started.
    pub totals: Totals,
    /// Of the last interval.
    pub rates: Rates,
    /// The kernel's counters at the last reading.
    last: Totals,
    /// Moved since the last tick.
    delta: Totals,
}

impl Counter {
    /// A count that goes on from `totals`, with a kernel entry that starts at 0.
    pub fn resumed(totals: Totals) -> Counter {
        Counter {
            totals,
            ..Counter::default()
        }
    }

    /// A count of what moves from now on, where the kernel's entry stands at `totals`.
    pub fn started_at(totals: Totals) -> Counter {
        Counter {
            last: totals,
            ..Counter::default()
        }
    }

    /// Takes the kernel's counters in; returns what was added.
    pub fn read(&mut self, totals: Totals) -> Totals {
        let delta = totals.since(&self.last);
        self.last = totals;
        self.totals += delta;
        self.delta += delta;
        delta
    }

    /// The kernel's entry is gone: if it is born again, it counts from 0.
    pub fn restart(&mut self) {
        self.last = Totals::default();
    }

    /// Turns what was added since the last tick into rates. In a tick that took
    /// no time nothing has a rate: what it brought belongs to the next.
    pub fn settle(&mut self, tick: &Tick) {
        if tick.elapsed.is_zero() {
            (self.rates.tx_bytes, self.rates.rx_bytes) = (0, 0);
            return;
        }
        let moved = std::mem::take(&mut self.delta);
        self.rates.tx_bytes = moved.tx_bytes;
        self.rates.rx_bytes = moved.rx_bytes;
        self.rates.tx = per_second(moved.tx_bytes, tick.elapsed);
        self.rates.rx = per_second(moved.rx_bytes, tick.elapsed);
        self.rates.smoothed = smooth(
            self.rates.smoothed,
            self.rates.tx + self.rates.rx,
            tick.weight,
        );
    }
}

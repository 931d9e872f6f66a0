//! The last minute of rates: of everything together, and of each row.
//!
//! Owns one number per second, row and direction, and forgets rows that are
//! gone, so its memory is bounded by the rows of one snapshot. Draws nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use crate::model::snapshot::{Rates, Snapshot};

use super::state::RowId;

/// Seconds kept.
pub const SECONDS: usize = 60;

/// Rows kept at most. A screen's worth of history beyond it is not worth the
/// memory: 240 bytes and a key each.
const ROWS: usize = 32_768;

/// A minute of one rate in bytes/s, oldest second first.
pub type Series = [f32; SECONDS];

/// A minute of both directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Minute {
    /// Sent.
    pub tx: Series,
    /// Received.
    pub rx: Series,
}

impl Default for Minute {
    fn default() -> Minute {
        Minute {
            tx: [0.0; SECONDS],
            rx: [0.0; SECONDS],
        }
    }
}

/// A rate from 1 to 2^63 bytes/s to three digits, or 0: six bits of exponent
/// and ten of mantissa, cut out of an `f32`. More than a graph can show, and
/// half the memory counts with ten thousand rows.
#[derive(Debug, Clone, Copy, Default)]
struct Short(u16);

impl Short {
    /// Bits of an `f32`'s mantissa that are left out.
    const DROPPED: u32 = 13;

    /// The exponent that becomes 0, so that 1.0 is the least above nothing.
    const BASE: u32 = 126 << 23;

    fn new(value: f32) -> Short {
        if value < 0.5 {
            return Short(0);
        }
        let rounded = value.max(1.0).to_bits() + (1 << (Self::DROPPED - 1));
        let short = (rounded - Self::BASE) >> Self::DROPPED;
        Short(u16::try_from(short).unwrap_or(u16::MAX))
    }

    fn value(self) -> f32 {
        if self.0 == 0 {
            return 0.0;
        }
        f32::from_bits((u32::from(self.0) << Self::DROPPED) + Self::BASE)
    }
}

/// Rates by second, in a ring.
#[derive(Debug, Clone)]
struct Ring {
    tx: [Short; SECONDS],
    rx: [Short; SECONDS],
    /// Sequence of the last snapshot that had the row.
    seen: u64,
}

impl Ring {
    fn new() -> Ring {
        Ring {
            tx: [Short::default(); SECONDS],
            rx: [Short::default(); SECONDS],
            seen: 0,
        }
    }

    fn add(&mut self, rates: Rates, touched: &[Touched]) {
        for touched in touched {
            let blend = |old: Short, new: f64| {
                let new = new as f32;
                Short::new(old.value() + (new - old.value()) * touched.weight)
            };
            self.tx[touched.slot] = blend(self.tx[touched.slot], rates.tx);
            self.rx[touched.slot] = blend(self.rx[touched.slot], rates.rx);
        }
    }

    fn minute(&self, newest: usize) -> Minute {
        let mut minute = Minute::default();
        for age in 0..SECONDS {
            let slot = (newest + SECONDS - age) % SECONDS;
            minute.tx[SECONDS - 1 - age] = self.tx[slot].value();
            minute.rx[SECONDS - 1 - age] = self.rx[slot].value();
        }
        minute
    }
}

/// A second that an interval reaches into.
struct Touched {
    slot: usize,
    /// Share of the interval in what is known of the second now, 0 to 1.
    weight: f32,
}

/// The last minute; see the module's text.
#[derive(Debug, Clone)]
pub struct History {
    all: Ring,
    rows: HashMap<RowId, Ring>,
    /// How much of each second is known.
    known: [f32; SECONDS],
    /// The newest second, counted on the monotonic clock.
    newest: u64,
}

impl Default for History {
    fn default() -> History {
        History {
            all: Ring::new(),
            rows: HashMap::new(),
            known: [0.0; SECONDS],
            newest: 0,
        }
    }
}

impl History {
    /// Takes in one snapshot, and forgets rows that it does not have.
    pub fn add(&mut self, snapshot: &Snapshot) {
        let touched = self.touch(snapshot.at.monotonic, snapshot.interval);
        self.all.add(snapshot.overall().1, &touched);

        let sequence = snapshot.sequence;
        let processes = snapshot
            .processes
            .iter()
            .map(|row| (RowId::Process(row.id), row.rates));
        let flows = snapshot
            .flows
            .iter()
            .map(|row| (RowId::Flow(row.key), row.rates));
        let aggregates = snapshot
            .aggregates
            .iter()
            .map(|row| (RowId::Aggregate(row.name), row.rates));
        let interfaces = snapshot
            .interfaces
            .iter()
            .map(|row| (RowId::Interface(row.index), row.rates));
        // The few come first, as flows may fill what room there is.
        for (id, rates) in interfaces.chain(aggregates) {
            self.add_row(id, rates, sequence, &touched);
        }
        for (id, rates) in processes.chain(flows) {
            self.add_row(id, rates, sequence, &touched);
        }
        self.rows.retain(|_, ring| ring.seen == sequence);
    }

    fn add_row(&mut self, id: RowId, rates: Rates, sequence: u64, touched: &[Touched]) {
        let full = self.rows.len() >= ROWS;
        let ring = match self.rows.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            // A row that never moved a byte in its minute needs no ring.
            Entry::Vacant(entry) if rates.tx + rates.rx > 0.0 && !full => entry.insert(Ring::new()),
            Entry::Vacant(_) => return,
        };
        ring.seen = sequence;
        ring.add(rates, touched);
    }

    /// The minute of everything together.
    pub fn all(&self) -> Minute {
        self.all.minute(self.slot())
    }

    /// The minute of one row; zeros for a row nothing is known of.
    pub fn row(&self, id: &RowId) -> Minute {
        self.rows
            .get(id)
            .map_or_else(Minute::default, |ring| ring.minute(self.slot()))
    }

    /// Rows whose minute is kept.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    fn slot(&self) -> usize {
        (self.newest % SECONDS as u64) as usize
    }

    /// The seconds between the newest known one and `now`, and what part of
    /// each the last `interval` makes up.
    fn touch(&mut self, now: Duration, interval: Duration) -> Vec<Touched> {
        let now = now.as_secs_f64();
        let start = now - interval.as_secs_f64();
        let newest = now as u64;
        let last_known = if self.known == [0.0; SECONDS] {
            (start.max(0.0)) as u64
        } else {
            self.newest
        };
        // Seconds that a new lap reaches first forget the previous lap.
        let oldest = newest.saturating_sub(SECONDS as u64 - 1);
        for second in (last_known + 1).max(oldest)..=newest {
            self.known[(second % SECONDS as u64) as usize] = 0.0;
        }
        self.newest = newest;
        let first = last_known.min(start.max(0.0) as u64).max(oldest);
        (first..=newest)
            .filter_map(|second| {
                let overlap = (now.min((second + 1) as f64) - start.max(second as f64)).max(0.0);
                let slot = (second % SECONDS as u64) as usize;
                let known = self.known[slot];
                let overlap = (overlap as f32).min(1.0);
                self.known[slot] = (known + overlap).min(1.0);
                if overlap == 0.0 && known > 0.0 {
                    return None;
                }
                let weight = if known == 0.0 {
                    // Nothing is known: what was in the slot is of the last lap.
                    // Without an overlap either (a pause) the rate stands for it.
                    1.0
                } else {
                    overlap / (known + overlap)
                };
                Some(Touched { slot, weight })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history that was told the same rate at each of these (time, interval) in ms.
    fn told(rate: f64, times: &[(u64, u64)]) -> (History, Ring) {
        let mut history = History::default();
        let mut ring = Ring::new();
        for (at, interval) in times {
            let touched =
                history.touch(Duration::from_millis(*at), Duration::from_millis(*interval));
            let rates = Rates {
                tx: rate,
                ..Rates::default()
            };
            ring.add(rates, &touched);
        }
        (history, ring)
    }

    fn tx(told: &(History, Ring)) -> Vec<f32> {
        told.1.minute(told.0.slot()).tx.to_vec()
    }

    #[test]
    fn short_rates_keep_three_digits() {
        assert_eq!(Short::new(0.0).value(), 0.0);
        assert!(Short::new(f32::MAX).value().is_finite());
        let mut rate = 1.0f32;
        while rate < 1e18 {
            let kept = Short::new(rate).value();
            assert!((kept - rate).abs() <= rate * 0.0005, "{rate} {kept}");
            rate *= 1.37;
        }
    }

    #[test]
    fn a_steady_rate_is_steady_at_any_interval() {
        for interval in [100, 200, 500, 1000, 2000, 10_000] {
            let times: Vec<_> = (1..=70_000 / interval)
                .map(|n| (1_000_123 + n * interval, interval))
                .collect();
            let seconds = tx(&told(1024.0, &times));
            assert!(
                seconds.iter().all(|rate| *rate == 1024.0),
                "{interval}: {seconds:?}"
            );
        }
    }

    #[test]
    fn what_came_first_moves_to_the_left_and_out() {
        let one = told(8.0, &[(5_000, 1_000)]);
        assert_eq!(tx(&one)[SECONDS - 2], 8.0);
        let mut later = one;
        let touched = later
            .0
            .touch(Duration::from_secs(15), Duration::from_secs(10));
        later.1.add(Rates::default(), &touched);
        assert_eq!(tx(&later)[SECONDS - 12], 8.0);
        assert_eq!(tx(&later).iter().sum::<f32>(), 8.0);
        let touched = later
            .0
            .touch(Duration::from_secs(500), Duration::from_secs(485));
        later.1.add(Rates::default(), &touched);
        assert_eq!(tx(&later).iter().sum::<f32>(), 0.0);
    }

    #[test]
    fn parts_of_a_second_are_weighed() {
        let mut history = History::default();
        let mut ring = Ring::new();
        for (at, interval, rate) in [(10_250, 250, 0.0), (10_500, 250, 8.0), (11_000, 500, 16.0)] {
            let touched = history.touch(Duration::from_millis(at), Duration::from_millis(interval));
            let rates = Rates {
                tx: rate,
                ..Rates::default()
            };
            ring.add(rates, &touched);
        }
        assert_eq!(tx(&(history, ring))[SECONDS - 2], 10.0);
    }
}

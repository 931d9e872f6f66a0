//! A sampler's counters of one interface, from one reading to the next; the peak.
//!
//! Owns what happens when a sampler is attached anew, when a reading lacks it, and when
//! a tick took no time. Does not know which interface it is.

use std::sync::Arc;
use std::time::Duration;

use super::{Sampled, Way, WayPace, WireCounters};
use crate::model::rate::per_second;

/// Ticks shorter than this are put together before they can be a peak: a train of
/// segments just before an early last reading is no rate that was ever held. Half of
/// the shortest interval that netmon can be asked for.
const SHORTEST: Duration = Duration::from_millis(25);

/// The highest rate so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peak {
    /// Bytes/s.
    pub highest: f64,
    /// What moved in ticks too short to be judged alone, and how long they took.
    held: (u64, Duration),
}

impl Peak {
    /// Takes in what moved in `elapsed`.
    pub fn read(&mut self, bytes: u64, elapsed: Duration) {
        self.held.0 += bytes;
        self.held.1 += elapsed;
        if self.held.1 >= SHORTEST {
            let (bytes, elapsed) = std::mem::take(&mut self.held);
            self.highest = self.highest.max(per_second(bytes, elapsed));
        }
    }
}

/// What a sampler tells of an interface, and where it stood.
#[derive(Debug)]
pub struct Meter {
    sampled: Sampled,
    peak: Peak,
    /// The sampler's counters at the last reading.
    last: (Way, Way),
    /// The sums when they were last turned into a pace.
    paced: (Way, Way),
    /// The time since then.
    waited: Duration,
    /// The last reading had it.
    is_there: bool,
}

impl Meter {
    /// What is counted from now on, where the counters stand at `counters`.
    pub fn started_at(counters: &WireCounters) -> Meter {
        Meter {
            last: (counters.tx, counters.rx),
            ..Meter::new(counters)
        }
    }

    /// What is counted since it was attached.
    pub fn new(counters: &WireCounters) -> Meter {
        Meter {
            sampled: Sampled {
                hook: Arc::clone(&counters.hook),
                tx: Way::default(),
                rx: Way::default(),
                tx_pace: WayPace::default(),
                rx_pace: WayPace::default(),
                uptime: Duration::ZERO,
                peak: 0.0,
            },
            peak: Peak::default(),
            last: Default::default(),
            paced: Default::default(),
            waited: Duration::ZERO,
            is_there: true,
        }
    }

    /// A tick begins. Its reading may lack it: until there is one, it is not shown.
    pub fn pass(&mut self, elapsed: Duration) {
        self.waited += elapsed;
        self.is_there = false;
    }

    /// Takes the tick's reading in; `elapsed` is the tick's.
    pub fn read(&mut self, counters: &WireCounters, elapsed: Duration) {
        self.is_there = true;
        let sampled = &mut self.sampled;
        if !Arc::ptr_eq(&sampled.hook, &counters.hook) {
            // Attached anew: it counts from 0 again, what was counted stays, and when
            // it was not attached it was not sampled.
            sampled.hook = Arc::clone(&counters.hook);
            self.last = Default::default();
            self.waited = elapsed;
        }
        sampled.tx += counters.tx.since(&self.last.0);
        sampled.rx += counters.rx.since(&self.last.1);
        self.last = (counters.tx, counters.rx);
        if self.waited.is_zero() {
            // Nothing has a pace in no time: what it brought belongs to the next tick.
            return;
        }
        let waited = std::mem::take(&mut self.waited);
        let (tx, rx) = (
            sampled.tx.since(&self.paced.0),
            sampled.rx.since(&self.paced.1),
        );
        self.paced = (sampled.tx, sampled.rx);
        sampled.tx_pace = WayPace::new(&tx, waited);
        sampled.rx_pace = WayPace::new(&rx, waited);
        sampled.uptime += waited;
        self.peak.read(tx.all().bytes + rx.all().bytes, waited);
        sampled.peak = self.peak.highest;
    }

    /// What it tells, if the last reading had it.
    pub fn sampled(&self) -> Option<&Sampled> {
        self.is_there.then_some(&self.sampled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn the_peak_is_the_highest_rate() {
        let mut peak = Peak::default();
        for (bytes, highest) in [(100, 200.0), (50, 200.0), (300, 600.0), (0, 600.0)] {
            peak.read(bytes, 500 * MILLISECOND);
            assert_eq!(peak.highest, highest);
        }
    }

    #[test]
    fn a_burst_in_a_moment_is_no_peak() {
        let mut peak = Peak::default();
        peak.read(1_000, MILLISECOND);
        assert_eq!(peak.highest, 0.0);
        // With the time around it it is.
        peak.read(0, 99 * MILLISECOND);
        assert_eq!(peak.highest, 10_000.0);
        for _ in 0..25 {
            assert_eq!(peak.highest, 10_000.0);
            peak.read(20, MILLISECOND);
        }
        assert_eq!(peak.highest, 20_000.0);
    }
}

//! A distribution of times, in buckets of fixed bounds.
//!
//! Counts only; how it is written down is `text`'s.

use std::time::Duration;

/// Upper bounds of the buckets, seconds; the last is without bound.
const BOUNDS: [f64; 14] = [
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    f64::INFINITY,
];

/// How many times were how long.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// Sum of all, seconds.
    pub sum: f64,
    /// Number of all.
    pub count: u64,
    counts: [u64; BOUNDS.len()],
}

impl Histogram {
    /// One more.
    pub fn observe(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.sum += seconds;
        self.count += 1;
        let at = BOUNDS.partition_point(|bound| *bound < seconds);
        // No time is beyond the last bound.
        self.counts[at.min(BOUNDS.len() - 1)] += 1;
    }

    /// Upper bound of each bucket in seconds and how many are in it alone.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        BOUNDS.into_iter().zip(self.counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_one_bucket_and_a_bound_belongs_to_its_own() {
        let mut histogram = Histogram::default();
        for microseconds in [0, 100, 101, 1_000, 2_000_000, 3_600_000_000] {
            histogram.observe(Duration::from_micros(microseconds));
        }
        assert_eq!(histogram.count, 6);
        let full: Vec<_> = histogram
            .buckets()
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        let expected = [(0.0001, 2), (0.00025, 1), (0.001, 1), (f64::INFINITY, 2)];
        assert_eq!(full, expected);
    }
}

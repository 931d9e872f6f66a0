//! Rates and their exponential moving average.
//!
//! Pure arithmetic over (delta, elapsed). Knows nothing of flows or clocks.

use std::time::Duration;

/// Exponential moving average whose half-life does not depend on jitter.
///
/// For a tick of exactly the nominal interval: `s = α·r + (1−α)·s`. A tick that
/// took `dt` gets the weight `1−(1−α)^(dt/interval)`, which is what
/// `dt/interval` nominal ticks at the same rate would have given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ema {
    /// Weight of a nominal tick, in (0, 1].
    pub alpha: f64,
    /// The nominal tick.
    pub interval: Duration,
}

impl Ema {
    /// The weight of a tick that took `elapsed`: 0 for none, towards 1 for a long one.
    pub fn weight(&self, elapsed: Duration) -> f64 {
        let ticks = elapsed.as_secs_f64() / self.interval.as_secs_f64();
        if !ticks.is_finite() || ticks <= 0.0 {
            return 0.0;
        }
        1.0 - (1.0 - self.alpha).powf(ticks)
    }
}

/// One step of the average with a weight from [`Ema::weight`], all in bytes/s.
/// Below a thousandth of a byte per second the average is 0, so that a flow
/// that fell silent comes to rest.
pub fn smooth(previous: f64, rate: f64, weight: f64) -> f64 {
    let next = weight * rate + (1.0 - weight) * previous;
    if next < 1e-3 { 0.0 } else { next }
}

/// Bytes per second for `bytes` in `elapsed`; 0 where no time passed.
pub fn per_second(bytes: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 {
        bytes as f64 / seconds
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(500);

    fn ema(alpha: f64) -> Ema {
        Ema {
            alpha,
            interval: INTERVAL,
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
    }

    #[test]
    fn a_constant_rate_and_silence_follow_the_closed_form() {
        for alpha in [0.01, 0.4, 0.9, 1.0] {
            let weight = ema(alpha).weight(INTERVAL);
            assert!(close(weight, alpha));
            let mut smoothed = 0.0;
            for n in 1..=50 {
                smoothed = smooth(smoothed, 1e6, weight);
                assert!(close(smoothed, 1e6 * (1.0 - (1.0 - alpha).powi(n))));
            }
            let top = smoothed;
            for n in 1..=10 {
                smoothed = smooth(smoothed, 0.0, weight);
                assert!((smoothed - top * (1.0 - alpha).powi(n)).abs() < 2e-3);
            }
        }
    }

    #[test]
    fn silence_comes_to_rest() {
        let weight = ema(0.4).weight(INTERVAL);
        let mut smoothed = 1e9;
        let ticks = std::iter::repeat_with(|| {
            smoothed = smooth(smoothed, 0.0, weight);
            smoothed
        });
        assert!(ticks.take(60).any(|smoothed| smoothed == 0.0));
    }

    #[test]
    fn weights_at_the_limits() {
        assert_eq!(ema(0.4).weight(Duration::ZERO), 0.0);
        assert_eq!(ema(1.0).weight(Duration::from_nanos(1)), 1.0);
        assert!(close(ema(0.4).weight(Duration::from_secs(3600)), 1.0));
        let instant = Ema {
            alpha: 0.4,
            interval: Duration::ZERO,
        };
        assert_eq!(instant.weight(INTERVAL), 0.0);
        assert_eq!(per_second(5, Duration::ZERO), 0.0);
        assert_eq!(per_second(5, Duration::from_millis(250)), 20.0);
    }

    proptest! {
        #[test]
        fn a_late_tick_weighs_as_much_as_those_it_stands_for(
            alpha in 0.001..=1.0_f64,
            ticks in 1..40_u32,
        ) {
            let missed = 1.0 - (1.0 - alpha).powi(ticks as i32);
            prop_assert!(close(ema(alpha).weight(INTERVAL * ticks), missed));
        }

        #[test]
        fn at_a_constant_rate_only_the_time_matters(
            alpha in 0.001..=1.0_f64,
            before in 0.0..1e9_f64,
            rate in 1.0..1e9_f64,
            parts in proptest::collection::vec(1..5_000_u64, 1..30),
        ) {
            let parts = parts.into_iter().map(Duration::from_millis);
            let whole: Duration = parts.clone().sum();
            let at_once = smooth(before, rate, ema(alpha).weight(whole));
            let in_parts = parts.fold(before, |smoothed, part| {
                smooth(smoothed, rate, ema(alpha).weight(part))
            });
            prop_assert!(close(at_once, in_parts), "{at_once} {in_parts}");
        }
    }
}

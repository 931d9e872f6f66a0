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

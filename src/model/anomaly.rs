//! Flows above the threshold, and since when.
//!
//! Decides what is anomalous. Does not compute the rates it judges.

use std::time::Duration;

use super::flow::FlowKey;

/// What is judged by, as far as it can change while flows are watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// Weight of a nominal interval in the EMA, in (0, 1].
    pub alpha: f64,
    /// Smoothed rates above this are anomalous, bytes/s.
    pub threshold: f64,
}

/// One flow whose smoothed rate is above the threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly {
    /// The flow.
    pub key: FlowKey,
    /// Name of its process.
    pub name: String,
    /// Its smoothed rate, bytes/s.
    pub value: f64,
    /// The threshold it exceeds, bytes/s.
    pub threshold: f64,
    /// Wall-clock time (since the Unix epoch) at which it rose above it.
    pub since: Duration,
}

/// True while `smoothed` (bytes/s) is above `threshold` (bytes/s).
pub fn is_anomalous(smoothed: f64, threshold: f64) -> bool {
    smoothed > threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_itself_is_not_above_it() {
        assert!(!is_anomalous(10.0, 10.0));
        assert!(is_anomalous(10.1, 10.0));
    }
}

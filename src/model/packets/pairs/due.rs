//! Which pairs want another look, by the time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::PairKey;

/// Times of looks, the earliest first. A pair may be in it more than once.
#[derive(Debug, Default)]
pub(super) struct Due {
    times: BinaryHeap<Time>,
}

#[derive(Debug)]
struct Time {
    at: Duration,
    key: PairKey,
}

impl Due {
    /// That pair wants a look then.
    pub(super) fn push(&mut self, at: Duration, key: PairKey) {
        self.times.push(Time { at, key });
    }

    /// The next one whose time has come, and what that was.
    pub(super) fn pop(&mut self, now: Duration) -> Option<(Duration, PairKey)> {
        if !self.any(now) {
            return None;
        }
        self.times.pop().map(|time| (time.at, time.key))
    }

    /// Whether the time of any has come.
    pub(super) fn any(&self, now: Duration) -> bool {
        self.times.peek().is_some_and(|time| time.at <= now)
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Time) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Time) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Time {
    fn eq(&self, other: &Time) -> bool {
        self.at == other.at
    }
}

impl Eq for Time {}

//! The one-slot channel between the sampler and whoever shows snapshots.
//!
//! The latest snapshot wins, so a slow reader never holds the sampler. The only
//! things that go the other way are the interval and the judgement a person chose and
//! the wish to stop. Knows nothing of what a snapshot holds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::anomaly::Judgement;
use crate::model::snapshot::Snapshot;

#[derive(Default)]
struct Slot {
    latest: Option<Arc<Snapshot>>,
    /// Why the sampler ended, if it ended by itself.
    failure: Option<String>,
    /// How to judge from the next snapshot on, until the sampler has taken it.
    judgement: Option<Judgement>,
    stop: bool,
    ended: bool,
}

/// Shared by the sampler thread and its readers; see the module's text.
pub struct Feed {
    slot: Mutex<Slot>,
    changed: Condvar,
    /// Sequence of the latest snapshot, so that a 100 Hz reader can look without locking.
    sequence: AtomicU64,
    interval_ns: AtomicU64,
}

/// What a reader found.
#[derive(Debug, Clone)]
pub enum News {
    /// A snapshot newer than the one the reader had.
    Snapshot(Arc<Snapshot>),
    /// Nothing new before the time-out.
    Nothing,
    /// The sampler has ended, and there is nothing newer; the reason if it failed.
    Ended(Option<String>),
}

impl Feed {
    /// An empty feed whose sampler shall read every `interval`.
    pub fn new(interval: Duration) -> Feed {
        Feed {
            slot: Mutex::default(),
            changed: Condvar::new(),
            sequence: AtomicU64::new(0),
            interval_ns: AtomicU64::new(nanoseconds(interval)),
        }
    }

    /// A panicking holder leaves the slot whole: every write to it is one assignment.
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a snapshot in the slot and wakes every reader.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        let sequence = snapshot.sequence;
        self.slot().latest = Some(snapshot);
        self.sequence.store(sequence, Ordering::Release);
        self.changed.notify_all();
    }

    /// Says that no further snapshot will come, and why if that is an error.
    pub fn end(&self, failure: Option<String>) {
        let mut slot = self.slot();
        slot.ended = true;
        slot.failure = failure;
        // A sequence nobody has seen makes lock-free readers look once more.
        self.sequence.store(u64::MAX, Ordering::Release);
        self.changed.notify_all();
    }

    /// Asks the sampler to take one last reading and end.
    pub fn stop(&self) {
        self.slot().stop = true;
        self.changed.notify_all();
    }

    /// What there is beyond snapshot `seen` (0 for none), without waiting.
    pub fn newer_than(&self, seen: u64) -> News {
        if self.sequence.load(Ordering::Acquire) == seen {
            return News::Nothing;
        }
        news(&self.slot(), seen)
    }

    /// What there is beyond snapshot `seen`, at the latest after `timeout`.
    pub fn wait_newer(&self, seen: u64, timeout: Duration) -> News {
        let (slot, _) = self
            .changed
            .wait_timeout_while(self.slot(), timeout, |slot| {
                matches!(news(slot, seen), News::Nothing)
            })
            .unwrap_or_else(PoisonError::into_inner);
        news(&slot, seen)
    }

    /// For the sampler: sleeps until `deadline`, a stop or a change of the
    /// interval. True when it shall stop.
    pub fn sleep_until(&self, deadline: Instant) -> bool {
        let interval = self.interval();
        let timeout = deadline.saturating_duration_since(Instant::now());
        let (slot, _) = self
            .changed
            .wait_timeout_while(self.slot(), timeout, |slot| {
                !slot.stop && self.interval() == interval
            })
            .unwrap_or_else(PoisonError::into_inner);
        slot.stop
    }

    /// The interval at which the sampler shall read.
    pub fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval_ns.load(Ordering::Relaxed))
    }

    /// Changes the interval from the next reading on.
    pub fn set_interval(&self, interval: Duration) {
        let _guard = self.slot();
        self.interval_ns
            .store(nanoseconds(interval), Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// For the sampler: how it shall judge from now on, if that was changed since it
    /// last asked.
    pub fn take_judgement(&self) -> Option<Judgement> {
        self.slot().judgement.take()
    }

    /// Changes what flows are judged by from the next reading on.
    pub fn set_judgement(&self, judgement: Judgement) {
        self.slot().judgement = Some(judgement);
    }
}

fn news(slot: &Slot, seen: u64) -> News {
    match &slot.latest {
        Some(snapshot) if snapshot.sequence > seen => News::Snapshot(Arc::clone(snapshot)),
        _ if slot.ended => News::Ended(slot.failure.clone()),
        _ => News::Nothing,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

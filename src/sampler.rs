//! One step of the data path: read the kernel, tick the model, write back.
//!
//! Owns the collector and the tracker together, and nothing of threads, screens
//! or command lines: [`crate::run`] decides when to step, tests step by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::collect::accounting::{self, Accounting, Plan};
use crate::collect::clock;
use crate::collect::drain::Drain;
use crate::collect::interfaces::Interfaces;
use crate::model::anomaly::Judgement;
use crate::model::sample::{Moment, Sample};
use crate::model::snapshot::Snapshot;
use crate::model::tracker::{self, Tracker};

/// How often a reading that was interrupted is done again, at most.
const READ_AGAIN: u32 = 2;

/// What to load and how to judge it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Engines in order of preference.
    pub plans: Vec<Plan>,
    /// Entries of the kernel's flow map.
    pub max_flows: u32,
    /// Nominal time between two steps.
    pub interval: Duration,
    /// Weight of a nominal interval in the EMA, in (0, 1].
    pub alpha: f64,
    /// Smoothed rates above this are anomalous, bytes/s.
    pub threshold: f64,
    /// List kernel threads one by one.
    pub kernel_threads: bool,
    /// How long ended rows stay listed after their final count.
    pub linger: Duration,
    /// Most ended rows that linger.
    pub max_listed_ended: usize,
    /// Directory on bpffs under which the four maps are pinned.
    pub pin: Option<PathBuf>,
}

/// A running monitor without a screen.
pub struct Sampler {
    accounting: Accounting,
    drain: Drain,
    /// Absent where the kernel does not let them be read.
    interfaces: Option<Interfaces>,
    tracker: Tracker,
    sample: Sample,
    /// Nominal time between two steps.
    interval: Duration,
}

impl Sampler {
    /// Loads and attaches; counting has begun when it returns.
    ///
    /// # Errors
    /// As [`Accounting::open`].
    pub fn start(settings: Settings) -> Result<Sampler> {
        let accounting = Accounting::open(&accounting::Settings {
            plans: settings.plans,
            max_flows: settings.max_flows,
            pin: settings.pin,
        })?;
        let drain = Drain::new(&accounting)?;
        let mut interfaces = Interfaces::open().ok();
        let mut sample = Sample::default();
        if let Some(interfaces) = &mut interfaces {
            interfaces.read(&mut sample);
        }
        let mut tracker = Tracker::new(
            tracker::Settings {
                interval: settings.interval,
                alpha: settings.alpha,
                threshold: settings.threshold,
                kernel_threads: settings.kernel_threads,
                linger: settings.linger,
                max_listed_ended: settings.max_listed_ended,
                max_flows: settings.max_flows as usize,
                engine: Arc::clone(&accounting.engine),
                boot: clock::boot_wall(),
            },
            clock::now(),
        );
        tracker.begin(&sample);
        Ok(Sampler {
            accounting,
            drain,
            interfaces,
            tracker,
            sample,
            interval: settings.interval,
        })
    }

    /// Takes one reading now.
    ///
    /// # Errors
    /// If the kernel refuses a read or a write.
    pub fn step(&mut self) -> Result<Arc<Snapshot>> {
        let at = self.read()?;
        let snapshot = self.tracker.tick(&self.sample, at);
        let feedback = self.tracker.feedback();
        let maps = &self.accounting.maps;
        self.drain
            .write_rates(maps, feedback.rates.iter().copied())?;
        self.drain.remove_flows(maps, feedback.flows)?;
        self.drain.remove_processes(maps, feedback.processes)?;
        Ok(snapshot)
    }

    /// Reads the kernel; the time the reading is of.
    ///
    /// Whoever was stopped or got no CPU in the midst of it has counters from
    /// before and a clock from after, and all that moved meanwhile would seem to
    /// have moved in the next interval. Such a reading is done again.
    fn read(&mut self) -> Result<Moment> {
        let (mut start, mut busy) = (clock::now(), clock::thread_cpu());
        self.drain.poll(&self.accounting, &mut self.sample)?;
        let mut left = READ_AGAIN;
        loop {
            // After the maps: what was counted there has passed the interfaces, but
            // for what still waits to be sent.
            if let Some(interfaces) = &mut self.interfaces {
                interfaces.read(&mut self.sample);
            }
            let (end, busy_by_now) = (clock::now(), clock::thread_cpu());
            let took = end.monotonic.saturating_sub(start.monotonic);
            let worked = busy_by_now.saturating_sub(busy);
            if left == 0 || !was_interrupted(took, worked, self.interval) {
                return Ok(end);
            }
            left -= 1;
            (start, busy) = (end, busy_by_now);
            self.drain.poll_again(&self.accounting, &mut self.sample)?;
        }
    }

    /// Detaches the programs and takes the last reading: nothing moves any
    /// more, so it is complete and its books balance exactly.
    ///
    /// # Errors
    /// If the kernel refuses a read.
    pub fn finish(mut self) -> Result<Arc<Snapshot>> {
        self.detach();
        self.step()
    }

    /// Counts nothing from now on; a program that is at work still ends its work.
    pub fn detach(&mut self) {
        self.accounting.detach();
    }

    /// Changes the nominal interval.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
        self.tracker.set_interval(interval);
    }

    /// Judges otherwise from the next step on.
    pub fn set_judgement(&mut self, judgement: Judgement) {
        self.tracker.set_judgement(judgement);
    }

    /// How it counts.
    pub fn plan(&self) -> Plan {
        self.accounting.plan
    }

    /// The collector, for its statistics.
    pub fn accounting(&self) -> &Accounting {
        &self.accounting
    }
}

/// Whether a reading took longer than an interval, most of it without a CPU. One that
/// is merely slow would be as slow again.
fn was_interrupted(took: Duration, worked: Duration, interval: Duration) -> bool {
    took > interval && worked < took / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reading_was_not_interrupted() {
        let milliseconds = Duration::from_millis;
        for (took, worked, interrupted) in [
            (40, 1, false),
            (300, 290, false),
            (300, 150, false),
            (300, 149, true),
            (10_000, 20, true),
        ] {
            let found = was_interrupted(milliseconds(took), milliseconds(worked), milliseconds(50));
            assert_eq!(found, interrupted, "{took} ms, {worked} of them at work");
        }
    }
}

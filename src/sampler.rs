//! One step of the data path: read the kernel, tick the model, write back.
//!
//! Owns the source of samples and the tracker together, and nothing of threads, screens
//! or command lines: [`crate::run`] decides when to step, tests step by hand.

mod source;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::collect::accounting::{Accounting, Plan};
use crate::collect::clock;
use crate::collect::interfaces::Interfaces;
use crate::collect::packets;
use crate::collect::tcp_health::TcpHealths;
use crate::collect::xdp::{self, InterfaceSampler};
use crate::model::anomaly::Judgement;
use crate::model::sample::{Moment, Sample};
use crate::model::snapshot::{Engine, Snapshot};
use crate::model::tracker::{self, Tracker};
use source::Source;

/// How often a reading that was interrupted is done again, at most.
const READ_AGAIN: u32 = 2;

/// What to load and how to judge it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Engines in order of preference.
    pub plans: Vec<Plan>,
    /// Captured packets in place of kernel programs: no plan is loaded then.
    pub packets: Option<packets::Settings>,
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
    /// Interfaces whose packets are told apart by protocol; none for no such sampler.
    pub interfaces: Option<xdp::Settings>,
}

/// A running monitor without a screen.
pub struct Sampler {
    source: Source,
    /// Absent where the kernel does not let them be read.
    interfaces: Option<Interfaces>,
    /// Where one was asked for.
    packets: Option<InterfaceSampler>,
    connections: TcpHealths,
    tracker: Tracker,
    sample: Sample,
    /// Nominal time between two steps.
    interval: Duration,
}

impl Sampler {
    /// Loads and attaches; counting has begun when it returns.
    ///
    /// # Errors
    /// As [`Accounting::open`], or [`packets::Packets::open`].
    pub fn start(settings: Settings) -> Result<Sampler> {
        let source = Source::open(&settings)?;
        let packets = settings.interfaces.as_ref();
        let mut packets = packets.map(InterfaceSampler::open).transpose()?;
        let mut interfaces = Interfaces::open().ok();
        let mut sample = Sample::default();
        if let Some(interfaces) = &mut interfaces {
            interfaces.read(&mut sample);
        }
        if let Some(packets) = &mut packets {
            packets.read(&mut sample);
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
                engine: Arc::clone(source.engine()),
                boot: clock::boot_wall(),
            },
            clock::now(),
        );
        tracker.begin(&sample);
        Ok(Sampler {
            source,
            interfaces,
            packets,
            connections: TcpHealths::start()?,
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
        self.connections.read(&mut self.sample);
        let snapshot = self.tracker.tick(&self.sample, at);
        self.source.give_back(self.tracker.feedback())?;
        Ok(snapshot)
    }

    /// Reads the kernel; the time the reading is of.
    ///
    /// Whoever was stopped or got no CPU in the midst of it has counters from
    /// before and a clock from after, and all that moved meanwhile would seem to
    /// have moved in the next interval. Such a reading is done again.
    fn read(&mut self) -> Result<Moment> {
        let (mut start, mut busy) = (clock::now(), clock::thread_cpu());
        self.source.poll(&mut self.sample)?;
        let mut left = READ_AGAIN;
        loop {
            // After the maps: what was counted there has passed the interfaces, but
            // for what still waits to be sent.
            if let Some(interfaces) = &mut self.interfaces {
                interfaces.read(&mut self.sample);
            }
            if let Some(packets) = &mut self.packets {
                packets.read(&mut self.sample);
            }
            let (end, busy_by_now) = (clock::now(), clock::thread_cpu());
            let took = end.monotonic.saturating_sub(start.monotonic);
            let worked = busy_by_now.saturating_sub(busy);
            if left == 0 || !was_interrupted(took, worked, self.interval) {
                return Ok(end);
            }
            left -= 1;
            (start, busy) = (end, busy_by_now);
            self.source.poll_again(&mut self.sample)?;
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
        self.source.detach();
    }

    /// What went wrong since the last call, or is well again, and is no failure of a
    /// reading.
    pub fn troubles(&mut self) -> Vec<String> {
        self.source.troubles()
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

    /// What counts, and what that cannot see.
    pub fn engine(&self) -> &Arc<Engine> {
        self.source.engine()
    }

    /// The collector, for its statistics; `None` without kernel programs.
    pub fn accounting(&self) -> Option<&Accounting> {
        match &self.source {
            Source::Programs(programs) => Some(&programs.accounting),
            Source::Packets(_) => None,
        }
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

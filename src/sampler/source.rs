//! Where samples come from: the kernel programs' maps, or captured packets.
//!
//! Owns the choice, so that a step is the same for both. Computes nothing.

use std::sync::Arc;

use anyhow::Result;

use super::Settings;
use crate::collect::accounting::{self, Accounting};
use crate::collect::drain::Drain;
use crate::collect::packets::Packets;
use crate::model::sample::Sample;
use crate::model::snapshot::Engine;
use crate::model::tracker::Feedback;

/// See the module's text.
pub(super) enum Source {
    /// What they count stands in the kernel's maps.
    Programs(Box<Programs>),
    /// What they count stands in netmon's own.
    Packets(Box<Packets>),
}

/// Loaded programs, and what reads their maps.
pub(super) struct Programs {
    pub(super) accounting: Accounting,
    drain: Drain,
}

impl Source {
    /// What `settings` ask for; counting has begun when it returns.
    pub(super) fn open(settings: &Settings) -> Result<Source> {
        if let Some(packets) = &settings.packets {
            return Ok(Source::Packets(Box::new(Packets::open(packets)?)));
        }
        let accounting = Accounting::open(&accounting::Settings {
            plans: settings.plans.clone(),
            max_flows: settings.max_flows,
            pin: settings.pin.clone(),
        })?;
        let drain = Drain::new(&accounting)?;
        Ok(Source::Programs(Box::new(Programs { accounting, drain })))
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        match self {
            Source::Programs(programs) => &programs.accounting.engine,
            Source::Packets(packets) => &packets.engine,
        }
    }

    pub(super) fn poll(&mut self, sample: &mut Sample) -> Result<()> {
        match self {
            Source::Programs(programs) => programs.drain.poll(&programs.accounting, sample),
            Source::Packets(packets) => packets.poll(sample),
        }
    }

    pub(super) fn poll_again(&mut self, sample: &mut Sample) -> Result<()> {
        match self {
            Source::Programs(programs) => programs.drain.poll_again(&programs.accounting, sample),
            Source::Packets(packets) => packets.poll_again(sample),
        }
    }

    /// What the tracker wants done; only kernel programs have a use for rates.
    pub(super) fn give_back(&mut self, feedback: Feedback<'_>) -> Result<()> {
        match self {
            Source::Programs(programs) => {
                let (maps, drain) = (&programs.accounting.maps, &mut programs.drain);
                drain.write_rates(maps, feedback.rates.iter().copied())?;
                drain.remove_flows(maps, feedback.flows)?;
                drain.remove_processes(maps, feedback.processes)
            }
            Source::Packets(packets) => {
                packets.remove_flows(feedback.flows);
                packets.remove_processes(feedback.processes);
                Ok(())
            }
        }
    }

    /// What went wrong since the last call, or is well again, and not with a reading.
    pub(super) fn troubles(&mut self) -> Vec<String> {
        match self {
            Source::Programs(_) => Vec::new(),
            Source::Packets(packets) => packets.troubles(),
        }
    }

    pub(super) fn detach(&mut self) {
        match self {
            Source::Programs(programs) => programs.accounting.detach(),
            Source::Packets(packets) => packets.detach(),
        }
    }
}

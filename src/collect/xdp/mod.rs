//! The interface sampler: XDP and tc programs, their counters, the interfaces they are on.
//!
//! Owns the programs' life and the maps' bytes. Computes no rate. It sees the
//! interfaces of the network namespace of the thread that opened it, which is the one
//! that reads it.

mod attach;
mod clsact;
mod counters;
mod load;
mod mode;
mod probe;
mod skeleton;
mod sys;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use libbpf_rs::MapHandle;

use self::attach::{Attached, Programs};
use self::clsact::Number;
use self::counters::{RawFlow, RawFlowKey};
pub use self::probe::{Abilities, probe};
use super::batch::Batch;
use super::clock;
use super::rtnetlink::{self, Changes};
use crate::model::flow::Address;
use crate::model::interface::{Count, Unsampled, WireCounters};
use crate::model::network::Link;
use crate::model::sample::Sample;

/// Time between two looks whether our programs are where they should be: nobody tells
/// when one is detached, or when what stood in its way has gone.
const LOOK: Duration = Duration::from_secs(1);

/// Which interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All that are up, as they come and go.
    All,
    /// These, as they come and go; each must be there at the start.
    Named(Vec<String>),
}

/// Where incoming packets are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// By a tc program, beside any other: native XDP was free on no interface measured.
    #[default]
    Auto,
    /// By XDP in the driver.
    Native,
    /// By XDP after the driver.
    Generic,
}

/// What to attach.
#[derive(Debug, Clone)]
pub struct Settings {
    /// On which interfaces.
    pub interfaces: Which,
    /// How.
    pub mode: Mode,
    /// Flows that are kept apart, 0 for none.
    pub max_flows: u32,
}

/// One flow on one interface, cumulative as long as the kernel keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowCount {
    /// `ifindex` of the interface.
    pub index: u32,
    /// The protocol's number in the IP header.
    pub protocol: u8,
    /// Who sent the first packet that was seen, and its port (0 where there are none).
    pub source: (Address, u16),
    /// The other end.
    pub destination: (Address, u16),
    /// From source to destination.
    pub forth: Count,
    /// From destination to source.
    pub back: Count,
}

/// Attached programs; dropping it detaches them.
#[derive(Debug)]
pub struct InterfaceSampler {
    settings: Settings,
    /// The kernel's word of changes.
    changes: Changes,
    /// The interfaces, each with whether it is up, as last read.
    links: Vec<(Link, bool)>,
    /// They are to be read again, as that failed.
    is_stale: bool,
    /// When it is next looked, monotonic.
    look_at: Duration,
    attached: Vec<Attached>,
    programs: Arc<Programs>,
    flows: MapHandle,
    /// Entries of `flows`, with room for all once any were read.
    batch: Batch<RawFlowKey, RawFlow>,
    /// Why there is no program where there should be, by `ifindex`: one line each.
    failed: BTreeMap<u32, Arc<str>>,
}

impl InterfaceSampler {
    /// Loads and attaches.
    ///
    /// # Errors
    /// One line for a person.
    pub fn open(settings: &Settings) -> Result<InterfaceSampler> {
        Self::open_with(settings, false)
    }

    /// The same, but what goes out is seen by a filter on a clsact qdisc, as on kernels
    /// without tcx links (before Linux 6.6), where `open` does so by itself.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_clsact(settings: &Settings) -> Result<InterfaceSampler> {
        Self::open_with(settings, true)
    }

    fn open_with(settings: &Settings, clsact: bool) -> Result<InterfaceSampler> {
        let (mut programs, flows) = load::load(settings.max_flows)?;
        if clsact || !attach::has_tcx(&programs) {
            programs.number = Some(Number::take()?);
        }
        let mut sampler = InterfaceSampler {
            settings: settings.clone(),
            // Listening comes first, so that no change falls between.
            changes: Changes::open()?,
            links: rtnetlink::links()?,
            is_stale: false,
            look_at: clock::now().monotonic + LOOK,
            attached: Vec::new(),
            programs: Arc::new(programs),
            flows,
            batch: Batch::new(0),
            failed: BTreeMap::new(),
        };
        check_names(settings, &sampler.links)?;
        sampler.follow();
        let nothing = sampler.attached.is_empty() || settings.interfaces != Which::All;
        match sampler.failed.values().next() {
            Some(why) if nothing => bail!("{why}"),
            _ => Ok(sampler),
        }
    }

    /// Follows interfaces that came and went, and reads every counter into
    /// `sample.wire`; why there is none is in `sample.unsampled`.
    pub fn read(&mut self, sample: &mut Sample) {
        sample.wire.clear();
        sample.unsampled.clear();
        let now = clock::now().monotonic;
        if self.changes.any() || self.is_stale {
            // What is short for a moment is there at the next reading.
            let read = rtnetlink::links();
            self.is_stale = read.is_err();
            if let Ok(links) = read {
                self.links = links;
                self.look_at = now;
            }
        }
        if now >= self.look_at {
            self.look_at = now + LOOK;
            self.follow();
        }
        for attached in &self.attached {
            match counters::counted(&self.programs.interfaces, attached.index) {
                Ok((tx, rx)) => sample.wire.push(WireCounters {
                    index: attached.index,
                    hook: Arc::clone(&attached.hook),
                    tx,
                    rx,
                }),
                Err(error) => sample.unsampled.push(Unsampled {
                    index: attached.index,
                    why: format!("its counters cannot be read: {error:#}").into(),
                }),
            }
        }
        let failed = self.failed.iter().map(|(index, why)| Unsampled {
            index: *index,
            why: Arc::clone(why),
        });
        sample.unsampled.extend(failed);
    }

    /// The flows that the kernel keeps apart.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn flows(&mut self) -> Result<Vec<FlowCount>> {
        if self.settings.max_flows == 0 {
            return Ok(Vec::new());
        }
        self.batch.read(&self.flows)?;
        let entries = self.batch.entries();
        Ok(entries
            .map(|(key, value)| counters::flow(key, value))
            .collect())
    }

    /// Lets go of interfaces that went, and attaches to those that are wanted. One that
    /// goes down stays attached: nothing moves on it, and its counters go on.
    fn follow(&mut self) {
        let is_link = |index| self.links.iter().any(|(link, _)| link.index == index);
        self.attached
            .retain(|attached| is_link(attached.index) && attached.is_there());
        self.failed.clear();
        for (link, is_up) in &self.links {
            let is_wanted = match &self.settings.interfaces {
                Which::All => *is_up,
                Which::Named(names) => names.iter().any(|name| **name == *link.name),
            };
            if !is_wanted || self.attached.iter().any(|it| it.index == link.index) {
                continue;
            }
            match Attached::new(&self.programs, link, self.settings.mode) {
                Ok(attached) => self.attached.push(attached),
                // It went while it was looked at.
                Err(error) if attach::is_gone(&error) => {}
                Err(error) => {
                    self.failed.insert(link.index, format!("{error:#}").into());
                }
            }
        }
    }
}

fn check_names(settings: &Settings, links: &[(Link, bool)]) -> Result<()> {
    let Which::Named(names) = &settings.interfaces else {
        return Ok(());
    };
    let is_there = |name: &&String| links.iter().any(|(link, _)| *link.name == ***name);
    if let Some(name) = names.iter().find(|name| !is_there(name)) {
        let known: Vec<&str> = links.iter().map(|(link, _)| &*link.name).collect();
        bail!(
            "there is no interface {name}; there are {}",
            known.join(", ")
        );
    }
    Ok(())
}

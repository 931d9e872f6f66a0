//! The interfaces alone, without processes: what `netmon iface` reports.
//!
//! Owns the order of readings and what belongs in a report. How an interface or a flow is
//! counted is the business of their tables.

use std::time::Duration;

use super::{FlowReading, Interface, InterfaceTable, WireFlowRow, WireFlows};
use crate::model::rate::Ema;
use crate::model::sample::{Moment, Sample};
use crate::model::tracker::Tick;

/// One interval of the interfaces that are sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct InterfaceReport {
    /// Number of this report, from 1.
    pub sequence: u64,
    /// When the kernel was read.
    pub at: Moment,
    /// Since the report before.
    pub interval: Duration,
    /// Those with a sampler on them, by `ifindex`.
    pub interfaces: Vec<Interface>,
    /// The flows that moved most in the interval, most first.
    pub flows: Vec<WireFlowRow>,
}

impl InterfaceReport {
    /// The interface with that `ifindex`.
    pub fn interface(&self, index: u32) -> Option<&Interface> {
        self.interfaces.iter().find(|row| row.index == index)
    }
}

/// The state between two reports.
#[derive(Debug)]
pub struct Survey {
    interfaces: InterfaceTable,
    flows: WireFlows,
    ema: Ema,
    sequence: u64,
    last: Moment,
}

impl Survey {
    /// Takes everything in as where the first interval begins.
    pub fn new(sample: &Sample, flows: &[FlowReading], ema: Ema, start: Moment) -> Survey {
        let mut survey = Survey {
            interfaces: InterfaceTable::default(),
            flows: WireFlows::default(),
            ema,
            sequence: 0,
            last: start,
        };
        survey.interfaces.begin(sample);
        survey.flows.begin(flows);
        survey
    }

    /// Those with a sampler on them, by `ifindex`.
    pub fn interfaces(&self) -> Vec<Interface> {
        let mut rows = self.interfaces.rows();
        rows.retain(|row| row.sampled.is_some());
        rows
    }

    /// Takes a reading in; of the flows the `top` that moved most.
    pub fn tick(
        &mut self,
        sample: &Sample,
        flows: &[FlowReading],
        top: usize,
        now: Moment,
    ) -> InterfaceReport {
        self.sequence += 1;
        let elapsed = now.monotonic.saturating_sub(self.last.monotonic);
        self.last = now;
        let tick = Tick {
            sequence: self.sequence,
            now,
            elapsed,
            weight: self.ema.weight(elapsed),
        };
        self.interfaces.tick(sample, &tick);
        InterfaceReport {
            sequence: self.sequence,
            at: now,
            interval: elapsed,
            interfaces: self.interfaces(),
            flows: self.flows.tick(flows, elapsed, top),
        }
    }
}

//! The state between two readings: every interface that is there.
//!
//! Owns which interface is the same as before, and from where its counters count.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::meter::{Meter, Peak};
use super::{Interface, Unsampled, WireCounters};
use crate::model::counter::Counter;
use crate::model::endpoint::printable;
use crate::model::flow::Totals;
use crate::model::network::{Link, LinkCounters, Network};
use crate::model::rate::per_second;
use crate::model::sample::Sample;
use crate::model::tracker::Tick;

/// See the module's text.
#[derive(Debug, Default)]
pub struct InterfaceTable {
    known: HashMap<u32, Known, RandomState>,
    network: Option<Arc<Network>>,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    loopback: bool,
    kind: Option<String>,
    /// The kernel's counters; `None` until their first reading.
    kernel: Option<Kernel>,
    meter: Option<Meter>,
    /// Why a sampler that was asked for is not there.
    unsampled: Option<Arc<str>>,
}

/// The kernel's counters of one interface.
#[derive(Debug)]
struct Kernel {
    counter: Counter,
    /// Packets/s sent and received.
    packets: (f64, f64),
    uptime: Duration,
    peak: Peak,
    /// The sums when they were last turned into a pace.
    paced: Totals,
    /// The time since then, and the weight of all of it in an average.
    waited: Duration,
    weight: f64,
}

impl InterfaceTable {
    /// Takes the interfaces' counters, and a sampler's, in as where counting begins.
    pub fn begin(&mut self, sample: &Sample) {
        self.follow(sample);
        for LinkCounters { index, totals } in &sample.links {
            if let Some(known) = self.known.get_mut(index) {
                known.kernel = Some(Kernel::started_at(*totals));
            }
        }
        for counters in &sample.wire {
            if let Some(known) = self.known.get_mut(&counters.index) {
                known.meter = Some(Meter::started_at(counters));
            }
        }
        self.note_unsampled(sample);
    }

    /// Takes a reading in.
    pub fn tick(&mut self, sample: &Sample, tick: &Tick) {
        self.follow(sample);
        for known in self.known.values_mut() {
            known.pass(tick);
        }
        for LinkCounters { index, totals } in &sample.links {
            let Some(known) = self.known.get_mut(index) else {
                continue;
            };
            match &mut known.kernel {
                Some(kernel) => kernel.read(*totals, tick),
                // It may have been there, unseen, for long: from now on.
                None => known.kernel = Some(Kernel::started_at(*totals)),
            }
        }
        for counters in &sample.wire {
            if let Some(known) = self.known.get_mut(&counters.index) {
                known.sample(counters, tick.elapsed);
            }
        }
        self.note_unsampled(sample);
    }

    fn note_unsampled(&mut self, sample: &Sample) {
        for known in self.known.values_mut() {
            known.unsampled = None;
        }
        for Unsampled { index, why } in &sample.unsampled {
            if let Some(known) = self.known.get_mut(index) {
                known.unsampled = Some(Arc::clone(why));
            }
        }
    }

    /// The interfaces by `ifindex`.
    pub fn rows(&self) -> Vec<Interface> {
        let rows = self.known.iter().map(|(index, known)| known.row(*index));
        let mut rows: Vec<Interface> = rows.collect();
        rows.sort_unstable_by_key(|row| row.index);
        rows
    }

    /// Which interfaces there are now.
    fn follow(&mut self, sample: &Sample) {
        let Some(network) = &sample.network else {
            return;
        };
        let same = |known: &Arc<Network>| Arc::ptr_eq(known, network);
        if self.network.as_ref().is_some_and(same) {
            return;
        }
        self.network = Some(Arc::clone(network));
        let mut before = std::mem::take(&mut self.known);
        for link in &network.links {
            // What has the number of another kind of device that is gone is a new one.
            let known = before.remove(&link.index);
            let known = known.filter(|known| known.kind == link.kind);
            let mut known = known.unwrap_or_else(|| Known::new(link));
            known.name = printable(&link.name).collect::<String>().into();
            self.known.insert(link.index, known);
        }
    }
}

impl Known {
    fn new(link: &Link) -> Known {
        Known {
            name: "".into(),
            loopback: link.loopback,
            kind: link.kind.clone(),
            kernel: None,
            meter: None,
            unsampled: None,
        }
    }

    /// A tick begins; its reading may lack this one.
    fn pass(&mut self, tick: &Tick) {
        if let Some(kernel) = &mut self.kernel {
            kernel.pass(tick);
        }
        if let Some(meter) = &mut self.meter {
            meter.pass(tick.elapsed);
        }
    }

    fn sample(&mut self, counters: &WireCounters, elapsed: Duration) {
        let meter = self.meter.get_or_insert_with(|| {
            let mut meter = Meter::new(counters);
            meter.pass(elapsed);
            meter
        });
        meter.read(counters, elapsed);
    }

    fn row(&self, index: u32) -> Interface {
        let idle = Kernel::started_at(Totals::default());
        let kernel = self.kernel.as_ref().unwrap_or(&idle);
        let Counter { totals, rates, .. } = kernel.counter;
        let (tx_packets, rx_packets) = kernel.packets;
        Interface {
            index,
            name: Arc::clone(&self.name),
            loopback: self.loopback,
            totals,
            rates,
            tx_packets,
            rx_packets,
            uptime: kernel.uptime,
            peak: kernel.peak.highest,
            sampled: self.meter.as_ref().and_then(Meter::sampled).cloned(),
            unsampled: self.unsampled.clone(),
        }
    }
}

impl Kernel {
    fn started_at(totals: Totals) -> Kernel {
        Kernel {
            counter: Counter::started_at(totals),
            packets: (0.0, 0.0),
            uptime: Duration::ZERO,
            peak: Peak::default(),
            paced: Totals::default(),
            waited: Duration::ZERO,
            weight: 0.0,
        }
    }

    /// A tick begins. If its reading lacks this one, the rates stay what they were and
    /// nothing moved; what did belongs to the next reading.
    fn pass(&mut self, tick: &Tick) {
        self.waited += tick.elapsed;
        self.weight = 1.0 - (1.0 - self.weight) * (1.0 - tick.weight);
        (self.counter.rates.tx_bytes, self.counter.rates.rx_bytes) = (0, 0);
    }

    fn read(&mut self, totals: Totals, tick: &Tick) {
        self.counter.read(totals);
        let waited = std::mem::take(&mut self.waited);
        self.counter.settle(&Tick {
            elapsed: waited,
            weight: std::mem::take(&mut self.weight),
            ..*tick
        });
        if waited.is_zero() {
            return;
        }
        let moved = self.counter.totals.since(&self.paced);
        self.paced = self.counter.totals;
        self.packets = (
            per_second(moved.tx_operations, waited),
            per_second(moved.rx_operations, waited),
        );
        self.uptime += waited;
        self.peak.read(moved.bytes(), waited);
    }
}

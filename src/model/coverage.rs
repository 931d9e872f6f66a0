//! How much of what the wire moved is explained by what was counted.
//!
//! Owns the comparison and the sums behind it, from one reading to the next.
//! Which interfaces and flows it is about is `wire`'s rule, how long headers are
//! `headers`'.

use std::collections::HashMap;
use std::sync::Arc;

use super::counter::Counter;
use super::flow::{FlowKey, Protocol, Totals};
use super::headers::{self, Headers, Payload};
use super::network::{LinkCounters, Network};
use super::sample::Sample;
use super::snapshot::Rates;
use super::tracker::Tick;
use super::wire::{Family, Wire};

/// Below this many bytes on the wire a few stray packets would decide, and no
/// share is told.
const ENOUGH: u64 = 64 * 1024;

/// One direction. The parts add up, and none is negative: `wire_bytes +
/// excess_bytes = payload_bytes + overhead_bytes + other_bytes`. All since netmon
/// started; only wire and payload never fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Covered {
    /// Bytes that the interfaces moved: whole frames without their checksums.
    pub wire_bytes: u64,
    /// Packets that the interfaces moved. Many drivers count a train of segments
    /// that the card or the kernel cuts or joins (TSO, GRO) as one.
    pub wire_packets: u64,
    /// Payload bytes that were counted of flows that cross the wire.
    pub payload_bytes: u64,
    /// Headers of the packets that this payload needed, estimated. A lower bound
    /// where trains of segments are counted as one packet but with all headers.
    pub overhead_bytes: u64,
    /// The rest of the wire: forwarded, the kernel's own, retransmitted, or not
    /// counted.
    pub other_bytes: u64,
    /// Payload beyond what the wire moved: still in a buffer, or never on it.
    pub excess_bytes: u64,
}

impl Covered {
    fn new(wire: (u64, u64), payload_bytes: u64, most: Headers) -> Covered {
        let (wire_bytes, wire_packets) = wire;
        let carried = payload_bytes.min(wire_bytes);
        let left = wire_bytes - carried;
        let overhead_bytes = headers::estimate(most, wire_packets).min(left);
        Covered {
            wire_bytes,
            wire_packets,
            payload_bytes,
            overhead_bytes,
            other_bytes: left - overhead_bytes,
            excess_bytes: payload_bytes - carried,
        }
    }

    /// The share of the wire that is payload or its headers, 0 to 1; `None` as
    /// long as too little moved.
    pub fn explained(&self) -> Option<f64> {
        share(self.wire_bytes, self.other_bytes)
    }
}

fn share(wire: u64, other: u64) -> Option<f64> {
    (wire >= ENOUGH).then(|| (wire - other) as f64 / wire as f64)
}

/// What was counted, beside what the wire moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Coverage {
    /// Names of the interfaces that are the wire now, fit for a terminal.
    pub links: Vec<Arc<str>>,
    /// Sent.
    pub tx: Covered,
    /// Received.
    pub rx: Covered,
    /// What the wire moves, headers included, bytes/s.
    pub wire_rates: Rates,
}

impl Coverage {
    /// [`Covered::explained`] of both directions together.
    pub fn explained(&self) -> Option<f64> {
        share(
            self.tx.wire_bytes + self.rx.wire_bytes,
            self.tx.other_bytes + self.rx.other_bytes,
        )
    }
}

/// The sums; see the module's text.
#[derive(Debug, Default)]
pub struct Meter {
    network: Option<Arc<Network>>,
    wire: Wire,
    /// Counters of each interface at the last reading, by `ifindex`.
    links: HashMap<u32, Totals>,
    moved: Totals,
    on_wire: Counter,
    payload: [[Payload; 2]; Protocol::COUNT],
}

impl Meter {
    /// Takes the interfaces' counters in. Comes before the flows of the reading,
    /// which are judged by the set-up it brings.
    pub fn read(&mut self, sample: &Sample) {
        if let Some(network) = &sample.network
            && !self
                .network
                .as_ref()
                .is_some_and(|known| Arc::ptr_eq(known, network))
        {
            self.wire = Wire::new(network);
            let wire = &self.wire.links;
            self.links
                .retain(|index, _| wire.iter().any(|(wired, _)| wired == index));
        }
        self.network.clone_from(&sample.network);
        for LinkCounters { index, totals } in &sample.links {
            if !self.wire.links.iter().any(|(wired, _)| wired == index) {
                continue;
            }
            // What an interface moved before it was first seen is not this run's.
            let last = self.links.insert(*index, *totals).unwrap_or(*totals);
            self.moved += added(totals, &last);
        }
        self.on_wire.read(self.moved);
    }

    /// A flow moved bytes; `first` when it never did before.
    pub fn flow_moved(&mut self, key: &FlowKey, moved: Totals, first: bool) {
        let Some(family) = self.wire.carries(key) else {
            return;
        };
        let payload = &mut self.payload[key.protocol.index()][family as usize];
        payload.totals += moved;
        payload.connections += u64::from(first);
    }

    /// Rates of the interval.
    pub fn settle(&mut self, tick: &Tick) {
        self.on_wire.settle(tick);
    }

    fn counted_payload(&self) -> Totals {
        let payload = self.payload.iter().flatten();
        payload.map(|payload| payload.totals).sum()
    }

    /// The comparison as of the last reading; `None` if the interfaces could not
    /// be read, or there is none that leads out.
    pub fn coverage(&self) -> Option<Coverage> {
        self.network.as_ref()?;
        if self.wire.links.is_empty() {
            return None;
        }
        let (mut tx, mut rx) = (Headers::default(), Headers::default());
        for protocol in Protocol::ALL {
            for family in [Family::V4, Family::V6] {
                let payload = &self.payload[protocol.index()][family as usize];
                let (sent, received) = headers::most(protocol, family, payload);
                tx += sent;
                rx += received;
            }
        }
        let (moved, payload) = (&self.moved, self.counted_payload());
        Some(Coverage {
            links: self
                .wire
                .links
                .iter()
                .map(|(_, name)| Arc::clone(name))
                .collect(),
            tx: Covered::new((moved.tx_bytes, moved.tx_operations), payload.tx_bytes, tx),
            rx: Covered::new((moved.rx_bytes, moved.rx_operations), payload.rx_bytes, rx),
            wire_rates: self.on_wire.rates,
        })
    }
}

/// What an interface moved since `last`. One whose driver began anew at less
/// counts from there: unlike a map's entry it need not have begun at 0 (some
/// drivers forget the part of a queue that they close), and a false sum since
/// boot would be worse than a lost interval.
fn added(now: &Totals, last: &Totals) -> Totals {
    let delta = now.since(last);
    if delta == *now && !last.is_zero() {
        return Totals::default();
    }
    delta
}

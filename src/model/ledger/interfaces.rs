//! What every interface moved in the running bucket: differences of its sums.
//!
//! Owns the sums of the last snapshot, and that what was in a snapshot is in a bucket
//! once, whether the interface is in the next one or not. When a bucket ends is the
//! ledger's business.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::model::flow::Totals;
use crate::model::interface::{Class, Count, Sampled, Way};
use crate::model::snapshot::Snapshot;

/// What one interface moved.
#[derive(Debug, Clone, PartialEq)]
pub struct InterfaceRow {
    /// Its name: interfaces that had it in turn are one.
    pub name: Arc<str>,
    /// Sent, by the kernel's counters.
    pub tx: Count,
    /// Received, the same.
    pub rx: Count,
    /// Bytes/s of both directions over the bucket, or over its readings where these took
    /// longer.
    pub peak: u64,
    /// Sent and received by class, where a sampler told them apart; classes without
    /// packets are left out.
    pub classes: Vec<(Class, Count, Count)>,
}

/// Sums since the last bucket; see the module's text.
#[derive(Debug, Default)]
pub struct Interfaces {
    last: HashMap<u32, Last, RandomState>,
    moved: BTreeMap<Arc<str>, Moved>,
    /// Length of all intervals in them.
    seen: Duration,
    /// Number of the last snapshot.
    reading: u64,
}

/// An interface at the last snapshot.
#[derive(Debug, Default)]
struct Last {
    reading: u64,
    totals: Totals,
    /// As the last snapshot told that had it.
    sampled: (Way, Way),
}

#[derive(Debug, Default)]
struct Moved {
    tx: Count,
    rx: Count,
    /// Sent and received, by class.
    classes: Option<Box<[(Count, Count); Class::COUNT]>>,
}

impl Interfaces {
    /// Takes a snapshot in.
    pub fn absorb(&mut self, snapshot: &Snapshot) {
        self.reading += 1;
        self.seen += snapshot.interval;
        for interface in &snapshot.interfaces {
            let last = self.last.entry(interface.index).or_default();
            last.reading = self.reading;
            let (tx, rx) = last.moved(interface.totals);
            let classes = last.told_apart(interface.sampled.as_ref());
            if tx == Count::default() && rx == Count::default() && classes.is_none() {
                continue;
            }
            let moved = self.moved.entry(Arc::clone(&interface.name)).or_default();
            moved.tx += tx;
            moved.rx += rx;
            if let Some(classes) = classes {
                let sums = moved.classes.get_or_insert_default();
                for (sum, (tx, rx)) in sums.iter_mut().zip(classes) {
                    sum.0 += tx;
                    sum.1 += rx;
                }
            }
        }
        // One that comes again counts from zero again.
        let reading = self.reading;
        self.last.retain(|_, last| last.reading == reading);
    }

    /// All since the last bucket, which was to be `length` long. Interfaces that moved
    /// nothing are left out.
    pub fn take(&mut self, length: Duration) -> Vec<InterfaceRow> {
        let seconds = std::mem::take(&mut self.seen).max(length).as_secs_f64();
        let moved = std::mem::take(&mut self.moved).into_iter();
        moved
            .map(|(name, Moved { tx, rx, classes })| InterfaceRow {
                name,
                tx,
                rx,
                peak: ((tx.bytes + rx.bytes) as f64 / seconds).round() as u64,
                classes: Class::ALL
                    .into_iter()
                    .zip(classes.into_iter().flat_map(|classes| *classes))
                    .map(|(class, (tx, rx))| (class, tx, rx))
                    .filter(|(_, tx, rx)| tx.packets + rx.packets > 0)
                    .collect(),
            })
            .collect()
    }
}

impl Last {
    /// Sent and received since the last snapshot.
    fn moved(&mut self, now: Totals) -> (Count, Count) {
        let before = std::mem::replace(&mut self.totals, now);
        let [tx, rx] = sides(now);
        let [tx_before, rx_before] = sides(before);
        if fell(tx, tx_before) || fell(rx, rx_before) {
            return (tx, rx);
        }
        (grown(tx, tx_before), grown(rx, rx_before))
    }

    /// The same by class; `None` if no packet was told apart. A sampler that is attached
    /// anew goes on with its sums, so those of before a gap are kept.
    fn told_apart(&mut self, now: Option<&Sampled>) -> Option<[(Count, Count); Class::COUNT]> {
        let Sampled { tx, rx, .. } = *now?;
        let before = std::mem::replace(&mut self.sampled, (tx, rx));
        if tx == before.0 && rx == before.1 {
            return None;
        }
        let is_anew = |class: &Class| {
            fell(tx.of(*class), before.0.of(*class)) || fell(rx.of(*class), before.1.of(*class))
        };
        let before = match Class::ALL.iter().any(is_anew) {
            true => Default::default(),
            false => before,
        };
        Some(Class::ALL.map(|class| {
            (
                grown(tx.of(class), before.0.of(class)),
                grown(rx.of(class), before.1.of(class)),
            )
        }))
    }
}

/// What an interface sent and received; its operations are packets.
fn sides(totals: Totals) -> [Count; 2] {
    [
        Count {
            packets: totals.tx_operations,
            bytes: totals.tx_bytes,
        },
        Count {
            packets: totals.rx_operations,
            bytes: totals.rx_bytes,
        },
    ]
}

/// True if the count began anew.
fn fell(now: Count, before: Count) -> bool {
    now.bytes < before.bytes || now.packets < before.packets
}

fn grown(now: Count, before: Count) -> Count {
    Count {
        packets: now.packets - before.packets,
        bytes: now.bytes - before.bytes,
    }
}

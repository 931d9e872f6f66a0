//! Which interfaces have series of their own, and how much each of them shows.
//!
//! A byte is counted in the series that its interface's name had when it moved: its own
//! if it got one, [`OTHER`] else. So no series ever falls, whether interfaces come and
//! go, are renamed or counted anew, and none of the bytes is in two. An interface that
//! went away takes its series along; while its name is remembered, one that comes back
//! under it goes on from there. Pure: no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::interface::{Class, Count, Interface};

/// The name of the series that sums whatever has none of its own; an interface that is
/// really called so is in it, too.
pub const OTHER: &str = "other";

/// Most interfaces with series of their own: those that were there first.
pub const MOST: usize = 128;

/// Names that are remembered, whether there is such an interface or not.
const REMEMBERED: usize = 1024;

/// Counts of each [`Class`].
pub type Classes = [Count; Class::COUNT];

/// What the interfaces of one name moved.
#[derive(Debug, Clone)]
pub struct InterfaceSeries {
    /// The name, or `other` for the sum of all that have no series of their own.
    pub name: Arc<str>,
    /// Sent and received by the kernel's counters, cumulative while the name had series.
    pub moved: [Count; 2],
    /// The same by what a sampler tells apart; `None` while none is attached.
    pub classes: Option<[Classes; 2]>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Interfaces {
    names: BTreeMap<Arc<str>, Kept>,
    other: Kept,
    /// What each interface said last, by `ifindex`.
    said: HashMap<u32, Said, RandomState>,
}

#[derive(Debug, Default)]
struct Kept {
    moved: [Count; 2],
    classes: [Classes; 2],
    /// It has series.
    listed: bool,
    sampled: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Said {
    moved: [Count; 2],
    classes: [Classes; 2],
}

impl Interfaces {
    /// Takes the interfaces of a snapshot in.
    pub fn absorb(&mut self, rows: &[Interface]) {
        let there: BTreeSet<&str> = rows.iter().map(|row| &*row.name).collect();
        for (name, kept) in &mut self.names {
            kept.listed &= there.contains(&**name);
            kept.sampled = false;
        }
        let mut listed = self.names.values().filter(|kept| kept.listed).count();
        let before = std::mem::take(&mut self.said);
        for row in rows {
            let kept = match self.names.get_mut(&row.name) {
                _ if &*row.name == OTHER => &mut self.other,
                Some(kept) if kept.listed => kept,
                _ if listed == MOST => &mut self.other,
                _ => {
                    listed += 1;
                    self.names.entry(Arc::clone(&row.name)).or_default()
                }
            };
            kept.listed = true;
            kept.sampled |= row.sampled.is_some();
            let before = before.get(&row.index).copied().unwrap_or_default();
            let now = Said::new(row, &before);
            kept.add(&now, &before);
            self.said.insert(row.index, now);
        }
        if self.names.len() > REMEMBERED {
            self.names.retain(|_, kept| kept.listed);
        }
    }

    /// The series by name, [`OTHER`] last; none where there are no interfaces.
    pub fn series(&self) -> Vec<InterfaceSeries> {
        let listed = self.names.iter().filter(|(_, kept)| kept.listed);
        let mut series: Vec<_> = listed
            .map(|(name, kept)| kept.series(Arc::clone(name)))
            .collect();
        // From the start, so that a rate has a first value to start from.
        if !series.is_empty() || self.other.listed {
            series.push(self.other.series(OTHER.into()));
        }
        series
    }
}

impl Said {
    /// What a row says. A sampler that is attached anew goes on with its sums, so those
    /// of `before` stand where there is none.
    fn new(row: &Interface, before: &Said) -> Said {
        let totals = &row.totals;
        let count = |packets, bytes| Count { packets, bytes };
        let sampled = row.sampled.as_ref();
        let classes = sampled.map_or(before.classes, |it| [it.tx.classes, it.rx.classes]);
        Said {
            moved: [
                count(totals.tx_operations, totals.tx_bytes),
                count(totals.rx_operations, totals.rx_bytes),
            ],
            classes,
        }
    }
}

impl Kept {
    fn add(&mut self, now: &Said, before: &Said) {
        for way in 0..2 {
            self.moved[way] += since(now.moved[way], before.moved[way]);
            for (class, sum) in self.classes[way].iter_mut().enumerate() {
                *sum += since(now.classes[way][class], before.classes[way][class]);
            }
        }
    }

    fn series(&self, name: Arc<str>) -> InterfaceSeries {
        InterfaceSeries {
            name,
            moved: self.moved,
            classes: self.sampled.then_some(self.classes),
        }
    }
}

/// What came on top; a counter that fell was begun anew.
fn since(now: Count, before: Count) -> Count {
    let since = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
    Count {
        packets: since(now.packets, before.packets),
        bytes: since(now.bytes, before.bytes),
    }
}

#[cfg(test)]
mod tests;

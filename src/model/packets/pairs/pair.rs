//! What is held of one pair, and to whom it goes.

use std::time::Duration;

use super::super::books::Books;
use super::super::{Ends, Owner, protocol};
use super::{HOLD, PairKey, Place, Verdict};
use crate::model::flow::{Connection, Totals};

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) place: Place,
    /// What came since the books were written.
    pub(super) bytes: u64,
    pub(super) packets: u64,
    /// Bytes and packets that wait at the sender's and at the receiver's end.
    pub(super) held: [(u64, u64); 2],
    /// Since when the oldest of all these wait.
    pub(super) since: Option<Duration>,
    pub(super) last: Duration,
    pub(super) verdict: Verdict,
    pub(super) gone: bool,
    pub(super) look_at: Duration,
    pub(super) looks: u8,
    /// The last look brought what another one soon may better.
    pub(super) unsure: bool,
}

impl Pair {
    pub(super) fn take(
        &mut self,
        key: &PairKey,
        books: &mut Books,
        late: &Owner,
        now: Duration,
        all: bool,
    ) {
        let new = (
            std::mem::take(&mut self.bytes),
            std::mem::take(&mut self.packets),
        );
        for held in &mut self.held {
            *held = (held.0 + new.0, held.1 + new.1);
        }
        let waited = self.since.map(|since| now.saturating_sub(since));
        let is_due = all || waited.is_some_and(|waited| waited >= HOLD);
        let ends = [key.sending(), key.receiving()];
        let mut add = |owner: &Owner, end: usize, (bytes, packets): (u64, u64)| {
            let moved = passed(end == 0, bytes, packets);
            if packets > 0 {
                books.add(owner, protocol(key.protocol), ends[end], moved);
            }
        };
        let nobody = match &self.verdict {
            Verdict::Pending => Some(late),
            Verdict::Passing(owner) => Some(&**owner),
            Verdict::Owned {
                source,
                destination,
            } => {
                for (end, party) in [source, destination].into_iter().enumerate() {
                    if !(party.sure || is_due) {
                        continue;
                    }
                    let held = std::mem::take(&mut self.held[end]);
                    if let Some(owner) = &party.owner {
                        add(owner, end, held);
                    }
                }
                None
            }
            Verdict::Translated => {
                self.held = [(0, 0); 2];
                None
            }
        };
        if let Some(owner) = nobody.filter(|_| is_due) {
            // What either end was given is no longer nobody's.
            let held = std::mem::take(&mut self.held);
            add(
                owner,
                usize::from(!self.place.outgoing),
                held[0].max(held[1]),
            );
        }
        if self.held == [(0, 0); 2] {
            self.since = None;
        }
    }

    /// The connections that end with this pair.
    pub(super) fn announce(&self, key: &PairKey, closed: &mut Vec<Connection>) {
        let mut tell = |owner: &Owner, ends: Ends| {
            closed.push(Connection {
                protocol: protocol(key.protocol),
                network_namespace: owner.namespace,
                local: Some(ends.local),
                remote: Some(ends.remote),
            });
        };
        match &self.verdict {
            Verdict::Owned {
                source,
                destination,
            } => {
                if let Some(owner) = &source.owner {
                    tell(owner, key.sending());
                }
                if let Some(owner) = &destination.owner {
                    tell(owner, key.receiving());
                }
            }
            Verdict::Passing(owner) if self.place.outgoing => tell(owner, key.sending()),
            Verdict::Passing(owner) => tell(owner, key.receiving()),
            Verdict::Pending | Verdict::Translated => {}
        }
    }
}

pub(super) fn passed(outgoing: bool, bytes: u64, packets: u64) -> Totals {
    let mut moved = Totals::default();
    if outgoing {
        (moved.tx_bytes, moved.tx_operations) = (bytes, packets);
    } else {
        (moved.rx_bytes, moved.rx_operations) = (bytes, packets);
    }
    moved
}

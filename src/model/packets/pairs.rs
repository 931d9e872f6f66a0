//! Who sends to whom: packets by source and destination, each counted at one place.
//!
//! Owns the rule of places. A packet may pass several interfaces of a machine (a VLAN and
//! its trunk, a bridge and its port, in and out where it is forwarded): a pair counts only
//! where its first packet was seen, until none was seen there for a while. Owns also what
//! is held back until the owners are known, and which pairs are forgotten. Time is an
//! argument.

mod due;
mod fragments;
mod key;
mod pair;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::books::Books;
use super::{Owner, protocol};
use crate::model::flow::{Connection, Endpoint, Protocol, Totals};
use crate::model::packet::Packet;
use due::Due;
use fragments::Fragments;
pub use key::{Answer, PairKey, Party, Place, Verdict, Wanted};
use pair::{Pair, passed};

/// A pair that was silent for this long where it counts may count elsewhere.
const SILENCE: Duration = Duration::from_secs(1);
/// How long bytes wait until it is known whose they are.
const HOLD: Duration = Duration::from_secs(1);
/// A pair without a socket is forgotten after this much silence.
const GONE: Duration = Duration::from_secs(2);
/// One that has no end of its own after this much.
const IDLE: Duration = Duration::from_secs(60);
/// Looks at a pair while its connection may still be handed to another process.
const CHANGING: u8 = 5;

/// See the module's text.
#[derive(Debug)]
pub struct Pairs {
    pairs: HashMap<PairKey, Pair, RandomState>,
    fresh: Vec<PairKey>,
    due: Due,
    fragments: Fragments,
    untracked: [Totals; Protocol::COUNT],
    /// Who is told for what nobody looked for in time.
    late: Arc<Owner>,
    max: usize,
}

impl Pairs {
    /// Room for `max` pairs; `late` is whose bytes are that nobody looked for in time.
    pub fn new(max: usize, late: Arc<Owner>) -> Pairs {
        Pairs {
            pairs: HashMap::default(),
            fresh: Vec::new(),
            due: Due::default(),
            fragments: Fragments::default(),
            untracked: Default::default(),
            late,
            max,
        }
    }

    /// Counts a packet.
    #[inline]
    pub fn count(&mut self, place: Place, packet: &Packet, now: Duration) {
        let ports = if packet.fragment {
            match self.ports_of_fragment(place, packet, now) {
                Some(ports) => ports,
                None => return,
            }
        } else {
            packet.ports.unwrap_or_default()
        };
        self.add(place, packet, ports, (u64::from(packet.payload), 1), now);
    }

    #[inline]
    fn add(
        &mut self,
        place: Place,
        packet: &Packet,
        (from, to): (u16, u16),
        (bytes, packets): (u64, u64),
        now: Duration,
    ) {
        let end = |address: IpAddr, port| Endpoint {
            address: address.into(),
            port,
        };
        let key = PairKey {
            protocol: packet.protocol,
            source: end(packet.source, from),
            destination: end(packet.destination, to),
        };
        let Some(pair) = self.pairs.get_mut(&key) else {
            return self.begin(key, place, (bytes, packets), now);
        };
        if pair.place != place {
            if now.saturating_sub(pair.last) < SILENCE {
                return;
            }
            pair.place = place;
        }
        pair.last = now;
        if pair.since.is_none() {
            pair.since = Some(now);
            // Whose it is has to be known before it has waited for too long.
            if pair.unsure && pair.look_at > now + HOLD / 2 {
                pair.look_at = now + HOLD / 2;
                self.due.push(pair.look_at, key);
            }
        }
        pair.bytes += bytes;
        pair.packets += packets;
    }

    #[cold]
    fn begin(&mut self, key: PairKey, place: Place, (bytes, packets): (u64, u64), now: Duration) {
        if self.pairs.len() >= self.max {
            let moved = passed(place.outgoing, bytes, packets);
            self.untracked[protocol(key.protocol).index()] += moved;
            return;
        }
        self.fresh.push(key);
        let pair = Pair {
            place,
            bytes,
            packets,
            held: [(0, 0); 2],
            since: Some(now),
            last: now,
            verdict: Verdict::Pending,
            gone: false,
            look_at: now,
            looks: 0,
            unsure: true,
        };
        self.pairs.insert(key, pair);
    }

    /// The ports of a fragment; `None` while the first one has not come.
    #[cold]
    fn ports_of_fragment(
        &mut self,
        place: Place,
        packet: &Packet,
        now: Duration,
    ) -> Option<(u16, u16)> {
        let Some(ports) = packet.ports else {
            return self.fragments.ports(packet, place, now);
        };
        if let Some(waiting) = self.fragments.begin(packet, ports) {
            let moved = (waiting.bytes, waiting.packets);
            self.add(waiting.place, packet, ports, moved, now);
        }
        Some(ports)
    }

    /// Whether a pair waits for its first look.
    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// At most `most` pairs that want a look: new ones, and with `again` those whose next
    /// look is due.
    pub fn wanted(&mut self, most: usize, again: bool, now: Duration, to: &mut Vec<Wanted>) {
        to.clear();
        let begin = self.fresh.len().saturating_sub(most);
        // The latest first: who waited long has been waited for in vain, mostly.
        for key in self.fresh.drain(begin..).rev() {
            if let Some(pair) = self.pairs.get(&key) {
                let place = pair.place;
                to.push(Wanted { key, place });
            }
        }
        if !again {
            return;
        }
        while to.len() < most
            && let Some((at, key)) = self.due.pop(now)
        {
            // Each has many times, of which the last one that it was given counts.
            if let Some(pair) = self.pairs.get(&key)
                && pair.look_at == at
            {
                let place = pair.place;
                to.push(Wanted { key, place });
            }
        }
    }

    /// Whether any that were looked at want another look.
    pub fn has_due(&self, now: Duration) -> bool {
        self.due.any(now)
    }

    /// Lets all that hold bytes of somebody who is not known want a look now.
    pub fn hasten(&mut self, now: Duration) {
        for (key, pair) in &mut self.pairs {
            if pair.unsure && pair.looks > 0 && pair.since.is_some() {
                pair.look_at = now;
                self.due.push(now, *key);
            }
        }
    }

    /// Takes in what a look brought.
    pub fn settle(&mut self, key: &PairKey, answer: Answer, now: Duration) {
        let Some(pair) = self.pairs.get_mut(key) else {
            return;
        };
        pair.gone = answer.gone;
        // What passes is most of a router's work: after some looks it is believed.
        let passes = matches!(answer.verdict, Verdict::Passing(_)) && pair.looks >= CHANGING;
        pair.unsure = !(answer.verdict.is_sure() || passes);
        let old = std::mem::replace(&mut pair.verdict, Verdict::Pending);
        pair.verdict = old.then(answer.verdict);
        let wait = if pair.unsure {
            // 100 ms, 200 ms, … 3.2 s, and sooner than what waits is given away.
            let most = if pair.since.is_some() { 3 } else { 5 };
            Duration::from_millis(100 << pair.looks.min(most))
        } else if pair.looks < CHANGING && now.saturating_sub(pair.last) < SILENCE {
            Duration::from_secs(1)
        } else {
            Duration::from_secs(5)
        };
        pair.looks = pair.looks.saturating_add(1);
        pair.look_at = now + wait;
        self.due.push(pair.look_at, *key);
    }

    /// Puts it off to a later look.
    pub fn put_off(&mut self, key: &PairKey, until: Duration) {
        if let Some(pair) = self.pairs.get_mut(key) {
            pair.looks = pair.looks.max(1);
            pair.look_at = until;
            self.due.push(until, *key);
        }
    }

    /// Moves what was counted into the books, but for what waits for its owner; with
    /// `all` that too. Then forgets pairs; the connections among them that are over are
    /// added to `closed`.
    pub fn take(
        &mut self,
        books: &mut Books,
        closed: &mut Vec<Connection>,
        now: Duration,
        all: bool,
    ) {
        for waiting in self.fragments.give_up(now, all) {
            let moved = (waiting.bytes, waiting.packets);
            self.add(waiting.place, &waiting.packet, (0, 0), moved, now);
        }
        for (index, moved) in self.untracked.iter_mut().enumerate() {
            if !moved.is_zero() {
                books.add_untracked(Protocol::ALL[index], std::mem::take(moved));
            }
        }
        for (key, pair) in &mut self.pairs {
            if pair.since.is_some() {
                pair.take(key, books, &self.late, now, all);
            }
        }
        self.forget(closed, now);
    }

    fn forget(&mut self, closed: &mut Vec<Connection>, now: Duration) {
        let is_crowded = self.pairs.len() * 4 > self.max * 3;
        self.pairs.retain(|key, pair| {
            let idle = now.saturating_sub(pair.last);
            let is_connection = matches!(protocol(key.protocol), Protocol::Tcp | Protocol::Sctp);
            let has_socket =
                is_connection && !pair.gone && matches!(pair.verdict, Verdict::Owned { .. });
            let is_over = pair.gone && idle >= GONE || !has_socket && idle >= IDLE;
            if pair.since.is_some() || !(is_over || is_crowded && idle >= SILENCE) {
                return true;
            }
            if is_over && is_connection {
                pair.announce(key, closed);
            }
            false
        });
        let pairs = &self.pairs;
        self.fresh.retain(|key| pairs.contains_key(key));
    }

    /// Whether that pair was seen of late.
    pub fn has(&self, key: &PairKey) -> bool {
        self.pairs.contains_key(key)
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

#[cfg(test)]
mod tests;

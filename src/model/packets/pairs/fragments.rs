//! Fragments beyond the first, which have no ports: those of the first with their number.
//!
//! One that comes before the first waits for it, but not for ever.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::{HOLD, Place};
use crate::model::packet::Packet;

/// Packets in parts that are remembered, twice.
const MOST: usize = 1024;

type Ports = (u16, u16);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Whole {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    id: u32,
}

/// Fragments that wait for their ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// One of them.
    pub packet: Packet,
    /// Where they were seen first.
    pub place: Place,
    /// Of all of them.
    pub bytes: u64,
    /// Number of them.
    pub packets: u64,
    since: Duration,
}

#[derive(Debug)]
enum Part {
    Head(Ports),
    Waiting(Waiting),
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    parts: HashMap<Whole, Part, RandomState>,
    older: HashMap<Whole, Part, RandomState>,
    /// Those that there was no room for.
    given_up: Vec<Waiting>,
}

impl Fragments {
    /// Notes the first one; those that waited for it.
    pub(super) fn begin(&mut self, packet: &Packet, ports: Ports) -> Option<Waiting> {
        self.make_room();
        let whole = whole(packet);
        let older = self.older.remove(&whole);
        let old = self.parts.insert(whole, Part::Head(ports));
        match old.or(older) {
            Some(Part::Waiting(waiting)) => Some(waiting),
            _ => None,
        }
    }

    /// The ports of another one; without them it is taken in, and waits.
    pub(super) fn ports(&mut self, packet: &Packet, place: Place, now: Duration) -> Option<Ports> {
        let whole = whole(packet);
        let bytes = u64::from(packet.payload);
        let known = self.parts.get_mut(&whole);
        match known.or_else(|| self.older.get_mut(&whole)) {
            Some(Part::Head(ports)) => return Some(*ports),
            Some(Part::Waiting(waiting)) => {
                // It counts at one place only.
                if waiting.place == place {
                    waiting.bytes += bytes;
                    waiting.packets += 1;
                }
            }
            None => {
                self.make_room();
                let waiting = Waiting {
                    packet: *packet,
                    place,
                    bytes,
                    packets: 1,
                    since: now,
                };
                self.parts.insert(whole, Part::Waiting(waiting));
            }
        }
        None
    }

    fn make_room(&mut self) {
        if self.parts.len() >= MOST {
            let old = std::mem::replace(&mut self.older, std::mem::take(&mut self.parts));
            self.given_up.extend(old.into_values().filter_map(waiting));
        }
    }

    /// Those that wait no longer; with `all` none does.
    pub(super) fn give_up(&mut self, now: Duration, all: bool) -> Vec<Waiting> {
        let mut given_up = std::mem::take(&mut self.given_up);
        for parts in [&mut self.parts, &mut self.older] {
            let is_over = |part: &Part| match part {
                Part::Waiting(it) => all || now.saturating_sub(it.since) >= HOLD,
                Part::Head(_) => false,
            };
            let over = parts.extract_if(|_, part| is_over(part));
            given_up.extend(over.filter_map(|(_, part)| waiting(part)));
        }
        given_up
    }
}

fn waiting(part: Part) -> Option<Waiting> {
    match part {
        Part::Waiting(waiting) => Some(waiting),
        Part::Head(_) => None,
    }
}

fn whole(packet: &Packet) -> Whole {
    Whole {
        source: packet.source,
        destination: packet.destination,
        protocol: packet.protocol,
        id: packet.id,
    }
}

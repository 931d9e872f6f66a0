//! What one worker has counted and not handed over yet.
//!
//! Owns the way of a packet into the tables: the only code here that runs for every
//! packet. Belongs to one thread alone; nothing in it is shared or locked.

use std::collections::TryReserveError;
use std::ops::AddAssign;

use super::key::{AddressKey, Channel, FlowKey};
use super::table::Table;
use crate::model::packet::{Ends, Packet};

/// Most rows of a worker's table. Beyond it a worker hands over early, so that its
/// memory stays small however many addresses are kept apart in all.
const MOST_ROWS: u32 = 65_536;
/// Least rows: handing over has a price of its own.
const LEAST_ROWS: u32 = 1024;

/// Packets and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Count {
    /// Bytes of whole frames.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

impl Count {
    /// What came since `earlier`, of a count that never falls.
    #[must_use]
    pub fn since(self, earlier: Count) -> Count {
        Count {
            bytes: self.bytes.saturating_sub(earlier.bytes),
            packets: self.packets.saturating_sub(earlier.packets),
        }
    }
}

impl AddAssign for Count {
    #[inline]
    fn add_assign(&mut self, other: Count) {
        self.bytes += other.bytes;
        self.packets += other.packets;
    }
}

/// What an address sent and what was sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct BothWays {
    /// It was the source.
    pub tx: Count,
    /// It was the destination.
    pub rx: Count,
}

impl AddAssign for BothWays {
    #[inline]
    fn add_assign(&mut self, other: BothWays) {
        self.tx += other.tx;
        self.rx += other.rx;
    }
}

/// There is no room for a further packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// What a worker counted; see the module's text.
#[derive(Debug)]
pub struct Tally {
    pub(super) addresses: Table<AddressKey, BothWays>,
    /// `None` if flows are not counted.
    pub(super) flows: Option<Table<FlowKey, Count>>,
    /// What is in rows.
    pub(super) counted: Count,
    pub(super) unreadable: u64,
    /// Packets come in trains, and most of them, or of the answers to them, need no look-up
    /// at all.
    last: Last,
    /// The rows of both ends of the last packet.
    rows: [u32; 2],
    /// What came with the ends of `last` and is in no row yet: a train touches its rows
    /// once.
    trains: [Count; 2],
    /// By way, the last flow between those ends, and its row.
    last_flows: [Option<(Channel, u32)>; 2],
}

impl Tally {
    /// A tally beside a census of at most `max_addresses` (and as many flows, if
    /// `flows`).
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(max_addresses: u32, flows: bool) -> Result<Tally, TryReserveError> {
        let rows = rows(max_addresses);
        Ok(Tally {
            addresses: Table::new(rows)?,
            flows: flows.then(|| Table::new(rows)).transpose()?,
            counted: Count::default(),
            unreadable: 0,
            last: Last::default(),
            rows: [0; 2],
            trains: [Count::default(); 2],
            last_flows: [None; 2],
        })
    }

    /// Bytes that the tables of one take when they are full.
    pub fn bytes(max_addresses: u32, flows: bool) -> usize {
        let rows = rows(max_addresses);
        let flows = if flows {
            Table::<FlowKey, Count>::bytes(rows)
        } else {
            0
        };
        Table::<AddressKey, BothWays>::bytes(rows) + flows
    }

    /// Counts one packet of `length` bytes on the wire between these ends; `packet` reads
    /// the rest of it, if flows are counted.
    ///
    /// # Errors
    /// If there may be no room for it. Nothing is counted then: the tally must be handed
    /// over ([`Census::absorb`](super::Census::absorb)), and has room after that.
    #[inline]
    pub fn count(
        &mut self,
        ends: Ends<'_>,
        length: u32,
        packet: impl FnOnce() -> Option<Packet>,
    ) -> Result<(), Full> {
        let count = Count {
            bytes: u64::from(length),
            packets: 1,
        };
        let known = self.last.way(ends);
        let flow = match self.flows.as_ref().and_then(|_| packet()) {
            Some(packet) => {
                let channel = Channel::from(&packet);
                match known.and_then(|way| self.last_flows[way as usize]) {
                    Some(last) if last.0 == channel => Some(last),
                    _ => Some(self.find_flow(ends, known, channel)?),
                }
            }
            None => None,
        };
        let way = match known {
            Some(way) => way as usize,
            None => self.turn_to(ends)? as usize,
        };
        self.trains[way] += count;
        if let (Some(flows), Some((_, row))) = (&mut self.flows, flow) {
            *flows.value(row) += count;
            self.last_flows[way] = flow;
        }
        Ok(())
    }

    /// The row of a packet's flow, if there is room for its ends, too.
    #[inline(never)]
    fn find_flow(
        &mut self,
        ends: Ends<'_>,
        way: Option<Way>,
        channel: Channel,
    ) -> Result<(Channel, u32), Full> {
        if way.is_none() && self.addresses.room() < 2 {
            return Err(Full);
        }
        let flows = self.flows.as_mut().ok_or(Full)?;
        let row = flows.find(FlowKey::new(ends, channel)).ok_or(Full)?;
        Ok((channel, row))
    }

    /// As [`Tally::count`], of a packet that was made by hand.
    #[cfg(test)]
    pub fn count_packet(&mut self, packet: &Packet, length: u32) -> Result<(), Full> {
        use std::net::IpAddr;
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let both = [octets(packet.source), octets(packet.destination)].concat();
        let ends = match <&[u8; 8]>::try_from(&both[..]) {
            Ok(bytes) => Ends::V4(bytes),
            Err(_) => Ends::V6(both[..].try_into().expect("both of one family")),
        };
        self.count(ends, length, || Some(*packet))
    }

    /// Ends the trains of packets, and begins one between these ends.
    #[inline(never)]
    fn turn_to(&mut self, ends: Ends<'_>) -> Result<Way, Full> {
        if self.addresses.room() < 2 {
            return Err(Full);
        }
        self.settle();
        for (row, key) in self.rows.iter_mut().zip(AddressKey::both(ends)) {
            *row = self.addresses.find(key).ok_or(Full)?;
        }
        self.last = Last::from(ends);
        self.last_flows = [None; 2];
        Ok(Way::There)
    }

    /// Puts the trains into their rows.
    pub(super) fn settle(&mut self) {
        let [there, back] = std::mem::take(&mut self.trains);
        // Without packets there may be no rows.
        if there.packets + back.packets > 0 {
            let [from, to] = self.rows;
            *self.addresses.value(from) += BothWays {
                tx: there,
                rx: back,
            };
            *self.addresses.value(to) += BothWays {
                tx: back,
                rx: there,
            };
            self.counted += there;
            self.counted += back;
        }
    }

    /// Counts one frame that ends before its addresses, or is not IP at all.
    #[inline]
    pub fn count_unreadable(&mut self) {
        self.unreadable += 1;
    }

    /// What was counted since it was last handed over.
    pub fn counted(&self) -> Count {
        let mut counted = self.counted;
        counted += self.trains[0];
        counted += self.trains[1];
        counted
    }

    /// Forgets what was counted.
    pub(super) fn clear(&mut self) {
        self.addresses.clear();
        if let Some(flows) = &mut self.flows {
            flows.clear();
        }
        self.counted = Count::default();
        self.unreadable = 0;
        self.last = Last::default();
        self.trains = [Count::default(); 2];
        self.last_flows = [None; 2];
    }
}

/// Which way a packet goes between two ends.
#[derive(Debug, Clone, Copy)]
enum Way {
    There,
    Back,
}

/// The ends of a packet, and those of an answer to it.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    /// How many of the bytes are used: 8, 32, or none.
    length: usize,
    there: [u8; 32],
    back: [u8; 32],
}

impl Last {
    /// `None` if they are other ends.
    #[inline]
    fn way(&self, ends: Ends<'_>) -> Option<Way> {
        match ends {
            Ends::V4(ends) if self.length == ends.len() => {
                if self.there.first_chunk() == Some(ends) {
                    return Some(Way::There);
                }
                (self.back.first_chunk() == Some(ends)).then_some(Way::Back)
            }
            Ends::V6(ends) if self.length == ends.len() => {
                if self.there == *ends {
                    return Some(Way::There);
                }
                (self.back == *ends).then_some(Way::Back)
            }
            _ => None,
        }
    }
}

impl From<Ends<'_>> for Last {
    fn from(ends: Ends<'_>) -> Last {
        let bytes: &[u8] = match ends {
            Ends::V4(bytes) => bytes,
            Ends::V6(bytes) => bytes,
        };
        let mut last = Last {
            length: bytes.len(),
            ..Last::default()
        };
        let (source, destination) = bytes.split_at(bytes.len() / 2);
        for (to, halves) in [
            (&mut last.there, [source, destination]),
            (&mut last.back, [destination, source]),
        ] {
            let (first, second) = to[..bytes.len()].split_at_mut(bytes.len() / 2);
            first.copy_from_slice(halves[0]);
            second.copy_from_slice(halves[1]);
        }
        last
    }
}

/// Rows of a worker's table.
fn rows(max_addresses: u32) -> u32 {
    max_addresses.clamp(LEAST_ROWS, MOST_ROWS)
}

//! What a packet's headers say. Any bytes at all are an answer, never a panic.
//!
//! Owns the formats of VLAN tags, IPv4, IPv6 and the beginnings of what they carry. A
//! length is believed only as far as the wire agrees. Knows no link layer.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// The EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// The EtherTypes of VLAN tags: the usual one, the outer one of two, and its older form.
const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// One packet, as far as its headers are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it.
    pub source: IpAddr,
    /// Whom to.
    pub destination: IpAddr,
    /// The protocol's number after all extension headers; that of an extension header
    /// itself if it is cut off.
    pub protocol: u8,
    /// Source and destination port; `None` where the protocol has none, and in a
    /// fragment beyond the first.
    pub ports: Option<(u16, u16)>,
    /// Bytes beyond the transport header, by the lengths that the headers tell; beyond
    /// the IP headers where the protocol has no ports (ICMP's header is payload, as it is
    /// to sockets) and in a fragment beyond the first.
    pub payload: u32,
    /// It is a fragment.
    pub fragment: bool,
    /// What the fragments of one packet have in common besides the addresses and the
    /// protocol; 0 in what is no fragment.
    pub id: u32,
}

/// The name by which people know a protocol's number in the IP header (IANA's), else the
/// number.
pub fn protocol_name(number: u8) -> Cow<'static, str> {
    Cow::Borrowed(match number {
        1 => "icmp",
        2 => "igmp",
        4 => "ipip",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        41 => "ipv6",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "icmpv6",
        89 => "ospf",
        112 => "vrrp",
        132 => "sctp",
        136 => "udplite",
        number => return Cow::Owned(number.to_string()),
    })
}

/// Who sent a packet and whom to, source first, as they stand in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends<'a> {
    /// Of IPv4.
    V4(&'a [u8; 8]),
    /// Of IPv6.
    V6(&'a [u8; 32]),
}

/// What begins an IP packet: its fixed header, what follows that, and the length on the
/// wire of both.
enum Ip<'a> {
    V4(&'a [u8; 20], &'a [u8], u32),
    V6(&'a [u8; 40], &'a [u8], u32),
}

/// Reads a packet whose bytes begin with what the EtherType `protocol` says: VLAN tags,
/// IPv4 or IPv6. `length` is its length on the wire from there on, of which `bytes` may
/// be only the beginning. `None` for what is not IP or ends before its addresses.
#[inline]
pub fn parse(protocol: u16, bytes: &[u8], length: u32) -> Option<Packet> {
    match ip(protocol, bytes, length)? {
        Ip::V4(fixed, rest, length) => Some(ipv4(fixed, rest, length)),
        Ip::V6(fixed, rest, length) => Some(ipv6(fixed, rest, length)),
    }
}

/// The ends alone of what [`parse`] reads, for a small part of its price; `None` where it
/// has none.
#[inline]
pub fn ends(protocol: u16, bytes: &[u8]) -> Option<Ends<'_>> {
    match ip(protocol, bytes, 0)? {
        Ip::V4(fixed, ..) => fixed.last_chunk().map(Ends::V4),
        Ip::V6(fixed, ..) => fixed.last_chunk().map(Ends::V6),
    }
}

#[inline]
fn ip(protocol: u16, bytes: &[u8], length: u32) -> Option<Ip<'_>> {
    match protocol {
        IPV4 => {
            let (fixed, rest) = bytes.split_first_chunk::<20>()?;
            // Version 4, and a header of at least these 20 bytes.
            matches!(fixed[0], 0x45..=0x4f).then_some(Ip::V4(fixed, rest, length))
        }
        IPV6 => {
            let (fixed, rest) = bytes.split_first_chunk::<40>()?;
            (fixed[0] >> 4 == 6).then_some(Ip::V6(fixed, rest, length))
        }
        _ => tagged(protocol, bytes, length),
    }
}

/// Rare, and not in the way of the others.
#[inline(never)]
fn tagged(mut protocol: u16, mut bytes: &[u8], mut length: u32) -> Option<Ip<'_>> {
    while VLAN.contains(&protocol) {
        let (&[_, _, high, low], rest) = bytes.split_first_chunk()?;
        protocol = u16::from_be_bytes([high, low]);
        bytes = rest;
        length = length.saturating_sub(4);
    }
    match protocol {
        IPV4 | IPV6 => ip(protocol, bytes, length),
        _ => None,
    }
}

#[inline]
fn ipv4(fixed: &[u8; 20], rest: &[u8], length: u32) -> Packet {
    let header = u32::from(fixed[0] & 0xf) * 4;
    let total = match be16(fixed, 2) {
        // Longer than the field can say: a packet that the card cuts, or joined.
        0 => length,
        told => told.min(length),
    };
    let offset = be16(fixed, 6);
    let place = Place {
        source: IpAddr::V4(Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15])),
        destination: IpAddr::V4(Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19])),
        fragment: offset & 0x3fff != 0,
        later: offset & 0x1fff != 0,
        id: if offset & 0x3fff == 0 {
            0
        } else {
            be16(fixed, 4)
        },
    };
    let rest = rest.get(header as usize - 20..).unwrap_or_default();
    let length = total.saturating_sub(header);
    match fixed[9] {
        // The only extension header that IPv4 has.
        AUTHENTICATION if !place.later => extended(AUTHENTICATION, rest, length, place),
        protocol => place.packet(protocol, rest, length),
    }
}

#[inline]
fn ipv6(fixed: &[u8; 40], rest: &[u8], length: u32) -> Packet {
    let wire = length.saturating_sub(40);
    let length = match be16(fixed, 4) {
        0 if fixed[6] != NO_NEXT => wire,
        told => told.min(wire),
    };
    let place = Place {
        source: IpAddr::V6(address(fixed, 8)),
        destination: IpAddr::V6(address(fixed, 24)),
        fragment: false,
        later: false,
        id: 0,
    };
    match fixed[6] {
        protocol @ (TCP | UDP) => place.packet(protocol, rest, length),
        protocol => extended(protocol, rest, length, place),
    }
}

const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NO_NEXT: u8 = 59;
const DESTINATION: u8 = 60;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

/// Goes over extension headers to what they extend. Ends, as each has at least 8 bytes.
fn extended(mut protocol: u8, mut bytes: &[u8], mut length: u32, mut place: Place) -> Packet {
    loop {
        let Some(&[next, units, high, low]) = bytes.first_chunk() else {
            return place.packet(protocol, bytes, length);
        };
        let header = match protocol {
            HOP_BY_HOP | ROUTING | DESTINATION => (u32::from(units) + 1) * 8,
            AUTHENTICATION => ((u32::from(units) + 2) * 4).max(8),
            FRAGMENT => 8,
            _ => return place.packet(protocol, bytes, length),
        };
        if header > length || (header as usize) > bytes.len() {
            return place.packet(protocol, bytes, length);
        }
        if protocol == FRAGMENT {
            let offset = u16::from_be_bytes([high, low]);
            place.fragment |= offset & 0xfff9 != 0;
            place.later |= offset & 0xfff8 != 0;
            place.id = match bytes.get(4..8).and_then(|id| id.try_into().ok()) {
                Some(id) if place.fragment => u32::from_be_bytes(id),
                _ => 0,
            };
        }
        bytes = &bytes[header as usize..];
        length -= header;
        protocol = next;
        if place.later {
            return place.packet(protocol, bytes, length);
        }
    }
}

/// What the IP headers say so far.
#[derive(Clone, Copy)]
struct Place {
    source: IpAddr,
    destination: IpAddr,
    fragment: bool,
    /// A fragment beyond the first.
    later: bool,
    id: u32,
}

impl Place {
    /// The packet, of which `length` bytes, beginning with `bytes`, are not IP's.
    #[inline]
    fn packet(self, protocol: u8, bytes: &[u8], length: u32) -> Packet {
        // Beyond `length` is what fills up a short frame.
        let bytes = &bytes[..bytes.len().min(length as usize)];
        let header = match protocol {
            _ if self.later => None,
            // A header that is cut off is as long as one without options.
            TCP => Some(words(bytes.get(12).map(|&byte| byte >> 4), 20)),
            UDP | UDP_LITE => Some(8),
            SCTP => Some(12),
            DCCP => Some(words(bytes.get(4).copied(), 12)),
            _ => None,
        };
        let ports = match (header, bytes.first_chunk::<4>()) {
            (Some(_), Some(ports)) => Some((be16(ports, 0) as u16, be16(ports, 2) as u16)),
            _ => None,
        };
        Packet {
            source: self.source,
            destination: self.destination,
            protocol,
            ports,
            payload: length.saturating_sub(header.unwrap_or(0)),
            fragment: self.fragment,
            id: self.id,
        }
    }
}

/// Bytes of a header that tells its length in words of 4, of which it has at least `least`.
#[inline]
fn words(told: Option<u8>, least: u32) -> u32 {
    told.map_or(least, |words| u32::from(words) * 4).max(least)
}

#[inline]
fn be16<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

#[inline]
fn address(header: &[u8; 40], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[at..at + 16]);
    Ipv6Addr::from(octets)
}

#[cfg(test)]
// By its path, as the fuzz targets have this file by its own.
#[path = "packet/tests.rs"]
mod tests;

//! Headers that payload takes along: how many packets it needs, how long each
//! packet's headers are.
//!
//! Owns the estimate, pure arithmetic. Knows neither interfaces nor flows.

use std::ops::AddAssign;

use super::flow::{Protocol, Totals};
use super::wire::Family;

/// Ethernet: two addresses and a type (IEEE 802.3; the checksum at the end is not
/// in the interfaces' counts).
const ETHERNET: u64 = 14;
/// IPv4 without options (RFC 791, 3.1).
const IPV4: u64 = 20;
/// IPv6 without extensions (RFC 8200, 3).
const IPV6: u64 = 40;
/// TCP (RFC 9293, 3.1) with timestamps (RFC 7323, 3.2) padded to 12 bytes.
const TCP: u64 = 20 + 12;
/// A Data Sequence Signal with four-byte numbers and no checksum (RFC 8684, 3.3).
const MPTCP: u64 = TCP + 20;
/// UDP (RFC 768).
const UDP: u64 = 8;
/// The common header and that of one DATA chunk (RFC 9260, 3 and 3.3.1).
const SCTP: u64 = 12 + 16;
/// Bytes of a packet below its Ethernet header: the usual limit.
const MTU: u64 = 1500;
/// Packets without payload that one end sends to open and close a connection:
/// SYN, ACK and FIN (RFC 9293, 3.5 and 3.6).
const HANDSHAKE: u64 = 3;

/// Payload of one protocol and family, and the connections that moved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Payload {
    /// Bytes and operations.
    pub totals: Totals,
    /// Flows that moved their first byte.
    pub connections: u64,
}

/// Packets and the bytes of their headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers {
    /// Packets.
    pub packets: u64,
    /// Bytes of their headers together.
    pub bytes: u64,
}

impl AddAssign for Headers {
    fn add_assign(&mut self, other: Headers) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// Headers from the Ethernet header to the payload, in bytes.
fn length(protocol: Protocol, family: Family) -> u64 {
    let network = match family {
        Family::V4 => IPV4,
        Family::V6 => IPV6,
    };
    let transport = match protocol {
        Protocol::Tcp => TCP,
        Protocol::Mptcp => MPTCP,
        Protocol::Udp => UDP,
        Protocol::Sctp => SCTP,
        // The payload of the other sockets begins with the header of theirs.
        _ => 0,
    };
    ETHERNET + network + transport
}

/// The most that this payload can have needed, sent and received: each operation
/// a packet of its own, or as many full packets as hold the bytes. With a stream
/// go its connections' handshakes, and one acknowledgement for each packet of the
/// other direction at the most (RFC 5681, 4.2).
pub fn most(protocol: Protocol, family: Family, payload: &Payload) -> (Headers, Headers) {
    let length = length(protocol, family);
    let room = MTU + ETHERNET - length;
    let totals = &payload.totals;
    let sent = totals.tx_operations.max(totals.tx_bytes.div_ceil(room));
    let received = totals.rx_operations.max(totals.rx_bytes.div_ceil(room));
    let headers = |packets| Headers {
        packets,
        bytes: packets * length,
    };
    if matches!(protocol, Protocol::Tcp | Protocol::Mptcp | Protocol::Sctp) {
        let both = headers(sent + received + HANDSHAKE * payload.connections);
        (both, both)
    } else {
        (headers(sent), headers(received))
    }
}

/// Header bytes of the packets that were seen, if they are of this mix. What was
/// seen beyond the most that it can have needed is not its own.
pub fn estimate(most: Headers, seen: u64) -> u64 {
    if seen >= most.packets {
        return most.bytes;
    }
    let share = u128::from(most.bytes) * u128::from(seen) / u128::from(most.packets);
    // A part of a u64 is one.
    u64::try_from(share).unwrap_or(most.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(bytes: u64, operations: u64, connections: u64) -> Payload {
        Payload {
            totals: Totals {
                tx_bytes: bytes,
                tx_operations: operations,
                ..Totals::default()
            },
            connections,
        }
    }

    #[test]
    fn headers_are_as_long_as_their_standards_say() {
        let cases = [
            (Protocol::Udp, Family::V4, 42),
            (Protocol::Udp, Family::V6, 62),
            (Protocol::Tcp, Family::V4, 66),
            (Protocol::Tcp, Family::V6, 86),
            (Protocol::Icmp, Family::V4, 34),
        ];
        for (protocol, family, bytes) in cases {
            assert_eq!(length(protocol, family), bytes, "{protocol}");
        }
    }

    #[test]
    fn datagrams_are_packets_and_streams_fill_them() {
        let one = |protocol, bytes, operations, connections| {
            let payload = payload(bytes, operations, connections);
            let (tx, rx) = most(protocol, Family::V4, &payload);
            (tx.packets, rx.packets)
        };
        assert_eq!(one(Protocol::Udp, 100 * 90, 90, 9), (90, 0));
        assert_eq!(one(Protocol::Udp, 1472 * 3, 1, 1), (3, 0));
        // 1448 bytes fit beside the headers with timestamps.
        assert_eq!(one(Protocol::Tcp, 1448 * 10, 1, 0), (10, 10));
        assert_eq!(one(Protocol::Tcp, 1448 * 10 + 1, 1, 2), (17, 17));
        assert_eq!(one(Protocol::Tcp, 100, 20, 1), (23, 23));
    }

    #[test]
    fn only_packets_that_were_seen_have_headers() {
        let most = Headers {
            packets: 100,
            bytes: 6600,
        };
        assert_eq!(estimate(most, 0), 0);
        assert_eq!(estimate(most, 10), 660);
        assert_eq!(estimate(most, 1000), 6600);
        assert_eq!(estimate(Headers::default(), 1000), 0);
        let huge = Headers {
            packets: u64::MAX,
            bytes: u64::MAX,
        };
        assert_eq!(estimate(huge, 7), 7);
    }
}

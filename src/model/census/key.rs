//! What is counted apart: addresses, and flows by their five numbers.
//!
//! Owns how they are kept small and hashed fast. Counts nothing.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};

use crate::model::packet::{Ends, Packet};

/// An address as the tables keep it: IPv4 as IPv4-mapped IPv6, in two halves so that
/// a row of a table is one cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct AddressKey([u64; 2]);

impl AddressKey {
    fn bits(self) -> u128 {
        u128::from(self.0[0]) << 64 | u128::from(self.0[1])
    }

    /// The address; an IPv4-mapped one is IPv4.
    pub fn address(self) -> IpAddr {
        Ipv6Addr::from_bits(self.bits()).to_canonical()
    }
}

impl AddressKey {
    /// IPv4's, of the four bytes in a header.
    #[inline]
    fn v4(bytes: [u8; 4]) -> AddressKey {
        const MAPPED: u64 = 0xffff << 32;
        AddressKey([0, MAPPED | u64::from(u32::from_be_bytes(bytes))])
    }

    /// IPv6's, of the sixteen.
    #[inline]
    fn v6(bytes: [u8; 16]) -> AddressKey {
        let bits = u128::from_be_bytes(bytes);
        AddressKey([(bits >> 64) as u64, bits as u64])
    }

    /// Source and destination.
    #[inline]
    pub fn both(ends: Ends<'_>) -> [AddressKey; 2] {
        match ends {
            Ends::V4(&[a, b, c, d, rest @ ..]) => [[a, b, c, d], rest].map(AddressKey::v4),
            Ends::V6(bytes) => {
                let (source, destination) = bytes.split_at(16);
                [source, destination].map(|half| {
                    let mut octets = [0; 16];
                    octets.copy_from_slice(half);
                    AddressKey::v6(octets)
                })
            }
        }
    }
}

impl From<IpAddr> for AddressKey {
    #[inline]
    fn from(address: IpAddr) -> AddressKey {
        match address {
            IpAddr::V4(address) => AddressKey::v4(address.octets()),
            IpAddr::V6(address) => AddressKey::v6(address.octets()),
        }
    }
}

/// As one number: what derives hashes a length and each half.
impl Hash for AddressKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.bits());
    }
}

/// What tells the flows between two addresses apart: protocol, whether there are ports,
/// source port, destination port: 8, 8, 16 and 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Channel(u64);

impl From<&Packet> for Channel {
    #[inline]
    fn from(packet: &Packet) -> Channel {
        let ports = packet.ports.map_or(0, |(source, destination)| {
            1 << 32 | u64::from(source) << 16 | u64::from(destination)
        });
        Channel(u64::from(packet.protocol) << 40 | ports)
    }
}

/// A flow, one way: from whom to whom, by which protocol and ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct FlowKey {
    /// Who sent it.
    pub source: AddressKey,
    /// Whom to.
    pub destination: AddressKey,
    channel: Channel,
}

impl FlowKey {
    /// The flow between these ends.
    pub fn new(ends: Ends<'_>, channel: Channel) -> FlowKey {
        let [source, destination] = AddressKey::both(ends);
        FlowKey {
            source,
            destination,
            channel,
        }
    }

    /// The protocol's number.
    pub fn protocol(self) -> u8 {
        (self.channel.0 >> 40) as u8
    }

    /// Source and destination port, if the packets tell them.
    pub fn ports(self) -> Option<(u16, u16)> {
        let Channel(bits) = self.channel;
        (bits & 1 << 32 != 0).then_some(((bits >> 16) as u16, bits as u16))
    }
}

/// As three numbers.
impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
        self.destination.hash(state);
        state.write_u64(self.channel.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flow(protocol: u8, ports: Option<(u16, u16)>) -> FlowKey {
        let any = IpAddr::from([0, 0, 0, 0]);
        let packet = Packet {
            source: any,
            destination: any,
            protocol,
            ports,
            payload: 0,
            fragment: false,
            id: 0,
        };
        FlowKey::new(Ends::V4(&[0; 8]), Channel::from(&packet))
    }

    proptest! {
        #[test]
        fn addresses_come_back(bits in any::<u128>(), four in any::<u32>()) {
            let six = IpAddr::from(bits.to_be_bytes());
            prop_assert_eq!(AddressKey::from(six).address(), six.to_canonical());
            let four = IpAddr::from(four.to_be_bytes());
            prop_assert_eq!(AddressKey::from(four).address(), four);
        }

        #[test]
        fn ends_are_both_addresses(six in any::<[u8; 32]>(), four in any::<[u8; 8]>()) {
            let (source, destination) = six.split_at(16);
            let halves = [source, destination].map(|half| {
                AddressKey::from(IpAddr::from(<[u8; 16]>::try_from(half).unwrap()))
            });
            prop_assert_eq!(AddressKey::both(Ends::V6(&six)), halves);
            let [a, b, c, d, e, f, g, h] = four;
            let halves = [[a, b, c, d], [e, f, g, h]].map(|it| AddressKey::from(IpAddr::from(it)));
            prop_assert_eq!(AddressKey::both(Ends::V4(&four)), halves);
        }

        #[test]
        fn flows_come_back(
            protocol in any::<u8>(),
            ports in proptest::option::of(any::<(u16, u16)>()),
        ) {
            let flow = flow(protocol, ports);
            prop_assert_eq!((flow.protocol(), flow.ports()), (protocol, ports));
        }
    }

    #[test]
    fn no_ports_are_not_ports_zero() {
        assert_ne!(flow(17, None), flow(17, Some((0, 0))));
    }
}

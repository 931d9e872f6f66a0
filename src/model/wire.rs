//! The wire: the interfaces that a packet passes on its way in or out, and which
//! flows cross them.
//!
//! Owns the rule for flows; `ways_out` has that for interfaces. A packet that crosses
//! a veth, a bridge and a network card is on the wire once, at the card; one between
//! two processes or two containers of the machine never is. Counts nothing.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::endpoint::printable;
use super::flow::{FlowKey, Protocol};
use super::network::{Address, Network};
use super::prefix::Prefix;
use super::ways_out;

/// Which version of the Internet Protocol a flow uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The wire as it is now. The default has no interface, and carries nothing.
#[derive(Debug, Clone, Default)]
pub struct Wire {
    /// The interfaces, by `ifindex` and name, which is [`printable`].
    pub links: Vec<(u32, Arc<str>)>,
    /// Only flows of this network namespace cross it; `None` where the hardware of
    /// the machine's first makes it the way out of them all.
    namespace: Option<u32>,
    own: HashSet<IpAddr, RandomState>,
    /// Networks by falling length of the prefix; empty where none is inside.
    networks: Vec<(Prefix, Side)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Inside,
    Outside,
}

impl Wire {
    /// Applies the rules to a set-up.
    pub fn new(network: &Network) -> Wire {
        let wire = ways_out::of(network);
        let indices: Vec<u32> = wire.iter().map(|link| link.index).collect();
        Wire {
            networks: networks(network, &indices),
            links: wire
                .iter()
                .map(|link| (link.index, printable(&link.name).collect::<String>().into()))
                .collect(),
            namespace: (!ways_out::are_of_all_namespaces(network)).then_some(network.namespace),
            own: network.addresses.iter().map(|a| a.own).collect(),
        }
    }

    /// The family of a flow that crosses the wire. `None` for one that stays
    /// inside, has no known peer (so nobody knows where it goes), or belongs to a
    /// network namespace whose traffic need not come by here.
    pub fn carries(&self, key: &FlowKey) -> Option<Family> {
        use Protocol::{Icmp, Mptcp, Raw, Sctp, Tcp, Udp};
        let remote = key.remote?.address.ip()?;
        let crosses = matches!(key.protocol, Tcp | Udp | Icmp | Sctp | Mptcp | Raw)
            && !self.links.is_empty()
            && self
                .namespace
                .is_none_or(|own| own == key.network_namespace)
            && !remote.is_loopback()
            && !remote.is_unspecified()
            && key
                .local
                .is_none_or(|local| local.address.ip() != Some(remote))
            && !self.own.contains(&remote)
            && !self.is_inside(remote);
        crosses.then_some(match remote {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        })
    }

    fn is_inside(&self, address: IpAddr) -> bool {
        let mut networks = self.networks.iter();
        let found = networks.find(|(prefix, _)| prefix.covers(address));
        found.is_some_and(|(_, side)| *side == Side::Inside)
    }
}

/// The networks that interfaces join, if any of them is inside.
fn networks(network: &Network, wire: &[u32]) -> Vec<(Prefix, Side)> {
    let links = &network.links;
    let side = |address: &Address| {
        let link = ways_out::by_index(links, Some(address.index))?;
        let inside = ways_out::is_inside(link, wire, links);
        Some(if inside { Side::Inside } else { Side::Outside })
    };
    let mut networks: Vec<(Prefix, Side)> = network
        .addresses
        .iter()
        // Every interface has the link-local network, so it tells nothing.
        .filter(|address| !is_link_local(address.network))
        .filter_map(|address| {
            Some((
                Prefix {
                    address: address.network,
                    length: address.prefix,
                },
                side(address)?,
            ))
        })
        .collect();
    if networks.iter().all(|(_, side)| *side == Side::Outside) {
        return Vec::new();
    }
    networks.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.length));
    networks.dedup();
    networks
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::flow::{Endpoint, ProcessId};

    fn address(index: u32, own: &str, prefix: u8) -> Address {
        let own = own.parse().unwrap();
        Address {
            index,
            own,
            network: own,
            prefix,
        }
    }

    /// A host with a card, a container's bridge and a bridge onto the card.
    fn host() -> Network {
        Network {
            namespace: 1,
            is_first: true,
            links: ways_out::examples::host(),
            addresses: vec![
                address(1, "127.0.0.1", 8),
                address(2, "10.0.0.5", 8),
                address(2, "fe80::5", 64),
                address(3, "10.7.0.1", 16),
                address(3, "fe80::7", 64),
                address(5, "192.168.1.1", 24),
                address(7, "10.8.0.1", 24),
                address(2, "2001:db8::5", 64),
            ],
        }
    }

    fn key(local: Option<&str>, remote: Option<&str>) -> FlowKey {
        let end = |text: &str| Endpoint {
            address: text.parse().unwrap(),
            port: 443,
        };
        FlowKey {
            process: ProcessId::default(),
            protocol: Protocol::Tcp,
            network_namespace: 1,
            local: local.map(end),
            remote: remote.map(end),
        }
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let mut network = host();
        network.links[1].name = "eth\x1b[2J".into();
        assert_eq!(Wire::new(&network).links, [(2, "eth?[2J".into())]);
    }

    #[test]
    fn what_stays_on_the_machine_is_not_on_the_wire() {
        let wire = Wire::new(&host());
        for (local, remote, family) in [
            ("10.0.0.5", "192.0.2.1", Some(Family::V4)),
            ("10.0.0.5", "10.0.0.6", Some(Family::V4)),
            ("2001:db8::5", "2001:db8::6", Some(Family::V6)),
            ("fe80::5", "fe80::6", Some(Family::V6)),
            ("192.168.1.1", "192.168.1.2", Some(Family::V4)),
            ("10.8.0.1", "10.8.0.2", Some(Family::V4)),
            ("127.0.0.1", "127.0.0.2", None),
            ("::1", "::1", None),
            ("10.0.0.5", "10.0.0.5", None),
            ("10.0.0.5", "0.0.0.0", None),
            ("10.0.0.5", "10.8.0.1", None),
            ("fe80::5", "fe80::7", None),
            // To a container, and from one to another, to the host, and out.
            ("10.7.0.1", "10.7.0.2", None),
            ("10.7.0.2", "10.7.0.3", None),
            ("10.7.0.2", "10.0.0.5", None),
            ("10.7.0.2", "10.0.0.6", Some(Family::V4)),
            // The same addresses at both ends, in a namespace nobody knows.
            ("172.16.0.1", "172.16.0.1", None),
        ] {
            let carried = wire.carries(&key(Some(local), Some(remote)));
            assert_eq!(carried, family, "{local} to {remote}");
        }
        assert_eq!(wire.carries(&key(Some("10.0.0.5"), None)), None);
        assert_eq!(wire.carries(&key(None, Some("10.0.0.6"))), Some(Family::V4));
        for protocol in [Protocol::Packet, Protocol::Vsock, Protocol::Other] {
            let key = FlowKey {
                protocol,
                ..key(None, Some("10.0.0.6"))
            };
            assert_eq!(wire.carries(&key), None);
        }
    }

    #[test]
    fn hardware_of_the_first_namespace_is_the_way_out_of_all() {
        let mut network = host();
        let elsewhere = FlowKey {
            network_namespace: 2,
            ..key(None, Some("192.0.2.1"))
        };
        let here = key(None, Some("192.0.2.1"));
        assert!(Wire::new(&network).carries(&elsewhere).is_some());
        network.is_first = false;
        assert_eq!(Wire::new(&network).carries(&elsewhere), None);
        assert!(Wire::new(&network).carries(&here).is_some());
        network.is_first = true;
        network.links[1].hardware = false;
        assert_eq!(Wire::new(&network).carries(&elsewhere), None);
        assert!(Wire::new(&network).carries(&here).is_some());
        assert_eq!(Wire::default().carries(&here), None);
    }
}

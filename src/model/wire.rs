//! The wire: which interfaces a packet passes on its way in or out, and which
//! flows cross them.
//!
//! Owns both rules. A packet that crosses a veth, a bridge and a network card is
//! on the wire once, at the card; one between two processes or two containers of
//! the machine never is. Counts nothing.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::flow::{FlowKey, Protocol};
use super::network::{Address, Link, Lower, Network};
use super::prefix::Prefix;

/// Kinds whose packets leave through another interface, or not at all
/// (`rtnl_link_ops.kind` of their drivers).
const NO_WAY_OUT: [&str; 23] = [
    "amt",
    "bareudp",
    "bridge",
    "dummy",
    "geneve",
    "gre",
    "gretap",
    "ifb",
    "ip6gre",
    "ip6gretap",
    "ip6tnl",
    "ipip",
    "netdevsim",
    "nlmon",
    "openvswitch",
    "ppp",
    "sit",
    "tun",
    "vrf",
    "vti",
    "vxlan",
    "wireguard",
    "xfrm",
];

/// Kinds that join parts of one machine, unless a part of them is a way out.
const INSIDE: [&str; 5] = ["bridge", "dummy", "netkit", "openvswitch", "veth"];

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
    /// The interfaces, by `ifindex` and name.
    pub links: Vec<(u32, Arc<str>)>,
    /// Only flows of this network namespace cross it; `None` where hardware makes
    /// it the way out of the whole machine.
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
        let links = &network.links;
        let whole_machine = links.iter().any(|link| is_card(link, links));
        let is_wire = |link: &&Link| {
            if whole_machine {
                is_card(link, links)
            } else {
                is_way_out(link, links)
            }
        };
        let wire: Vec<&Link> = links.iter().filter(is_wire).collect();
        let indices: Vec<u32> = wire.iter().map(|link| link.index).collect();
        Wire {
            networks: networks(network, &indices),
            links: wire
                .iter()
                .map(|link| (link.index, Arc::clone(&link.name)))
                .collect(),
            namespace: (!whole_machine).then_some(network.namespace),
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

fn by_index(links: &[Link], index: Option<u32>) -> Option<&Link> {
    let index = index?;
    links.iter().find(|link| link.index == index)
}

/// Rides on another interface that counts the same packets.
fn is_stacked(link: &Link) -> bool {
    link.loopback || matches!(link.lower, Lower::Here(_))
}

/// Hardware, unless its master is hardware too: such a master (a synthetic
/// network card over its accelerated one) counts what both move.
fn is_card(link: &Link, links: &[Link]) -> bool {
    link.hardware
        && !is_stacked(link)
        && !by_index(links, link.master).is_some_and(|master| master.hardware)
}

/// Without hardware, as in a container: what no other interface carries on.
fn is_way_out(link: &Link, links: &[Link]) -> bool {
    !is_stacked(link)
        && !is_kind(link, &NO_WAY_OUT)
        && !links.iter().any(|part| part.master == Some(link.index))
        && !by_index(links, link.master)
            .is_some_and(|master| is_kind(master, &["bridge", "openvswitch"]))
}

fn is_kind(link: &Link, kinds: &[&str]) -> bool {
    link.kind
        .as_deref()
        .is_some_and(|kind| kinds.contains(&kind))
}

/// Whether packets of an interface leave by the wire. Interfaces are stacked a
/// few high at most; what is deeper is taken for inside.
fn reaches(link: &Link, wire: &[u32], links: &[Link], depth: u32) -> bool {
    let is_part =
        |part: &&Link| part.master == Some(link.index) || link.lower == Lower::Here(part.index);
    wire.contains(&link.index)
        || depth > 0
            && links
                .iter()
                .filter(is_part)
                .any(|part| reaches(part, wire, links, depth - 1))
}

/// The networks that interfaces join, if any of them is inside.
fn networks(network: &Network, wire: &[u32]) -> Vec<(Prefix, Side)> {
    let links = &network.links;
    let side = |address: &Address| {
        let link = by_index(links, Some(address.index))?;
        let inside = is_kind(link, &INSIDE) && !reaches(link, wire, links, 4);
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

    fn link(index: u32, name: &str, kind: Option<&str>) -> Link {
        Link {
            index,
            name: name.into(),
            loopback: name == "lo",
            hardware: name.starts_with("eth"),
            kind: kind.map(str::to_owned),
            lower: Lower::Nothing,
            master: None,
        }
    }

    fn part_of(master: u32, link: Link) -> Link {
        Link {
            master: Some(master),
            ..link
        }
    }

    fn over(lower: Lower, link: Link) -> Link {
        Link { lower, ..link }
    }

    fn address(index: u32, own: &str, prefix: u8) -> Address {
        let own = own.parse().unwrap();
        Address {
            index,
            own,
            network: own,
            prefix,
        }
    }

    fn names(links: Vec<Link>) -> Vec<String> {
        let network = Network {
            links,
            ..Network::default()
        };
        let wire = Wire::new(&network);
        wire.links
            .iter()
            .map(|(_, name)| name.to_string())
            .collect()
    }

    /// A host with a card, a container's bridge and a bridge onto the card.
    fn host() -> Network {
        Network {
            namespace: 1,
            links: vec![
                link(1, "lo", None),
                link(2, "eth0", None),
                link(3, "docker0", Some("bridge")),
                part_of(3, link(4, "veth1", Some("veth"))),
                link(5, "br0", Some("bridge")),
                part_of(5, over(Lower::Here(2), link(6, "trunk.7", Some("vlan")))),
                link(7, "wg0", Some("wireguard")),
            ],
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
    fn a_packet_is_counted_where_it_meets_hardware() {
        let network = host();
        assert_eq!(names(network.links.clone()), ["eth0"]);
        // Switch ports ride on the card that leads to them.
        let mut links = network.links;
        links.push(over(Lower::Here(2), link(8, "eth9", None)));
        assert_eq!(names(links), ["eth0"]);
        // Both sides of a bond are cards; a synthetic card counts for its part.
        let mut links = vec![
            link(1, "bond0", Some("bond")),
            part_of(1, link(2, "eth0", None)),
            part_of(1, link(3, "eth1", None)),
        ];
        assert_eq!(names(links.clone()), ["eth0", "eth1"]);
        links[0] = link(1, "eth-synthetic", None);
        assert_eq!(names(links), ["eth-synthetic"]);
    }

    #[test]
    fn without_hardware_it_is_what_nothing_else_carries_on() {
        let mut links = vec![
            link(1, "lo", None),
            link(2, "sit0", Some("sit")),
            link(3, "out0", Some("veth")),
            link(4, "br0", Some("bridge")),
            part_of(4, link(5, "veth5", Some("veth"))),
            over(Lower::Here(3), link(6, "out0.7", Some("vlan"))),
            over(Lower::Elsewhere, link(7, "mac0", Some("macvlan"))),
        ];
        assert_eq!(names(links.clone()), ["out0", "mac0"]);
        // A bond's parts are the ways out; a routing domain is none at all.
        links[3].kind = Some("bond".to_owned());
        assert_eq!(names(links.clone()), ["out0", "veth5", "mac0"]);
        links[3].kind = Some("vrf".to_owned());
        assert_eq!(names(links), ["out0", "veth5", "mac0"]);
        assert_eq!(names(vec![link(1, "lo", None)]), [""; 0]);
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
    fn hardware_is_the_way_out_of_every_namespace() {
        let mut network = host();
        let elsewhere = FlowKey {
            network_namespace: 2,
            ..key(None, Some("192.0.2.1"))
        };
        assert!(Wire::new(&network).carries(&elsewhere).is_some());
        network.links[1].hardware = false;
        assert_eq!(Wire::new(&network).carries(&elsewhere), None);
        let here = key(None, Some("192.0.2.1"));
        assert!(Wire::new(&network).carries(&here).is_some());
        assert_eq!(Wire::default().carries(&here), None);
    }
}

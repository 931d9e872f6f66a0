//! The ways out: which interfaces are the wire, and which join only parts of one
//! machine.
//!
//! Owns the rule for interfaces. Which flows cross them is `wire`'s.

use super::network::{Link, Lower, Network};

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

/// `ARPHRD_ETHER`, `_INFINIBAND`, `_RAWIP` (modems) and `_NONE` (modems, tunnels) of
/// include/uapi/linux/if_arp.h. What else there is (CAN, netlink, radio as it was
/// heard) carries no packets of the Internet Protocol.
const MEDIA: [u16; 4] = [1, 32, 519, 0xfffe];

/// Whether the wire is the machine's: hardware in its first network namespace. A
/// card that was given to a container serves nobody else.
pub fn are_of_all_namespaces(network: &Network) -> bool {
    let links = &network.links;
    network.is_first && links.iter().any(|link| is_card(link, links))
}

/// The interfaces on which a packet is counted on its way in or out.
pub fn of(network: &Network) -> Vec<&Link> {
    let links = &network.links;
    let only_cards = are_of_all_namespaces(network);
    let ways_out = links.iter().filter(|link| {
        if only_cards {
            is_card(link, links)
        } else {
            is_way_out(link, links)
        }
    });
    ways_out.collect()
}

/// Whether the networks that an interface joins are of this machine alone; `wire`
/// has the ways out by `ifindex`.
pub fn is_inside(link: &Link, wire: &[u32], links: &[Link]) -> bool {
    is_kind(link, &INSIDE) && !reaches(link, wire, links, 4)
}

/// The interface of that `ifindex`.
pub fn by_index(links: &[Link], index: Option<u32>) -> Option<&Link> {
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
        && MEDIA.contains(&link.medium)
        && !is_stacked(link)
        && !by_index(links, link.master).is_some_and(|master| master.hardware)
}

/// In a container, or without hardware: what no other interface carries on.
fn is_way_out(link: &Link, links: &[Link]) -> bool {
    if link.hardware {
        return is_card(link, links);
    }
    MEDIA.contains(&link.medium)
        && !is_stacked(link)
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

/// Set-ups for tests.
#[cfg(test)]
pub mod examples {
    use super::*;

    pub fn link(index: u32, name: &str, kind: Option<&str>) -> Link {
        Link {
            index,
            name: name.into(),
            medium: 1,
            loopback: name == "lo",
            hardware: name.starts_with("eth"),
            kind: kind.map(str::to_owned),
            lower: Lower::Nothing,
            master: None,
        }
    }

    pub fn part_of(master: u32, link: Link) -> Link {
        Link {
            master: Some(master),
            ..link
        }
    }

    pub fn over(lower: Lower, link: Link) -> Link {
        Link { lower, ..link }
    }

    /// A host with a card, a container's bridge and a bridge onto the card.
    pub fn host() -> Vec<Link> {
        vec![
            link(1, "lo", None),
            link(2, "eth0", None),
            link(3, "docker0", Some("bridge")),
            part_of(3, link(4, "veth1", Some("veth"))),
            link(5, "br0", Some("bridge")),
            part_of(5, over(Lower::Here(2), link(6, "trunk.7", Some("vlan")))),
            link(7, "wg0", Some("wireguard")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::examples::{host, link, over, part_of};
    use super::*;

    fn names(links: Vec<Link>) -> Vec<String> {
        names_in(true, links)
    }

    /// Of the machine's first network namespace, or of another.
    fn names_in(is_first: bool, links: Vec<Link>) -> Vec<String> {
        let network = Network {
            is_first,
            links,
            ..Network::default()
        };
        let ways_out = of(&network);
        ways_out.iter().map(|link| link.name.to_string()).collect()
    }

    #[test]
    fn a_packet_is_counted_where_it_meets_hardware() {
        let mut links = host();
        assert_eq!(names(links.clone()), ["eth0"]);
        // Switch ports ride on the card that leads to them.
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
    fn in_a_container_its_card_is_one_way_out_of_several() {
        let mut links = vec![
            link(1, "lo", None),
            link(2, "eth0", None),
            link(3, "out0", Some("veth")),
        ];
        assert_eq!(names_in(true, links.clone()), ["eth0"]);
        assert_eq!(names_in(false, links.clone()), ["eth0", "out0"]);
        // A synthetic card counts for its part, one in a bridge for the bridge.
        links[1].master = Some(4);
        links.push(link(4, "eth-synthetic", None));
        assert_eq!(names_in(false, links.clone()), ["out0", "eth-synthetic"]);
        links[3] = link(4, "br0", Some("bridge"));
        assert_eq!(names_in(false, links), ["eth0", "out0"]);
    }

    #[test]
    fn what_carries_no_internet_protocol_is_no_wire() {
        // Modems with and without Ethernet's addresses; a CAN bus, radio as heard.
        for (medium, carries) in [
            (1, true),
            (32, true),
            (519, true),
            (0xfffe, true),
            (280, false),
            (803, false),
        ] {
            for name in ["eth0", "out0"] {
                let link = Link {
                    medium,
                    ..link(2, name, None)
                };
                assert_eq!(names(vec![link]).is_empty(), !carries, "{medium}");
            }
        }
    }
}

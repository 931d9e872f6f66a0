//! Where incoming packets are seen on an interface, and what its counters mean there.
//!
//! Rules about kinds of interfaces, from what their drivers do (and what was measured).
//! Calls no kernel.

use super::Mode;
use super::counters::{
    INTERFACE_LOOPBACK, INTERFACE_MAYBE, INTERFACE_SEGMENTS, INTERFACE_TRAINS, Layer, RawInterface,
};
use crate::model::network::Link;

const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
/// Media whose packets begin with the IP header: PPP, RAWIP, TUNNEL, TUNNEL6, SIT, IPGRE,
/// IP6GRE and NONE (tun, WireGuard); include/uapi/linux/if_arp.h.
const RAW_IP: [u16; 8] = [512, 519, 768, 769, 776, 778, 823, 65534];

/// `ETH_HLEN`.
const ETHERNET_HEADER: u8 = 14;

/// What sees packets that come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// XDP in the driver (XDP_FLAGS_DRV_MODE).
    Native,
    /// XDP after the driver (XDP_FLAGS_SKB_MODE).
    Generic,
    /// A tc program, which sees what generic XDP does and more: packets that were
    /// redirected, and which are copies of our own. Generic XDP turns LRO and the
    /// card's GRO off, and nobody turns them on again (`generic_xdp_install`, net/core/dev.c,
    /// Linux 6.18).
    Tc,
}

impl Place {
    /// What an XDP program there is called.
    pub fn xdp(self) -> Option<&'static str> {
        match self {
            Place::Native => Some("xdp native"),
            Place::Generic => Some("xdp generic"),
            Place::Tc => None,
        }
    }
}

/// What to try on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// First.
    pub place: Place,
    /// Why, in a few words.
    pub reason: String,
}

impl Choice {
    fn new(place: Place, reason: &str) -> Choice {
        Choice {
            place,
            reason: reason.to_owned(),
        }
    }
}

/// The place for `link`, whose driver has that name where it has one.
pub fn choose(mode: Mode, link: &Link, driver: Option<&str>) -> Choice {
    let tc = |reason: &str| Choice::new(Place::Tc, reason);
    match mode {
        Mode::Native => Choice::new(Place::Native, "as asked"),
        Mode::Generic => Choice::new(Place::Generic, "as asked"),
        Mode::Auto => match (link.kind.as_deref(), driver) {
            // Measured: a TCP stream falls from 34 to 7 Gbit/s.
            (Some("veth"), _) => tc("native would turn GSO and GRO off on veth"),
            // Measured: a frame written costs half as much again.
            (Some("tun"), _) if link.medium == ARPHRD_ETHER => tc("native costs a tap more"),
            (_, Some("virtio_net")) => tc("native would turn guest offloads off"),
            _ if link.loopback => tc("a loopback has no native XDP"),
            (_, Some(driver)) => tc(&format!("native may restart {driver}'s queues")),
            _ if link.hardware => tc("native may restart the card's queues"),
            (Some(kind), None) => tc(&format!("{kind} has no driver that gains by native")),
            (None, None) => tc("no driver that gains by native"),
        },
    }
}

/// The settings of the kernel's entry for `link`.
pub fn settings(link: &Link, place: Place) -> RawInterface {
    let kind = link.kind.as_deref();
    let layer = match link.medium {
        ARPHRD_ETHER | ARPHRD_LOOPBACK => Layer::Ethernet,
        medium if RAW_IP.contains(&medium) => Layer::Ip,
        _ => Layer::Other,
    };
    let mut flags = match place {
        Place::Generic => INTERFACE_TRAINS,
        Place::Native if kind == Some("tun") => INTERFACE_MAYBE,
        Place::Native | Place::Tc => 0,
    };
    // A card's driver counts each frame, then hands it to GRO, which joins them.
    if link.hardware && place != Place::Native {
        flags |= INTERFACE_SEGMENTS;
    }
    if link.loopback {
        flags |= INTERFACE_LOOPBACK;
    }
    let bare = |is_bare: bool| if is_bare { ETHERNET_HEADER } else { 0 };
    // What has taken the Ethernet header off before it counts, by eth_type_trans mostly
    // (br_pass_frame_up, vlan_do_receive, vxlan_rcv, geneve_rx, macsec_handle_frame,
    // team_handle_frame, __ip6_tnl_rcv; veth_xdp_rcv, by which frames come as long as a
    // program is native), and what counts from the packet in the tunnel on
    // (iptunnel_xmit, ip6tunnel_xmit).
    let is_bare_in = match kind {
        Some("bridge" | "vlan" | "vxlan" | "geneve" | "macsec" | "team" | "ip6gretap") => true,
        Some("veth") => place == Place::Native,
        _ => link.loopback,
    };
    let is_bare_out = match kind {
        Some("vxlan" | "geneve" | "gretap" | "ip6gretap") => true,
        _ => link.loopback,
    };
    RawInterface {
        flags,
        layer: layer as u8,
        uncounted: [bare(is_bare_in), bare(is_bare_out)],
        ..RawInterface::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::network::Lower;

    fn link(kind: Option<&str>, medium: u16) -> Link {
        Link {
            index: 7,
            name: "x0".into(),
            medium,
            loopback: medium == ARPHRD_LOOPBACK,
            hardware: false,
            kind: kind.map(str::to_owned),
            lower: Lower::Nothing,
            master: None,
        }
    }

    #[test]
    fn auto_is_native_nowhere_where_something_is_lost() {
        let card = Link {
            hardware: true,
            ..link(None, ARPHRD_ETHER)
        };
        for (link, driver, place, word) in [
            (link(Some("veth"), 1), None, Place::Tc, "GSO"),
            (link(Some("tun"), 1), None, Place::Tc, "tap"),
            (link(Some("tun"), 65534), None, Place::Tc, "tun"),
            (link(None, 772), None, Place::Tc, "loopback"),
            (card.clone(), Some("virtio_net"), Place::Tc, "guest"),
            (card.clone(), Some("ixgbe"), Place::Tc, "ixgbe's"),
            (card, None, Place::Tc, "the card's"),
            (link(Some("bridge"), 1), None, Place::Tc, "bridge"),
        ] {
            let choice = choose(Mode::Auto, &link, driver);
            assert_eq!(choice.place, place, "{link:?}");
            assert!(choice.reason.contains(word), "{}", choice.reason);
        }
    }

    #[test]
    fn what_is_asked_for_is_done_or_refused() {
        for (mode, place) in [
            (Mode::Native, Place::Native),
            (Mode::Generic, Place::Generic),
        ] {
            let choice = choose(mode, &link(Some("veth"), 1), None);
            assert_eq!(choice.place, place);
        }
    }

    #[test]
    fn frames_begin_with_what_the_medium_says() {
        let settings = |kind, medium| settings(&link(kind, medium), Place::Tc);
        assert_eq!(settings(Some("tun"), 65534).layer, Layer::Ip as u8);
        assert_eq!(settings(None, 824).layer, Layer::Other as u8);
        let loopback = settings(None, ARPHRD_LOOPBACK);
        assert_eq!((loopback.layer, loopback.uncounted), (0, [14, 14]));
        assert_eq!(settings(Some("bridge"), 1).uncounted, [14, 0]);
        assert_eq!(settings(Some("veth"), 1).uncounted, [0, 0]);
        assert_eq!(settings(Some("vxlan"), 1).uncounted, [14, 14]);
        assert_eq!(settings(Some("gretap"), 1).uncounted, [0, 14]);
        let native = super::settings(&link(Some("veth"), 1), Place::Native);
        assert_eq!(native.uncounted, [14, 0]);
    }
}

//! How the machine is connected: interfaces, their addresses, their counters.
//!
//! Plain facts as the kernel tells them. Which of them matter is `wire`'s rule.

use std::net::IpAddr;
use std::sync::Arc;

use super::flow::Totals;

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its `ifindex`.
    pub index: u32,
    /// Its name as the kernel knows it, control characters included.
    pub name: Arc<str>,
    /// What its packets are (`ARPHRD_*`, include/uapi/linux/if_arp.h).
    pub medium: u16,
    /// `IFF_LOOPBACK` is set.
    pub loopback: bool,
    /// A device of the machine, real or virtual, is behind it.
    pub hardware: bool,
    /// `veth`, `bridge`, `vlan`, …; `None` where no kind is told.
    pub kind: Option<String>,
    /// The interface that it rides on.
    pub lower: Lower,
    /// `ifindex` of the bridge, bond or other interface that it is a part of.
    pub master: Option<u32>,
}

/// What an interface rides on: a VLAN on its trunk, a macvlan on its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lower {
    /// On nothing that the kernel tells of.
    #[default]
    Nothing,
    /// On the interface of that `ifindex`.
    Here(u32),
    /// On one in another network namespace.
    Elsewhere,
}

/// One address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// `ifindex` of the interface.
    pub index: u32,
    /// The machine's own address.
    pub own: IpAddr,
    /// An address of the network that the interface joins: `own`, or on a
    /// point-to-point link the peer.
    pub network: IpAddr,
    /// Bits of `network` that all its members share.
    pub prefix: u8,
}

/// The set-up of one network namespace, the one that netmon runs in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// Its inode number, as in `/proc/PID/ns/net`.
    pub namespace: u32,
    /// It is the one that the machine began with.
    pub is_first: bool,
    /// All interfaces.
    pub links: Vec<Link>,
    /// All addresses.
    pub addresses: Vec<Address>,
}

/// What one interface has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkCounters {
    /// Its `ifindex`.
    pub index: u32,
    /// Bytes of whole frames without the checksum at their end (for Ethernet;
    /// `struct rtnl_link_stats64`, include/uapi/linux/if_link.h), and packets in
    /// place of operations. Cumulative since the driver began to count.
    pub totals: Totals,
}

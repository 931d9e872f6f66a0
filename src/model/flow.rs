//! Who talks to whom: process identity, protocol, endpoints, flow key, counters.
//!
//! Plain data shared by every layer. Does not know how the kernel lays any of
//! it out (that is `collect::wire`) nor how it is shown.

use std::fmt;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

pub use super::endpoint::{Address, Endpoint, InterfaceName};

/// One process, told apart from any other that ever had the same PID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ProcessId {
    /// Thread-group id in the initial PID namespace.
    pub pid: u32,
    /// Start of the thread-group leader in ns since boot, suspended time
    /// included (`task_struct.start_boottime`, include/linux/sched.h, Linux 5.5+).
    pub start_ns: u64,
}

/// Transport (or, where there is none, socket family) a flow belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP over IPv4 or IPv6.
    Tcp,
    /// UDP and UDP-Lite over IPv4 or IPv6.
    Udp,
    /// ICMP and ICMPv6, by raw or by ping sockets.
    Icmp,
    /// SCTP.
    Sctp,
    /// Multipath TCP, counted at the MPTCP socket and not again at its subflows.
    Mptcp,
    /// Raw IP sockets of any protocol but ICMP.
    Raw,
    /// AF_PACKET sockets.
    Packet,
    /// AF_VSOCK: host and guest.
    Vsock,
    /// Any other network socket family.
    Other,
}

impl Protocol {
    /// Every protocol, in the order of the kernel's `protocol_totals` index.
    pub const ALL: [Protocol; 9] = [
        Protocol::Tcp,
        Protocol::Udp,
        Protocol::Icmp,
        Protocol::Sctp,
        Protocol::Mptcp,
        Protocol::Raw,
        Protocol::Packet,
        Protocol::Vsock,
        Protocol::Other,
    ];

    /// Number of protocols; the length of every per-protocol array.
    pub const COUNT: usize = Self::ALL.len();

    /// Position in [`Protocol::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The name records, filters and screens use: `tcp`, `udp`, …
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Icmp => "icmp",
            Protocol::Sctp => "sctp",
            Protocol::Mptcp => "mptcp",
            Protocol::Raw => "raw",
            Protocol::Packet => "packet",
            Protocol::Vsock => "vsock",
            Protocol::Other => "other",
        }
    }

    /// The protocol of that [`name`](Self::name), in any case.
    pub fn from_name(name: &str) -> Option<Protocol> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What makes two flows different: the process, the protocol, both ends, and
/// the network namespace (two namespaces may use the same addresses).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// The process that moved the bytes (not the one that opened the socket).
    pub process: ProcessId,
    /// Protocol of the socket.
    pub protocol: Protocol,
    /// Inode number of the network namespace, as in `/proc/PID/ns/net`.
    pub network_namespace: u32,
    /// Local end; `None` where the family has no IP addresses.
    pub local: Option<Endpoint>,
    /// Remote end, a packet socket's interface; `None` where nobody can know it.
    pub remote: Option<Endpoint>,
}

impl FlowKey {
    /// The flow without its process: what a closing socket announces.
    pub fn connection(&self) -> Connection {
        Connection {
            protocol: self.protocol,
            network_namespace: self.network_namespace,
            local: self.local,
            remote: self.remote,
        }
    }
}

/// A connection regardless of which processes share its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Protocol of the socket.
    pub protocol: Protocol,
    /// Inode number of the network namespace.
    pub network_namespace: u32,
    /// Local end.
    pub local: Option<Endpoint>,
    /// Remote end.
    pub remote: Option<Endpoint>,
}

/// Cumulative payload counters, both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Payload bytes sent.
    pub tx_bytes: u64,
    /// Payload bytes received.
    pub rx_bytes: u64,
    /// Successful calls or messages that sent them.
    pub tx_operations: u64,
    /// Successful calls or messages that received them.
    pub rx_operations: u64,
}

impl Totals {
    /// Bytes of both directions.
    pub fn bytes(&self) -> u64 {
        self.tx_bytes + self.rx_bytes
    }

    /// True while nothing was counted.
    pub fn is_zero(&self) -> bool {
        *self == Totals::default()
    }

    /// What was added since `earlier`. A counter that fell was removed from the
    /// kernel's map and started again from 0, so all of it is new.
    #[must_use]
    pub fn since(&self, earlier: &Totals) -> Totals {
        let fell = self.tx_bytes < earlier.tx_bytes
            || self.rx_bytes < earlier.rx_bytes
            || self.tx_operations < earlier.tx_operations
            || self.rx_operations < earlier.rx_operations;
        if fell {
            return *self;
        }
        Totals {
            tx_bytes: self.tx_bytes - earlier.tx_bytes,
            rx_bytes: self.rx_bytes - earlier.rx_bytes,
            tx_operations: self.tx_operations - earlier.tx_operations,
            rx_operations: self.rx_operations - earlier.rx_operations,
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.tx_bytes += other.tx_bytes;
        self.rx_bytes += other.rx_bytes;
        self.tx_operations += other.tx_operations;
        self.rx_operations += other.rx_operations;
    }
}

impl Add for Totals {
    type Output = Totals;

    fn add(mut self, other: Totals) -> Totals {
        self += other;
        self
    }
}

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Totals>>(totals: I) -> Totals {
        totals.fold(Totals::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(tx: u64, rx: u64, tx_operations: u64, rx_operations: u64) -> Totals {
        Totals {
            tx_bytes: tx,
            rx_bytes: rx,
            tx_operations,
            rx_operations,
        }
    }

    #[test]
    fn what_was_added_is_the_difference() {
        let earlier = totals(10, 20, 1, 2);
        let later = totals(15, 20, 2, 2);
        assert_eq!(later.since(&earlier), totals(5, 0, 1, 0));
        assert_eq!(earlier + later.since(&earlier), later);
        assert!(later.since(&later).is_zero());
    }

    #[test]
    fn a_counter_of_which_any_part_fell_began_anew() {
        let earlier = totals(10, 20, 3, 4);
        for later in [
            totals(9, 50, 5, 5),
            totals(50, 19, 5, 5),
            totals(50, 50, 2, 5),
            totals(50, 50, 5, 3),
        ] {
            assert_eq!(later.since(&earlier), later);
        }
    }

    #[test]
    fn sums_add_every_part() {
        let sum: Totals = [totals(1, 2, 3, 4), totals(10, 20, 30, 40)]
            .into_iter()
            .sum();
        assert_eq!(sum, totals(11, 22, 33, 44));
        assert_eq!(sum.bytes(), 33);
        // An empty datagram is an operation without bytes.
        assert!(!totals(0, 0, 1, 0).is_zero());
    }

    #[test]
    fn protocols_are_found_by_their_index_and_name() {
        for (index, protocol) in Protocol::ALL.into_iter().enumerate() {
            assert_eq!(protocol.index(), index);
            let shouted = protocol.name().to_uppercase();
            assert_eq!(Protocol::from_name(&shouted), Some(protocol));
        }
        assert_eq!(Protocol::from_name("tcp6"), None);
    }
}

//! Captured packets as flows of processes: pairs of ends, their owners, the sums.
//!
//! Owns what is counted once and for whom, as plain arithmetic. Who asks the kernel for
//! packets is `collect::packets`, who asks it for owners `collect::owner`.

pub mod books;
pub mod pairs;
pub mod unattributed;

use std::sync::Arc;

use super::flow::{Endpoint, ProcessId, Protocol};
use super::sample::Identity;

/// The protocol numbers of IP headers that have a name here.
pub mod number {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMP6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// UDP-Lite.
    pub const UDP_LITE: u8 = 136;
}

/// The protocol that a number in an IP header stands for.
pub fn protocol(number: u8) -> Protocol {
    match number {
        number::TCP => Protocol::Tcp,
        number::UDP | number::UDP_LITE => Protocol::Udp,
        number::ICMP | number::ICMP6 => Protocol::Icmp,
        number::SCTP => Protocol::Sctp,
        _ => Protocol::Raw,
    }
}

/// Who moves the bytes at one end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The process, or the row of what is unattributed.
    pub process: ProcessId,
    /// Inode number of the network namespace of its socket.
    pub namespace: u32,
    /// Who it is.
    pub identity: Arc<Identity>,
}

/// The end at which bytes are counted, as seen from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Its own end.
    pub local: Endpoint,
    /// The other one.
    pub remote: Endpoint,
}

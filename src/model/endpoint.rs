//! One end of a flow: an address and a port, or a network interface.
//!
//! Owns how ends print, compare and hash. What a flow is stands in `flow`.

use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};
use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Bytes of an interface's name with its final NUL (IFNAMSIZ,
/// include/uapi/linux/if.h).
pub const INTERFACE_NAME_LENGTH: usize = 16;

/// Name of a network interface, padded with NULs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceName(pub [u8; INTERFACE_NAME_LENGTH]);

impl FromStr for InterfaceName {
    type Err = InterfaceNameTooLong;

    fn from_str(text: &str) -> Result<InterfaceName, InterfaceNameTooLong> {
        let mut name = [0; INTERFACE_NAME_LENGTH];
        let room = &mut name[..INTERFACE_NAME_LENGTH - 1];
        let to = room.get_mut(..text.len()).ok_or(InterfaceNameTooLong)?;
        to.copy_from_slice(text.as_bytes());
        Ok(InterfaceName(name))
    }
}

/// A text that is no interface's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceNameTooLong;

impl fmt::Display for InterfaceNameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an interface's name has at most 15 bytes")
    }
}

impl std::error::Error for InterfaceNameTooLong {}

/// A name's characters for a terminal: control characters, which the kernel allows
/// in the names of interfaces and processes, as `?`.
pub fn printable(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|c| if c.is_control() { '?' } else { c })
}

/// As [`printable`] has it.
impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(bytes);
        for character in printable(&text) {
            f.write_char(character)?;
        }
        Ok(())
    }
}

/// Where a flow goes, without its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// An IP address; IPv4-mapped IPv6 addresses are IPv4 here.
    Ip(IpAddr),
    /// The interface a packet socket sends to or receives from.
    Interface(InterfaceName),
}

impl Address {
    /// The IP address, if it is one.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Address::Ip(address) => Some(address),
            Address::Interface(_) => None,
        }
    }

    /// True for the long form that needs a wide column.
    pub fn is_ipv6(self) -> bool {
        matches!(self, Address::Ip(IpAddr::V6(_)))
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Address {
        Address::Ip(address)
    }
}

impl FromStr for Address {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Address, AddrParseError> {
        text.parse().map(Address::Ip)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Interface(name) => name.fmt(f),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One end of a flow. A port of 0 means the protocol has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Port in host order, 0 where the protocol has no ports.
    pub port: u16,
}

impl From<SocketAddr> for Endpoint {
    fn from(end: SocketAddr) -> Endpoint {
        Endpoint {
            address: Address::Ip(end.ip()),
            port: end.port(),
        }
    }
}

/// As one number: what derives hashes the enum's tag, a length and each address
/// byte by byte, for every flow at every reading.
impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(match self {
            Address::Ip(IpAddr::V4(address)) => address.to_bits().into(),
            Address::Ip(IpAddr::V6(address)) => address.to_bits(),
            Address::Interface(name) => u128::from_ne_bytes(name.0),
        });
    }
}

/// As two numbers.
impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address.hash(state);
        state.write_u16(self.port);
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (address, 0) => write!(f, "{address}"),
            (Address::Ip(IpAddr::V6(address)), port) => write!(f, "[{address}]:{port}"),
            (address, port) => write!(f, "{address}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_print_as_people_write_them() {
        let print = |address: &str, port| {
            let address = address.parse().unwrap();
            Endpoint { address, port }.to_string()
        };
        assert_eq!(print("192.0.2.1", 443), "192.0.2.1:443");
        assert_eq!(print("192.0.2.1", 0), "192.0.2.1");
        assert_eq!(print("2001:db8::1", 443), "[2001:db8::1]:443");
        assert_eq!(print("2001:db8::1", 0), "2001:db8::1");
    }

    #[test]
    fn interfaces_print_by_name_without_control_characters() {
        let print = |name: &str| {
            let address = Address::Interface(name.parse().unwrap());
            Endpoint { address, port: 0 }.to_string()
        };
        assert_eq!(print("eth0"), "eth0");
        assert_eq!(print("a\x1b[2J"), "a?[2J");
        assert_eq!(print("fifteen-letters"), "fifteen-letters");
        assert_eq!(InterfaceName([0xff; 16]).to_string(), "\u{fffd}".repeat(16));
        assert_eq!(
            "sixteen--letters".parse::<InterfaceName>(),
            Err(InterfaceNameTooLong)
        );
    }
}

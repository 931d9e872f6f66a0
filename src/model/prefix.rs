//! Networks by the first bits of their addresses.
//!
//! Owns the comparison of bits. Knows no interface.

use std::net::IpAddr;

/// All addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// An address of the network.
    pub address: IpAddr,
    /// Bits that all its members share.
    pub length: u8,
}

impl Prefix {
    /// Whether an address begins with these bits.
    pub fn covers(&self, other: IpAddr) -> bool {
        let length = u32::from(self.length);
        let differ = match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        differ >= length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(address: &str, length: u8, other: &str) -> bool {
        let address = address.parse().unwrap();
        Prefix { address, length }.covers(other.parse().unwrap())
    }

    #[test]
    fn as_many_bits_as_are_told_must_agree() {
        assert!(covers("10.7.0.1", 16, "10.7.255.255"));
        assert!(!covers("10.7.0.1", 16, "10.6.255.255"));
        assert!(covers("10.7.0.1", 31, "10.7.0.0"));
        assert!(!covers("10.7.0.1", 32, "10.7.0.0"));
        assert!(covers("10.7.0.1", 32, "10.7.0.1"));
        assert!(covers("10.7.0.1", 0, "255.0.0.1"));
        assert!(covers("2001:db8::1", 64, "2001:db8::ffff:0:0:1"));
        assert!(!covers("2001:db8::1", 64, "2001:db8:0:1::1"));
        assert!(covers("::1", 128, "::1"));
        assert!(!covers("::", 0, "10.7.0.1"));
    }
}

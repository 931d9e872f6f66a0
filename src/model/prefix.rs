//! Networks by the first bits of their addresses.
//!
//! Owns the comparison of bits, and how networks are written. Knows no interface.

use std::net::IpAddr;
use std::str::FromStr;

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

/// Bits in front of an IPv4-mapped address, `::ffff:0:0/96`.
const MAPPED: u8 = 96;

/// What [`Prefix`] is read from, for help and error texts.
pub const PREFIX_FORMS: &str =
    "a network or an address: 10.0.0.0/8, 192.0.2.1, 2001:db8::/32, 2001:db8::1";

impl FromStr for Prefix {
    type Err = String;

    /// An address alone is the network of it alone. A network of IPv4-mapped addresses is
    /// one of IPv4: on the wire they are nothing else.
    fn from_str(text: &str) -> Result<Prefix, String> {
        let refused = || format!("`{text}` is no network; accepted is {PREFIX_FORMS}");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length: u8 = match length {
            None => most,
            // A sign is no digit, though a number may have one.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|length| *length <= most)
                .ok_or_else(refused)?,
            Some(_) => return Err(refused()),
        };
        if let IpAddr::V6(six) = address
            && let Some(four) = six.to_ipv4_mapped()
            && let Some(length) = length.checked_sub(MAPPED)
        {
            let address = four.into();
            return Ok(Prefix { address, length });
        }
        Ok(Prefix { address, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_people_write_them() {
        for (text, address, length) in [
            ("10.0.0.0/8", "10.0.0.0", 8),
            ("0.0.0.0/0", "0.0.0.0", 0),
            ("192.0.2.1", "192.0.2.1", 32),
            ("10.1.2.3/16", "10.1.2.3", 16),
            ("2001:db8::/32", "2001:db8::", 32),
            ("::1", "::1", 128),
            ("::/0", "::", 0),
            ("::ffff:10.0.0.0/104", "10.0.0.0", 8),
            ("::ffff:192.0.2.1", "192.0.2.1", 32),
            ("::ffff:0:0/96", "0.0.0.0", 0),
            ("::ffff:0:0/95", "::ffff:0:0", 95),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(text.parse(), Ok(Prefix { address, length }), "{text}");
        }
        for wrong in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0/8",
            "10.0.0.0/8/8",
            "eth0",
            "10.0.0.0 /8",
            "10.0.0.0/256",
            "fe80::1%eth0",
        ] {
            let error = wrong.parse::<Prefix>().unwrap_err();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
            assert!(error.contains("10.0.0.0/8"), "{error}");
        }
    }

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

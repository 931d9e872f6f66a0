//! One text looked for in the rows of a snapshot, thousands of times a second.
//!
//! Everything that depends on the text alone is worked out once, and nothing is
//! allocated per flow. Does not know what the text was typed for.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use super::flow::{Address, Endpoint, FlowKey, Protocol};
use super::snapshot::ProcessRow;

/// A text in lower case, with what it can be found in.
#[derive(Debug)]
pub struct Needle {
    text: String,
    /// The text as a number, as a row would print it.
    number: Option<u32>,
    /// The same after colons, as people write ports.
    port: Option<u16>,
    /// In which protocols' names it is.
    protocols: [bool; Protocol::COUNT],
    /// Which addresses can hold it at all.
    addresses: Addresses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Addresses {
    None,
    /// It has a letter or a bracket that only IPv6 addresses have.
    Long,
    All,
}

impl Needle {
    /// Prepares `text`; in any case it finds the same.
    pub fn new(text: &str) -> Needle {
        let text = text.to_lowercase();
        let all = |allowed: &str| text.chars().all(|c| allowed.contains(c));
        let addresses = if all("0123456789.:") {
            Addresses::All
        } else if all("0123456789abcdef.:[]") {
            Addresses::Long
        } else {
            Addresses::None
        };
        Needle {
            number: number(&text),
            port: number(text.trim_start_matches(':')).and_then(|port| port.try_into().ok()),
            protocols: Protocol::ALL.map(|protocol| protocol.name().contains(&text)),
            addresses,
            text,
        }
    }

    /// Whether it is in the process's name or user, or is its PID.
    pub fn is_in_process(&self, process: &ProcessRow) -> bool {
        self.text.is_empty()
            || self.number == Some(process.id.pid)
            || process.identity.name.to_lowercase().contains(&self.text)
            || process.identity.user.to_lowercase().contains(&self.text)
    }

    /// Whether it is in the protocol's name or one of the ends.
    pub fn is_in_flow(&self, key: &FlowKey) -> bool {
        self.protocols[key.protocol.index()]
            || self.is_in_end(key.remote)
            || self.is_in_end(key.local)
    }

    fn is_in_end(&self, end: Option<Endpoint>) -> bool {
        let Some(end) = end else {
            return false;
        };
        if end.port != 0 && self.port == Some(end.port) {
            return true;
        }
        match (self.addresses, end.address) {
            (_, Address::Interface(_)) => Line::of(end, false).holds(&self.text),
            (Addresses::None, _) | (Addresses::Long, Address::Ip(IpAddr::V4(_))) => false,
            _ => Line::of(end, self.text.contains(':')).holds(&self.text),
        }
    }
}

/// The number that prints as `text`.
fn number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// An end as it is shown, on the stack.
struct Line {
    /// The longest is `[` 39 characters `]:65535`.
    bytes: [u8; 64],
    length: usize,
}

impl Line {
    /// The address, and the port as well if `whole`.
    fn of(end: Endpoint, whole: bool) -> Line {
        let mut line = Line {
            bytes: [0; 64],
            length: 0,
        };
        // Writing fails only when the line is full, and then it holds enough.
        let _ = match end.address {
            // Ten times as fast as its Display, and most flows have two of them.
            Address::Ip(IpAddr::V4(address)) => {
                line.short_address(address, whole.then_some(end.port))
            }
            Address::Ip(IpAddr::V6(_)) if whole => write!(line, "{end}"),
            Address::Ip(address) => write!(line, "{address}"),
            Address::Interface(name) => {
                let written = write!(line, "{name}");
                line.bytes.make_ascii_lowercase();
                written
            }
        };
        line
    }

    fn short_address(&mut self, address: Ipv4Addr, port: Option<u16>) -> std::fmt::Result {
        for (at, octet) in address.octets().into_iter().enumerate() {
            if at > 0 {
                self.push(b'.');
            }
            if octet >= 100 {
                self.push(b'0' + octet / 100);
            }
            if octet >= 10 {
                self.push(b'0' + octet / 10 % 10);
            }
            self.push(b'0' + octet % 10);
        }
        match port {
            None | Some(0) => Ok(()),
            Some(port) => write!(self, ":{port}"),
        }
    }

    fn push(&mut self, byte: u8) {
        if let Some(to) = self.bytes.get_mut(self.length) {
            *to = byte;
            self.length += 1;
        }
    }

    /// Plain comparison at each place: for lines this short it beats a searcher.
    fn holds(&self, text: &str) -> bool {
        self.bytes[..self.length]
            .windows(text.len().max(1))
            .any(|part| part == text.as_bytes())
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        text.bytes().for_each(|byte| self.push(byte));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::flow::ProcessId;

    fn key(remote: &str, port: u16) -> FlowKey {
        FlowKey {
            process: ProcessId::default(),
            protocol: Protocol::Tcp,
            network_namespace: 1,
            local: None,
            remote: Some(Endpoint {
                address: remote.parse().unwrap(),
                port,
            }),
        }
    }

    fn finds(text: &str, key: &FlowKey) -> bool {
        Needle::new(text).is_in_flow(key)
    }

    #[test]
    fn parts_of_addresses_and_whole_ports() {
        let short = key("93.184.216.34", 443);
        for text in [
            "93.", "184.2", "4", "443", ":443", "34:443", "34:4", "TCP", "c",
        ] {
            assert!(finds(text, &short), "{text}");
        }
        for text in [
            "44",
            ":44 ",
            "0443",
            "+443",
            "93.184.216.340",
            "a",
            "[",
            "udp",
            "é",
        ] {
            assert!(!finds(text, &short), "{text}");
        }
        let long = key("2001:DB8::7", 53);
        for text in [
            "2001:db8", "2001:DB8", "::7", "[2001:", "]:53", "7]:5", "db8", ":53",
        ] {
            assert!(finds(text, &long), "{text}");
        }
        assert!(!finds("7:53", &long));
    }

    #[test]
    fn every_short_address_reads_as_it_prints() {
        for n in 0..=u8::MAX {
            let address = Ipv4Addr::new(n, 255 - n, n / 2, n ^ 7);
            for port in [0, 1, 65_535] {
                let end = Endpoint {
                    address: Address::Ip(address.into()),
                    port,
                };
                let line = Line::of(end, true);
                assert_eq!(&line.bytes[..line.length], end.to_string().as_bytes());
            }
        }
    }
}

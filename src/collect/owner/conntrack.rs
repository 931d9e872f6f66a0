//! What the kernel has made of a connection's addresses (`NETLINK_NETFILTER`, conntrack).
//!
//! Owns that question's layout (include/uapi/linux/netfilter/nfnetlink_conntrack.h) and
//! the two faces that a translated connection has. Needs CAP_NET_ADMIN.

use std::net::IpAddr;
use std::ops::ControlFlow;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockProtocol};

use crate::collect::netlink::{ATTRIBUTE_HEADER, Asker, attributes, ip};
use crate::model::flow::Endpoint;
use crate::model::packets::pairs::PairKey;
use crate::model::packets::{Ends, number};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`
const GET: u16 = 1 << 8 | 1;
/// `struct nfgenmsg`
const HEADER: usize = 4;
const NESTED: u16 = 0x8000;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// A connection whose addresses are not the same at both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translation {
    /// The ends as who began it knows them.
    pub initiator: Ends,
    /// The ends as who answers knows them.
    pub responder: Ends,
    /// The packets that were asked for are from who began it.
    pub is_forth: bool,
    /// They have the addresses that who began it knows.
    pub is_original: bool,
}

impl Translation {
    /// The same packets with the other addresses.
    pub fn other(&self, key: &PairKey) -> PairKey {
        let ends = if self.is_original {
            self.responder
        } else {
            self.initiator
        };
        // Who began it is the remote end of who answers.
        let (source, destination) = if self.is_forth == self.is_original {
            (ends.remote, ends.local)
        } else {
            (ends.local, ends.remote)
        };
        PairKey {
            source,
            destination,
            ..*key
        }
    }
}

/// The connections that one network namespace tracks.
#[derive(Debug)]
pub struct Conntrack {
    asker: Asker,
}

impl Conntrack {
    /// Those of the calling thread's namespace.
    ///
    /// # Errors
    /// If the kernel has no netfilter, no conntrack, or does not let this process ask.
    pub fn open() -> nix::Result<Conntrack> {
        let asker = Asker::open(SockProtocol::NetlinkNetFilter)?;
        let mut conntrack = Conntrack { asker };
        let nobody = Endpoint {
            address: IpAddr::from([0; 4]).into(),
            port: 0,
        };
        let key = PairKey {
            protocol: number::UDP,
            source: nobody,
            destination: nobody,
        };
        // A refusal is met here, not taken for "no such connection".
        conntrack.tuples(&key)?;
        Ok(conntrack)
    }

    /// What was made of the packets of a pair; `None` if nothing was, or nobody knows any
    /// more.
    pub fn translation(&mut self, key: &PairKey) -> Option<Translation> {
        let back = PairKey {
            source: key.destination,
            destination: key.source,
            ..*key
        };
        // It is found by what comes in in either direction, not by what goes out.
        let found = |it: nix::Result<Option<_>>| it.ok().flatten();
        let tuples = found(self.tuples(key)).or_else(|| found(self.tuples(&back)));
        judge(key, tuples?)
    }

    /// A connection's first packet before any translation, and the answer to it.
    fn tuples(&mut self, key: &PairKey) -> nix::Result<Option<(Ends, Ends)>> {
        let Some(request) = request(key) else {
            return Ok(None);
        };
        let mut found = None;
        let answer = self.asker.ask(GET, &request, |_, body| {
            found = answer(body);
            ControlFlow::Break(())
        });
        match answer {
            Ok(()) | Err(Errno::ENOENT) => Ok(found),
            Err(error) => Err(error),
        }
    }
}

/// Which of a connection's faces a pair is; `None` if it has but one. Of `first` and
/// `answer` the sender is the local end.
fn judge(key: &PairKey, (first, answer): (Ends, Ends)) -> Option<Translation> {
    let turned = |ends: Ends| Ends {
        local: ends.remote,
        remote: ends.local,
    };
    if first == turned(answer) {
        return None;
    }
    let (is_forth, is_original) = match key.sending() {
        ends if ends == first => (true, true),
        ends if ends == turned(answer) => (true, false),
        ends if ends == answer => (false, false),
        _ => (false, true),
    };
    Some(Translation {
        initiator: first,
        responder: answer,
        is_forth,
        is_original,
    })
}

fn request(key: &PairKey) -> Option<Vec<u8>> {
    let ips = (key.source.address.ip()?, key.destination.address.ip()?);
    let (family, addresses) = match ips {
        (IpAddr::V4(from), IpAddr::V4(to)) => (
            AddressFamily::Inet,
            [
                attribute(CTA_IP_V4_SRC, &from.octets()),
                attribute(CTA_IP_V4_DST, &to.octets()),
            ],
        ),
        (IpAddr::V6(from), IpAddr::V6(to)) => (
            AddressFamily::Inet6,
            [
                attribute(CTA_IP_V6_SRC, &from.octets()),
                attribute(CTA_IP_V6_DST, &to.octets()),
            ],
        ),
        _ => return None,
    };
    let transport = [
        attribute(CTA_PROTO_NUM, &[key.protocol]),
        attribute(CTA_PROTO_SRC_PORT, &key.source.port.to_be_bytes()),
        attribute(CTA_PROTO_DST_PORT, &key.destination.port.to_be_bytes()),
    ];
    let tuple = [
        attribute(CTA_TUPLE_IP | NESTED, &addresses.concat()),
        attribute(CTA_TUPLE_PROTO | NESTED, &transport.concat()),
    ];
    // A small number, the version 0, and no resource.
    let mut request = vec![family as i32 as u8, 0, 0, 0];
    request.extend(attribute(CTA_TUPLE_ORIG | NESTED, &tuple.concat()));
    Some(request)
}

/// At most a few dozen bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (ATTRIBUTE_HEADER + value.len()) as u16;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn answer(body: &[u8]) -> Option<(Ends, Ends)> {
    let body = body.get(HEADER..)?;
    let tuple = |which: u16| {
        let (_, bytes) = attributes(body).find(|(kind, _)| *kind == which)?;
        tuple(bytes)
    };
    Some((tuple(CTA_TUPLE_ORIG)?, tuple(CTA_TUPLE_REPLY)?))
}

fn tuple(bytes: &[u8]) -> Option<Ends> {
    let (mut from, mut to, mut ports) = (None, None, (0, 0));
    for (kind, part) in attributes(bytes) {
        for (inner, value) in attributes(part) {
            match (kind, inner) {
                (CTA_TUPLE_IP, CTA_IP_V4_SRC | CTA_IP_V6_SRC) => from = ip(value),
                (CTA_TUPLE_IP, CTA_IP_V4_DST | CTA_IP_V6_DST) => to = ip(value),
                (CTA_TUPLE_PROTO, CTA_PROTO_SRC_PORT) => ports.0 = port(value)?,
                (CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT) => ports.1 = port(value)?,
                _ => {}
            }
        }
    }
    let end = |address: IpAddr, port| Endpoint {
        address: address.into(),
        port,
    };
    Some(Ends {
        local: end(from?, ports.0),
        remote: end(to?, ports.1),
    })
}

fn port(value: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Endpoint {
        text.parse::<std::net::SocketAddr>().unwrap().into()
    }

    fn ends(local: &str, remote: &str) -> Ends {
        Ends {
            local: at(local),
            remote: at(remote),
        }
    }

    fn pair(source: &str, destination: &str) -> PairKey {
        PairKey {
            protocol: number::TCP,
            source: at(source),
            destination: at(destination),
        }
    }

    #[test]
    fn each_face_leads_to_the_other_in_both_directions() {
        let (client, router) = ("10.0.0.2:5000", "192.0.2.1:6000");
        let (service, server) = ("10.96.0.1:80", "192.0.2.2:8080");
        let tuples = (ends(client, service), ends(server, router));
        for (key, other, is_forth, is_original) in [
            (pair(client, service), pair(router, server), true, true),
            (pair(router, server), pair(client, service), true, false),
            (pair(server, router), pair(service, client), false, false),
            (pair(service, client), pair(server, router), false, true),
        ] {
            let found = judge(&key, tuples).unwrap();
            assert_eq!((found.is_forth, found.is_original), (is_forth, is_original));
            assert_eq!(found.other(&key), other);
        }
        let plain = (ends(client, service), ends(service, client));
        assert_eq!(judge(&pair(client, service), plain), None);
    }

    #[test]
    fn what_is_asked_can_be_read_again() {
        for (from, to) in [
            ("10.0.0.2:5000", "10.0.0.3:80"),
            ("[fd00::2]:5000", "[fd00::3]:80"),
        ] {
            let mut body = request(&pair(from, to)).unwrap();
            assert_eq!(answer(&body), None);
            let (_, asked) = attributes(&body[HEADER..]).next().unwrap();
            let asked = attribute(CTA_TUPLE_REPLY, asked);
            body.extend(asked);
            assert_eq!(answer(&body), Some((ends(from, to), ends(from, to))));
            for length in 0..body.len() {
                assert_eq!(answer(&body[..length]), None, "{length}");
            }
        }
    }
}

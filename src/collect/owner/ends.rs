//! The ends of a pair of addresses: which sockets they are, in which namespace.
//!
//! Owns the rules for connections that nobody has accepted yet or that are over, for what
//! is meant for many, and for addresses that the kernel rewrites: who made the rewriting is
//! asked (`conntrack`), nothing is guessed. Knows no process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::conntrack::Translation;
use super::files::TooEarly;
use super::namespaces::{Namespace, Namespaces};
use crate::collect::sock_diag::states::{CLOSE, CLOSE_WAIT, ESTABLISHED, LISTEN, SYN_RECV};
use crate::collect::sock_diag::{Question, Socket};
use crate::model::flow::{Address, Endpoint, Protocol};
use crate::model::network::{Link, Lower};
use crate::model::packets::pairs::{PairKey, Place, Wanted};
use crate::model::packets::unattributed::Reason;
use crate::model::packets::{Ends, number, protocol};

/// Most interfaces above each other.
const STOREYS: usize = 4;

/// Who is at one end.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// Not on this machine, or counted by other packets.
    Elsewhere,
    /// That socket of that namespace.
    Socket {
        namespace: u32,
        inode: u32,
        /// Who made it.
        uid: u32,
        kind: Kind,
    },
    /// On this machine, and nobody's.
    Nobody { namespace: u32, reason: Reason },
}

/// How a socket was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// By both ends.
    Connected,
    /// By its own end, and it talks to anybody.
    Open,
    /// There is no connection with these ends; it listens for such.
    Listening,
    /// There is what is left of a connection that its process has closed; that one listens.
    Over,
    /// There is a connection that no process has yet; that one listens for it.
    Unborn,
}

/// Who is at one end, and whether another look is not expected to find another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    pub end: End,
    pub sure: bool,
}

/// What was found of a pair.
pub(super) enum Sockets {
    /// Those of the sender and of the receiver.
    Ends(Spot, Spot),
    /// The bytes are counted under other addresses.
    Translated,
}

impl End {
    fn kind(self) -> Option<Kind> {
        match self {
            End::Socket { kind, .. } => Some(kind),
            _ => None,
        }
    }

    fn is_connected(self) -> bool {
        self.kind() == Some(Kind::Connected)
    }

    fn is_elsewhere(self) -> bool {
        matches!(self, End::Elsewhere)
    }

    /// Its socket's inode number.
    pub(super) fn inode(self) -> Option<u32> {
        match self {
            End::Socket { inode, .. } => Some(inode),
            _ => None,
        }
    }
}

impl From<End> for Spot {
    /// As far as it can be told from this end alone.
    fn from(end: End) -> Spot {
        let sure = match end {
            End::Elsewhere => true,
            End::Socket { kind, .. } => matches!(kind, Kind::Connected | Kind::Open),
            End::Nobody { reason, .. } => reason == Reason::Icmp,
        };
        Spot { end, sure }
    }
}

impl Namespaces {
    /// Which sockets a pair is of. `is_captured` says whether there are packets of another
    /// pair.
    pub(super) fn sockets(
        &mut self,
        wanted: &Wanted,
        is_captured: impl Fn(&PairKey) -> bool,
        now: Duration,
    ) -> Sockets {
        let Wanted { key, place } = *wanted;
        let mut source = self.end(&key, key.sending(), place, true, now);
        let mut destination = self.end(&key, key.receiving(), place, false, now);
        let is_plain = match (source.end, destination.end) {
            (source, End::Elsewhere) => source.is_connected(),
            (End::Elsewhere, destination) => destination.is_connected(),
            (source, destination) => source.is_connected() && destination.is_connected(),
        };
        if !is_plain
            && let Some(translation) = self.translation(&key, [source.end, destination.end])
        {
            return self.translated(wanted, translation, is_captured, now);
        }
        // A connection has a socket at either end. Where there is only who listens it is
        // about to be made, or one whose addresses somebody rewrites whom nobody may ask.
        let elsewhere = Spot {
            end: End::Elsewhere,
            sure: false,
        };
        let is_listening = |spot: Spot| spot.end.kind() == Some(Kind::Listening);
        if source.end.is_connected() && is_listening(destination) {
            destination = elsewhere;
        } else if destination.end.is_connected() && is_listening(source) {
            source = elsewhere;
        }
        Sockets::Ends(source, destination)
    }

    /// The two faces of a connection share its ends: each end counts the packets that have
    /// the addresses that it knows if they are captured, else the others.
    fn translated(
        &mut self,
        wanted: &Wanted,
        translation: Translation,
        is_captured: impl Fn(&PairKey) -> bool,
        now: Duration,
    ) -> Sockets {
        let Wanted { key, place } = *wanted;
        let Translation {
            initiator,
            responder,
            is_forth,
            is_original,
        } = translation;
        let first = self.end(&key, initiator, place, is_forth, now);
        let second = self.end(&key, responder, place, !is_forth, now);
        let (near, mut far, far_ends) = if is_original {
            (first, second, responder)
        } else {
            (second, first, initiator)
        };
        let is_counted = is_captured(&translation.other(&key));
        if near.end.is_elsewhere() && far.end.is_elsewhere() {
            // Forwarded: once is enough, as it came in.
            if is_counted && is_original != is_forth {
                return Sockets::Translated;
            }
        } else if is_counted {
            if near.end.is_elsewhere() {
                return Sockets::Translated;
            }
            far = End::Elsewhere.into();
        } else {
            // What passes through is captured with its other addresses any moment.
            let address = far_ends.local.address.ip();
            far.sure &= address.is_some_and(|address| self.is_own(address));
        }
        if is_original == is_forth {
            Sockets::Ends(near, far)
        } else {
            Sockets::Ends(far, near)
        }
    }

    /// What was made of the addresses, here or in a namespace in which an end is.
    fn translation(&mut self, key: &PairKey, ends: [End; 2]) -> Option<Translation> {
        if protocol(key.protocol) == Protocol::Icmp {
            return None;
        }
        let ask = |namespace: &mut Namespace| namespace.conntrack.as_mut()?.translation(key);
        if let Some(found) = ask(&mut self.own) {
            return Some(found);
        }
        let inside = ends.into_iter().filter(|end| !end.is_connected());
        let inside: Vec<u32> = inside
            .filter_map(|end| match end {
                End::Socket { namespace, .. } | End::Nobody { namespace, .. } => Some(namespace),
                End::Elsewhere => None,
            })
            .collect();
        let mut others = self.others.iter_mut();
        others.find_map(|it| inside.contains(&it.inode).then(|| ask(it)).flatten())
    }

    /// Who is at one end of packets that were seen at `place`.
    fn end(
        &mut self,
        key: &PairKey,
        ends: Ends,
        place: Place,
        is_sender: bool,
        now: Duration,
    ) -> Spot {
        let Some(address) = ends.local.address.ip() else {
            return End::Elsewhere.into();
        };
        let question = Question {
            protocol: key.protocol,
            local: ends.local,
            remote: ends.remote,
            interface: place.interface,
        };
        let mut links = self.links.iter();
        let is_loopback = links.any(|link| link.loopback && link.index == place.interface);
        let is_many = is_for_many(address) || self.own.is_broadcast(address);
        let is_here = match (is_sender, place.outgoing) {
            _ if is_loopback => true,
            (_, _) if is_many => !is_sender && !place.outgoing,
            // Who asks for its first address has none.
            (true, true) if address.is_unspecified() => true,
            _ => self.is_own(address),
        };
        if !is_here {
            return self.end_elsewhere(&question, address, now);
        }
        if protocol(question.protocol) == Protocol::Icmp {
            let (namespace, reason) = (self.own.inode, Reason::Icmp);
            return End::Nobody { namespace, reason }.into();
        }
        let interfaces = storeys(&self.links, place.interface);
        find(&mut self.own, &question, &interfaces, now).into()
    }

    /// Who is at an end that is not in netmon's own namespace.
    fn end_elsewhere(&mut self, question: &Question, address: IpAddr, now: Duration) -> Spot {
        let sure = self.look_for(address, now);
        let mut end = End::Elsewhere;
        for namespace in self.with_address(address) {
            end = if protocol(question.protocol) == Protocol::Icmp {
                End::Nobody {
                    namespace: namespace.inode,
                    reason: Reason::Icmp,
                }
            } else {
                // An interface's number is another there.
                find(namespace, question, &[0], now)
            };
            if let End::Socket { .. } = end {
                break;
            }
        }
        let spot = Spot::from(end);
        Spot {
            sure: spot.sure && sure,
            ..spot
        }
    }

    /// Why neither end of a pair is known.
    pub(super) fn why_passing(&self, interface: u32) -> Reason {
        let mut links = self.links.iter();
        let leads_inside = links.any(|link| {
            let is_inner = matches!(
                link.kind.as_deref(),
                Some("veth" | "netkit" | "bridge" | "macvlan" | "ipvlan")
            );
            link.index == interface && is_inner
        });
        if leads_inside && self.any_unreadable {
            Reason::Unreadable
        } else {
            Reason::Passing
        }
    }
}

/// The interfaces that a packet seen at one may come in by, for its socket: those that it
/// is a part of from the top, it itself, those that ride on it; 0 for any.
fn storeys(links: &[Link], interface: u32) -> Vec<u32> {
    let mut all = vec![interface];
    let mut place = interface;
    for _ in 0..STOREYS {
        let link = links.iter().find(|link| link.index == place);
        let Some(master) = link.and_then(|link| link.master) else {
            break;
        };
        all.insert(0, master);
        place = master;
    }
    let riders = links.iter().filter(|link| match link.lower {
        Lower::Here(below) => all.contains(&below) && !all.contains(&link.index),
        _ => false,
    });
    let riders: Vec<u32> = riders.map(|link| link.index).collect();
    all.extend(riders);
    all.push(0);
    all
}

/// The socket of a namespace that a packet would come to.
fn find(namespace: &mut Namespace, question: &Question, interfaces: &[u32], now: Duration) -> End {
    let found = try_find(namespace, question, interfaces, now);
    found.unwrap_or(End::Nobody {
        namespace: namespace.inode,
        reason: Reason::Late,
    })
}

fn try_find(
    namespace: &mut Namespace,
    question: &Question,
    interfaces: &[u32],
    now: Duration,
) -> Result<End, TooEarly> {
    let mut found: Option<Socket> = None;
    for &interface in interfaces {
        let question = Question {
            interface,
            ..*question
        };
        let new = namespace.tables.find(&question, now)?;
        let is_made = new.is_some_and(|it| it.state != LISTEN);
        if is_made || found.is_none() {
            found = new;
        }
        if is_made {
            break;
        }
    }
    let is_connection = matches!(question.protocol, number::TCP | number::SCTP);
    let mut kind = match found.map(|it| it.state) {
        Some(LISTEN) if is_connection => Kind::Listening,
        Some(CLOSE) => Kind::Open,
        _ => Kind::Connected,
    };
    if is_connection
        && let Some(Socket {
            inode: 0, state, ..
        }) = found
    {
        // Nobody has accepted it yet, or it has ended; who listens there, if anybody.
        let is_unborn = matches!(state, ESTABLISHED | SYN_RECV | CLOSE_WAIT);
        kind = if is_unborn { Kind::Unborn } else { Kind::Over };
        let remote = Endpoint {
            address: unspecified(question.remote),
            port: 0,
        };
        let interface = 0;
        found = namespace.tables.find(
            &Question {
                remote,
                interface,
                ..*question
            },
            now,
        )?;
    }
    Ok(match found.filter(|it| it.inode != 0) {
        Some(socket) => End::Socket {
            namespace: namespace.inode,
            inode: socket.inode,
            uid: socket.uid,
            kind,
        },
        None => End::Nobody {
            namespace: namespace.inode,
            reason: match protocol(question.protocol) {
                Protocol::Raw => Reason::NoSocket,
                _ => Reason::Ended,
            },
        },
    })
}

fn unspecified(end: Endpoint) -> Address {
    match end.address.ip() {
        Some(IpAddr::V6(_)) => IpAddr::from(Ipv6Addr::UNSPECIFIED).into(),
        _ => IpAddr::from(Ipv4Addr::UNSPECIFIED).into(),
    }
}

/// A multicast group, or everybody on the link.
fn is_for_many(address: IpAddr) -> bool {
    let is_everybody = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    is_everybody || address.is_multicast()
}

//! The kernel's socket tables by netlink (`NETLINK_SOCK_DIAG`): who talks to whom, and
//! how TCP fares.
//!
//! Owns the sockets and the messages' layout (include/uapi/linux/sock_diag.h,
//! inet_diag.h, tcp.h). Judges nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockProtocol};

use super::netlink::{Asker, attributes, u32_at};
use crate::model::flow::{Address, Endpoint};
use crate::model::packets::number;
use crate::model::tcp::TcpHealth;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `struct inet_diag_req_v2`: eight bytes and a `struct inet_diag_sockid`.
const REQUEST: usize = 8 + SOCKET_ID;
/// `struct inet_diag_sockid`.
const SOCKET_ID: usize = 48;
/// `struct inet_diag_msg` up to its attributes.
const ANSWER: usize = 4 + SOCKET_ID + 20;
/// `struct tcp_info`.
const INET_DIAG_INFO: u16 = 2;
const IPPROTO_RAW: u8 = 255;

/// States of sockets (include/net/tcp_states.h), and bits of `idiag_states`.
pub mod states {
    /// `TCP_ESTABLISHED`
    pub const ESTABLISHED: u8 = 1;
    /// `TCP_SYN_RECV`
    pub const SYN_RECV: u8 = 3;
    /// `TCP_CLOSE`, which is also what an unconnected datagram socket is in.
    pub const CLOSE: u8 = 7;
    /// `TCP_CLOSE_WAIT`
    pub const CLOSE_WAIT: u8 = 8;
    /// `TCP_LISTEN`
    pub const LISTEN: u8 = 10;
    /// The bits of connections that are made: `TCP_ESTABLISHED`, `FIN_WAIT1`,
    /// `FIN_WAIT2`, `CLOSE_WAIT`, `LAST_ACK`, `CLOSING`.
    pub const CONNECTED: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;
}

/// Which socket: the one that a packet to `local` from `remote` would come to.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// The protocol's number.
    pub protocol: u8,
    /// Its own end.
    pub local: Endpoint,
    /// The other one.
    pub remote: Endpoint,
    /// `ifindex` of the interface that packets come from, 0 for any.
    pub interface: u32,
}

/// Which sockets.
#[derive(Debug, Clone, Copy)]
pub struct Dump {
    /// `AF_INET`, or `AF_INET6`, whose sockets may carry IPv4.
    pub family: AddressFamily,
    /// The protocol's number.
    pub protocol: u8,
    /// A bit for each state, of [`states`].
    pub states: u32,
    /// With what TCP tells of the connection.
    pub health: bool,
}

/// One socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// This end; IPv4-mapped addresses are IPv4.
    pub local: Endpoint,
    /// The other end; an unspecified address and port 0 where there is none.
    pub remote: Endpoint,
    /// `TCP_ESTABLISHED`, … (include/net/tcp_states.h).
    pub state: u8,
    /// As in `/proc/PID/fd`: 0 if no file refers to it any more.
    pub inode: u32,
    /// Effective user id of whoever made it.
    pub uid: u32,
    /// How it fares, where that was asked for and is known.
    pub health: Option<TcpHealth>,
}

/// The tables of one network namespace.
#[derive(Debug)]
pub struct Tables {
    asker: Asker,
}

impl Tables {
    /// Those of the calling thread's namespace.
    ///
    /// # Errors
    /// If the kernel refuses the socket.
    pub fn open() -> Result<Tables> {
        let asker = Asker::open(SockProtocol::NetlinkSockDiag);
        let asker = asker.context("could not open sock_diag")?;
        Ok(Tables { asker })
    }

    /// Whether the kernel has the part that answers for this protocol. Where it has not,
    /// [`Tables::find`] finds nothing.
    pub fn knows(&mut self, protocol: u8) -> bool {
        // In no state: nothing but the refusal is of interest.
        let nothing = Dump {
            family: AddressFamily::Inet,
            protocol,
            states: 0,
            health: false,
        };
        self.dump(nothing, |_| ()).is_ok()
    }

    /// One socket, which the kernel looks up as it does for a packet that comes in, and so
    /// decides about wildcards, dual-stack sockets, devices and shared ports; `None` if
    /// there is none.
    ///
    /// # Errors
    /// If the kernel refuses the question.
    pub fn find(&mut self, question: &Question) -> Result<Option<Socket>> {
        let Question {
            protocol,
            local,
            remote,
            interface,
        } = *question;
        let family = match local.address.ip() {
            Some(IpAddr::V6(_)) => AddressFamily::Inet6,
            _ => AddressFamily::Inet,
        };
        let mut request = request(family, protocol, u32::MAX);
        // For these the kernel takes the ends the other way round.
        let is_datagram = matches!(protocol, number::UDP | number::UDP_LITE);
        if is_datagram {
            put_ends(&mut request, remote, local);
        } else {
            put_ends(&mut request, local, remote);
        }
        request[44..48].copy_from_slice(&interface.to_ne_bytes());
        let mut found = None;
        let answer = self.asker.ask(SOCK_DIAG_BY_FAMILY, &request, |_, body| {
            found = socket_of(body);
            ControlFlow::Break(())
        });
        match answer {
            Ok(()) | Err(Errno::ENOENT) => Ok(found),
            Err(error) => Err(error).context("could not ask for a socket"),
        }
    }

    /// Hands every socket that the question is about to `each`.
    ///
    /// # Errors
    /// If the kernel refuses, which it does where it lacks `CONFIG_INET_DIAG` or a
    /// protocol's part of it.
    pub fn dump(&mut self, question: Dump, mut each: impl FnMut(Socket)) -> Result<()> {
        let mut request = request(question.family, question.protocol, question.states);
        if question.health {
            request[2] = 1 << (INET_DIAG_INFO - 1);
        }
        self.asker
            .dump(SOCK_DIAG_BY_FAMILY, &request, |kind, body| {
                if kind == SOCK_DIAG_BY_FAMILY
                    && let Some(socket) = socket_of(body)
                {
                    each(socket);
                }
            })
            .context("could not read the socket tables")
    }
}

/// A request without ends.
fn request(family: AddressFamily, protocol: u8, states: u32) -> [u8; REQUEST] {
    let mut request = [0; REQUEST];
    // A small number.
    request[0] = family as i32 as u8;
    let has_table = matches!(
        protocol,
        number::TCP | number::UDP | number::SCTP | number::UDP_LITE
    );
    if has_table {
        request[1] = protocol;
    } else {
        // Raw sockets are one table, whatever they carry.
        request[1] = IPPROTO_RAW;
        request[3] = protocol;
    }
    request[4..8].copy_from_slice(&states.to_ne_bytes());
    // INET_DIAG_NOCOOKIE: whichever it is.
    request[48..56].copy_from_slice(&u64::MAX.to_ne_bytes());
    request
}

fn put_ends(request: &mut [u8; REQUEST], source: Endpoint, destination: Endpoint) {
    request[8..10].copy_from_slice(&source.port.to_be_bytes());
    request[10..12].copy_from_slice(&destination.port.to_be_bytes());
    put(&mut request[12..28], source);
    put(&mut request[28..44], destination);
}

fn put(to: &mut [u8], end: Endpoint) {
    match end.address.ip() {
        Some(IpAddr::V4(address)) => to[..4].copy_from_slice(&address.octets()),
        Some(IpAddr::V6(address)) => to.copy_from_slice(&address.octets()),
        None => {}
    }
}

/// Reads a `struct inet_diag_msg` with its attributes.
fn socket_of(body: &[u8]) -> Option<Socket> {
    let family = i32::from(*body.first()?);
    let id = body.get(4..4 + SOCKET_ID)?;
    let end = |port: usize, address: usize| {
        Some(Endpoint {
            address: address_of(family, id.get(address..address + 16)?)?,
            port: u16::from_be_bytes(id.get(port..port + 2)?.try_into().ok()?),
        })
    };
    let health = attributes(body.get(ANSWER..)?).find(|(kind, _)| *kind == INET_DIAG_INFO);
    Some(Socket {
        local: end(0, 4)?,
        remote: end(2, 20)?,
        state: *body.get(1)?,
        uid: u32_at(body, ANSWER - 8)?,
        inode: u32_at(body, ANSWER - 4)?,
        health: health.and_then(|(_, info)| health_of(info)),
    })
}

fn address_of(family: i32, bytes: &[u8]) -> Option<Address> {
    let address = if family == AddressFamily::Inet as i32 {
        IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(..4)?).ok()?))
    } else {
        IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical()
    };
    Some(address.into())
}

/// Reads a `struct tcp_info`, whose end grows from kernel to kernel.
fn health_of(info: &[u8]) -> Option<TcpHealth> {
    Some(TcpHealth {
        send_mss: u32_at(info, 16)?,
        lost: u32_at(info, 32)?,
        rtt_us: u32_at(info, 68)?,
        rtt_variance_us: u32_at(info, 72)?,
        congestion_window: u32_at(info, 80)?,
        retransmits: u32_at(info, 100)?,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn question(family: AddressFamily) -> Dump {
        Dump {
            family,
            protocol: number::TCP,
            states: states::CONNECTED,
            health: true,
        }
    }

    /// The sockets of that table with this local end.
    fn find(family: AddressFamily, local: Endpoint) -> Vec<Socket> {
        let mut found = Vec::new();
        let mut tables = Tables::open().unwrap();
        tables
            .dump(question(family), |socket| {
                if socket.local == local {
                    found.push(socket);
                }
            })
            .unwrap();
        found
    }

    /// Moves bytes through a connection and looks at its sending end.
    fn look(listen: &str, connect: &str, family: AddressFamily) {
        let listener = TcpListener::bind((listen, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut near = TcpStream::connect((connect, port)).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(&[7; 100_000]).unwrap();
        far.read_exact(&mut [0; 100_000]).unwrap();

        let mut local: Endpoint = near.local_addr().unwrap().into();
        local.address = canonical(local.address);
        let mut remote: Endpoint = near.peer_addr().unwrap().into();
        remote.address = canonical(remote.address);
        let [socket] = find(family, local)[..] else {
            panic!("not one socket at {local:?}");
        };
        assert_eq!(socket.remote, remote);
        assert_eq!(socket.state, 1);
        assert_ne!(socket.inode, 0);
        assert_eq!(socket.uid, nix::unistd::geteuid().as_raw());
        let health = socket.health.unwrap();
        assert!(
            health.rtt_us > 0 && health.rtt_us < 10_000_000,
            "{health:?}"
        );
        assert!(
            (1..100_000).contains(&health.congestion_window),
            "{health:?}"
        );
        assert!((500..=65_536).contains(&health.send_mss), "{health:?}");
    }

    #[test]
    fn one_socket_is_found_as_a_packet_would_find_it() {
        let mut tables = Tables::open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (own, other) = (near.local_addr().unwrap(), near.peer_addr().unwrap());
        let mut ask = |local: Endpoint, remote: Endpoint| {
            let question = Question {
                protocol: number::TCP,
                local,
                remote,
                interface: 0,
            };
            tables.find(&question).unwrap()
        };
        let connected = ask(own.into(), other.into()).unwrap();
        assert_eq!((connected.state, connected.local), (1, own.into()));
        // Nobody has accepted it.
        let far = ask(other.into(), own.into()).unwrap();
        assert_eq!((far.state, far.inode), (1, 0));
        let stranger = Endpoint {
            port: 1,
            ..own.into()
        };
        let listening = ask(other.into(), stranger).unwrap();
        assert_eq!(listening.state, states::LISTEN);
        drop(listener);
        assert_eq!(ask(other.into(), stranger), None);
    }

    #[test]
    fn a_protocol_without_its_part_is_not_known() {
        let mut tables = Tables::open().unwrap();
        assert!(tables.knows(number::TCP) && tables.knows(number::UDP));
        // No kernel has a part for this one.
        let mut request = request(AddressFamily::Inet, number::TCP, 0);
        request[1] = 200;
        let refused = tables.asker.dump(SOCK_DIAG_BY_FAMILY, &request, |_, _| ());
        assert_eq!(refused, Err(Errno::ENOENT));
        // Nor does what was refused spoil the next answer.
        assert!(tables.knows(number::TCP));
    }

    fn canonical(address: Address) -> Address {
        match address {
            Address::Ip(address) => address.to_canonical().into(),
            other => other,
        }
    }

    #[test]
    fn connections_tell_how_they_fare() {
        look("127.0.0.1", "127.0.0.1", AddressFamily::Inet);
        look("::1", "::1", AddressFamily::Inet6);
    }

    #[test]
    fn an_ipv4_connection_of_an_ipv6_socket_is_ipv4() {
        look("::", "::ffff:127.0.0.1", AddressFamily::Inet6);
    }

    #[test]
    fn an_answer_that_is_cut_is_no_socket() {
        let mut body = vec![0; ANSWER];
        body[0] = 2;
        assert!(socket_of(&body).is_some());
        for length in 0..ANSWER {
            assert!(socket_of(&body[..length]).is_none(), "{length}");
        }
        // What TCP told is cut.
        body.extend_from_slice(&[12, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(socket_of(&body).unwrap().health, None);
    }
}

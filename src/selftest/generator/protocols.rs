//! Cases of other protocols than TCP and UDP, by the plainest calls.
//!
//! Owns what those sockets need to exist on this machine (ping sockets, for one,
//! a namespace that allows them). All on loopback. Other calls are in `variants`,
//! sockets that do not count in `uncounted`.

use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::ensure;

use super::ledger::Ledger;
use super::paths::{Outgoing, ReceivePath, SendPath};
use super::socket::Socket;
use super::special::{enter_namespace, receive_all};
use super::sys::{self, RawAddress};
use super::{Named, unsupported};
use crate::model::flow::Protocol;

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("icmp4::ping::connected", |l| ping(libc::AF_INET, true, l)),
    ("icmp6::ping::connected", |l| ping(libc::AF_INET6, true, l)),
    ("icmp4::ping::unconnected", |l| {
        ping(libc::AF_INET, false, l)
    }),
    ("icmp6::ping::unconnected", |l| {
        ping(libc::AF_INET6, false, l)
    }),
    ("icmp4::raw::connected", |l| {
        raw(libc::AF_INET, libc::IPPROTO_ICMP, true, l)
    }),
    ("icmp6::raw::connected", |l| {
        raw(libc::AF_INET6, libc::IPPROTO_ICMPV6, true, l)
    }),
    ("icmp4::raw::unconnected", |l| {
        raw(libc::AF_INET, libc::IPPROTO_ICMP, false, l)
    }),
    ("icmp6::raw::unconnected", |l| {
        raw(libc::AF_INET6, libc::IPPROTO_ICMPV6, false, l)
    }),
    ("raw4::protocol_253::connected", |l| {
        raw(libc::AF_INET, 253, true, l)
    }),
    ("raw6::protocol_253::connected", |l| {
        raw(libc::AF_INET6, 253, true, l)
    }),
    ("raw4::protocol_253::unconnected", |l| {
        raw(libc::AF_INET, 253, false, l)
    }),
    ("raw6::protocol_253::unconnected", |l| {
        raw(libc::AF_INET6, 253, false, l)
    }),
    ("sctp4::stream::send", |l| {
        stream(
            libc::IPPROTO_SCTP,
            Protocol::Sctp,
            Ipv4Addr::LOCALHOST.into(),
            l,
        )
    }),
    ("sctp6::stream::send", |l| {
        stream(
            libc::IPPROTO_SCTP,
            Protocol::Sctp,
            Ipv6Addr::LOCALHOST.into(),
            l,
        )
    }),
    ("mptcp4::stream::send", |l| {
        stream(
            libc::IPPROTO_MPTCP,
            Protocol::Mptcp,
            Ipv4Addr::LOCALHOST.into(),
            l,
        )
    }),
    ("mptcp6::stream::send", |l| {
        stream(
            libc::IPPROTO_MPTCP,
            Protocol::Mptcp,
            Ipv6Addr::LOCALHOST.into(),
            l,
        )
    }),
    ("vsock::stream::send", vsock),
];

/// The loopback address of a domain.
pub fn loopback(domain: c_int) -> IpAddr {
    if domain == libc::AF_INET {
        Ipv4Addr::LOCALHOST.into()
    } else {
        Ipv6Addr::LOCALHOST.into()
    }
}

/// Another address of this host, where there is one.
pub fn second_loopback(domain: c_int) -> IpAddr {
    if domain == libc::AF_INET {
        Ipv4Addr::new(127, 0, 0, 2).into()
    } else {
        Ipv6Addr::LOCALHOST.into()
    }
}

/// An echo request of `length` bytes with the checksum IPv4 wants (IPv6's kernel adds its own).
fn echo_request(domain: c_int, length: usize) -> Vec<u8> {
    let mut packet = vec![0; length];
    packet[0] = if domain == libc::AF_INET { 8 } else { 128 };
    packet[7] = 1;
    let words = packet.chunks(2);
    let sum: u32 = words
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    let folded = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[2..4].copy_from_slice(&folded.to_be_bytes());
    packet
}

/// Exchanges `packet` between `near` and `to`; connected sockets give no addresses.
fn exchange(
    near: &mut Socket,
    to: SocketAddr,
    packet: &[u8],
    connected: bool,
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let (path, name) = if connected {
        near.connect(to)?;
        (SendPath::Send, None)
    } else {
        (SendPath::Sendto, Some(to))
    };
    let message = [Outgoing {
        data: packet,
        to: name,
    }];
    let sent = near.send(ledger, path, &message, 0)?;
    ensure!(sent == packet.len(), "only {sent} bytes were taken");
    Ok(())
}

fn ping(domain: c_int, connected: bool, ledger: &mut Ledger) -> anyhow::Result<()> {
    // Which groups may use ping sockets is a setting of the namespace.
    enter_namespace()?;
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")
        .map_err(|error| unsupported("net.ipv4.ping_group_range", error))?;
    let number = if domain == libc::AF_INET {
        libc::IPPROTO_ICMP
    } else {
        libc::IPPROTO_ICMPV6
    };
    let fd = sys::socket(domain, libc::SOCK_DGRAM, number)
        .map_err(|error| unsupported("ping sockets", error))?;
    let mut near = Socket::new(fd, Protocol::Icmp);
    sys::bind(near.fd(), &SocketAddr::from((loopback(domain), 0)).into())?;
    let to = SocketAddr::from((loopback(domain), 0));
    exchange(&mut near, to, &echo_request(domain, 108), connected, ledger)?;
    let received = receive_all(&near, ReceivePath::Recvfrom, ledger)?;
    ensure!(received == 108, "{received} bytes of 108 came back");
    Ok(())
}

fn raw(domain: c_int, number: c_int, connected: bool, ledger: &mut Ledger) -> anyhow::Result<()> {
    let is_icmp = number == libc::IPPROTO_ICMP || number == libc::IPPROTO_ICMPV6;
    let protocol = if is_icmp {
        Protocol::Icmp
    } else {
        Protocol::Raw
    };
    let open = |address: IpAddr| -> anyhow::Result<Socket> {
        let fd = sys::socket(domain, libc::SOCK_RAW, number)
            .map_err(|error| unsupported("raw sockets", error))?;
        let socket = Socket::new(fd, protocol);
        sys::bind(socket.fd(), &SocketAddr::from((address, 0)).into())?;
        Ok(socket)
    };
    let mut near = open(loopback(domain))?;
    let mut far = open(second_loopback(domain))?;
    if connected {
        far.connect((loopback(domain), 0).into())?;
    }
    let packet = if is_icmp {
        echo_request(domain, 208)
    } else {
        vec![0x5a; 333]
    };
    let to = SocketAddr::from((second_loopback(domain), 0));
    exchange(&mut near, to, &packet, connected, ledger)?;
    let received = receive_all(&far, ReceivePath::Recvfrom, ledger)?;
    ensure!(received >= packet.len(), "{received} bytes received");
    receive_all(&near, ReceivePath::Recvmsg, ledger)?;
    Ok(())
}

/// Two sockets of one datagram protocol, connected to each other.
pub fn datagram_pair(
    domain: c_int,
    kind: c_int,
    number: c_int,
    protocol: Protocol,
) -> anyhow::Result<(Socket, Socket)> {
    let open = || -> anyhow::Result<Socket> {
        let fd = sys::socket(domain, kind, number)
            .map_err(|error| unsupported(&format!("protocol {number}"), error))?;
        let socket = Socket::new(fd, protocol);
        sys::bind(socket.fd(), &SocketAddr::from((loopback(domain), 0)).into())?;
        Ok(socket)
    };
    let (mut near, mut far) = (open()?, open()?);
    near.connect(far.address()?)?;
    far.connect(near.address()?)?;
    Ok((near, far))
}

/// A listening socket at `address`, one connected to it and the accepted one.
pub fn connect_streams(
    number: c_int,
    domain: c_int,
    kind: c_int,
    address: &RawAddress,
    protocol: Protocol,
) -> anyhow::Result<(Socket, Socket)> {
    let missing = |error| unsupported(protocol.name(), error);
    let open = || sys::socket(domain, kind, number).map_err(missing);
    let listener = Socket::new(open()?, protocol);
    sys::bind(listener.fd(), address).map_err(missing)?;
    sys::listen(listener.fd())?;
    let at = sys::name(listener.fd(), sys::End::Local)?;
    let near = open()?;
    sys::connect(std::os::fd::AsFd::as_fd(&near), &at).map_err(missing)?;
    let far = sys::accept(listener.fd())?;
    Ok((Socket::new(near, protocol), Socket::new(far, protocol)))
}

fn talk(near: &Socket, far: &Socket, ledger: &mut Ledger) -> anyhow::Result<()> {
    let sent = near.send_plain(ledger, 2345)?;
    far.receive(ledger, ReceivePath::Recv, &[1000], libc::MSG_PEEK)?;
    let mut received = 0;
    while received < sent {
        received += far.receive(ledger, ReceivePath::Read, &[1000], 0)?[0].bytes;
    }
    Ok(())
}

fn stream(
    number: c_int,
    protocol: Protocol,
    address: IpAddr,
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let domain = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let at = SocketAddr::from((address, 0)).into();
    let (near, far) = connect_streams(number, domain, libc::SOCK_STREAM, &at, protocol)?;
    talk(&near, &far, ledger)
}

/// Two sockets of this host that are connected by AF_VSOCK.
pub fn vsock_pair(kind: c_int) -> anyhow::Result<(Socket, Socket)> {
    // SAFETY: sockaddr_vm is plain integers, for which zero is valid.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = libc::VMADDR_CID_LOCAL;
    address.svm_port = libc::VMADDR_PORT_ANY;
    let at = RawAddress::of(address);
    connect_streams(0, libc::AF_VSOCK, kind, &at, Protocol::Vsock)
}

fn vsock(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = vsock_pair(libc::SOCK_STREAM)?;
    talk(&near, &far, ledger)
}

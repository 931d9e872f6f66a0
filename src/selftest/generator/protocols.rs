//! Cases of other protocols than TCP and UDP, and of sockets that do not count.
//!
//! Owns what those sockets need to exist on this machine (ping sockets, for one,
//! a namespace that allows them). All on loopback.

use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use anyhow::ensure;

use super::ledger::{Direction, How, Ledger};
use super::paths::{self, Outgoing, ReceivePath, SendPath};
use super::socket::{Family, Socket, udp_pair};
use super::special::{enter_namespace, receive_all};
use super::sys::{self, RawAddress, check};
use super::{Named, unsupported};
use crate::model::flow::Protocol;

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("udplite4::stream::send", |l| {
        let (kind, number) = (libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE);
        datagrams(libc::AF_INET, kind, number, Protocol::Udp, l)
    }),
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
    ("packet::raw::sendto", packet),
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
    ("uncounted::unix_stream::all_paths", |l| {
        uncounted_unix(libc::SOCK_STREAM, l)
    }),
    ("uncounted::unix_dgram::all_paths", |l| {
        uncounted_unix(libc::SOCK_DGRAM, l)
    }),
    ("uncounted::netlink::dump", uncounted_netlink),
];

fn loopback(domain: c_int) -> IpAddr {
    if domain == libc::AF_INET {
        Ipv4Addr::LOCALHOST.into()
    } else {
        Ipv6Addr::LOCALHOST.into()
    }
}

/// Another address of this host, where there is one.
fn second_loopback(domain: c_int) -> IpAddr {
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
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")?;
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

fn packet(ledger: &mut Ledger) -> anyhow::Result<()> {
    /// "Local experimental": a protocol nobody else listens to.
    const ETHERTYPE: u16 = 0x88b5;
    // SAFETY: a C string.
    let index = unsafe { libc::if_nametoindex(c"lo".as_ptr()) };
    // SAFETY: sockaddr_ll is plain integers, for which zero is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ETHERTYPE.to_be();
    address.sll_ifindex = index as c_int;
    address.sll_halen = 6;
    let address = RawAddress::of(address);
    let open = |number: u16| -> anyhow::Result<Socket> {
        let fd = sys::socket(libc::AF_PACKET, libc::SOCK_RAW, c_int::from(number.to_be()))
            .map_err(|error| unsupported("AF_PACKET", error))?;
        Ok(Socket::new(fd, Protocol::Packet))
    };
    let (near, far) = (open(0)?, open(ETHERTYPE)?);
    sys::bind(far.fd(), &address)?;
    let mut frame = vec![0; 714];
    frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
    // SAFETY: `frame` and `address` outlive the call.
    let sent = check(unsafe {
        let (data, length) = (frame.as_ptr().cast(), frame.len());
        libc::sendto(
            near.fd.as_raw_fd(),
            data,
            length,
            0,
            address.as_ptr(),
            address.length,
        )
    })?;
    ledger.record(
        near.movement_with(Direction::Sent, address.endpoint(), How::Call),
        sent,
    );
    let received = receive_all(&far, ReceivePath::Recvfrom, ledger)?;
    ensure!(received == sent, "{sent} bytes sent, {received} received");
    Ok(())
}

/// Two sockets of one datagram protocol, connected to each other.
fn datagrams(
    domain: c_int,
    kind: c_int,
    number: c_int,
    protocol: Protocol,
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
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
    near.send_plain(ledger, 1717)?;
    receive_all(&far, ReceivePath::Recv, ledger)?;
    Ok(())
}

/// A listening socket at `address`, one connected to it and the accepted one.
fn connect_streams(
    number: c_int,
    domain: c_int,
    address: &RawAddress,
    protocol: Protocol,
) -> anyhow::Result<(Socket, Socket)> {
    let missing = |error| unsupported(protocol.name(), error);
    let open = || sys::socket(domain, libc::SOCK_STREAM, number).map_err(missing);
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
    let (near, far) = connect_streams(number, domain, &at, protocol)?;
    talk(&near, &far, ledger)
}

fn vsock(ledger: &mut Ledger) -> anyhow::Result<()> {
    // SAFETY: sockaddr_vm is plain integers, for which zero is valid.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = libc::VMADDR_CID_LOCAL;
    address.svm_port = libc::VMADDR_PORT_ANY;
    let at = RawAddress::of(address);
    let (near, far) = connect_streams(0, libc::AF_VSOCK, &at, Protocol::Vsock)?;
    talk(&near, &far, ledger)
}

/// A datagram that counts, so that the process has a row in which too much would show.
fn one_that_counts(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = udp_pair(Family::V4)?;
    near.send_plain(ledger, 11)?;
    receive_all(&far, ReceivePath::Recv, ledger)?;
    Ok(())
}

fn uncounted_unix(kind: c_int, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = sys::socket_pair(libc::AF_UNIX, kind)?;
    let (near, far) = (
        Socket::new(near, Protocol::Other),
        Socket::new(far, Protocol::Other),
    );
    let data = [0x5a; 600];
    let message = [Outgoing {
        data: &data,
        to: None,
    }];
    let (sends, receives) = (SendPath::ALL.into_iter(), ReceivePath::ALL.into_iter());
    for (send, receive) in sends.zip(receives) {
        paths::send(send, near.fd(), &message, 0)?;
        paths::receive(receive, far.fd(), &[1000], 0)?;
    }
    one_that_counts(ledger)
}

fn uncounted_netlink(ledger: &mut Ledger) -> anyhow::Result<()> {
    let fd = sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    let socket = Socket::new(fd, Protocol::Other);
    // nlmsghdr {length, type, flags, sequence, port} and one byte of rtgenmsg, padded.
    let mut request = Vec::new();
    request.extend(20u32.to_ne_bytes());
    request.extend(libc::RTM_GETLINK.to_ne_bytes());
    request.extend(((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    request.extend([0; 12]);
    let message = [Outgoing {
        data: &request,
        to: None,
    }];
    paths::send(SendPath::Send, socket.fd(), &message, 0)?;
    let answer = paths::receive(ReceivePath::Recvmsg, socket.fd(), &[1 << 15], 0)?;
    ensure!(answer[0].bytes > 100, "no answer from rtnetlink");
    one_that_counts(ledger)
}

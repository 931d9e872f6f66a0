//! UDP cases outside the matrix: odd addresses, segmentation, the error queue, namespaces.
//!
//! Owns the network namespace a case may move to. Other protocols are in `protocols`.

use std::ffi::c_int;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use anyhow::ensure;

use super::ledger::{Direction, How, Ledger};
use super::paths::{self, Outgoing, ReceivePath, SendPath};
use super::socket::{Family, Socket, tcp_pair, udp, udp_pair};
use super::sys::{self, RawAddress, check};
use super::{Named, unsupported};
use crate::model::flow::Protocol;

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("udp4::connected::other_address", |l| {
        redirect(Family::V4, l)
    }),
    ("udp6::connected::other_address", |l| {
        redirect(Family::V6, l)
    }),
    ("udp_mapped::connected::other_address", |l| {
        redirect(Family::Mapped, l)
    }),
    ("udp4::connected::some_addresses", some_addresses),
    ("udp4::unconnected::many_messages", many_messages),
    ("udp4::corked::send", corked),
    (
        "udp4::connected::address_of_no_length",
        address_of_no_length,
    ),
    ("udp4::unconnected::no_room_in_recvfrom", |l| {
        no_room(false, l)
    }),
    ("udp4::unconnected::no_room_in_recvmsg", |l| {
        no_room(true, l)
    }),
    (
        "udp4::unconnected::address_of_no_family",
        address_of_no_family,
    ),
    ("udp4::unbound::sendto", |l| {
        unbound(libc::AF_INET, Family::V4, l)
    }),
    ("udp6::unbound::sendto", |l| {
        unbound(libc::AF_INET6, Family::V6, l)
    }),
    ("udp_mapped::unbound::sendto", |l| {
        unbound(libc::AF_INET6, Family::Mapped, l)
    }),
    ("udp4::any_address::recvfrom", any_address),
    ("udp4::errqueue::tx_timestamp", |l| {
        tx_timestamp(udp_pair(Family::V4)?, l)
    }),
    ("tcp4::errqueue::tx_timestamp", |l| {
        tx_timestamp(tcp_pair(Family::V4)?, l)
    }),
    ("tcp6::errqueue::tx_timestamp", |l| {
        tx_timestamp(tcp_pair(Family::V6)?, l)
    }),
    ("udp4::segmentation::send", |l| segmentation(false, l)),
    ("udp4::segmentation::send_and_receive", |l| {
        segmentation(true, l)
    }),
    ("udp4::other_namespace::send", other_namespace),
];

/// Sends `bytes` to `to` in one `sendto` call.
fn send_to(
    socket: &Socket,
    to: SocketAddr,
    bytes: usize,
    ledger: &mut Ledger,
) -> io::Result<usize> {
    let data = vec![0x5a; bytes];
    let to = Some(to);
    socket.send(ledger, SendPath::Sendto, &[Outgoing { data: &data, to }], 0)
}

/// Takes whatever comes within a moment: protocols without ports also bring what others sent.
pub fn receive_all(socket: &Socket, path: ReceivePath, ledger: &mut Ledger) -> io::Result<usize> {
    let mut bytes = 0;
    while sys::wait_for(socket.fd(), libc::POLLIN, 10)? {
        bytes += socket.receive(ledger, path, &[1 << 16], 0)?[0].bytes;
    }
    Ok(bytes)
}

/// An explicit address on a connected socket wins over the connection.
fn redirect(family: Family, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = udp_pair(family)?;
    let mut other = udp(family)?;
    send_to(&near, other.address()?, 1234, ledger)?;
    near.send_plain(ledger, 77)?;
    other.connect(near.address()?)?;
    receive_all(&other, ReceivePath::Recv, ledger)?;
    receive_all(&far, ReceivePath::Recv, ledger)?;
    Ok(())
}

/// Some messages of one call name a peer, others leave it to the connection.
fn some_addresses(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = udp_pair(Family::V4)?;
    let mut other = udp(Family::V4)?;
    let elsewhere = Some(other.address()?);
    let data = [0x5a; 500];
    let message = |length: usize, to| Outgoing {
        data: &data[..length],
        to,
    };
    let messages = [
        message(101, None),
        message(202, elsewhere),
        message(0, None),
        message(303, elsewhere),
        message(404, None),
    ];
    let sent = near.send(ledger, SendPath::Sendmmsg, &messages, 0)?;
    ensure!(sent == 1010, "only {sent} bytes were taken");
    other.connect(near.address()?)?;
    receive_all(&other, ReceivePath::Recv, ledger)?;
    receive_all(&far, ReceivePath::Recv, ledger)?;
    Ok(())
}

/// More messages in a call than anyone would unroll a loop for.
fn many_messages(ledger: &mut Ledger) -> anyhow::Result<()> {
    let near = udp(Family::V4)?;
    let far = [udp(Family::V4)?, udp(Family::V4)?];
    let addresses = [far[0].address()?, far[1].address()?];
    let data = [0x5a; 100];
    let messages: Vec<Outgoing> = (0..100)
        .map(|index| Outgoing {
            data: &data[..1 + index % 90],
            to: Some(addresses[index % 2]),
        })
        .collect();
    near.send(ledger, SendPath::Sendmmsg, &messages, 0)?;
    for peer in &far {
        let arrivals = peer.receive(ledger, ReceivePath::Recvmmsg, &[200; 50], 0)?;
        ensure!(arrivals.len() == 50, "{} messages received", arrivals.len());
    }
    Ok(())
}

/// Two calls that make one datagram.
fn corked(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = udp_pair(Family::V4)?;
    let data = [0x5a; 150];
    let message = [Outgoing {
        data: &data,
        to: None,
    }];
    near.send(ledger, SendPath::Send, &message, libc::MSG_MORE)?;
    near.send(ledger, SendPath::Send, &message, 0)?;
    let received = far.receive(ledger, ReceivePath::Recv, &[1000], 0)?[0].bytes;
    ensure!(received == 300, "{received} bytes received");
    Ok(())
}

/// One `sendmsg` of `bytes` bytes whose name has that address and length.
fn send_named(socket: &Socket, name: &mut RawAddress, bytes: usize) -> io::Result<usize> {
    let mut data = vec![0x5a_u8; bytes];
    let mut part = [paths::part(&mut data)];
    let header = paths::header(&mut part, Some(name));
    // SAFETY: the header points at `part`, `data` and `name`, all alive.
    check(unsafe { libc::sendmsg(socket.fd.as_raw_fd(), &header, 0) })
}

/// Room of length 0 for the sender's address: what an earlier call left in that
/// memory is not the sender, and the caller is told nothing.
fn no_room(by_message: bool, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, mut far) = (udp(Family::V4)?, udp(Family::V4)?);
    far.connect(near.address()?)?;
    far.send_plain(ledger, 765)?;
    let mut name = RawAddress::from(SocketAddr::from((Ipv4Addr::new(127, 9, 9, 9), 9)));
    name.length = 0;
    let mut data = vec![0_u8; 1000];
    let mut part = [paths::part(&mut data)];
    let raw = near.fd.as_raw_fd();
    let returned = if by_message {
        let mut header = paths::header(&mut part, Some(&mut name));
        // SAFETY: the header points at `part`, `data` and `name`, all alive.
        unsafe { libc::recvmsg(raw, &mut header, 0) }
    } else {
        let (start, size) = (part[0].iov_base, part[0].iov_len);
        // SAFETY: `data` has room for `size` bytes, the name for more than none.
        unsafe { libc::recvfrom(raw, start, size, 0, name.as_mut_ptr(), &mut name.length) }
    };
    let received = check(returned)?;
    ledger.record(
        near.movement(Direction::Received, None, How::Call),
        received,
    );
    Ok(())
}

/// A name of length 0 is no name, whatever memory it points at.
fn address_of_no_length(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = udp_pair(Family::V4)?;
    let mut name = RawAddress::from(SocketAddr::from((Ipv4Addr::new(127, 9, 9, 9), 9)));
    name.length = 0;
    let sent = send_named(&near, &mut name, 654)?;
    ledger.record(near.movement(Direction::Sent, None, How::Call), sent);
    let received = receive_all(&far, ReceivePath::Recv, ledger)?;
    ensure!(received == sent, "{sent} bytes sent, {received} received");
    Ok(())
}

/// An IPv4 UDP socket takes AF_UNSPEC for AF_INET (udp_sendmsg, net/ipv4/udp.c).
fn address_of_no_family(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, mut far) = (udp(Family::V4)?, udp(Family::V4)?);
    let to = far.address()?;
    let mut name = RawAddress::from(to);
    name.clear_family();
    let sent = send_named(&near, &mut name, 432)?;
    ledger.record(near.movement(Direction::Sent, Some(to), How::Call), sent);
    far.connect(near.address()?)?;
    let received = receive_all(&far, ReceivePath::Recv, ledger)?;
    ensure!(received == sent, "{sent} bytes sent, {received} received");
    Ok(())
}

/// A socket that has no port before it sends.
fn unbound(domain: c_int, family: Family, ledger: &mut Ledger) -> anyhow::Result<()> {
    let near = Socket::new(sys::socket(domain, libc::SOCK_DGRAM, 0)?, Protocol::Udp);
    let far = udp(family)?;
    send_to(&near, far.address()?, 901, ledger)?;
    receive_all(&far, ReceivePath::Recvfrom, ledger)?;
    Ok(())
}

fn any_address(ledger: &mut Ledger) -> anyhow::Result<()> {
    let any = Socket::new(std::net::UdpSocket::bind("0.0.0.0:0")?, Protocol::Udp);
    let port = any.address()?.port();
    let mut far = udp(Family::V4)?;
    far.connect((Ipv4Addr::LOCALHOST, port).into())?;
    far.send_plain(ledger, 700)?;
    receive_all(&any, ReceivePath::Recvfrom, ledger)?;
    send_to(&any, far.address()?, 701, ledger)?;
    receive_all(&far, ReceivePath::Recv, ledger)?;
    Ok(())
}

/// Timestamps come back through the error queue with a copy of the packet.
fn tx_timestamp((near, far): (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    let flags = libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_TIMESTAMPING);
    sys::set_option(near.fd(), level, option, flags as c_int)?;
    for path in [
        ReceivePath::Recvmsg,
        ReceivePath::Recvmmsg,
        ReceivePath::Recv,
    ] {
        near.send_plain(ledger, 1000)?;
        sys::wait_for(near.fd(), libc::POLLERR, 1000)?;
        let arrivals = near.receive(ledger, path, &[4096], libc::MSG_ERRQUEUE)?;
        ensure!(arrivals[0].bytes >= 1000, "no packet in the error queue");
    }
    receive_all(&far, ReceivePath::Recv, ledger)?;
    Ok(())
}

/// One call that becomes five datagrams, and perhaps one call that takes them all.
fn segmentation(together: bool, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = udp_pair(Family::V4)?;
    sys::set_option(near.fd(), libc::SOL_UDP, libc::UDP_SEGMENT, 1000)
        .map_err(|error| unsupported("UDP_SEGMENT", error))?;
    sys::set_option(
        far.fd(),
        libc::SOL_UDP,
        libc::UDP_GRO,
        c_int::from(together),
    )
    .map_err(|error| unsupported("UDP_GRO", error))?;
    near.send_plain(ledger, 4700)?;
    let received = receive_all(&far, ReceivePath::Recv, ledger)?;
    ensure!(received == 4700, "{received} bytes received");
    Ok(())
}

/// Moves this process to a network namespace of its own whose loopback is up.
pub fn enter_namespace() -> anyhow::Result<()> {
    // SAFETY: takes an integer only.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) } as isize)
        .map_err(|error| unsupported("a network namespace", error))?;
    let socket = sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: ifreq is plain data, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) } as isize)?;
    Ok(())
}

/// The same addresses mean other hosts in another namespace.
fn other_namespace(ledger: &mut Ledger) -> anyhow::Result<()> {
    enter_namespace()?;
    let (near, far) = udp_pair(Family::V4)?;
    near.send_plain(ledger, 4321)?;
    receive_all(&far, ReceivePath::Recv, ledger)?;
    Ok(())
}

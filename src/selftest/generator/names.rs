//! Datagrams whose names lie or come oddly: rooms that differ within one call,
//! lengths in memory nobody has touched, names of the other family, sockets that
//! are connected no more.
//!
//! Owns the headers and the memory of such calls. A peer counts where the caller
//! was told who it is.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::ptr;

use anyhow::ensure;

use super::Named;
use super::ledger::{Direction, How, Ledger};
use super::paths::{self, Outgoing, ReceivePath, SendPath};
use super::socket::{Family, Socket, udp, udp_pair};
use super::special::receive_all;
use super::sys::{self, RawAddress, check};
use crate::model::flow::Protocol;

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("udp4::unconnected::room_in_some_headers", |l| {
        room_in_some([true, false, true], l)
    }),
    ("udp4::unconnected::no_room_in_first_header", |l| {
        room_in_some([false, true, true], l)
    }),
    (
        "udp4::unconnected::length_in_new_memory",
        length_in_new_memory,
    ),
    ("udp6::name_of_v4::sendto", name_of_v4),
    ("udp4::disconnected::sendto", disconnected),
];

/// One `recvmmsg` that leaves room for some of the senders' addresses: the others
/// keep what was in their memory before.
fn room_in_some(rooms: [bool; 3], ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, mut far) = (udp(Family::V4)?, udp(Family::V4)?);
    far.connect(near.address()?)?;
    for bytes in [501, 602, 703] {
        far.send_plain(ledger, bytes)?;
    }
    let mut data = [[0_u8; 1000]; 3];
    let stale = SocketAddr::from((Ipv4Addr::new(127, 9, 9, 9), 9));
    let mut names = rooms.map(|has_room| {
        let mut name = RawAddress::from(stale);
        name.length = if has_room { name.length } else { 0 };
        name
    });
    let mut parts = data.each_mut().map(|data| [paths::part(data)]);
    let pairs = parts.iter_mut().zip(&mut names);
    let headers = pairs.map(|(part, name)| paths::header(part, Some(name)));
    let mut headers = paths::headers(headers);
    let count = headers.len() as u32;
    // SAFETY: the headers point at `parts`, `names` and `data`, all alive.
    let done = check(unsafe {
        let (raw, start) = (near.fd.as_raw_fd(), headers.as_mut_ptr());
        libc::recvmmsg(raw, start, count, libc::MSG_WAITFORONE, ptr::null_mut()) as isize
    })?;
    ensure!(done == rooms.len(), "{done} messages received");
    for ((header, name), has_room) in headers.iter().zip(&names).zip(rooms) {
        let told = if has_room { name.decode() } else { None };
        let movement = near.movement(Direction::Received, told, How::Call);
        ledger.record(movement, header.msg_len as usize);
    }
    Ok(())
}

/// The room's length stands in a page of a file that this process has not read yet.
fn length_in_new_memory(ledger: &mut Ledger) -> anyhow::Result<()> {
    const PAGE: usize = 4096;
    let (near, mut far) = (udp(Family::V4)?, udp(Family::V4)?);
    far.connect(near.address()?)?;
    far.send_plain(ledger, 888)?;
    let mut page = vec![0_u8; PAGE];
    page[..4].copy_from_slice(&(size_of::<libc::sockaddr_in>() as u32).to_ne_bytes());
    let file = sys::memory_file(&page)?;
    let (protection, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE);
    // SAFETY: a new mapping at an address of the kernel's choice; it stays until
    // this process ends.
    let fresh = unsafe { libc::mmap(ptr::null_mut(), PAGE, protection, kind, file.as_raw_fd(), 0) };
    ensure!(fresh != libc::MAP_FAILED, "no memory");
    let mut data = [0_u8; 1000];
    let mut name = RawAddress::room();
    // SAFETY: data, name and mapping outlive the call and are as large as said.
    let received = check(unsafe {
        let (raw, into, from) = (near.fd.as_raw_fd(), data.as_mut_ptr(), name.as_mut_ptr());
        libc::recvfrom(raw, into.cast(), data.len(), 0, from, fresh.cast())
    })?;
    name.length = size_of::<libc::sockaddr_in>() as u32;
    let movement = near.movement(Direction::Received, name.decode(), How::Call);
    ledger.record(movement, received);
    ensure!(received == 888, "{received} bytes received");
    Ok(())
}

/// A socket of IPv6 takes a name of IPv4 as it is.
fn name_of_v4(ledger: &mut Ledger) -> anyhow::Result<()> {
    let fd = sys::socket(libc::AF_INET6, libc::SOCK_DGRAM, 0)?;
    let (near, far) = (Socket::new(fd, Protocol::Udp), udp(Family::V4)?);
    let data = [0x5a; 555];
    let message = [Outgoing {
        data: &data,
        to: Some(far.address()?),
    }];
    let mut sent = 0;
    for path in [SendPath::Sendto, SendPath::Sendmsg, SendPath::Sendmmsg] {
        sent += near.send(ledger, path, &message, 0)?;
    }
    let received = receive_all(&far, ReceivePath::Recvfrom, ledger)?;
    ensure!(sent == received, "{sent} bytes sent, {received} received");
    Ok(())
}

/// A socket that was connected names its peers in its calls again.
fn disconnected(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = udp_pair(Family::V4)?;
    near.send_plain(ledger, 321)?;
    receive_all(&far, ReceivePath::Recv, ledger)?;
    let mut nobody = RawAddress::from(far.address()?);
    nobody.clear_family();
    sys::connect(near.fd(), &nobody)?;
    // Its own address went with the connection, not the port.
    let near = Socket::new(near.fd, Protocol::Udp);
    let mut other = udp(Family::V4)?;
    let data = [0x5a; 432];
    let message = [Outgoing {
        data: &data,
        to: Some(other.address()?),
    }];
    near.send(ledger, SendPath::Sendto, &message, 0)?;
    receive_all(&other, ReceivePath::Recvfrom, ledger)?;
    let port = near.address()?.port();
    other.connect((Ipv4Addr::LOCALHOST, port).into())?;
    other.send_plain(ledger, 543)?;
    receive_all(&near, ReceivePath::Recvfrom, ledger)?;
    Ok(())
}

//! Bytes that one io_uring request at a time moves, by each kind of request.
//!
//! Counts what the completions say. Requests that are special by more than
//! their kind are in `ring_manners`.

use std::io;
use std::os::fd::AsRawFd;

use anyhow::ensure;

use super::ledger::{Direction, How, Ledger};
use super::paths;
use super::socket::{Family, Socket, tcp_pair, udp, udp_pair};
use super::sys::RawAddress;
use super::uring::{ASYNC, Entry, MORE, NOTICE, Ring, kept};
use super::{Named, unsupported};

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::io_uring::send_recv", |l| {
        run(tcp_pair(Family::V4)?, SEND_RECV, 0, l)
    }),
    ("tcp6::io_uring::send_recv", |l| {
        run(tcp_pair(Family::V6)?, SEND_RECV, 0, l)
    }),
    ("udp4::io_uring::send_recv", |l| {
        run(udp_pair(Family::V4)?, SEND_RECV, 0, l)
    }),
    ("udp6::io_uring::send_recv", |l| {
        run(udp_pair(Family::V6)?, SEND_RECV, 0, l)
    }),
    ("tcp4::io_uring::write_read", |l| {
        run(tcp_pair(Family::V4)?, WRITE_READ, 0, l)
    }),
    ("udp4::io_uring::write_read", |l| {
        run(udp_pair(Family::V4)?, WRITE_READ, 0, l)
    }),
    ("tcp4::io_uring::writev_readv", |l| {
        run(tcp_pair(Family::V4)?, WRITEV_READV, 0, l)
    }),
    ("tcp6::io_uring::writev_readv", |l| {
        run(tcp_pair(Family::V6)?, WRITEV_READV, 0, l)
    }),
    ("udp4::io_uring::writev_readv", |l| {
        run(udp_pair(Family::V4)?, WRITEV_READV, 0, l)
    }),
    ("tcp4::io_uring::sendmsg_recvmsg", |l| {
        run(tcp_pair(Family::V4)?, SENDMSG_RECVMSG, 0, l)
    }),
    ("udp4::io_uring::sendmsg_recvmsg", |l| {
        run(udp_pair(Family::V4)?, SENDMSG_RECVMSG, 0, l)
    }),
    ("udp6::io_uring::sendmsg_recvmsg", |l| {
        run(udp_pair(Family::V6)?, SENDMSG_RECVMSG, 0, l)
    }),
    ("tcp4::io_uring::send_zc", |l| {
        run(tcp_pair(Family::V4)?, (SEND_ZC, RECV), 0, l)
    }),
    ("tcp6::io_uring::send_zc", |l| {
        run(tcp_pair(Family::V6)?, (SEND_ZC, RECV), 0, l)
    }),
    ("udp4::io_uring::send_zc", |l| {
        run(udp_pair(Family::V4)?, (SEND_ZC, RECV), 0, l)
    }),
    ("tcp4::io_uring::sendmsg_zc", |l| {
        run(tcp_pair(Family::V4)?, (SENDMSG_ZC, RECV), 0, l)
    }),
    ("udp4::io_uring::sendmsg_zc", |l| {
        run(udp_pair(Family::V4)?, (SENDMSG_ZC, RECV), 0, l)
    }),
    ("tcp4::io_uring::by_worker", |l| {
        run(tcp_pair(Family::V4)?, SEND_RECV, ASYNC, l)
    }),
    ("udp4::io_uring::by_worker", |l| {
        run(udp_pair(Family::V4)?, SEND_RECV, ASYNC, l)
    }),
    ("udp4_unconnected::io_uring::sendmsg_recvmsg", |l| {
        unconnected(Family::V4, l)
    }),
    ("udp6_unconnected::io_uring::sendmsg_recvmsg", |l| {
        unconnected(Family::V6, l)
    }),
];

// Opcodes of linux/io_uring.h.
const READV: u8 = 1;
const WRITEV: u8 = 2;
pub const SENDMSG: u8 = 9;
pub const RECVMSG: u8 = 10;
pub const SEND: u8 = 26;
pub const RECV: u8 = 27;
const SEND_ZC: u8 = 47;
const SENDMSG_ZC: u8 = 48;
const SEND_RECV: (u8, u8) = (SEND, RECV);
const WRITE_READ: (u8, u8) = (23, 22);
const WRITEV_READV: (u8, u8) = (WRITEV, READV);
const SENDMSG_RECVMSG: (u8, u8) = (SENDMSG, RECVMSG);

/// One request of any kind over `length` bytes, in three parts where it takes
/// parts; `name` is for those that take a name. Returns what it moved.
pub fn once(
    ring: &Ring,
    opcode: u8,
    flags: u8,
    fd: i32,
    length: usize,
    mut name: Option<&mut RawAddress>,
) -> io::Result<usize> {
    let data = kept(vec![0x5a_u8; length]);
    let parts = kept(paths::thirds(data.as_mut_ptr(), data.len()));
    let mut named = name.as_deref().map(|name| kept(*name));
    let header = kept(paths::header(parts, named.as_deref_mut()));
    let (address, length) = match opcode {
        SENDMSG | RECVMSG | SENDMSG_ZC => ((&raw mut *header) as u64, 1),
        WRITEV | READV => (header.msg_iov as u64, header.msg_iovlen as u32),
        _ => (data.as_mut_ptr() as u64, data.len() as u32),
    };
    // Offset -1 means "the file position", which a socket has not; SEND has no offset.
    let is_file_call =
        matches!(opcode, WRITEV | READV) || [WRITE_READ.0, WRITE_READ.1].contains(&opcode);
    ring.submit(&[Entry {
        opcode,
        flags,
        fd,
        offset: if is_file_call { u64::MAX } else { 0 },
        address,
        length,
        ..Entry::default()
    }])?;
    let completion = ring.wait()?;
    if completion.flags & MORE != 0 {
        let notice = ring.wait()?;
        if notice.flags & NOTICE == 0 {
            return Err(io::Error::other("a second completion that is no notice"));
        }
    }
    if let (Some(name), Some(filled)) = (&mut name, named) {
        **name = *filled;
    }
    completion.result()
}

/// A ring for one request at a time.
pub fn small_ring() -> anyhow::Result<Ring> {
    Ring::new(1, 0).map_err(|error| unsupported("io_uring", error))
}

fn run(
    (near, far): (Socket, Socket),
    opcodes: (u8, u8),
    flags: u8,
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let ring = small_ring()?;
    for opcode in [opcodes.0, opcodes.1] {
        if !ring.knows(opcode)? {
            let what = format!("io_uring's opcode {opcode}");
            return Err(unsupported(&what, "this kernel has it not"));
        }
    }
    let mut once = |opcode, socket: &Socket, direction| {
        let moved = once(&ring, opcode, flags, socket.fd.as_raw_fd(), 3210, None)?;
        ledger.record(socket.movement(direction, None, How::Ring), moved);
        io::Result::Ok(moved)
    };
    let sent = once(opcodes.0, &near, Direction::Sent)?;
    let received = once(opcodes.1, &far, Direction::Received)?;
    ensure!(sent == received, "{sent} bytes sent, {received} received");
    Ok(())
}

/// Datagrams whose peers are named in the requests alone.
fn unconnected(family: Family, ledger: &mut Ledger) -> anyhow::Result<()> {
    let ring = small_ring()?;
    let (near, far) = (udp(family)?, udp(family)?);
    let to = far.address()?;
    let (from_fd, to_fd) = (near.fd.as_raw_fd(), far.fd.as_raw_fd());
    let mut name = RawAddress::from(to);
    let sent = once(&ring, SENDMSG, 0, from_fd, 4321, Some(&mut name))?;
    ledger.record(near.movement(Direction::Sent, Some(to), How::Ring), sent);
    let mut name = RawAddress::room();
    let received = once(&ring, RECVMSG, 0, to_fd, 4321, Some(&mut name))?;
    name.length = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    let from = name.decode();
    ensure!(from == Some(near.address()?), "{from:?} is not who sent it");
    ledger.record(far.movement(Direction::Received, from, How::Ring), received);
    ensure!(sent == received, "{sent} bytes sent, {received} received");
    Ok(())
}

//! Sockets that are no network: whatever moves through them counts nothing.
//!
//! Each case also moves a datagram that counts, so that the process has a row in
//! which too much would show.

use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::ensure;

use super::ledger::Ledger;
use super::paths::{self, Outgoing, ReceivePath, SendPath};
use super::ring::{RECV, RECVMSG, SEND, SENDMSG, once, small_ring};
use super::socket::{Family, Socket, udp_pair};
use super::special::receive_all;
use super::sys::{self, RawAddress};
use super::{Named, unsupported};
use crate::model::flow::Protocol;

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("uncounted::unix_stream::all_paths", |l| {
        uncounted_unix(libc::SOCK_STREAM, l)
    }),
    ("uncounted::unix_dgram::all_paths", |l| {
        uncounted_unix(libc::SOCK_DGRAM, l)
    }),
    ("uncounted::unix_seqpacket::all_paths", |l| {
        uncounted_unix(libc::SOCK_SEQPACKET, l)
    }),
    ("uncounted::unix_stream::io_uring", uncounted_ring),
    ("uncounted::netlink::dump", uncounted_netlink),
    ("uncounted::crypto::hash", uncounted_crypto),
];

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

/// AF_UNIX by requests that no system call names.
fn uncounted_ring(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = sys::socket_pair(libc::AF_UNIX, libc::SOCK_STREAM)?;
    let ring = small_ring()?;
    for (send, receive) in [(SEND, RECV), (SENDMSG, RECVMSG)] {
        let sent = once(&ring, send, 0, near.as_raw_fd(), 777, None)?;
        let received = once(&ring, receive, 0, far.as_raw_fd(), 777, None)?;
        ensure!(sent == received, "{sent} bytes sent, {received} received");
    }
    one_that_counts(ledger)
}

/// The kernel's SHA-256, whose input and output move through a socket.
fn uncounted_crypto(ledger: &mut Ledger) -> anyhow::Result<()> {
    let missing = |error| unsupported("AF_ALG", error);
    let mut address = libc::sockaddr_alg {
        salg_family: libc::AF_ALG as u16,
        salg_type: [0; 14],
        salg_feat: 0,
        salg_mask: 0,
        salg_name: [0; 64],
    };
    address.salg_type[..4].copy_from_slice(b"hash");
    address.salg_name[..6].copy_from_slice(b"sha256");
    let algorithm = sys::socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0).map_err(missing)?;
    sys::bind(algorithm.as_fd(), &RawAddress::of(address)).map_err(missing)?;
    let hash = sys::accept(algorithm.as_fd()).map_err(missing)?;
    let message = [Outgoing {
        data: &[0x5a; 1000],
        to: None,
    }];
    for (send, receive) in [
        (SendPath::Sendmsg, ReceivePath::Recvmsg),
        (SendPath::Sendfile, ReceivePath::Recv),
        (SendPath::Splice, ReceivePath::Read),
    ] {
        paths::send(send, hash.as_fd(), &message, 0)?;
        let digest = paths::receive(receive, hash.as_fd(), &[64], 0)?[0].bytes;
        ensure!(digest == 32, "a hash of {digest} bytes");
    }
    one_that_counts(ledger)
}

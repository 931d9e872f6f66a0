//! Bytes that reach a socket through pipes: copied by `tee`, lent by `vmsplice`.
//!
//! Counts at the sockets only: what moves between pipes is no network traffic.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::ensure;

use super::ledger::{Direction, How, Ledger};
use super::paths::{self, ReceivePath};
use super::socket::{Family, Socket, tcp_pair, udp_pair};
use super::sys::{self, check};
use super::{Named, unsupported};

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::pipe::tee", |l| tee(Family::V4, l)),
    ("tcp6::pipe::tee", |l| tee(Family::V6, l)),
    ("tcp4::pipe::vmsplice", |l| vmsplice(Family::V4, l)),
    ("tcp6::pipe::vmsplice", |l| vmsplice(Family::V6, l)),
    ("tcp4::pipe::relay", relay),
    ("tcp4::pipe::sendfile_from", |l| {
        sendfile_from(tcp_pair(Family::V4)?, How::SpliceFromTcp, l)
    }),
    ("udp4::pipe::sendfile_from", |l| {
        sendfile_from(udp_pair(Family::V4)?, How::Call, l)
    }),
];

/// Splices `bytes` bytes of a pipe into `near` and receives them at `far`.
fn drain_pipe(
    reader: &OwnedFd,
    bytes: usize,
    (near, far): &(Socket, Socket),
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let sent = check(paths::splice(reader.as_raw_fd(), near.fd.as_raw_fd(), left))?;
        ledger.record(near.movement(Direction::Sent, None, How::Pieces), sent);
        ensure!(sent > 0, "{left} bytes are missing from the pipe");
        left -= sent;
    }
    near.end_sending()?;
    let received = far.drain(ledger)?;
    ensure!(received == bytes, "{bytes} bytes sent, {received} received");
    Ok(())
}

/// The same bytes to two sockets.
fn tee(family: Family, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (reader, writer) = sys::pipe()?;
    let (copy_reader, copy_writer) = sys::pipe()?;
    File::from(writer).write_all(&[0x5a; 7007])?;
    // SAFETY: takes integers only.
    let copied = check(unsafe { libc::tee(reader.as_raw_fd(), copy_writer.as_raw_fd(), 5005, 0) })?;
    drain_pipe(&copy_reader, copied, &tcp_pair(family)?, ledger)?;
    drain_pipe(&reader, 7007, &tcp_pair(family)?, ledger)
}

/// Memory of this process that goes to a socket without a copy.
fn vmsplice(family: Family, ledger: &mut Ledger) -> anyhow::Result<()> {
    let data = vec![0x5a_u8; 50_005];
    let (reader, writer) = sys::pipe()?;
    let part = libc::iovec {
        iov_base: data.as_ptr().cast_mut().cast(),
        iov_len: data.len(),
    };
    // SAFETY: one part, whose memory is only read and outlives the pipe.
    let lent = check(unsafe { libc::vmsplice(writer.as_raw_fd(), &part, 1, 0) })?;
    drain_pipe(&reader, lent, &tcp_pair(family)?, ledger)
}

/// Out of one socket and into another, as a proxy does it.
fn relay(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (first, second) = (tcp_pair(Family::V4)?, tcp_pair(Family::V4)?);
    let (reader, writer) = sys::pipe()?;
    let mut left = first.0.send_plain(ledger, 30_003)?;
    first.0.end_sending()?;
    let mut moved = 0;
    while left > 0 {
        sys::wait_for(first.1.fd(), libc::POLLIN, 1000)?;
        let bytes = check(paths::splice(
            first.1.fd.as_raw_fd(),
            writer.as_raw_fd(),
            left,
        ))?;
        let movement = first
            .1
            .movement(Direction::Received, None, How::SpliceFromTcp);
        ledger.record(movement, bytes);
        ensure!(bytes > 0, "{left} bytes are missing");
        left -= bytes;
        moved += bytes;
    }
    drain_pipe(&reader, moved, &second, ledger)?;
    let rest = first.1.receive(ledger, ReceivePath::Recv, &[100], 0)?[0].bytes;
    ensure!(rest == 0, "{rest} bytes received after the end");
    Ok(())
}

/// `sendfile` takes a socket for its source where its target is a pipe.
fn sendfile_from(
    (near, far): (Socket, Socket),
    how: How,
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let (_reader, writer) = sys::pipe()?;
    let sent = near.send_plain(ledger, 3838)?;
    sys::wait_for(far.fd(), libc::POLLIN, 1000)?;
    let (from, to) = (far.fd.as_raw_fd(), writer.as_raw_fd());
    // SAFETY: takes integers and no offset.
    let received = check(unsafe { libc::sendfile(to, from, std::ptr::null_mut(), sent) })
        .map_err(|error| unsupported("sendfile from a socket", error))?;
    ledger.record(far.movement(Direction::Received, None, how), received);
    ensure!(sent == received, "{sent} bytes sent, {received} received");
    Ok(())
}

//! Splice by io_uring: out of a pipe into a socket and the other way.
//!
//! Such a request is always made by a worker thread. Counts what the completions say.

use std::io::Write;
use std::os::fd::AsRawFd;

use anyhow::ensure;

use super::Named;
use super::ledger::{Direction, How, Ledger};
use super::ring::{RECV, once, small_ring};
use super::socket::{Family, tcp_pair};
use super::sys;
use super::uring::Entry;

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::io_uring::splice_to", |l| splice_to(Family::V4, l)),
    ("tcp6::io_uring::splice_to", |l| splice_to(Family::V6, l)),
    ("tcp4::io_uring::splice_from", |l| {
        splice_from(Family::V4, l)
    }),
    ("tcp6::io_uring::splice_from", |l| {
        splice_from(Family::V6, l)
    }),
];

/// `IORING_OP_SPLICE` of linux/io_uring.h.
const SPLICE: u8 = 30;

/// The request that moves `length` bytes from one descriptor to the other.
fn splice(from: i32, to: i32, length: usize) -> Entry {
    Entry {
        opcode: SPLICE,
        fd: to,
        // No end has a position.
        offset: u64::MAX,
        address: u64::MAX,
        length: length as u32,
        from,
        ..Entry::default()
    }
}

/// Out of a pipe into a socket.
fn splice_to(family: Family, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = tcp_pair(family)?;
    let ring = small_ring()?;
    let (reader, writer) = sys::pipe()?;
    let mut pipe = std::fs::File::from(writer);
    pipe.write_all(&[0x5a; 9009])?;
    let sent = ring.run(splice(reader.as_raw_fd(), near.fd.as_raw_fd(), 9009))?;
    ledger.record(near.movement(Direction::Sent, None, How::RingPieces), sent);
    near.end_sending()?;
    let received = far.drain(ledger)?;
    ensure!(sent == received, "{sent} bytes sent, {received} received");
    Ok(())
}

/// Out of a socket into a pipe, and what it left by an ordinary request.
fn splice_from(family: Family, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = tcp_pair(family)?;
    let ring = small_ring()?;
    let (_reader, writer) = sys::pipe()?;
    let sent = near.send_plain(ledger, 8008)?;
    let mut received = ring.run(splice(far.fd.as_raw_fd(), writer.as_raw_fd(), 6006))?;
    ledger.record(
        far.movement(Direction::Received, None, How::RingSplice),
        received,
    );
    ensure!(received > 0, "nothing was spliced");
    let (fd, rest) = (far.fd.as_raw_fd(), sent - received);
    let bytes = once(&ring, RECV, 0, fd, rest, None)?;
    ledger.record(far.movement(Direction::Received, None, How::Ring), bytes);
    received += bytes;
    ensure!(sent == received, "{sent} bytes sent, {received} received");
    Ok(())
}

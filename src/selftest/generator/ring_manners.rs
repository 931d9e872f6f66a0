//! io_uring requests that are special by more than their kind: several at once,
//! several results of one, other threads, registered descriptors and memory.
//!
//! Counts what the completions say.

use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::ledger::{Direction, How, Ledger};
use super::paths;
use super::ring::{RECV, SEND, small_ring};
use super::socket::{Family, Socket, tcp_pair, udp_pair};
use super::uring::{
    BUFFER_SELECT, Entry, FIXED_FILE, LINK, MORE, Ring, SETUP_DEFERRED, SETUP_POLLED, kept,
};
use super::{Named, unsupported};

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::io_uring::multishot_recv", |l| {
        multishot(tcp_pair(Family::V4)?, l)
    }),
    ("tcp6::io_uring::multishot_recv", |l| {
        multishot(tcp_pair(Family::V6)?, l)
    }),
    ("udp4::io_uring::multishot_recv", |l| {
        multishot(udp_pair(Family::V4)?, l)
    }),
    ("tcp4::io_uring::waitall_recv", |l| wait_all(Family::V4, l)),
    ("tcp6::io_uring::waitall_recv", |l| wait_all(Family::V6, l)),
    ("tcp4::io_uring::linked", |l| {
        linked(tcp_pair(Family::V4)?, l)
    }),
    ("udp4::io_uring::linked", |l| {
        linked(udp_pair(Family::V4)?, l)
    }),
    ("tcp4::io_uring::polled_by_the_kernel", |l| {
        set_up(SETUP_POLLED, tcp_pair(Family::V4)?, l)
    }),
    ("tcp6::io_uring::polled_by_the_kernel", |l| {
        set_up(SETUP_POLLED, tcp_pair(Family::V6)?, l)
    }),
    ("udp4::io_uring::polled_by_the_kernel", |l| {
        set_up(SETUP_POLLED, udp_pair(Family::V4)?, l)
    }),
    ("tcp4::io_uring::deferred_work", |l| {
        set_up(SETUP_DEFERRED, tcp_pair(Family::V4)?, l)
    }),
    ("udp4::io_uring::deferred_work", |l| {
        set_up(SETUP_DEFERRED, udp_pair(Family::V4)?, l)
    }),
    ("tcp4::io_uring::fixed_files", |l| {
        fixed_files(tcp_pair(Family::V4)?, l)
    }),
    ("udp4::io_uring::fixed_files", |l| {
        fixed_files(udp_pair(Family::V4)?, l)
    }),
    ("tcp4::io_uring::fixed_buffers", |l| {
        fixed_buffers(tcp_pair(Family::V4)?, l)
    }),
    ("udp4::io_uring::fixed_buffers", |l| {
        fixed_buffers(udp_pair(Family::V4)?, l)
    }),
];

// From linux/io_uring.h.
const READ_FIXED: u8 = 4;
const WRITE_FIXED: u8 = 5;
const PROVIDE_BUFFERS: u8 = 31;
/// `IORING_RECV_MULTISHOT`: one request receives until told to stop.
const MULTISHOT: u16 = 1 << 1;

/// Odd lengths, so that no sum is right by chance.
const LENGTHS: [usize; 3] = [1001, 2003, 7];
const MOMENT: Duration = Duration::from_millis(10);

fn ring(flags: u32) -> anyhow::Result<Ring> {
    Ring::new(8, flags).map_err(|error| unsupported(&format!("an io_uring of {flags:#x}"), error))
}

/// The request that moves `length` bytes through descriptor or index `fd`.
fn transfer(opcode: u8, fd: i32, length: usize) -> Entry {
    transfer_of(opcode, fd, kept(vec![0x5a; length]))
}

/// The same of `data`, which is [`kept`].
fn transfer_of(opcode: u8, fd: i32, data: &mut [u8]) -> Entry {
    Entry {
        opcode,
        fd,
        address: data.as_mut_ptr() as u64,
        length: data.len() as u32,
        tag: opcode.into(),
        ..Entry::default()
    }
}

/// One request that receives each message into the next of the buffers given.
fn multishot((near, far): (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    const SIZE: usize = 4096;
    let buffers = kept(vec![0_u8; SIZE * 4]);
    let ring = ring(0)?;
    ring.run(Entry {
        opcode: PROVIDE_BUFFERS,
        fd: 4,
        address: buffers.as_mut_ptr() as u64,
        length: SIZE as u32,
        ..Entry::default()
    })?;
    ring.submit(&[Entry {
        opcode: RECV,
        flags: BUFFER_SELECT,
        priority: MULTISHOT,
        fd: far.fd.as_raw_fd(),
        ..Entry::default()
    }])?;
    for (index, bytes) in LENGTHS.into_iter().enumerate() {
        let sent = near.send_plain(ledger, bytes)?;
        let completion = ring.wait()?;
        let received = completion.result()?;
        ledger.record(
            far.movement(Direction::Received, None, How::RingMany),
            received,
        );
        ensure!(sent == received, "{sent} bytes sent, {received} received");
        ensure!(
            completion.flags & MORE != 0,
            "the request ended at message {index}"
        );
    }
    Ok(())
}

/// One request that takes what three sends of a slow peer bring.
fn wait_all(family: Family, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = tcp_pair(family)?;
    let ring = ring(0)?;
    let all = LENGTHS.iter().sum();
    let mut request = transfer(RECV, far.fd.as_raw_fd(), all);
    request.call_flags = libc::MSG_WAITALL as u32;
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut ledger = Ledger::default();
            for bytes in LENGTHS {
                thread::sleep(MOMENT);
                near.send_plain(&mut ledger, bytes)?;
            }
            anyhow::Ok(ledger)
        });
        let received = ring.run(request)?;
        let movement = far.movement(Direction::Received, None, How::RingPieces);
        ledger.record(movement, received);
        ensure!(received == all, "only {received} bytes received");
        sender.join().ok().context("the sender panicked")?
    })?;
    ledger.merge(sent);
    Ok(())
}

/// Writes down the completions of one SEND and one RECV.
fn record_both(
    ring: &Ring,
    (near, far): &(Socket, Socket),
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    for _ in 0..2 {
        let completion = ring.wait()?;
        let (socket, direction) = match completion.tag as u8 {
            SEND => (near, Direction::Sent),
            RECV => (far, Direction::Received),
            tag => bail!("a completion of {tag}"),
        };
        let bytes = completion.result()?;
        ledger.record(socket.movement(direction, None, How::Ring), bytes);
    }
    let (sent, received) = (
        ledger.bytes(Direction::Sent),
        ledger.bytes(Direction::Received),
    );
    ensure!(sent == received, "{sent} bytes sent, {received} received");
    Ok(())
}

/// A RECV that begins when the SEND before it is done, and one that waits first.
fn linked(pair: (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    let ring = ring(0)?;
    let mut first = transfer(SEND, pair.0.fd.as_raw_fd(), 1717);
    let second = transfer(RECV, pair.1.fd.as_raw_fd(), 1717);
    // Without a link the kernel makes the RECV wait for data that come later.
    ring.submit(&[second, first])?;
    record_both(&ring, &pair, ledger)?;
    first.flags = LINK;
    ring.submit(&[first, second])?;
    record_both(&ring, &pair, ledger)
}

/// SEND and RECV in a ring that is worked by other means than the call.
fn set_up(flags: u32, pair: (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    let ring = ring(flags)?;
    let receive = transfer(RECV, pair.1.fd.as_raw_fd(), 2929);
    let send = transfer(SEND, pair.0.fd.as_raw_fd(), 2929);
    for _ in 0..3 {
        ring.submit(&[receive])?;
        ring.submit(&[send])?;
        record_both(&ring, &pair, ledger)?;
    }
    Ok(())
}

/// Descriptors that the ring knows by index and the process no more.
fn fixed_files(pair: (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    let ring = ring(0)?;
    ring.register_files(&[pair.0.fd.as_raw_fd(), pair.1.fd.as_raw_fd()])?;
    let mut send = transfer(SEND, 0, 3131);
    let mut receive = transfer(RECV, 1, 3131);
    (send.flags, receive.flags) = (FIXED_FILE | LINK, FIXED_FILE);
    ring.submit(&[send, receive])?;
    record_both(&ring, &pair, ledger)
}

/// Memory that the ring knows before any request.
fn fixed_buffers((near, far): (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    let ring = small_ring()?;
    let data = kept([0x5a_u8; 4040]);
    ring.register_buffers(&[paths::part(data)])?;
    for (opcode, socket, direction) in [
        (WRITE_FIXED, &near, Direction::Sent),
        (READ_FIXED, &far, Direction::Received),
    ] {
        let mut request = transfer_of(opcode, socket.fd.as_raw_fd(), data);
        request.offset = u64::MAX;
        let moved = ring.run(request)?;
        ledger.record(socket.movement(direction, None, How::Ring), moved);
        ensure!(moved == data.len(), "only {moved} bytes moved");
    }
    Ok(())
}

//! Calls during which something else happens: slow peers, descriptors that change hands.
//!
//! Owns the second thread those need.

use std::ffi::{c_int, c_long};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::ledger::{Direction, How, Ledger};
use super::paths::{self, Outgoing, ReceivePath, SendPath};
use super::socket::{Family, Socket, tcp_pair, udp, udp_pair};
use super::sys::{self, check};
use super::{Named, unsupported};

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::waitall::recv", wait_all),
    ("tcp4::urgent::send_recv", urgent),
    ("tcp4::descriptor_replaced::recv", |l| {
        replaced(tcp_pair(Family::V4)?, l)
    }),
    ("udp4::descriptor_replaced::recv", |l| {
        replaced(udp_pair(Family::V4)?, l)
    }),
    ("udp4_unconnected::descriptor_replaced::recvfrom", |l| {
        let (near, mut far) = (udp(Family::V4)?, udp(Family::V4)?);
        far.connect(near.address()?)?;
        replaced((far, near), l)
    }),
    ("tcp4::shut_down::read_to_end", after_the_end),
];

const MOMENT: Duration = Duration::from_millis(10);

/// One call that waits for three sends of a slow peer.
fn wait_all(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = tcp_pair(Family::V4)?;
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut ledger = Ledger::default();
            for bytes in [5000, 5001, 5002] {
                thread::sleep(MOMENT);
                near.send_plain(&mut ledger, bytes)?;
            }
            anyhow::Ok(ledger)
        });
        far.receive(ledger, ReceivePath::Recv, &[15_003], libc::MSG_WAITALL)?;
        sender.join().ok().context("the sender panicked")?
    })?;
    ledger.merge(sent);
    Ok(())
}

/// One byte leaves the stream and is received by a call of its own.
fn urgent(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = tcp_pair(Family::V4)?;
    let data = [0x5a; 100];
    let message = [Outgoing {
        data: &data,
        to: None,
    }];
    near.send(ledger, SendPath::Send, &message, libc::MSG_OOB)?;
    near.end_sending()?;
    let plain = far.receive(ledger, ReceivePath::Recv, &[1000], 0)?[0].bytes;
    let urgent = far.receive(ledger, ReceivePath::Recv, &[1000], libc::MSG_OOB)?[0].bytes;
    ensure!(
        (plain, urgent) == (99, 1),
        "{plain} and {urgent} bytes received"
    );
    Ok(())
}

/// Waits until the thread of that id sleeps in the system call `number`: on a
/// loaded machine that is more than a moment.
pub fn wait_until_asleep(thread: u32, number: c_long) -> anyhow::Result<()> {
    while !sys::sleeps_in(thread, number)
        .map_err(|error| unsupported("seeing in which call a thread sleeps", error))?
    {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// While a thread waits in a receiving call its descriptor becomes another
/// socket: the bytes are those of the socket it waited on.
fn replaced((near, far): (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    let decoy = udp(Family::V4)?;
    let (to, far_fd) = (near.local(), far.fd());
    let (movement, bytes) = thread::scope(|scope| {
        let (say, heard) = mpsc::channel();
        let waiting = scope.spawn(move || {
            // Nobody is left to be told only if the test has failed already.
            let _ = say.send(sys::thread_id());
            paths::receive(ReceivePath::Recvfrom, far_fd, &[4096], 0)
        });
        wait_until_asleep(heard.recv()?, libc::SYS_recvfrom)?;
        let movement = far.movement_with(Direction::Received, to, How::Call);
        let (from, onto) = (decoy.fd.as_raw_fd(), far.fd.as_raw_fd());
        // SAFETY: both descriptors are open and stay owned by their sockets.
        check(unsafe { libc::dup2(from, onto) as c_int } as isize)?;
        near.send_plain(ledger, 2020)?;
        let arrivals = waiting.join().ok().context("the receiver panicked")??;
        anyhow::Ok((movement, arrivals[0].bytes))
    })?;
    ledger.record(movement, bytes);
    Ok(())
}

/// What was sent before the connection ended is read after it.
fn after_the_end(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = tcp_pair(Family::V4)?;
    near.send_plain(ledger, 3333)?;
    drop(near);
    far.end_sending()?;
    thread::sleep(MOMENT);
    let received = far.drain(ledger)?;
    ensure!(received == 3333, "{received} bytes received");
    Ok(())
}

//! Calls during which something else happens: slow peers, descriptors that change hands.
//!
//! Owns the second thread those need.

use std::ffi::{c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Named;
use super::interrupted::{TOO_MUCH, narrow_pair};
use super::ledger::{Direction, How, Ledger};
use super::paths::{self, Outgoing, ReceivePath, SendPath};
use super::socket::{Family, Socket, tcp_pair, udp, udp_pair};
use super::sys::{self, check};

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
    ("tcp4::descriptor_replaced::send", replaced_in_send),
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
    while !sys::sleeps_in(thread, number)? {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Makes the descriptor of `socket` another socket while `call`, the system call
/// `number`, is at work with it.
fn replace_during<T: Send>(
    socket: &Socket,
    number: c_long,
    call: impl FnOnce(BorrowedFd) -> T + Send,
    then: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    let decoy = udp(Family::V4)?;
    let fd = socket.fd();
    thread::scope(|scope| {
        let (say, heard) = mpsc::channel();
        let waiting = scope.spawn(move || {
            // Nobody is left to be told only if the case has failed already.
            let _ = say.send(sys::thread_id());
            call(fd)
        });
        wait_until_asleep(heard.recv()?, number)?;
        let (from, onto) = (decoy.fd.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: both descriptors are open and stay owned by their sockets.
        check(unsafe { libc::dup2(from, onto) as c_int } as isize)?;
        then()?;
        waiting.join().ok().context("the thread panicked")
    })
}

/// While a thread waits in a receiving call its descriptor becomes another
/// socket: the bytes are those of the socket it waited on.
fn replaced((near, far): (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    let movement = far.movement_with(Direction::Received, near.local(), How::Call);
    let arrivals = replace_during(
        &far,
        libc::SYS_recvfrom,
        |fd| paths::receive(ReceivePath::Recvfrom, fd, &[4096], 0),
        || Ok(near.send_plain(ledger, 2020).map(|_| ())?),
    )??;
    ledger.record(movement, arrivals[0].bytes);
    Ok(())
}

/// The same of a sending call, which goes on when the peer reads.
fn replaced_in_send(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = narrow_pair()?;
    let movement = near.movement(Direction::Sent, None, How::Call);
    let data = vec![0x5a; TOO_MUCH];
    let message = [Outgoing {
        data: &data,
        to: None,
    }];
    let mut received = 0;
    let taken = replace_during(
        &near,
        libc::SYS_sendto,
        |fd| paths::send(SendPath::Send, fd, &message, 0),
        || {
            // The connection ends when the call does.
            received = far.drain(ledger)?;
            Ok(())
        },
    )??[0];
    ledger.record(movement, taken);
    ensure!(taken == received, "{taken} bytes sent, {received} received");
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

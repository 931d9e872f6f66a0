//! Calls that something else ends or changes midway: signals and closed descriptors.
//!
//! Owns the second thread those need. Descriptors that become another socket are
//! in `timing`.

use std::ffi::{c_int, c_long};
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Named;
use super::ledger::{Direction, How, Ledger};
use super::paths::{self, Outgoing, ReceivePath, SendPath};
use super::socket::{Family, Socket, tcp_pair, udp_pair};
use super::sys::{self, check};
use super::timing::wait_until_asleep;

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::signal::send", |l| signal(SendPath::Send, l)),
    ("tcp4::signal::sendmsg", |l| signal(SendPath::Sendmsg, l)),
    ("tcp4::signal::writev", |l| signal(SendPath::Writev, l)),
    ("tcp4::signal::sendfile", |l| signal(SendPath::Sendfile, l)),
    ("tcp4::signal::recv", signal_in_recv),
    ("tcp4::descriptor_closed::recv", |l| {
        let how = (ReceivePath::Recvfrom, libc::SYS_recvfrom, How::Call);
        closed_in_recv(tcp_pair(Family::V4)?, how, l)
    }),
    ("udp4::descriptor_closed::recv", |l| {
        let how = (ReceivePath::Recvfrom, libc::SYS_recvfrom, How::Call);
        closed_in_recv(udp_pair(Family::V4)?, how, l)
    }),
    ("tcp4::descriptor_closed::splice_from", |l| {
        let how = (ReceivePath::Splice, libc::SYS_splice, How::SpliceFromTcp);
        closed_in_recv(tcp_pair(Family::V4)?, how, l)
    }),
    ("tcp4::descriptor_closed::send", |l| {
        closed_in_send(SendPath::Send, libc::SYS_sendto, l)
    }),
    ("tcp4::descriptor_closed::sendfile", |l| {
        closed_in_send(SendPath::Sendfile, libc::SYS_sendfile, l)
    }),
];

const MOMENT: Duration = Duration::from_millis(10);
/// More than the queues of a connection with small buffers hold.
pub const TOO_MUCH: usize = 1 << 20;

extern "C" fn ignore(_: c_int) {}

/// Makes SIGUSR1 end a waiting call instead of the process.
fn catch_signals() -> anyhow::Result<()> {
    // SAFETY: sigaction is plain data, for which zero is valid: no flags, so
    // that no call is begun again.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = ignore as *const () as usize;
    // SAFETY: the handler does nothing, which any thread may do at any time.
    check(unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) } as isize)?;
    Ok(())
}

/// Runs `work` while another thread sends this one a signal now and again.
fn while_signalled<T>(work: impl FnOnce() -> T) -> anyhow::Result<T> {
    catch_signals()?;
    // SAFETY: takes nothing and cannot fail.
    let this_thread = unsafe { libc::pthread_self() };
    let is_done = AtomicBool::new(false);
    Ok(thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                thread::sleep(MOMENT);
                // SAFETY: that thread waits for this one, so it exists.
                unsafe { libc::pthread_kill(this_thread, libc::SIGUSR1) };
            }
        });
        let result = work();
        is_done.store(true, Ordering::Relaxed);
        result
    }))
}

/// A connection that takes little while its second end does not read.
pub fn narrow_pair() -> anyhow::Result<(Socket, Socket)> {
    let (near, far) = tcp_pair(Family::V4)?;
    sys::set_option(near.fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, 16 << 10)?;
    sys::set_option(far.fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, 16 << 10)?;
    Ok((near, far))
}

/// A signal ends a sending call: what was taken by then counts, and nothing of
/// a call that had nothing taken.
fn signal(path: SendPath, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = narrow_pair()?;
    let data = vec![0x5a; TOO_MUCH];
    let message = [Outgoing {
        data: &data,
        to: None,
    }];
    let (mut sent, mut parts, mut refused) = (0, 0, 0);
    while_signalled(|| {
        while refused < 2 {
            match near.send(ledger, path, &message, 0) {
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => refused += 1,
                taken => {
                    sent += taken?;
                    parts += 1;
                }
            }
        }
        anyhow::Ok(())
    })??;
    ensure!(
        parts > 0 && sent < TOO_MUCH,
        "{sent} bytes taken in {parts} parts"
    );
    near.end_sending()?;
    let received = far.drain(ledger)?;
    ensure!(sent == received, "{sent} bytes sent, {received} received");
    Ok(())
}

/// The same of a receiving call that waits for more than there is.
fn signal_in_recv(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = tcp_pair(Family::V4)?;
    near.send_plain(ledger, 2002)?;
    let part = while_signalled(|| {
        let part = far.receive(ledger, ReceivePath::Recv, &[9000], libc::MSG_WAITALL)?;
        let nothing = far.receive(ledger, ReceivePath::Recv, &[9000], libc::MSG_WAITALL);
        ensure!(
            nothing.is_err(),
            "{nothing:?} received where nothing was sent"
        );
        Ok(part[0].bytes)
    })??;
    ensure!(part == 2002, "{part} bytes received");
    Ok(())
}

/// Closes the descriptor of `socket` while `call`, the system call `number`, is
/// at work with it.
fn close_during<T: Send>(
    socket: Socket,
    number: c_long,
    call: impl FnOnce(BorrowedFd) -> T + Send,
    then: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    let raw = socket.fd.into_raw_fd();
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            // Nobody is left to be told only if the case has failed already.
            let _ = tell.send(sys::thread_id());
            // SAFETY: the call gets hold of the socket before the descriptor is closed.
            call(unsafe { BorrowedFd::borrow_raw(raw) })
        });
        wait_until_asleep(told.recv()?, number)?;
        // SAFETY: `into_raw_fd` above gave the descriptor to this function.
        check(unsafe { libc::close(raw) } as isize)?;
        then()?;
        waiting.join().ok().context("the thread panicked")
    })
}

/// While a thread waits in a receiving call its descriptor is closed: the call
/// goes on, and at its end no descriptor leads to the socket.
fn closed_in_recv(
    (near, far): (Socket, Socket),
    (path, number, how): (ReceivePath, c_long, How),
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let movement = far.movement(Direction::Received, None, how);
    let arrivals = close_during(
        far,
        number,
        |fd| paths::receive(path, fd, &[4096], 0),
        || {
            near.send_plain(ledger, 1919)?;
            Ok(())
        },
    )??;
    ledger.record(movement, arrivals[0].bytes);
    ensure!(arrivals[0].bytes == 1919, "{arrivals:?}");
    Ok(())
}

/// The same of a sending call, which goes on when the peer reads.
fn closed_in_send(path: SendPath, number: c_long, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = narrow_pair()?;
    let how = if path.is_piecewise() {
        How::Pieces
    } else {
        How::Call
    };
    let movement = near.movement(Direction::Sent, None, how);
    let data = vec![0x5a; TOO_MUCH];
    let message = [Outgoing {
        data: &data,
        to: None,
    }];
    let mut received = 0;
    let taken = close_during(
        near,
        number,
        |fd| paths::send(path, fd, &message, 0),
        || {
            // The connection ends when the call does.
            received = far.drain(ledger)?;
            Ok(())
        },
    )??;
    ledger.record(movement, taken[0]);
    ensure!(
        taken[0] == received,
        "{} bytes sent, {received} received",
        taken[0]
    );
    Ok(())
}

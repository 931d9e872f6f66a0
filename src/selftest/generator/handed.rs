//! Sockets that change hands: sent to another process, kept by another program.
//!
//! Each process says itself what it moved; the bytes are those of who moved them.

use std::ffi::c_int;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;

use anyhow::{Context, ensure};

use super::ledger::Ledger;
use super::paths::{self, ReceivePath};
use super::socket::{Family, Socket, tcp_pair};
use super::sys::{self, check};
use super::{Named, Unsupported, command, last_words, report};
use crate::model::flow::Protocol;

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::handed_over::to_a_child", handed_over),
    ("tcp4::handed_over::through_exec", through_exec),
];

/// The generator a forked process becomes; its arguments are two descriptors.
pub const HEIR: &str = "heir";

/// A child that reports what it moves.
pub struct Child {
    pid: libc::pid_t,
    /// Where it says what it could not do.
    words: PipeReader,
}

/// Runs `life` in a child, which reports what it moved.
pub fn in_child(life: impl FnOnce(&mut Ledger) -> anyhow::Result<()>) -> io::Result<Child> {
    let (words, mut say) = io::pipe()?;
    let pid = sys::fork(|| {
        let whole_life = || -> anyhow::Result<()> {
            let mut ledger = Ledger::default();
            life(&mut ledger)?;
            report(&mut ledger)
        };
        let Err(error) = whole_life() else {
            return 0;
        };
        // The status says that it failed to a parent that can't be told why.
        let _ = write!(say, "{}", last_words("the child", &error));
        1
    })?;
    Ok(Child { pid, words })
}

impl Child {
    /// Waits for its end, which must be a good one.
    ///
    /// # Errors
    /// The child's own, [`Unsupported`] or not.
    pub fn end_well(mut self) -> anyhow::Result<()> {
        let mut words = String::new();
        self.words.read_to_string(&mut words)?;
        let status = sys::reap(self.pid)?;
        if let Some(reason) = words.strip_prefix("unsupported ") {
            return Err(Unsupported(reason.to_owned()).into());
        }
        ensure!(status == 0, "the child ended with {status}: {words}");
        Ok(())
    }
}

/// Room for one control message that carries one descriptor.
type Control = [u64; 4];

/// A header of one byte and that control message.
fn header(part: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    let mut header = paths::header(std::slice::from_mut(part), None);
    header.msg_control = control.as_mut_ptr().cast();
    // SAFETY: computes a number from a number.
    header.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<c_int>() as u32) } as usize;
    header
}

/// Sends a descriptor over a socket of AF_UNIX.
fn hand_over(over: BorrowedFd, what: BorrowedFd) -> io::Result<()> {
    let (mut byte, mut control) = ([1_u8], Control::default());
    let mut part = paths::part(&mut byte);
    let header = header(&mut part, &mut control);
    // SAFETY: the control buffer is as large as the header says and aligned for
    // the one message written into it; all outlives the call.
    check(unsafe {
        let message = &mut *libc::CMSG_FIRSTHDR(&header);
        message.cmsg_level = libc::SOL_SOCKET;
        message.cmsg_type = libc::SCM_RIGHTS;
        message.cmsg_len = libc::CMSG_LEN(size_of::<c_int>() as u32) as usize;
        libc::CMSG_DATA(message)
            .cast::<c_int>()
            .write(what.as_raw_fd());
        libc::sendmsg(over.as_raw_fd(), &header, 0)
    })?;
    Ok(())
}

/// Receives it.
fn take_over(over: BorrowedFd) -> anyhow::Result<OwnedFd> {
    let (mut byte, mut control) = ([0_u8], Control::default());
    let mut part = paths::part(&mut byte);
    let mut header = header(&mut part, &mut control);
    // SAFETY: header, part and control buffer outlive the call.
    check(unsafe { libc::recvmsg(over.as_raw_fd(), &mut header, libc::MSG_CMSG_CLOEXEC) })?;
    // SAFETY: null, or a message within what the kernel has just written.
    let message = unsafe { libc::CMSG_FIRSTHDR(&header).as_ref() };
    let message = message.context("no descriptor came")?;
    // SAFETY: the message carries one descriptor, as `hand_over` sent it.
    let raw = unsafe { libc::CMSG_DATA(message).cast::<c_int>().read() };
    Ok(sys::own(raw)?)
}

/// Sends from the one socket to the other and receives the same.
pub fn talk(near: &Socket, far: &Socket, bytes: usize, ledger: &mut Ledger) -> anyhow::Result<()> {
    let sent = near.send_plain(ledger, bytes)?;
    let received = far.receive(ledger, ReceivePath::Recv, &[9000], 0)?[0].bytes;
    ensure!(sent == received, "{sent} bytes sent, {received} received");
    Ok(())
}

/// A connection made by one process and used by another that it was sent to.
fn handed_over(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (ours, theirs) = sys::socket_pair(libc::AF_UNIX, libc::SOCK_STREAM)?;
    // The child is there before the connection, so it gets it by the message alone.
    let child = in_child(|ledger| {
        let socket = Socket::new(take_over(theirs.as_fd())?, Protocol::Tcp);
        socket.send_plain(ledger, 3456)?;
        sys::wait_for(socket.fd(), libc::POLLIN, 5000)?;
        socket.receive(ledger, ReceivePath::Recv, &[9000], 0)?;
        Ok(())
    })?;
    let (near, far) = tcp_pair(Family::V4)?;
    talk(&near, &far, 111, ledger)?;
    hand_over(ours.as_fd(), near.fd())?;
    sys::wait_for(far.fd(), libc::POLLIN, 5000)?;
    let received = far.receive(ledger, ReceivePath::Recv, &[9000], 0)?[0].bytes;
    ensure!(received == 3456, "{received} bytes received from the child");
    far.send_plain(ledger, 222)?;
    child.end_well()?;
    talk(&near, &far, 33, ledger)
}

/// Makes a descriptor outlive exec.
fn keep(fd: BorrowedFd) -> io::Result<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) } as isize)?;
    Ok(())
}

/// A process that moves bytes, becomes another program and moves more through
/// the same connection.
fn through_exec(ledger: &mut Ledger) -> anyhow::Result<()> {
    let pair = tcp_pair(Family::V4)?;
    talk(&pair.0, &pair.1, 100, ledger)?;
    let child = in_child(|ledger| {
        talk(&pair.0, &pair.1, 2100, ledger)?;
        report(ledger)?;
        let descriptors = [&pair.0, &pair.1].map(|socket| socket.fd.as_raw_fd().to_string());
        keep(pair.0.fd())?;
        keep(pair.1.fd())?;
        Err(command(HEIR).args(descriptors).exec().into())
    })?;
    child.end_well()?;
    talk(&pair.1, &pair.0, 55, ledger)
}

/// What the child has become: its sockets are there already.
pub fn heir(arguments: &[String]) -> anyhow::Result<()> {
    let inherited = |index: usize| -> anyhow::Result<Socket> {
        let raw = arguments.get(index).context("a descriptor is missing")?;
        // SAFETY: the program before this one kept the descriptor open for this
        // one and nobody else uses it.
        let fd = unsafe { OwnedFd::from_raw_fd(raw.parse()?) };
        Ok(Socket::new(fd, Protocol::Tcp))
    };
    let mut ledger = Ledger::default();
    talk(&inherited(0)?, &inherited(1)?, 1900, &mut ledger)?;
    report(&mut ledger)
}

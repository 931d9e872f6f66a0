//! Bytes that move without a copy: `MSG_ZEROCOPY` and `TCP_ZEROCOPY_RECEIVE`.
//!
//! Owns the memory mapping those need. Counts by what the calls say.

use std::ffi::c_void;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use anyhow::ensure;

use super::ledger::{Direction, How, Ledger};
use super::paths::{Outgoing, ReceivePath, SendPath};
use super::socket::{Family, Socket, tcp_pair, udp_pair};
use super::sys::{self, check};
use super::{Named, unsupported};

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::msg_zerocopy::send", |l| {
        send_zerocopy(tcp_pair(Family::V4)?, l)
    }),
    ("tcp6::msg_zerocopy::send", |l| {
        send_zerocopy(tcp_pair(Family::V6)?, l)
    }),
    ("udp4::msg_zerocopy::send", |l| {
        send_zerocopy(udp_pair(Family::V4)?, l)
    }),
    ("tcp4::tcp_zerocopy_receive::copied", |l| {
        receive_copied(Family::V4, l)
    }),
    ("tcp6::tcp_zerocopy_receive::copied", |l| {
        receive_copied(Family::V6, l)
    }),
    ("tcp4::tcp_zerocopy_receive::mapped", |l| {
        receive_mapped(Family::V4, l)
    }),
    ("tcp6::tcp_zerocopy_receive::mapped", |l| {
        receive_mapped(Family::V6, l)
    }),
];

const PAGE: usize = 4096;

fn send_zerocopy((near, far): (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    sys::set_option(near.fd(), libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)
        .map_err(|error| unsupported("SO_ZEROCOPY", error))?;
    let data = vec![0x5a; 20_011];
    let message = [Outgoing {
        data: &data,
        to: None,
    }];
    for path in [SendPath::Send, SendPath::Sendmsg] {
        let sent = near.send(ledger, path, &message, libc::MSG_ZEROCOPY)?;
        let mut received = 0;
        while received < sent {
            received += far.receive(ledger, ReceivePath::Recv, &[1 << 15], 0)?[0].bytes;
        }
        // The notice that the memory is free again: an error-queue message without data.
        sys::wait_for(near.fd(), libc::POLLERR, 1000)?;
        near.receive(ledger, ReceivePath::Recvmsg, &[100], libc::MSG_ERRQUEUE)?;
    }
    Ok(())
}

/// `struct tcp_zerocopy_receive` of linux/tcp.h.
#[repr(C)]
#[derive(Default)]
struct Request {
    address: u64,
    length: u32,
    recv_skip_hint: u32,
    inq: u32,
    err: i32,
    copybuf_address: u64,
    copybuf_len: i32,
    flags: u32,
    msg_control: u64,
    msg_controllen: u64,
    msg_flags: u32,
    reserved: u32,
}

/// Address space a TCP socket may put received pages into.
struct Window {
    address: *mut c_void,
    length: usize,
}

impl Window {
    fn of(socket: &Socket, length: usize) -> io::Result<Window> {
        let (protection, kind) = (libc::PROT_READ, libc::MAP_SHARED);
        let raw = socket.fd.as_raw_fd();
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe { libc::mmap(ptr::null_mut(), length, protection, kind, raw, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Window { address, length })
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping `of` made, to which no reference exists.
        unsafe { libc::munmap(self.address, self.length) };
    }
}

/// One `TCP_ZEROCOPY_RECEIVE`, written down; returns the bytes mapped and copied.
fn receive(
    socket: &Socket,
    window: &Window,
    copy_into: &mut [u8],
    ledger: &mut Ledger,
) -> io::Result<(usize, usize)> {
    let mut request = Request {
        address: window.address as u64,
        length: window.length as u32,
        copybuf_address: copy_into.as_mut_ptr() as u64,
        copybuf_len: copy_into.len() as i32,
        ..Request::default()
    };
    let mut size = size_of::<Request>() as libc::socklen_t;
    // SAFETY: `request` is as large as `size` says and points at `window`, a
    // mapping of this very socket, and at `copy_into`.
    check(unsafe {
        libc::getsockopt(
            socket.fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_ZEROCOPY_RECEIVE,
            (&raw mut request).cast(),
            &mut size,
        )
    } as isize)?;
    let moved = (request.length as usize, request.copybuf_len.max(0) as usize);
    let movement = socket.movement(Direction::Received, None, How::ZerocopyReceive);
    ledger.record(movement, moved.0 + moved.1);
    Ok(moved)
}

/// Less than a page: the kernel copies it into the buffer given for that.
fn receive_copied(family: Family, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = tcp_pair(family)?;
    let window =
        Window::of(&far, 16 * PAGE).map_err(|error| unsupported("mapping a TCP socket", error))?;
    near.send_plain(ledger, 3001)?;
    sys::wait_for(far.fd(), libc::POLLIN, 1000)?;
    let mut copied = vec![0; 2 * PAGE];
    let moved = receive(&far, &window, &mut copied, ledger)?;
    if moved == (0, 0) {
        return Err(unsupported("TCP_ZEROCOPY_RECEIVE", "no copy buffer"));
    }
    ensure!(moved == (0, 3001), "{moved:?} bytes mapped and copied");
    Ok(())
}

/// Whole pages that came out of a pipe belong to no file, so they can be mapped.
fn receive_mapped(family: Family, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = tcp_pair(family)?;
    let window =
        Window::of(&far, 16 * PAGE).map_err(|error| unsupported("mapping a TCP socket", error))?;
    let data = vec![0x5a; 8 * PAGE];
    let message = [Outgoing {
        data: &data,
        to: None,
    }];
    let sent = near.send(ledger, SendPath::Splice, &message, 0)?;
    let (mut mapped, mut received) = (0, 0);
    while received < sent {
        sys::wait_for(far.fd(), libc::POLLIN, 1000)?;
        let (pages, _) = receive(&far, &window, &mut [], ledger)?;
        mapped += pages;
        received += pages;
        if pages == 0 {
            received += far.receive(ledger, ReceivePath::Recv, &[PAGE], 0)?[0].bytes;
        }
    }
    if mapped == 0 {
        return Err(unsupported(
            "TCP_ZEROCOPY_RECEIVE",
            "no page could be mapped",
        ));
    }
    Ok(())
}

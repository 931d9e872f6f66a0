//! Asynchronous I/O by `io_submit`, which moves socket bytes like any file's.
//!
//! Counts what the events say.

use std::io;
use std::os::fd::AsRawFd;

use anyhow::ensure;

use super::ledger::{Direction, How, Ledger};
use super::socket::{Family, Socket, tcp_pair, udp_pair};
use super::sys::check;
use super::{Named, unsupported};

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::aio::write_read", |l| run(tcp_pair(Family::V4)?, l)),
    ("udp4::aio::write_read", |l| run(udp_pair(Family::V4)?, l)),
];

// From linux/aio_abi.h.
const READ: u16 = 0;
const WRITE: u16 = 1;

/// `struct iocb`, little-endian.
#[repr(C)]
#[derive(Default)]
struct Request {
    data: u64,
    key: [u32; 2],
    opcode: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    length: u64,
    offset: i64,
    reserved: u64,
    flags: [u32; 2],
}

/// `struct io_event`.
#[repr(C)]
#[derive(Default)]
struct Event {
    data: u64,
    request: u64,
    result: i64,
    second_result: i64,
}

fn run((near, far): (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    let mut context: u64 = 0;
    // SAFETY: the kernel writes the context's handle; it ends with this process.
    check(unsafe { libc::syscall(libc::SYS_io_setup, 1, &raw mut context) } as isize)
        .map_err(|error| unsupported("io_setup", error))?;
    let mut data = vec![0x5a_u8; 2468];
    let mut once = |opcode, socket: &Socket, direction| {
        let mut request = Request {
            opcode,
            fd: socket.fd.as_raw_fd() as u32,
            buffer: data.as_mut_ptr() as u64,
            length: data.len() as u64,
            ..Request::default()
        };
        let requests = [&raw mut request];
        let mut event = Event::default();
        // SAFETY: one request, alive with its buffer until its event has come.
        check(unsafe {
            libc::syscall(libc::SYS_io_submit, context, 1, requests.as_ptr()) as isize
        })?;
        let forever = std::ptr::null::<libc::timespec>();
        // SAFETY: there is room for one event.
        check(unsafe {
            let event = &raw mut event;
            libc::syscall(libc::SYS_io_getevents, context, 1, 1, event, forever) as isize
        })?;
        let moved = usize::try_from(event.result)
            .map_err(|_| io::Error::from_raw_os_error(-event.result as i32))?;
        // Not a system call that names the socket, like io_uring.
        ledger.record(socket.movement(direction, None, How::Aio), moved);
        io::Result::Ok(moved)
    };
    let sent = once(WRITE, &near, Direction::Sent)?;
    let received = once(READ, &far, Direction::Received)?;
    ensure!(sent == received, "{sent} bytes sent, {received} received");
    Ok(())
}

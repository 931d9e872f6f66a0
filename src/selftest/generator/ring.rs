//! The smallest io_uring that can send and receive.
//!
//! One request at a time: fill the only entry, enter, take the only completion.
//! Counts what the completions say.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::ensure;

use super::ledger::{Direction, How, Ledger};
use super::socket::{Family, Socket, tcp_pair, udp_pair};
use super::sys::{check, own};
use super::{Named, unsupported};

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::io_uring::send_recv", |l| {
        run(tcp_pair(Family::V4)?, SEND_RECV, 0, l)
    }),
    ("tcp6::io_uring::send_recv", |l| {
        run(tcp_pair(Family::V6)?, SEND_RECV, 0, l)
    }),
    ("udp4::io_uring::send_recv", |l| {
        run(udp_pair(Family::V4)?, SEND_RECV, 0, l)
    }),
    ("udp6::io_uring::send_recv", |l| {
        run(udp_pair(Family::V6)?, SEND_RECV, 0, l)
    }),
    ("tcp4::io_uring::write_read", |l| {
        run(tcp_pair(Family::V4)?, WRITE_READ, 0, l)
    }),
    ("udp4::io_uring::write_read", |l| {
        run(udp_pair(Family::V4)?, WRITE_READ, 0, l)
    }),
    ("tcp4::io_uring::by_worker", |l| {
        run(tcp_pair(Family::V4)?, SEND_RECV, ASYNC, l)
    }),
    ("udp4::io_uring::by_worker", |l| {
        run(udp_pair(Family::V4)?, SEND_RECV, ASYNC, l)
    }),
];

// From linux/io_uring.h.
const SEND_RECV: (u8, u8) = (26, 27);
const WRITE_READ: (u8, u8) = (23, 22);
/// `IOSQE_ASYNC`: a worker thread of the process makes the call.
const ASYNC: u8 = 1 << 4;
const SINGLE_MAPPING: u32 = 1;
const GET_EVENTS: u32 = 1;
const ENTRIES_OFFSET: i64 = 0x1000_0000;
const MAPPED: usize = 1 << 16;

#[repr(C)]
#[derive(Default)]
struct Offsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    /// Submissions: flags, dropped, array. Completions: overflow, cqes, flags.
    rest: [u32; 3],
    reserved: [u32; 3],
}

#[repr(C)]
#[derive(Default)]
struct Parameters {
    entries: [u32; 2],
    flags: u32,
    thread: [u32; 2],
    features: u32,
    wq_fd: u32,
    reserved: [u32; 3],
    submissions: Offsets,
    completions: Offsets,
}

#[repr(C)]
#[derive(Default)]
struct Entry {
    opcode: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    length: u32,
    rest: [u32; 9],
}

struct Ring {
    fd: OwnedFd,
    rings: *mut u8,
    entries: *mut Entry,
    parameters: Parameters,
}

impl Ring {
    fn new() -> io::Result<Ring> {
        let mut parameters = Parameters::default();
        // SAFETY: the kernel fills in `parameters`, which has the layout it expects.
        let fd =
            own(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut parameters) as i32 })?;
        if parameters.features & SINGLE_MAPPING == 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let map = |offset| {
            let (protection, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            let length = if offset == 0 {
                ring_size(&parameters)
            } else {
                size_of::<Entry>()
            };
            // SAFETY: a new mapping of the ring; it stays until this process
            // ends, which is milliseconds away.
            match unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    length,
                    protection,
                    kind,
                    fd.as_raw_fd(),
                    offset,
                )
            } {
                libc::MAP_FAILED => Err(io::Error::last_os_error()),
                address => Ok(address.cast::<u8>()),
            }
        };
        Ok(Ring {
            rings: map(0)?,
            entries: map(ENTRIES_OFFSET)?.cast(),
            fd,
            parameters,
        })
    }

    /// A 32-bit word that the kernel shares.
    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel gave the offset of an aligned u32 within the mapping,
        // which lives as long as the process.
        unsafe { AtomicU32::from_ptr(self.rings.add(offset as usize).cast()) }
    }

    /// Makes one request and waits for its result.
    fn run(&self, entry: Entry) -> io::Result<usize> {
        let (to, from) = (&self.parameters.submissions, &self.parameters.completions);
        // SAFETY: the ring has one entry, mapped and not in use by the kernel now.
        unsafe { self.entries.write(entry) };
        self.word(to.rest[2]).store(0, Ordering::Relaxed);
        self.word(to.tail).fetch_add(1, Ordering::Release);
        // SAFETY: takes integers only; `entry` points at memory that outlives the call.
        check(unsafe {
            let raw = self.fd.as_raw_fd();
            libc::syscall(libc::SYS_io_uring_enter, raw, 1, 1, GET_EVENTS, 0, 0) as isize
        })?;
        let head = self.word(from.head).fetch_add(1, Ordering::AcqRel);
        let slot = head & self.word(from.ring_mask).load(Ordering::Relaxed);
        // A completion is {u64 user_data, i32 result, u32 flags}.
        let result = self
            .word(from.rest[1] + slot * 16 + 8)
            .load(Ordering::Acquire) as i32;
        usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
    }
}

/// The completions come after the submissions' array; both lie within this size.
fn ring_size(parameters: &Parameters) -> usize {
    let completions = parameters.completions.rest[1] + parameters.entries[1] * 16;
    let submissions = parameters.submissions.rest[2] + parameters.entries[0] * 4;
    (completions.max(submissions) as usize).min(MAPPED)
}

fn run(
    (near, far): (Socket, Socket),
    opcodes: (u8, u8),
    flags: u8,
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let ring = Ring::new().map_err(|error| unsupported("io_uring", error))?;
    let mut data = vec![0x5a_u8; 3210];
    let address = data.as_mut_ptr() as u64;
    let mut once = |opcode, socket: &Socket, direction| {
        let length = data.len() as u32;
        let fd = socket.fd.as_raw_fd();
        // Offset -1 means "the file position", which a socket has not; SEND has no offset.
        let offset = if opcodes == WRITE_READ { u64::MAX } else { 0 };
        let entry = Entry {
            opcode,
            flags,
            fd,
            offset,
            address,
            length,
            ..Entry::default()
        };
        let moved = ring.run(entry)?;
        ledger.record(socket.movement(direction, None, How::Ring), moved);
        io::Result::Ok(moved)
    };
    let sent = once(opcodes.0, &near, Direction::Sent)?;
    let received = once(opcodes.1, &far, Direction::Received)?;
    ensure!(sent == received, "{sent} bytes sent, {received} received");
    Ok(())
}

//! An io_uring: its memory, its requests and its completions.
//!
//! Owns what the kernel shares with this process. Which requests are made, and
//! what of them counts, is the business of the `ring` files.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use super::sys::{check, own};

// From linux/io_uring.h.
/// `IORING_SETUP_SQPOLL`: a thread of the kernel takes the requests.
pub const SETUP_POLLED: u32 = 1 << 1;
/// `IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN`: what a request
/// still has to do is done in the call that waits for it.
pub const SETUP_DEFERRED: u32 = 1 << 12 | 1 << 13;
/// `IOSQE_FIXED_FILE`: the descriptor is an index of the registered ones.
pub const FIXED_FILE: u8 = 1;
/// `IOSQE_IO_LINK`: the next request waits for this one.
pub const LINK: u8 = 1 << 2;
/// `IOSQE_ASYNC`: a worker thread of the process makes the call.
pub const ASYNC: u8 = 1 << 4;
/// `IOSQE_BUFFER_SELECT`: the kernel takes a buffer of those it was given.
pub const BUFFER_SELECT: u8 = 1 << 5;
/// `IORING_CQE_F_MORE`: the request will complete again.
pub const MORE: u32 = 1 << 1;
/// `IORING_CQE_F_NOTIF`: not the result but the notice that the memory is free.
pub const NOTICE: u32 = 1 << 3;

const SINGLE_MAPPING: u32 = 1;
const NEED_WAKEUP: u32 = 1;
const GET_EVENTS: u32 = 1;
const WAKEUP: u32 = 1 << 1;
const EXTENDED: u32 = 1 << 3;
const REGISTER_BUFFERS: u32 = 0;
const REGISTER_FILES: u32 = 2;
const REGISTER_PROBE: u32 = 8;
/// `IO_URING_OP_SUPPORTED`
const SUPPORTED: u16 = 1;
const ENTRIES_OFFSET: i64 = 0x1000_0000;
/// Longer than any request takes.
const PATIENCE_SECONDS: i64 = 5;

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

/// Memory that requests point at. It is kept for the process's life: a request
/// that is not done in time goes on after whoever waited for it has given up.
pub fn kept<T>(memory: T) -> &'static mut T {
    Box::leak(Box::new(memory))
}

/// One request: `struct io_uring_sqe`.
#[repr(C)]
#[derive(Default, Clone, Copy)]
pub struct Entry {
    pub opcode: u8,
    /// `IOSQE_*`.
    pub flags: u8,
    /// `ioprio`, which for sockets are flags of the request.
    pub priority: u16,
    pub fd: i32,
    pub offset: u64,
    pub address: u64,
    pub length: u32,
    /// `msg_flags` or `splice_flags`.
    pub call_flags: u32,
    /// Comes back with the completion.
    pub tag: u64,
    pub buffer_group: u16,
    pub personality: u16,
    /// `splice_fd_in`.
    pub from: i32,
    pub rest: [u64; 2],
}

/// One completion: `struct io_uring_cqe`.
#[derive(Debug, Clone, Copy)]
pub struct Completion {
    pub tag: u64,
    pub flags: u32,
    result: i32,
}

impl Completion {
    /// What the call would have returned.
    pub fn result(&self) -> io::Result<usize> {
        usize::try_from(self.result).map_err(|_| io::Error::from_raw_os_error(-self.result))
    }
}

/// `struct io_uring_probe_op`.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Kind {
    opcode: u8,
    reserved: u8,
    flags: u16,
    more_reserved: u32,
}

/// More kinds of requests than any kernel knows.
const PROBED: usize = 128;

/// `struct io_uring_probe`.
#[repr(C)]
struct Probe {
    last_and_count: [u8; 2],
    reserved: u16,
    more_reserved: [u32; 3],
    kinds: [Kind; PROBED],
}

impl Default for Probe {
    fn default() -> Probe {
        Probe {
            last_and_count: [0; 2],
            reserved: 0,
            more_reserved: [0; 3],
            kinds: [Kind::default(); PROBED],
        }
    }
}

/// `struct io_uring_getevents_arg`.
#[repr(C)]
struct Wait {
    signals: u64,
    signals_size: u32,
    shortest: u32,
    longest: u64,
}

/// A ring; its memory stays until this process ends, which is milliseconds away.
pub struct Ring {
    fd: OwnedFd,
    rings: *mut u8,
    entries: *mut Entry,
    parameters: Parameters,
}

impl Ring {
    /// A ring of `entries` requests with these `IORING_SETUP_*` flags.
    pub fn new(entries: u32, flags: u32) -> io::Result<Ring> {
        let mut parameters = Parameters {
            flags,
            ..Parameters::default()
        };
        // SAFETY: the kernel fills in `parameters`, which has the layout it expects.
        let fd = own(unsafe {
            libc::syscall(libc::SYS_io_uring_setup, entries, &raw mut parameters) as i32
        })?;
        if parameters.features & SINGLE_MAPPING == 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let map = |length, offset| {
            let (protection, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            let raw = fd.as_raw_fd();
            // SAFETY: a new mapping of the ring at an address of the kernel's choice.
            match unsafe { libc::mmap(ptr::null_mut(), length, protection, kind, raw, offset) } {
                libc::MAP_FAILED => Err(io::Error::last_os_error()),
                address => Ok(address.cast::<u8>()),
            }
        };
        let room = parameters.entries[0] as usize * size_of::<Entry>();
        Ok(Ring {
            rings: map(ring_size(&parameters), 0)?,
            entries: map(room, ENTRIES_OFFSET)?.cast(),
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

    /// Makes descriptors known, so that requests can name them by their index.
    pub fn register_files(&self, descriptors: &[i32]) -> io::Result<()> {
        self.register(REGISTER_FILES, descriptors)
    }

    /// Makes memory known that is [`kept`].
    pub fn register_buffers(&self, parts: &[libc::iovec]) -> io::Result<()> {
        self.register(REGISTER_BUFFERS, parts)
    }

    fn register<T>(&self, what: u32, list: &[T]) -> io::Result<()> {
        let (start, count) = (list.as_ptr().cast_mut().cast(), list.len());
        // SAFETY: pointer and length describe `list`, which these calls only read.
        unsafe { self.register_at(what, start, count) }
    }

    /// # Safety
    /// `start` must be `count` elements of what the call `what` reads and writes.
    unsafe fn register_at(&self, what: u32, start: *mut c_void, count: usize) -> io::Result<()> {
        let raw = self.fd.as_raw_fd();
        // SAFETY: the caller's business.
        check(unsafe {
            libc::syscall(libc::SYS_io_uring_register, raw, what, start, count) as isize
        })?;
        Ok(())
    }

    /// True if this kernel has requests of that kind.
    pub fn knows(&self, opcode: u8) -> io::Result<bool> {
        let mut probe = Probe::default();
        let start = (&raw mut probe).cast();
        // SAFETY: a probe with room for the kinds it is said to have room for.
        unsafe { self.register_at(REGISTER_PROBE, start, PROBED) }?;
        let kind = probe.kinds.get(usize::from(opcode));
        Ok(kind.is_some_and(|kind| kind.flags & SUPPORTED != 0))
    }

    /// Makes these requests, which are no more than the ring has room for.
    pub fn submit(&self, requests: &[Entry]) -> io::Result<()> {
        let to = &self.parameters.submissions;
        let mask = self.word(to.ring_mask).load(Ordering::Relaxed);
        for &request in requests {
            let tail = self.word(to.tail).load(Ordering::Relaxed);
            let slot = tail & mask;
            // SAFETY: the slot is one of the mapped ones, and the kernel has taken
            // what was there: all completions of earlier requests were waited for.
            unsafe { self.entries.add(slot as usize).write(request) };
            self.word(to.rest[2] + slot * 4)
                .store(slot, Ordering::Relaxed);
            self.word(to.tail)
                .store(tail.wrapping_add(1), Ordering::Release);
        }
        fence(Ordering::SeqCst);
        let is_polled = self.parameters.flags & SETUP_POLLED != 0;
        if !is_polled {
            return self.enter(requests.len() as u32, 0, 0);
        }
        if self.word(to.rest[0]).load(Ordering::Relaxed) & NEED_WAKEUP != 0 {
            return self.enter(requests.len() as u32, 0, WAKEUP);
        }
        Ok(())
    }

    fn enter(&self, requests: u32, completions: u32, flags: u32) -> io::Result<()> {
        let longest = libc::timespec {
            tv_sec: PATIENCE_SECONDS,
            tv_nsec: 0,
        };
        let wait = Wait {
            signals: 0,
            signals_size: 0,
            shortest: 0,
            longest: (&raw const longest) as u64,
        };
        let (raw, flags) = (self.fd.as_raw_fd(), flags | EXTENDED);
        // SAFETY: `wait` has the size given and points at `longest`, both of which the
        // call alone reads; what the requests point at is `kept`.
        check(unsafe {
            let (wait, size) = (&raw const wait, size_of::<Wait>());
            let number = libc::SYS_io_uring_enter;
            libc::syscall(number, raw, requests, completions, flags, wait, size) as isize
        })?;
        Ok(())
    }

    /// The next completion, if there is one by now.
    fn take(&self) -> Option<Completion> {
        let from = &self.parameters.completions;
        let head = self.word(from.head).load(Ordering::Relaxed);
        if head == self.word(from.tail).load(Ordering::Acquire) {
            return None;
        }
        let slot = head & self.word(from.ring_mask).load(Ordering::Relaxed);
        // {u64 user_data, i32 result, u32 flags}
        let at = from.rest[1] + slot * 16;
        let part = |index: u32| self.word(at + 4 * index).load(Ordering::Relaxed);
        let completion = Completion {
            tag: u64::from(part(1)) << 32 | u64::from(part(0)),
            result: part(2) as i32,
            flags: part(3),
        };
        self.word(from.head)
            .store(head.wrapping_add(1), Ordering::Release);
        Some(completion)
    }

    /// Waits for the next completion; none in time is an error.
    pub fn wait(&self) -> io::Result<Completion> {
        loop {
            if let Some(completion) = self.take() {
                return Ok(completion);
            }
            self.enter(0, 1, GET_EVENTS)?;
        }
    }

    /// Makes one request and waits for its result.
    pub fn run(&self, request: Entry) -> io::Result<usize> {
        self.submit(&[request])?;
        self.wait()?.result()
    }
}

/// The completions come after the submissions' array.
fn ring_size(parameters: &Parameters) -> usize {
    let completions = parameters.completions.rest[1] + parameters.entries[1] * 16;
    let submissions = parameters.submissions.rest[2] + parameters.entries[0] * 4;
    completions.max(submissions) as usize
}

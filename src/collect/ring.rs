//! A TPACKET_V3 ring: the kernel's frames in shared memory. The only file with pointers
//! into it.
//!
//! Owns the mapping, and whose turn each block is. What a block holds is read by `block`,
//! which sees it as bytes; how the socket is set up is the business of `socket`, with whom it
//! shares its frames that of `group`.

pub mod block;
mod group;
mod socket;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub use block::Frame;

/// What to open.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `ifindex` to capture on, 0 for all interfaces.
    pub interface: u32,
    /// Bytes of a block.
    pub block_size: u32,
    /// Blocks.
    pub block_count: u32,
    /// Bytes that a frame may take.
    pub frame_size: u32,
    /// Longest time that the kernel holds back a block that is not full.
    pub block_timeout: Duration,
}

/// What the kernel leaves out of a ring, and how much of a frame it keeps.
#[derive(Debug, Clone, Copy, Default)]
pub enum Filter<'a> {
    /// Every frame, whole.
    #[default]
    None,
    /// A classic BPF program; what it returns is how many bytes are kept.
    Classic(&'a [libc::sock_filter]),
    /// A loaded program of the kind `BPF_PROG_TYPE_SOCKET_FILTER`.
    Bpf(BorrowedFd<'a>),
}

/// What the kernel says of a ring since it was last asked (`PACKET_STATISTICS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Frames that passed the filter, dropped ones included.
    pub packets: u64,
    /// Frames that found no room.
    pub drops: u64,
    /// Times that the queue froze.
    pub freezes: u64,
}

/// An open ring; see the module's text.
#[derive(Debug)]
pub struct Ring {
    socket: OwnedFd,
    blocks: Blocks,
    interface: u32,
    unread: u64,
    /// Blocks of the last round that were full.
    full: usize,
}

/// How long the kernel may hold back a block after its time: a moment of a machine that does
/// nothing else.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two looks whether it does.
const NAP: Duration = Duration::from_millis(5);
/// Longest [rest](Ring::rest).
const LONGEST_REST: Duration = Duration::from_millis(40);
/// A shorter one is not worth its own wake-up.
const LEAST_REST: Duration = Duration::from_millis(2);
/// Bytes per second that no ring is filled at: the kernel puts one frame after the other into
/// it under its lock (`tpacket_rcv`, net/packet/af_packet.c), a few million a second, and the
/// filter leaves some hundred bytes of each.
const FASTEST: u64 = 1_000_000_000;

impl Ring {
    /// Opens and maps a ring of all frames; they come from when it returns.
    ///
    /// # Errors
    /// One line for a person: no CAP_NET_RAW, no such interface, an interface that is
    /// down, a ring too large.
    pub fn open(settings: &Settings) -> Result<Ring> {
        Ring::open_filtered(settings, Filter::None)
    }

    /// As [`Ring::open`], with a filter that no frame gets around.
    ///
    /// # Errors
    /// As [`Ring::open`], and a filter that the kernel does not take.
    pub fn open_filtered(settings: &Settings, filter: Filter<'_>) -> Result<Ring> {
        socket::check_room(settings, 1)?;
        let ring = Ring::closed(socket::open(settings.interface)?, settings)?;
        socket::attach(&ring.socket, filter)?;
        Ok(ring)
    }

    /// Opens `count` rings that share what comes in: each frame goes into one of them.
    /// They are fanout group `number`, which has room for no more, so that it cannot be
    /// shared unnoticed with another program. A single ring has nobody to share with and
    /// joins none, which costs who sends less.
    ///
    /// # Errors
    /// As [`Ring::open_filtered`], and a group that another program uses.
    pub fn open_group(
        settings: &Settings,
        number: u16,
        count: u16,
        filter: Filter<'_>,
    ) -> Result<Vec<Ring>> {
        if count == 1 {
            return Ok(vec![Ring::open_filtered(settings, filter)?]);
        }
        socket::check_room(settings, count)?;
        let sockets = (0..count)
            .map(|_| socket::open(settings.interface))
            .collect::<Result<Vec<OwnedFd>>>()?;
        // First, as memory is what takes time.
        group::join(&sockets, number, settings.interface)?;
        let rings = sockets
            .into_iter()
            .map(|socket| Ring::closed(socket, settings))
            .collect::<Result<Vec<Ring>>>()?;
        for ring in &rings {
            socket::attach(&ring.socket, filter)?;
        }
        Ok(rings)
    }

    /// A ring into which nothing comes yet.
    fn closed(socket: OwnedFd, settings: &Settings) -> Result<Ring> {
        socket::make_ring(&socket, settings)?;
        let (block_size, block_count) =
            (settings.block_size as usize, settings.block_count as usize);
        let length = block_size
            .checked_mul(block_count)
            .context("the ring is too large")?;
        let (protection, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                protection,
                kind,
                socket.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            let error = io::Error::last_os_error();
            return Err(match error.raw_os_error() {
                Some(libc::ENOMEM) => socket::no_memory(settings),
                _ => anyhow::Error::new(error).context("could not map the capture ring"),
            });
        }
        let start = NonNull::new(start.cast()).context("the capture ring is mapped nowhere")?;
        Ok(Ring {
            socket,
            blocks: Blocks {
                start,
                size: block_size,
                count: block_count,
                current: 0,
            },
            interface: settings.interface,
            unread: 0,
            full: 0,
        })
    }

    /// Waits for a block, at the longest for `timeout`; true if there is one.
    ///
    /// # Errors
    /// If the interface went down or the socket fails.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool> {
        self.wait_beside(timeout, None)
    }

    /// As [`Ring::wait`], and ends as soon as `bell` can be read, too.
    ///
    /// # Errors
    /// As [`Ring::wait`].
    pub fn wait_beside(&mut self, timeout: Duration, bell: Option<BorrowedFd<'_>>) -> Result<bool> {
        if self.blocks.are_ready() {
            return Ok(true);
        }
        let failed = socket::poll(self.socket.as_fd(), bell, timeout)?;
        if failed && let Some(error) = socket::pending(&self.socket)? {
            return Err(socket::went_down(error, self.interface));
        }
        Ok(self.blocks.are_ready())
    }

    /// Hands every frame of the blocks that are there to `each`, and the blocks back to
    /// the kernel; how many frames. Ends after one round, however fast new ones come.
    pub fn drain(&mut self, each: impl FnMut(Frame<'_>)) -> usize {
        let walked = self.blocks.drain(each);
        self.unread += walked.corrupt as u64;
        self.full = walked.full;
        walked.frames
    }

    /// Lets nothing more in. What came before is still there for [`Ring::wait_for_rest`].
    ///
    /// # Errors
    /// If the socket fails.
    pub fn close(&self) -> Result<()> {
        socket::close(&self.socket)
    }

    /// Waits for a block of those that are left after [`Ring::close`], as long as the
    /// kernel holds one back; false when all was drained.
    pub fn wait_for_rest(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        while !self.blocks.are_ready() {
            let held = self.blocks.held();
            if held == 0 {
                // The kernel may have given it away between the two looks.
                return self.blocks.are_ready();
            }
            if Instant::now() >= end {
                self.unread += u64::from(held);
                return false;
            }
            // That the interface went down, or that there is no waiting, changes nothing in
            // what the ring holds.
            if self.wait(NAP).is_err() {
                thread::sleep(NAP);
            }
        }
        true
    }

    /// How long nobody need look at the ring after it was drained, while blocks fill up one
    /// after the other: to be woken for each would cost a tenth of what its frames cost.
    /// Half of the ring has room for whatever may come meanwhile. `None` where blocks are
    /// not full when they come, or half of them were before they were drained.
    pub fn rest(&self) -> Option<Duration> {
        self.blocks.rest(self.full)
    }

    /// What the kernel counted since the last call.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn statistics(&mut self) -> Result<Statistics> {
        socket::statistics(&self.socket)
    }

    /// Frames that were not read since the last call: they did not lie in their block, or
    /// the kernel did not give their block away.
    pub fn take_unread(&mut self) -> u64 {
        std::mem::take(&mut self.unread)
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let length = self.blocks.size * self.blocks.count;
        // SAFETY: exactly the mapping that `closed` made, to which no reference exists.
        unsafe {
            libc::munmap(self.blocks.start.as_ptr().cast(), length);
        }
    }
}

/// The block is the reader's (`TP_STATUS_USER`); any other bit is a remark.
const USER: u32 = libc::TP_STATUS_USER;
/// The kernel held it back long enough (`TP_STATUS_BLK_TMO`); any other one is full.
const TIMED_OUT: u32 = libc::TP_STATUS_BLK_TMO;
/// The block is the kernel's.
const KERNEL: u32 = libc::TP_STATUS_KERNEL;

/// What was in the blocks that were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Drained {
    /// Frames that were handed on.
    frames: usize,
    /// Those that could not be.
    corrupt: usize,
    /// Blocks that were full.
    full: usize,
}

/// The blocks in shared memory: `count` of `size` bytes each from `start` on, aligned to a
/// page and mapped as long as this lives. The kernel writes only to those whose status
/// says that they are its.
#[derive(Debug)]
struct Blocks {
    start: NonNull<u8>,
    size: usize,
    count: usize,
    /// The block that the kernel fills next.
    current: usize,
}

// SAFETY: the memory belongs to this value alone and is not bound to a thread.
unsafe impl Send for Blocks {}

impl Blocks {
    /// Whose turn the block that comes next is.
    fn status(&self) -> &AtomicU32 {
        // SAFETY: within the memory, as `current` is less than `count` and a block has at
        // least a page; aligned, as blocks are whole pages; no reference to these four
        // bytes but atomic ones exists while this one lives.
        unsafe {
            let block = self.start.add(self.current * self.size);
            AtomicU32::from_ptr(block.add(block::STATUS).cast().as_ptr())
        }
    }

    fn are_ready(&self) -> bool {
        // Acquire: what the kernel wrote before it gave the block away is read after.
        self.status().load(Ordering::Acquire) & USER != 0
    }

    /// Frames of the block that comes next (`prb_fill_curr_block` in net/packet/af_packet.c
    /// counts each before it is copied; one that it opens it sets to 0).
    fn frame_count(&self) -> &AtomicU32 {
        // SAFETY: as in `status`; the slice of `drain` is gone when this is used.
        unsafe {
            let block = self.start.add(self.current * self.size);
            AtomicU32::from_ptr(block.add(block::FRAME_COUNT).cast().as_ptr())
        }
    }

    /// Frames that the kernel has put into a block that it did not give away yet.
    fn held(&self) -> u32 {
        self.frame_count().load(Ordering::Relaxed)
    }

    /// As [`Ring::rest`], after `full` blocks were.
    fn rest(&self, full: usize) -> Option<Duration> {
        if full == 0 || full > self.count / 2 {
            return None;
        }
        let room = (self.size * self.count / 2) as u64;
        let rest = Duration::from_micros(room / (FASTEST / 1_000_000)).min(LONGEST_REST);
        (rest >= LEAST_REST).then_some(rest)
    }

    /// As [`Ring::drain`].
    fn drain(&mut self, mut each: impl FnMut(Frame<'_>)) -> Drained {
        let mut sum = Drained::default();
        for _ in 0..self.count {
            let status = self.status().load(Ordering::Acquire);
            if status & USER == 0 {
                break;
            }
            sum.full += usize::from(status & TIMED_OUT == 0);
            // SAFETY: a whole block within the memory, as in `status`. The kernel gave it
            // away and does not write to it before it gets it back below, and the slice
            // is gone by then: no frame outlives the call of `each` that it is for.
            let bytes = unsafe {
                let block = self.start.add(self.current * self.size);
                std::slice::from_raw_parts(block.as_ptr(), self.size)
            };
            let walked = block::walk(bytes, &mut each);
            sum.frames += walked.frames;
            sum.corrupt += walked.corrupt;
            // The kernel may come back to it late, and until then it holds nothing back.
            self.frame_count().store(0, Ordering::Relaxed);
            // Release: what was read from the block was read before the kernel has it.
            self.status().store(KERNEL, Ordering::Release);
            self.current += 1;
            if self.current == self.count {
                self.current = 0;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests;

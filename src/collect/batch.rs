//! The two `bpf(2)` calls libbpf-rs does not offer in the form needed here.
//!
//! [`Batch`] reads a whole hash map by `BPF_MAP_LOOKUP_BATCH` into buffers that
//! stay: libbpf-rs's own iterator allocates two vectors for each entry, here an
//! entry costs nothing but the kernel's copy. [`statistics`] asks for what the
//! kernel counts of one program. Decodes nothing.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use anyhow::{Context, Result, ensure};
use libbpf_rs::{MapCore, MapHandle, libbpf_sys};

use super::wire::Wire;

/// Keys and values of the last read, index by index.
#[derive(Debug)]
pub struct Batch<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
    length: usize,
}

impl<K: Wire, V: Wire> Batch<K, V> {
    /// Buffers with room for `entries`; they grow when a map has more.
    pub fn new(entries: usize) -> Self {
        // The kernel hands out whole buckets and refuses one that does not fit.
        let room = entries + 64;
        Batch {
            keys: vec![K::default(); room],
            values: vec![V::default(); room],
            length: 0,
        }
    }

    /// Replaces the contents by those of `map`, a hash of exactly this key and value.
    ///
    /// # Errors
    /// What `bpf(2)` says, except that it grows its buffers on `ENOSPC`.
    pub fn read(&mut self, map: &MapHandle) -> Result<()> {
        self.read_at_most(map, usize::MAX)
    }

    /// As [`Batch::read`], but for the first `most` elements of an array.
    ///
    /// # Errors
    /// As [`Batch::read`].
    pub fn read_at_most(&mut self, map: &MapHandle, most: usize) -> Result<()> {
        self.length = 0;
        // What makes the call below sound: the kernel writes the map's sizes.
        let sizes = (map.key_size() as usize, map.value_size() as usize);
        ensure!(
            sizes == (size_of::<K>(), size_of::<V>()),
            "a kernel map has other keys or values than expected: {sizes:?}"
        );
        let fd = map.as_fd().as_raw_fd();
        // The cursor is a bucket number for hash maps (kernel/bpf/hashtab.c), a key
        // for arrays (generic_map_lookup_batch, kernel/bpf/syscall.c): a u32 both.
        let mut cursor = 0_u64;
        let mut started = false;
        while self.length < most {
            if self.length == self.keys.len() {
                self.grow();
            }
            // The capacity comes from --max-flows, a u32.
            let mut count = (self.keys.len().min(most) - self.length) as u32;
            let from = if started {
                ptr::from_mut(&mut cursor).cast()
            } else {
                ptr::null_mut()
            };
            // SAFETY: both buffers have `count` elements left from `length` on, each
            // of the map's key and value size, which was checked above;
            // the cursor has room for the u32 a hash map uses.
            let code = unsafe {
                libbpf_sys::bpf_map_lookup_batch(
                    fd,
                    from,
                    ptr::from_mut(&mut cursor).cast(),
                    self.keys.as_mut_ptr().add(self.length).cast(),
                    self.values.as_mut_ptr().add(self.length).cast(),
                    &mut count,
                    ptr::null(),
                )
            };
            match -code {
                0 => {}
                ENOENT => {
                    self.length += count as usize;
                    return Ok(());
                }
                // Nothing was copied: the next bucket is larger than what is left.
                ENOSPC => {
                    self.grow();
                    continue;
                }
                EINTR => continue,
                errno => {
                    return Err(std::io::Error::from_raw_os_error(errno))
                        .context("could not read a kernel map");
                }
            }
            self.length += count as usize;
            started = true;
        }
        Ok(())
    }

    fn grow(&mut self) {
        let room = self.keys.len() * 2;
        self.keys.resize(room, K::default());
        self.values.resize(room, V::default());
    }

    /// The entries read.
    pub fn entries(&self) -> impl Iterator<Item = (&K, &V)> {
        self.keys[..self.length]
            .iter()
            .zip(&self.values[..self.length])
    }

    /// Number of entries read.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True when the map was empty.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// What the kernel counts of one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProgramStatistics {
    /// Runs, while `kernel.bpf_stats_enabled` is set.
    pub runs: u64,
    /// Time of those runs in ns.
    pub run_time_ns: u64,
    /// Runs skipped because the program was already running on that CPU.
    pub recursion_misses: u64,
}

/// Asks the kernel about the program behind `program`.
///
/// # Errors
/// What `bpf(2)` says.
pub fn statistics(program: BorrowedFd<'_>) -> Result<ProgramStatistics> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    // The struct is a few hundred bytes.
    let mut length = size_of_val(&info) as u32;
    // SAFETY: the pointer and the length describe one bpf_prog_info, all zero,
    // which asks for none of the arrays.
    let code =
        unsafe { libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &mut info, &mut length) };
    if code != 0 {
        return Err(std::io::Error::from_raw_os_error(-code))
            .context("could not read the statistics of a kernel program");
    }
    Ok(ProgramStatistics {
        runs: info.run_cnt,
        run_time_ns: info.run_time_ns,
        recursion_misses: info.recursion_misses,
    })
}

// errno values are the same on every Linux architecture for these three.
const ENOENT: i32 = 2;
const EINTR: i32 = 4;
const ENOSPC: i32 = 28;

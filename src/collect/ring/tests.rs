//! The blocks in plain memory, with a thread in the kernel's place.
//!
//! `make asan` runs this under AddressSanitizer. What a reader and a writer may do to the
//! same memory is what Miri looks at: `cargo +nightly miri test --lib collect::ring`.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::thread;

use super::*;

const SIZE: usize = 4096;
const COUNT: usize = 4;
/// Blocks that are filled: several rounds.
const FILLED: u32 = 25;

/// Zeroed pages, freed at the end.
struct Pages(NonNull<u8>);

fn layout() -> Layout {
    Layout::from_size_align(SIZE * COUNT, SIZE).unwrap()
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and nobody uses it any more.
        unsafe { dealloc(self.0.as_ptr(), layout()) };
    }
}

impl Pages {
    fn blocks(&self) -> Blocks {
        Blocks {
            start: self.0,
            size: SIZE,
            count: COUNT,
            current: 0,
        }
    }
}

/// Fills a block that is the kernel's with two frames of a few bytes and gives it away.
fn fill(blocks: &mut Blocks, number: u32) {
    let mut bytes = vec![0; SIZE];
    let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    put(12, 2);
    put(16, 48);
    for (at, next) in [(48, 104), (48 + 104, 0)] {
        put(at, next);
        put(at + 12, 18);
        put(at + 16, number);
        put(at + 24, 82 | (82 + 14) << 16);
        put(at + 82 + 14, number);
    }
    let status = block::STATUS;
    // SAFETY: the block is the kernel's, whose part is played here; all but the status,
    // which is given away below.
    unsafe {
        let start = blocks.start.add(blocks.current * SIZE).as_ptr();
        ptr::copy_nonoverlapping(bytes.as_ptr(), start, status);
        let behind = status + 4;
        ptr::copy_nonoverlapping(bytes[behind..].as_ptr(), start.add(behind), SIZE - behind);
    }
    // Some remark, and every fifth was not full.
    let timed_out = if number.is_multiple_of(5) {
        TIMED_OUT
    } else {
        0
    };
    let status = USER | 1 << 3 | timed_out;
    blocks.status().store(status, Ordering::Release);
    blocks.current = (blocks.current + 1) % COUNT;
}

#[test]
fn a_reader_and_a_writer_take_turns() {
    // SAFETY: the layout is not empty.
    let pages = Pages(NonNull::new(unsafe { alloc_zeroed(layout()) }).unwrap());
    let mut kernel = pages.blocks();
    let mut reader = pages.blocks();
    assert!(!reader.are_ready());
    let mut seen = Vec::new();
    let mut full = 0;
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 100..100 + FILLED {
                while kernel.are_ready() {
                    thread::yield_now();
                }
                fill(&mut kernel, number);
            }
        });
        while seen.len() < 2 * FILLED as usize {
            let before = seen.len();
            let walked = reader.drain(|frame| {
                assert_eq!(frame.network, frame.length.to_ne_bytes());
                seen.push(frame.length);
            });
            assert_eq!((walked.frames, walked.corrupt), (seen.len() - before, 0));
            full += walked.full;
            thread::yield_now();
        }
    });
    let expected: Vec<u32> = (100..100 + FILLED).flat_map(|number| [number; 2]).collect();
    assert_eq!(seen, expected);
    assert_eq!(full, FILLED as usize / 5 * 4);
    assert!(!reader.are_ready());
    assert_eq!(reader.held(), 0);
}

#[test]
fn a_rest_leaves_half_of_the_ring_free() {
    let rest = |full, size, count| {
        let blocks = Blocks {
            start: NonNull::dangling(),
            size,
            count,
            current: 0,
        };
        blocks.rest(full).map_or(0, |rest| rest.as_millis())
    };
    // What the command opens, a quarter of it, and two rings that are soon full.
    assert_eq!(rest(1, 262_144, 1024), 40);
    assert_eq!(rest(1, 262_144, 256), 33);
    assert_eq!(rest(1, 262_144, 64), 8);
    assert_eq!(rest(1, 262_144, 8), 0);
    assert_eq!(rest(1, 4096, 64), 0);
    // Blocks that come before they are full wake nobody too often; and haste.
    assert_eq!(rest(0, 262_144, 1024), 0);
    assert_eq!(rest(512, 262_144, 1024), 40);
    assert_eq!(rest(513, 262_144, 1024), 0);
}

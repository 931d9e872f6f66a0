//! The XDP program run on bytes (BPF_PROG_TEST_RUN): whatever they are, it counts what
//! the model says, and lets them pass as they are.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::model::interface::{Class, Way};

use crate::crafted::expected;
use crate::frames;
use crate::space::Space;
use crate::sys::{Program, xdp_programs};
use crate::trial::root;
use crate::watched::{GENERIC, Watched};

pub fn trials() -> Vec<Trial> {
    vec![
        root("program::every_prefix", every_prefix),
        root("program::any_bytes", any_bytes),
    ]
}

/// The kernel runs XDP programs on no fewer bytes (`ETH_HLEN`).
const SHORTEST: usize = 14;
const XDP_PASS: u32 = 2;

/// Runs frames one by one; after each the counters must have moved as the model says.
fn check(frames: impl IntoIterator<Item = Vec<u8>>) -> anyhow::Result<()> {
    let space = Space::new()?;
    let frames: Vec<Vec<u8>> = frames.into_iter().collect();
    space.inside(|| {
        let mut watched = Watched::open(&["lo"], GENERIC, 64)?;
        let id = *xdp_programs(1)?.first().context("not attached")?;
        let program = Program::open(id)?;
        let mut before = watched.ways("lo")?.1;
        for frame in frames {
            let (verdict, after) = program.run(&frame)?;
            ensure!(verdict == XDP_PASS, "{verdict} for {frame:x?}");
            ensure!(after == frame, "{frame:x?} became {after:x?}");
            let now = watched.ways("lo")?.1;
            check_moved(&before, &now, &frame)?;
            before = now;
        }
        Ok(())
    })
}

fn check_moved(before: &Way, now: &Way, frame: &[u8]) -> anyhow::Result<()> {
    let expected = expected(&[frame.to_vec()], 1);
    for class in Class::ALL {
        let (before, now) = (before.of(class), now.of(class));
        let moved = (now.packets - before.packets, now.bytes - before.bytes);
        let wanted = expected[class as usize];
        ensure!(
            moved == (wanted.packets, wanted.bytes),
            "{}: {moved:?}, not {wanted:?}, for {frame:x?}",
            class.name()
        );
    }
    let moved = now.frames.bytes - before.frames.bytes;
    // A loopback does not count the Ethernet header.
    ensure!(moved == frame.len() as u64 - 14, "{moved} for {frame:x?}");
    Ok(())
}

fn every_prefix() -> anyhow::Result<()> {
    let prefixes = frames::all()
        .into_iter()
        .flat_map(|frame| (SHORTEST..=frame.len()).map(move |end| frame[..end].to_vec()));
    check(prefixes)
}

/// Xorshift; the same bytes at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn any_bytes() -> anyhow::Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let real = frames::all();
    let mut all = Vec::new();
    for round in 0..6_000 {
        let mut frame: Vec<u8> = if round % 3 == 0 {
            let length = SHORTEST + random.below(200);
            (0..length).map(|_| random.next() as u8).collect()
        } else {
            real[random.below(real.len())].clone()
        };
        // Most of what is random is no IP: here it becomes some.
        for _ in 0..random.below(6) {
            let at = random.below(frame.len());
            let likely = [
                0, 4, 6, 17, 41, 43, 44, 51, 58, 60, 0x45, 0x60, 0x81, 0x86, 0xff,
            ];
            frame[at] = likely[random.below(likely.len())];
        }
        if round % 3 == 0 {
            let ethertype = [[0x08, 0x00], [0x86, 0xdd], [0x81, 0x00]][random.below(3)];
            frame[12..14].copy_from_slice(&ethertype);
        }
        all.push(frame);
    }
    check(all)
}

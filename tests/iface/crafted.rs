//! Frames made by hand, sent on a wire: tags, options, extension headers, fragments,
//! and what is not IP.

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::collect::xdp::Mode;
use netmon::model::interface::{Class, Count};

use crate::frames;
use crate::space::{ethtool, silent, up};
use crate::sys::PacketSocket;
use crate::trial::root;
use crate::watched::{AUTO, CLSACT, GENERIC, How, NATIVE, Watched, settled};

pub fn trials() -> Vec<Trial> {
    vec![
        root("crafted::auto", || sent(AUTO)),
        root("crafted::clsact", || sent(CLSACT)),
        root("crafted::generic", || sent(GENERIC)),
        root("crafted::native", || sent(NATIVE)),
    ]
}

/// What a model says of frames that were sent `times`.
pub fn expected(frames: &[Vec<u8>], times: u64) -> [Count; Class::COUNT] {
    let mut counts = [Count::default(); Class::COUNT];
    for frame in frames {
        for class in frames::classes_of(frame) {
            counts[class as usize] += Count {
                packets: times,
                bytes: times * frame.len() as u64,
            };
        }
    }
    counts
}

fn sent(how: How) -> anyhow::Result<()> {
    let (a, b) = silent()?;
    a.inside(|| {
        if how.mode == Mode::Auto {
            // Else nobody can tell afterwards whether a tag came within the frame.
            ethtool("-K a0 rx-vlan-hw-parse off rx-vlan-stag-hw-parse off")?;
        }
        let mut watched = Watched::open(&["a0"], how, 0)?;
        up(&a, &b)?;
        let out = PacketSocket::open(a.index("a0")?)?;
        let index = b.index("b0")?;
        let back = b.inside(|| PacketSocket::open(index))?;
        let frames = frames::all();
        for frame in &frames {
            for _ in 0..3 {
                out.send(frame)?;
            }
            for _ in 0..5 {
                back.send(frame)?;
            }
        }
        settled(|| {
            let (tx, rx) = watched.agree("a0")?;
            for (way, times) in [(tx, 3), (rx, 5)] {
                let expected = expected(&frames, times);
                for class in Class::ALL {
                    let (counted, sent) = (way.of(class), expected[class as usize]);
                    ensure!(
                        counted == sent,
                        "{}: {counted:?}, not {sent:?}",
                        class.name()
                    );
                }
            }
            Ok(())
        })
    })
}

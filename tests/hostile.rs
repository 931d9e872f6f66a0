//! Bytes that mean no good: the packet parser and the walk over a ring's block take any.
//!
//! The questions are those of the fuzz targets (`make fuzz`); here they are asked of the
//! corpus that is kept, and of what proptest makes up. Needs no privilege.

use std::fs;
use std::path::Path;

use netmon::collect::ring::block;
use netmon::model::packet;
use proptest::collection::vec;
use proptest::prelude::*;

#[path = "fuzz/properties.rs"]
mod properties;

/// Asks of every input that is kept for a target; how many there are.
fn corpus(target: &str, ask: fn(&[u8])) -> usize {
    // Under AddressSanitizer the package is one below the tests (`make asan`).
    let roots = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut corpora = roots.map(|root| root.join("tests/fuzz/corpus").join(target));
    let corpus = corpora.find(|corpus| corpus.is_dir()).expect("a corpus");
    let entries = fs::read_dir(corpus);
    let entries = entries.expect("a directory of inputs");
    entries
        .map(|entry| ask(&fs::read(entry.expect("an entry").path()).expect("an input")))
        .count()
}

#[test]
fn kept_packets() {
    assert!(corpus("packet", properties::packet) > 20);
}

#[test]
fn kept_blocks() {
    assert!(corpus("block", properties::block) > 5);
}

/// A frame as the kernel lays it out, at the end of a block, and where the next one is.
fn put(into: &mut Vec<u8>, network: &[u8], link: u16, status: u32, last: bool) {
    let start = into.len();
    let kept = u32::from(link) + network.len() as u32;
    into.resize(start + block::FRAME_HEADER, 0);
    let mut set = |at: usize, bytes: &[u8]| {
        into[start + at..start + at + bytes.len()].copy_from_slice(bytes);
    };
    set(12, &kept.to_ne_bytes());
    set(16, &(kept + 1000).to_ne_bytes());
    set(20, &status.to_ne_bytes());
    set(24, &82_u16.to_ne_bytes());
    set(26, &(82 + link).to_ne_bytes());
    set(50, &0x0800_u16.to_be_bytes());
    set(52, &7_u32.to_ne_bytes());
    into.resize(start + 82 + usize::from(link), 0);
    into.extend(network);
    into.resize(into.len().next_multiple_of(8), 0);
    let next = if last { 0 } else { (into.len() - start) as u32 };
    into[start..start + 4].copy_from_slice(&next.to_ne_bytes());
}

/// A block of frames with these networks' bytes.
fn whole(networks: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0; block::BLOCK_HEADER];
    bytes[12..16].copy_from_slice(&(networks.len() as u32).to_ne_bytes());
    bytes[16..20].copy_from_slice(&(block::BLOCK_HEADER as u32).to_ne_bytes());
    for (at, network) in networks.iter().enumerate() {
        let tagged = if at % 3 == 0 { 1 << 4 } else { 0 };
        put(&mut bytes, network, 14, tagged, at + 1 == networks.len());
    }
    bytes
}

proptest! {
    #[test]
    fn any_bytes_as_a_packet(input in vec(any::<u8>(), 0..300)) {
        properties::packet(&input);
    }

    /// Bytes that begin as a packet does.
    #[test]
    fn nearly_a_packet(
        choice in 0..16_u8,
        first in prop_oneof![Just(0x45_u8), Just(0x4f), Just(0x60), any::<u8>()],
        kind in prop_oneof![Just(0_u8), Just(6), Just(17), Just(43), Just(44), Just(51), Just(60), any::<u8>()],
        rest in vec(prop_oneof![0..8_u8, Just(44), Just(51), any::<u8>()], 0..200),
    ) {
        let mut input = vec![choice, 1, 2, 3, 0, first];
        input.extend(&rest);
        for at in [5 + 6, 5 + 9] {
            if let Some(byte) = input.get_mut(at) {
                *byte = kind;
            }
        }
        properties::packet(&input);
    }

    #[test]
    fn any_bytes_as_a_block(input in vec(any::<u8>(), 0..600)) {
        properties::block(&input);
    }

    /// What the kernel wrote comes out as it went in, and with a few bytes changed, cut
    /// short or told to be more it is still no harm.
    #[test]
    fn a_block_and_a_damaged_one(
        networks in vec(vec(any::<u8>(), 0..40), 1..8),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = whole(&networks);
        let mut seen = Vec::new();
        let walked = block::walk(&bytes, |frame| {
            let tag = if seen.len() % 3 == 0 { 4 } else { 0 };
            assert_eq!((frame.protocol, frame.interface, frame.outgoing), (0x0800, 7, false));
            assert_eq!(frame.link, 14 + tag);
            assert_eq!(frame.length, 1014 + frame.network.len() as u32 + tag);
            seen.push(frame.network.to_vec());
        });
        prop_assert_eq!(&seen, &networks);
        prop_assert_eq!((walked.frames, walked.corrupt), (networks.len(), 0));
        properties::block(&bytes[..cut.index(bytes.len())]);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        properties::block(&bytes);
    }
}

#[test]
fn what_lies_outside_is_counted_and_not_read() {
    let networks = [vec![1; 20], vec![2; 20], vec![3; 20]];
    let good = whole(&networks);
    let second = block::BLOCK_HEADER + (82 + 14 + 20_usize).next_multiple_of(8);
    let walk = |place: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[place..place + value.len()].copy_from_slice(value);
        let mut seen = Vec::new();
        let walked = block::walk(&bytes, |frame| seen.push(frame.network.first().copied()));
        assert_eq!(walked.frames, seen.len());
        (seen, walked.corrupt)
    };
    let huge = u32::MAX.to_ne_bytes();
    let [one, two, three] = [Some(1), Some(2), Some(3)];
    // More frames than there are, the first one outside, a next one outside, behind, none.
    assert_eq!(walk(12, &5_u32.to_ne_bytes()), (vec![one, two, three], 2));
    assert_eq!(walk(16, &huge), (vec![], 3));
    assert_eq!(walk(second, &huge), (vec![one, two], 1));
    assert_eq!(walk(second, &8_u32.to_ne_bytes()), (vec![one, two], 1));
    assert_eq!(walk(second, &[0; 4]), (vec![one, two], 1));
    // More bytes than there are, a link header before its frame's, a network before that.
    assert_eq!(walk(second + 12, &huge), (vec![one, three], 1));
    assert_eq!(walk(second + 24, &[0; 2]), (vec![one, three], 1));
    assert_eq!(walk(second + 26, &[0; 2]), (vec![one, three], 1));
    // A network header beyond what was kept: the frame is there, of the packet nothing.
    assert_eq!(
        walk(second + 12, &10_u32.to_ne_bytes()),
        (vec![one, None, three], 0)
    );
    // Out on loopback: it comes in again.
    let mut bytes = good.clone();
    bytes[second + 56..second + 58].copy_from_slice(&772_u16.to_ne_bytes());
    bytes[second + 58] = 4;
    assert_eq!(block::walk(&bytes, |_| ()).frames, 2);
}

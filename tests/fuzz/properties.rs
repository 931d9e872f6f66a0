//! What holds of any bytes at all; asked by the fuzz targets and by `tests/hostile.rs`.
//!
//! Owns how an input is read as a question. The crate that includes this has at its root
//! what is asked: `packet` (`src/model/packet.rs`) and `block` (`src/collect/ring/block.rs`).

use crate::{block, packet};

/// Prefixes beyond this many bytes are not tried: the headers are over.
const LONGEST_PREFIX: usize = 256;

/// Reads an input as a packet and looks at all its beginnings. The first byte chooses the
/// EtherType, and whether the next four are the length or there are all bytes.
pub fn packet(input: &[u8]) {
    let Some((&[choice, a, b, c, d], bytes)) = input.split_first_chunk() else {
        return;
    };
    let told = u32::from_le_bytes([a, b, c, d]);
    let protocol = match choice & 7 {
        0 | 1 => packet::IPV4,
        2 | 3 => packet::IPV6,
        4 => 0x8100,
        5 => 0x88a8,
        6 => 0x9100,
        _ => u16::from_le_bytes([a, b]),
    };
    let length = match choice & 8 {
        0 => bytes.len() as u32,
        _ => told,
    };
    let whole = packet::parse(protocol, bytes, length);
    check_ends(protocol, bytes, whole.as_ref());
    if let Some(whole) = &whole {
        assert!(whole.payload <= length);
        assert_eq!(whole.source.is_ipv4(), whole.destination.is_ipv4());
    }
    for end in 0..bytes.len().min(LONGEST_PREFIX) {
        let part = packet::parse(protocol, &bytes[..end], length);
        check_ends(protocol, &bytes[..end], part.as_ref());
        let Some(part) = part else {
            continue;
        };
        let whole = whole.expect("a beginning is a packet, the whole is none");
        assert_eq!(part.source, whole.source);
        assert_eq!(part.destination, whole.destination);
        assert!(part.payload <= length);
        // What is cut off is not known, but what is known is right.
        assert!(whole.fragment || !part.fragment);
        if part.ports.is_some() {
            assert_eq!(part.ports, whole.ports);
            assert_eq!(part.protocol, whole.protocol);
        }
    }
}

/// The ends alone are those of the whole packet.
fn check_ends(protocol: u16, bytes: &[u8], packet: Option<&packet::Packet>) {
    let both = packet::ends(protocol, bytes).map(|ends| match ends {
        packet::Ends::V4(&[a, b, c, d, e, f, g, h]) => {
            [[a, b, c, d], [e, f, g, h]].map(std::net::IpAddr::from)
        }
        packet::Ends::V6(bytes) => [0, 16].map(|at| {
            let half: [u8; 16] = bytes[at..at + 16].try_into().expect("a half");
            std::net::IpAddr::from(half)
        }),
    });
    assert_eq!(both, packet.map(|it| [it.source, it.destination]));
}

/// Reads an input as a block of a ring and walks over it.
pub fn block(input: &[u8]) {
    let mut bytes = 0;
    let mut frames = 0;
    let walked = block::walk(input, |frame| {
        assert!(frame.link <= frame.length || frame.length == u32::MAX);
        // Read to the end: a slice that is not in the block is found here.
        bytes += frame
            .network
            .iter()
            .map(|&byte| usize::from(byte))
            .sum::<usize>();
        frames += 1;
    });
    std::hint::black_box(bytes);
    assert_eq!(walked.frames, frames);
    assert!(frames <= input.len() / block::FRAME_HEADER);
    let Some(count) = input
        .get(12..16)
        .filter(|_| input.len() >= block::BLOCK_HEADER)
    else {
        assert_eq!((walked.frames, walked.corrupt), (0, 0));
        return;
    };
    let count = u32::from_ne_bytes(count.try_into().expect("four bytes")) as usize;
    assert!(walked.frames + walked.corrupt <= count);
}

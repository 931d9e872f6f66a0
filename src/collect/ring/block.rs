//! Walks the frames of one TPACKET_V3 block.
//!
//! Owns where the kernel puts things in a block, and the doubt about it: each offset is
//! checked against the block before it is used. Works on any bytes, without a kernel.

/// Bytes of a block's own header (`struct tpacket_block_desc`).
pub const BLOCK_HEADER: usize = 48;

/// Where a block's status stands in it.
pub const STATUS: usize = 8;
/// Where it stands how many frames a block has, with those that the kernel still adds.
pub const FRAME_COUNT: usize = 12;
const FIRST_FRAME: usize = 16;

/// Bytes of a frame's header: `struct tpacket3_hdr`, and a `struct sockaddr_ll` behind it.
pub const FRAME_HEADER: usize = 68;

const NEXT: usize = 0;
const KEPT: usize = 12;
const LENGTH: usize = 16;
const FRAME_STATUS: usize = 20;
const LINK_START: usize = 24;
const NETWORK_START: usize = 26;
const PROTOCOL: usize = 50;
const INTERFACE: usize = 52;
const HARDWARE: usize = 56;
const PACKET_TYPE: usize = 58;

/// The kernel took a VLAN tag off, and keeps it in the frame's header.
const VLAN_VALID: u32 = 1 << 4;
const PACKET_OUTGOING: u8 = 4;
const LOOPBACK: u16 = 772;

const ETHERNET_HEADER: usize = 14;
const VLAN_TAG: u32 = 4;

/// One frame as the kernel keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// EtherType of what `network` begins with, host byte order (`sll_protocol`).
    pub protocol: u16,
    /// From the network header on, as far as it was kept.
    pub network: &'a [u8],
    /// Bytes of the whole frame on the wire, link header included, as the interface's own
    /// counters have it: on loopback these count no link header.
    pub length: u32,
    /// Bytes of the link header, with a VLAN tag that the kernel took off; never more
    /// than `length`.
    pub link: u32,
    /// `ifindex` of the interface.
    pub interface: u32,
    /// It was going out (`PACKET_OUTGOING`).
    pub outgoing: bool,
}

/// What a walk over a block found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Walked {
    /// Frames that were handed on.
    pub frames: usize,
    /// Frames that lie outside their block, and those behind them that could not be found.
    pub corrupt: usize,
}

/// Hands each frame of a block to `each`. A frame that is going out on loopback is left
/// out: it is in the ring a second time, coming in.
#[inline]
pub fn walk<'a>(block: &'a [u8], mut each: impl FnMut(Frame<'a>)) -> Walked {
    let mut walked = Walked::default();
    let Some(header) = block.first_chunk::<BLOCK_HEADER>() else {
        return walked;
    };
    let count = u32_at(header, FRAME_COUNT) as usize;
    let mut at = u32_at(header, FIRST_FRAME) as usize;
    for done in 0..count {
        let Some(rest) = block.get(at..) else {
            walked.corrupt += count - done;
            break;
        };
        let Some(header) = rest.first_chunk::<FRAME_HEADER>() else {
            walked.corrupt += count - done;
            break;
        };
        match frame(rest, header) {
            Some(frame) if frame.outgoing && u16_at(header, HARDWARE) == LOOPBACK => {}
            Some(frame) => {
                walked.frames += 1;
                each(frame);
            }
            None => walked.corrupt += 1,
        }
        let next = u32_at(header, NEXT) as usize;
        // The last frame of a block has no next one; any other lies beyond this header.
        if next < FRAME_HEADER {
            walked.corrupt += count - done - 1;
            break;
        }
        at += next;
    }
    walked
}

/// The frame that `rest` begins with; `None` if it does not lie in there.
#[inline]
fn frame<'a>(rest: &'a [u8], header: &[u8; FRAME_HEADER]) -> Option<Frame<'a>> {
    let start = usize::from(u16_at(header, LINK_START));
    let network = usize::from(u16_at(header, NETWORK_START));
    let end = start.checked_add(u32_at(header, KEPT) as usize)?;
    let link = network.checked_sub(start)?;
    let length = u32_at(header, LENGTH);
    if start < FRAME_HEADER || end > rest.len() || link as u64 > u64::from(length) {
        return None;
    }
    // Less than 2^16, as both its ends are u16.
    let link_bytes = link as u32;
    let mut frame = Frame {
        protocol: u16::from_be_bytes([header[PROTOCOL], header[PROTOCOL + 1]]),
        network: rest.get(network..end).unwrap_or_default(),
        length,
        link: link_bytes,
        interface: u32_at(header, INTERFACE),
        outgoing: header[PACKET_TYPE] == PACKET_OUTGOING,
    };
    // Of a frame with a tag the kernel may tell the tag's type, and begin the network
    // header behind the tag: what stands right before it is the type of what follows.
    if matches!(frame.protocol, 0x8100 | 0x88a8) && link >= ETHERNET_HEADER && network <= end {
        frame.protocol = u16::from_be_bytes([rest[network - 2], rest[network - 1]]);
    }
    // Its header is made up, for there is no wire.
    if u16_at(header, HARDWARE) == LOOPBACK {
        frame.length -= link_bytes;
        frame.link = 0;
    }
    if u32_at(header, FRAME_STATUS) & VLAN_VALID != 0 {
        frame.length = frame.length.saturating_add(VLAN_TAG);
        frame.link += VLAN_TAG;
    }
    Some(frame)
}

#[inline]
fn u32_at<const N: usize>(header: &[u8; N], at: usize) -> u32 {
    u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

#[inline]
fn u16_at<const N: usize>(header: &[u8; N], at: usize) -> u16 {
    u16::from_ne_bytes([header[at], header[at + 1]])
}

//! The filter in classic BPF, which needs no privilege beyond the packet socket's.
//!
//! Owns the instructions: what is not IP is left out, of the rest the headers are kept.
//! Has no lists and counts nothing.

use libc::{BPF_ABS, BPF_H, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};

/// What the kernel says of a frame, read as if it stood in it (linux/filter.h).
const ABOUT: u32 = libc::SKF_AD_OFF as u32;
const PROTOCOL: u32 = ABOUT.wrapping_add(libc::SKF_AD_PROTOCOL as u32);
const PACKET_TYPE: u32 = ABOUT.wrapping_add(libc::SKF_AD_PKTTYPE as u32);
const INTERFACE: u32 = ABOUT.wrapping_add(libc::SKF_AD_IFINDEX as u32);

const PACKET_OUTGOING: u32 = 4;
const LOOPBACK: u32 = 1;
const IP: [u32; 2] = [0x0800, 0x86dd];
const TAGS: [u32; 2] = [0x8100, 0x88a8];
/// Where the types that follow one and two VLAN tags stand, behind Ethernet's addresses.
const BEHIND_TAGS: [u32; 2] = [16, 20];

/// The program; see the module's text. On all interfaces it also leaves out what is going
/// out on loopback, as that comes in again.
pub fn program(kept_bytes: u32, all_interfaces: bool) -> Vec<sock_filter> {
    let mut program = Vec::new();
    if all_interfaces {
        program.extend([
            load(BPF_W, INTERFACE),
            jump(LOOPBACK, 0, 3),
            load(BPF_W, PACKET_TYPE),
            jump(PACKET_OUTGOING, 0, 1),
            give(0),
        ]);
    }
    let places = [(BPF_W, PROTOCOL)]
        .into_iter()
        .chain(BEHIND_TAGS.map(|at| (BPF_H, at)));
    for (size, at) in places {
        // IP is kept; a tag goes on behind these six; anything else is left out.
        program.extend([
            load(size, at),
            jump(IP[0], 4, 0),
            jump(IP[1], 3, 0),
            jump(TAGS[0], 3, 0),
            jump(TAGS[1], 2, 0),
            give(0),
            give(kept_bytes),
        ]);
    }
    // A third tag.
    program.push(give(0));
    program
}

fn load(size: u32, at: u32) -> sock_filter {
    instruction(BPF_LD | size | BPF_ABS, at, 0, 0)
}

/// Goes on over `equal` or `other` instructions.
fn jump(value: u32, equal: u8, other: u8) -> sock_filter {
    instruction(BPF_JMP | BPF_JEQ | BPF_K, value, equal, other)
}

/// Ends with so many bytes of the frame.
fn give(bytes: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, bytes, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // All codes fit into 16 bits (linux/bpf_common.h).
    let code = code as u16;
    sock_filter { code, jt, jf, k }
}

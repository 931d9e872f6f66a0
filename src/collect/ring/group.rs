//! Rings that share what comes in (`PACKET_FANOUT`): each frame goes into one of them.
//!
//! Owns whose group it is: one that is joined here is full, so that no other program gets
//! a part of its frames unnoticed.

use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::{Result, anyhow};
use libc::SOL_PACKET;

use super::socket::{LOOPBACK_INDEX, set};

/// Lets bound sockets, of which there are fewer than 2^16, join group `number`.
///
/// # Errors
/// If another program uses it.
pub(super) fn join(sockets: &[OwnedFd], number: u16, interface: u32) -> Result<()> {
    // Two that begin at once would each get a part of the group, and both fail: only who
    // holds the name of it goes on. Names are a network namespace's, as groups are.
    let _claim = match claim(number) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(in_use(number)),
        // Where there are no such names, there is still the kernel's word.
        claim => claim.ok(),
    };
    // By CPU: the frames of one come into one ring, whose reader needs a small part of the
    // time that it takes the CPU to bring them. What it would take to spread them (a hash of
    // each, a counter that all share) whoever sends would pay. Should a ring get full, the
    // others help out.
    let mut kind = (libc::PACKET_FANOUT_CPU | libc::PACKET_FANOUT_FLAG_ROLLOVER) as u16;
    // In a group it is the group that listens, not the socket.
    if interface == LOOPBACK_INDEX {
        kind |= libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING as u16;
    }
    // struct fanout_args on a little-endian machine. The third is how many it has room
    // for: a kernel before 5.11 knows no such thing and refuses it (EINVAL).
    let request: [u16; 4] = [number, kind, sockets.len() as u16, 0];
    for socket in sockets {
        let Err(error) = set(socket, SOL_PACKET, libc::PACKET_FANOUT, &request) else {
            continue;
        };
        return Err(match error.raw_os_error() {
            Some(libc::EINVAL | libc::ENOSPC) => in_use(number),
            _ => anyhow::Error::new(error).context(format!("could not join fanout group {number}")),
        });
    }
    Ok(())
}

fn claim(number: u16) -> io::Result<UnixDatagram> {
    let name = format!("netmon joins fanout group {number}");
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

fn in_use(number: u16) -> anyhow::Error {
    anyhow!(
        "fanout group {number} is in use by another program; choose another number by \
         --fanout-group"
    )
}

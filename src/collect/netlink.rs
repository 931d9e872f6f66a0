//! Netlink's own layer: questions, the messages that answer them, the attributes in those.
//!
//! Owns the layout in include/uapi/linux/netlink.h and what a refusal looks like. What
//! bodies mean is the business of `rtnetlink`, `sock_diag` and `owner::conntrack`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
/// `NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH`: all of them.
const DUMP: u16 = 0x301;
/// The upper bits of an attribute's type are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Lengths of the fixed parts, each a multiple of the alignment of 4.
const MESSAGE_HEADER: usize = 16;
/// An attribute's length and type.
pub const ATTRIBUTE_HEADER: usize = 4;

/// The kernel fills at most this much at once (`netlink_recvmsg`, af_netlink.c).
const BUFFER: usize = 32 * 1024;

/// A socket to ask the kernel by, one question at a time.
#[derive(Debug)]
pub struct Asker {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Asker {
    /// For the calling thread's network namespace.
    ///
    /// # Errors
    /// If the kernel refuses the socket, which it does for a protocol that it lacks.
    pub fn open(protocol: SockProtocol) -> nix::Result<Asker> {
        Ok(Asker {
            socket: open(protocol, 0)?,
            buffer: vec![0; BUFFER],
            sequence: 0,
        })
    }

    /// Asks one question and hands the type and body of what comes to `each`, until that
    /// has what it wants.
    ///
    /// # Errors
    /// What the kernel says; `EBADMSG` for an answer that nobody can read.
    pub fn ask(
        &mut self,
        kind: u16,
        body: &[u8],
        each: impl FnMut(u16, &[u8]) -> ControlFlow<()>,
    ) -> nix::Result<()> {
        self.exchange(kind, NLM_F_REQUEST, body, each)
    }

    /// Asks for everything of one kind and hands each answer's type and body over.
    ///
    /// # Errors
    /// As [`Asker::ask`].
    pub fn dump(
        &mut self,
        kind: u16,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]),
    ) -> nix::Result<()> {
        self.exchange(kind, DUMP, body, |kind, body| {
            each(kind, body);
            ControlFlow::Continue(())
        })
    }

    fn exchange(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]) -> ControlFlow<()>,
    ) -> nix::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = Vec::with_capacity(MESSAGE_HEADER + body.len());
        // A few dozen bytes.
        message.extend_from_slice(&((MESSAGE_HEADER + body.len()) as u32).to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(body);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        loop {
            // The kernel answers as it is asked or read, so this never waits.
            let length = match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                length => length?,
            };
            let mut left = &self.buffer[..length];
            while let Some((kind, body, rest)) = message_of(left) {
                // What an earlier question left over is not for this one.
                let is_ours = u32_at(left, 8) == Some(self.sequence);
                left = rest;
                match kind {
                    _ if !is_ours => {}
                    // A dump that could not be made is told as done with an error.
                    NLMSG_ERROR | NLMSG_DONE => return verdict(body),
                    kind => {
                        if each(kind, body).is_break() {
                            return Ok(());
                        }
                    }
                }
            }
            if !left.is_empty() || length == 0 {
                return Err(Errno::EBADMSG);
            }
        }
    }
}

/// What the first number of an error or an end says: nothing, or a negative `errno`.
fn verdict(body: &[u8]) -> nix::Result<()> {
    match u32_at(body, 0).unwrap_or(0).cast_signed() {
        code if code < 0 => Err(Errno::from_raw(code.saturating_neg())),
        _ => Ok(()),
    }
}

/// A netlink socket that hears of these groups.
///
/// # Errors
/// If the kernel refuses it.
pub fn open(protocol: SockProtocol, groups: u32) -> nix::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::Netlink, SockType::Raw);
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

/// The first message's type and body, and what follows it.
pub fn message_of(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let body = bytes.get(MESSAGE_HEADER..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((u16_at(bytes, 4)?, body, rest))
}

/// The attributes in `bytes`, up to the first that is cut.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & NLA_TYPE_MASK;
        let value = bytes.get(ATTRIBUTE_HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// An address of four or sixteen bytes.
pub fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(value).ok()?;
    Some(Ipv6Addr::from(octets).into())
}

/// A number in the machine's byte order, if it is all there.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

/// A number in the machine's byte order, if it is all there.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_may_tell_an_error() {
        assert_eq!(verdict(&0_i32.to_ne_bytes()), Ok(()));
        // A dump's end of old kernels.
        assert_eq!(verdict(&[]), Ok(()));
        assert_eq!(verdict(&(-2_i32).to_ne_bytes()), Err(Errno::ENOENT));
        assert!(verdict(&i32::MIN.to_ne_bytes()).is_err());
    }
}

//! AF_PACKET: frames, and what is left of them without a link-layer header.
//!
//! Owns the frames and the memory of a sending ring. All on the loopback of a
//! network namespace of its own, where nobody else's frames are.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use anyhow::ensure;

use super::ledger::{Direction, How, Ledger};
use super::paths::{self, Outgoing, ReceivePath, SendPath};
use super::socket::Socket;
use super::special::{enter_namespace, receive_all};
use super::sys::{self, RawAddress, check};
use super::{Named, unsupported};
use crate::model::flow::Protocol;

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("packet::raw::sendto", |l| named(libc::SOCK_RAW, false, l)),
    ("packet::raw::sendmsg", |l| named(libc::SOCK_RAW, true, l)),
    ("packet::cooked::sendto", |l| {
        named(libc::SOCK_DGRAM, false, l)
    }),
    ("packet::cooked::sendmsg", |l| {
        named(libc::SOCK_DGRAM, true, l)
    }),
    ("packet::bound::sends", bound_sends),
    ("packet::bound::receives", bound_receives),
    ("packet::ring::send", ring_send),
];

/// "Local experimental": a protocol nobody else listens to.
const ETHERTYPE: u16 = 0x88b5;

/// The loopback interface, for frames of [`ETHERTYPE`].
fn interface() -> RawAddress {
    // SAFETY: a C string.
    let index = unsafe { libc::if_nametoindex(c"lo".as_ptr()) };
    // SAFETY: sockaddr_ll is plain integers, for which zero is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ETHERTYPE.to_be();
    address.sll_ifindex = index as c_int;
    address.sll_halen = 6;
    RawAddress::of(address)
}

/// A socket that receives frames of protocol `number`; none for 0.
fn open(kind: c_int, number: u16) -> anyhow::Result<Socket> {
    let fd = sys::socket(libc::AF_PACKET, kind, c_int::from(number.to_be()))
        .map_err(|error| unsupported("AF_PACKET", error))?;
    Ok(Socket::new(fd, Protocol::Packet))
}

/// Two sockets on the loopback interface; the second receives what the first sends.
fn bound_pair(kind: c_int) -> anyhow::Result<(Socket, Socket)> {
    enter_namespace()?;
    let (near, far) = (open(kind, 0)?, open(kind, ETHERTYPE)?);
    // A socket of protocol 0 is bound to an interface and receives nothing.
    sys::bind(far.fd(), &interface())?;
    sys::bind(near.fd(), &interface())?;
    Ok((near, far))
}

/// A frame of `length` bytes, header included.
fn frame(length: usize) -> Vec<u8> {
    let mut frame = vec![0; length];
    frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
    frame
}

/// One call that names the interface.
fn send_named(socket: &Socket, by_message: bool, data: &mut [u8]) -> io::Result<usize> {
    let mut to = interface();
    let raw = socket.fd.as_raw_fd();
    let mut parts = paths::thirds(data.as_mut_ptr(), data.len());
    let (start, length) = (data.as_ptr().cast(), data.len());
    check(if by_message {
        let header = paths::header(&mut parts, Some(&mut to));
        // SAFETY: the header points at `parts`, `to` and `data`, all alive.
        unsafe { libc::sendmsg(raw, &header, 0) }
    } else {
        // SAFETY: `data` and `to` outlive the call.
        unsafe { libc::sendto(raw, start, length, 0, to.as_ptr(), to.length) }
    })
}

/// A socket bound to nothing that names the interface in each call.
fn named(kind: c_int, by_message: bool, ledger: &mut Ledger) -> anyhow::Result<()> {
    enter_namespace()?;
    let (near, far) = (open(kind, 0)?, open(kind, ETHERTYPE)?);
    sys::bind(far.fd(), &interface())?;
    let (mut sent, mut received) = (0, 0);
    for length in [714, 60, 1401] {
        let bytes = send_named(&near, by_message, &mut frame(length))?;
        let to = interface().endpoint();
        ledger.record(near.movement_with(Direction::Sent, to, How::Call), bytes);
        received += receive_all(&far, ReceivePath::Recvfrom, ledger)?;
        sent += bytes;
    }
    ensure!(received == sent, "{sent} bytes sent, {received} received");
    Ok(())
}

/// Every sending call that needs no address.
fn bound_sends(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = bound_pair(libc::SOCK_RAW)?;
    for path in SendPath::ALL {
        let data = frame(515);
        let message = [Outgoing {
            data: &data,
            to: None,
        }];
        let sent = near.send(ledger, path, &message, 0)?;
        let received = receive_all(&far, ReceivePath::Recv, ledger)?;
        let path = path.name();
        ensure!(
            received == sent,
            "{path}: {sent} bytes sent, {received} received"
        );
    }
    Ok(())
}

/// Every receiving call.
fn bound_receives(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = bound_pair(libc::SOCK_DGRAM)?;
    for path in ReceivePath::ALL {
        let sent = near.send_plain(ledger, 616)?;
        sys::wait_for(far.fd(), libc::POLLIN, 1000)?;
        let received = far.receive(ledger, path, &[4096], 0)?[0].bytes;
        let path = path.name();
        ensure!(
            received == sent,
            "{path}: {sent} bytes sent, {received} received"
        );
    }
    Ok(())
}

// From linux/if_packet.h.
const PACKET_VERSION: c_int = 10;
const PACKET_TX_RING: c_int = 13;
const TPACKET_V2: c_int = 1;
const FRAME_ROOM: usize = 2048;
const FRAMES: usize = 8;

/// The frames of a sending ring.
struct SendingRing {
    start: *mut c_void,
}

impl SendingRing {
    fn of(socket: &Socket) -> io::Result<SendingRing> {
        sys::set_option(socket.fd(), libc::SOL_PACKET, PACKET_VERSION, TPACKET_V2)?;
        let request = libc::tpacket_req {
            tp_block_size: (FRAME_ROOM * 2) as u32,
            tp_block_nr: (FRAMES / 2) as u32,
            tp_frame_size: FRAME_ROOM as u32,
            tp_frame_nr: FRAMES as u32,
        };
        let raw = socket.fd.as_raw_fd();
        // SAFETY: pointer and length describe `request`.
        check(unsafe {
            let (value, length) = ((&raw const request).cast(), size_of_val(&request) as u32);
            libc::setsockopt(raw, libc::SOL_PACKET, PACKET_TX_RING, value, length) as isize
        })?;
        let (protection, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let length = FRAME_ROOM * FRAMES;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, kind, raw, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(SendingRing { start })
    }

    /// Puts a frame into a place that is free, for the next call to send.
    fn put(&self, index: usize, frame: &[u8]) {
        let data = libc::TPACKET2_HDRLEN - size_of::<libc::sockaddr_ll>();
        assert!(data + frame.len() <= FRAME_ROOM && index < FRAMES);
        // SAFETY: header and data lie within the room of one frame (asserted), which
        // the kernel does not touch before its status says so.
        unsafe {
            let start = self.start.cast::<u8>().add(index * FRAME_ROOM);
            ptr::copy_nonoverlapping(frame.as_ptr(), start.add(data), frame.len());
            let header = &mut *start.cast::<libc::tpacket2_hdr>();
            header.tp_len = frame.len() as u32;
            (&raw mut header.tp_status).write_volatile(libc::TP_STATUS_SEND_REQUEST);
        }
    }
}

impl Drop for SendingRing {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping `of` made, to which no reference exists.
        unsafe { libc::munmap(self.start, FRAME_ROOM * FRAMES) };
    }
}

/// Frames in shared memory, sent by a call that names none of them.
fn ring_send(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = bound_pair(libc::SOCK_RAW)?;
    let ring = SendingRing::of(&near).map_err(|error| unsupported("PACKET_TX_RING", error))?;
    for (index, length) in [700, 801, 902].into_iter().enumerate() {
        ring.put(index, &frame(length));
    }
    // SAFETY: no bytes at no address; the frames are in the ring.
    let sent = check(unsafe { libc::send(near.fd.as_raw_fd(), ptr::null(), 0, 0) })?;
    ledger.record(near.movement(Direction::Sent, None, How::Call), sent);
    ensure!(sent == 700 + 801 + 902, "{sent} bytes were sent");
    let received = receive_all(&far, ReceivePath::Recv, ledger)?;
    ensure!(received == sent, "{sent} bytes sent, {received} received");
    Ok(())
}

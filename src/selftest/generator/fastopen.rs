//! TCP Fast Open: bytes that travel before the connection exists.
//!
//! Owns the settings that allow it, in a network namespace of its own.

use std::ffi::c_int;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::ensure;

use super::ledger::{Direction, How, Ledger};
use super::paths::{self, Outgoing, SendPath};
use super::socket::{Family, Socket};
use super::special::enter_namespace;
use super::sys::{self, RawAddress, check};
use super::{Named, unsupported};
use crate::model::flow::Protocol;

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::fast_open::sendto", |l| {
        fast_open(Family::V4, Opening::BySending, l)
    }),
    ("tcp6::fast_open::sendto", |l| {
        fast_open(Family::V6, Opening::BySending, l)
    }),
    ("tcp4::fast_open::connect_write", |l| {
        fast_open(Family::V4, Opening::ByOption, l)
    }),
    ("tcp6::fast_open::connect_write", |l| {
        fast_open(Family::V6, Opening::ByOption, l)
    }),
    ("tcp4::fast_open::not_blocking", |l| {
        fast_open(Family::V4, Opening::NotBlocking, l)
    }),
];

/// How the first bytes are handed to a connection that is not there yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// `sendto(MSG_FASTOPEN)`.
    BySending,
    /// The same without waiting: the first time nothing is taken.
    NotBlocking,
    /// `TCP_FASTOPEN_CONNECT`, `connect` and `write`.
    ByOption,
}

/// A `TCPI_OPT_SYN_DATA` in `tcpi_options`: the data of the SYN were accepted.
const SYN_DATA: u8 = 32;

/// True if the bytes really went with the SYN.
fn went_with_syn(socket: &Socket) -> std::io::Result<bool> {
    // SAFETY: tcp_info is plain integers, for which zero is valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: pointer and length describe `info`.
    check(unsafe {
        let (raw, room) = (socket.fd.as_raw_fd(), (&raw mut info).cast());
        libc::getsockopt(raw, libc::IPPROTO_TCP, libc::TCP_INFO, room, &mut length) as isize
    })?;
    Ok(info.tcpi_options & SYN_DATA != 0)
}

/// A socket that listens and takes data with the SYN.
fn listener(address: IpAddr, domain: c_int) -> anyhow::Result<OwnedFd> {
    let fd = sys::socket(domain, libc::SOCK_STREAM, 0)?;
    sys::bind(fd.as_fd(), &SocketAddr::from((address, 0)).into())?;
    sys::set_option(fd.as_fd(), libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 16)
        .map_err(|error| unsupported("TCP_FASTOPEN", error))?;
    sys::listen(fd.as_fd())?;
    Ok(fd)
}

/// Opens one connection with `data`; what the first call took is written down.
fn open(
    opening: Opening,
    fd: OwnedFd,
    to: &RawAddress,
    data: &[u8],
    ledger: &mut Ledger,
) -> anyhow::Result<Socket> {
    let address = to.decode();
    let (path, to_name, flags) = match opening {
        Opening::BySending => (SendPath::Sendto, address, libc::MSG_FASTOPEN),
        Opening::NotBlocking => {
            let flags = libc::MSG_FASTOPEN | libc::MSG_DONTWAIT;
            (SendPath::Sendto, address, flags)
        }
        Opening::ByOption => {
            sys::set_option(fd.as_fd(), libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1)
                .map_err(|error| unsupported("TCP_FASTOPEN_CONNECT", error))?;
            sys::connect(fd.as_fd(), to)?;
            (SendPath::Write, None, 0)
        }
    };
    let message = [Outgoing { data, to: to_name }];
    let taken = match paths::send(path, fd.as_fd(), &message, flags) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => 0,
        taken => taken?[0],
    };
    sys::wait_for(fd.as_fd(), libc::POLLOUT, 1000)?;
    // Only now does the socket know both of its ends.
    let near = Socket::new(fd, Protocol::Tcp);
    ledger.record(near.movement(Direction::Sent, None, How::Call), taken);
    ensure!(
        taken == data.len() || opening == Opening::NotBlocking,
        "only {taken} bytes were taken"
    );
    Ok(near)
}

/// Three connections: the first asks for a cookie, the others send data with it.
fn fast_open(family: Family, opening: Opening, ledger: &mut Ledger) -> anyhow::Result<()> {
    enter_namespace()?;
    std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", "3")
        .map_err(|error| unsupported("net.ipv4.tcp_fastopen", error))?;
    let domain = match family {
        Family::V4 => libc::AF_INET,
        Family::V6 | Family::Mapped => libc::AF_INET6,
    };
    let listener = listener(family.loopback(), domain)?;
    let to = sys::name(listener.as_fd(), sys::End::Local)?;
    let mut early = 0;
    for bytes in [701, 502, 303] {
        let data = vec![0x5a; bytes];
        let fd = sys::socket(domain, libc::SOCK_STREAM, 0)?;
        let near = open(opening, fd, &to, &data, ledger)?;
        let far = Socket::new(sys::accept(listener.as_fd())?, Protocol::Tcp);
        near.send_plain(ledger, 44)?;
        near.end_sending()?;
        far.drain(ledger)?;
        early += usize::from(went_with_syn(&near)?);
    }
    let sums = (
        ledger.bytes(Direction::Sent),
        ledger.bytes(Direction::Received),
    );
    ensure!(
        sums.0 == sums.1,
        "{} bytes sent, {} received",
        sums.0,
        sums.1
    );
    if early == 0 {
        return Err(unsupported("TCP Fast Open", "no data went with a SYN"));
    }
    ensure!(
        early == 2,
        "{early} of 2 connections sent data with their SYN"
    );
    Ok(())
}

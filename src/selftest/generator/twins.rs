//! Sockets with the same addresses and ports in two network namespaces: of two
//! processes, and of one that goes from one namespace to the other.

use std::ffi::c_int;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use super::handed::{in_child, talk};
use super::ledger::Ledger;
use super::socket::Socket;
use super::special::enter_namespace;
use super::{Named, pause, report, sys};
use crate::model::flow::Protocol;

/// Every case of this file.
pub const CASES: &[Named] = &[("tcp4::same_ends::two_processes", two_processes)];

/// The ends that everyone has in a namespace of his own: a UDP and a TCP connection.
struct Twin {
    udp: (Socket, Socket),
    tcp: (Socket, Socket),
}

/// A socket at that port of loopback.
fn socket_at(kind: c_int, port: u16, protocol: Protocol) -> anyhow::Result<Socket> {
    let fd = sys::socket(libc::AF_INET, kind, 0)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    sys::bind(fd.as_fd(), &address.into())?;
    Ok(Socket::new(fd, protocol))
}

impl Twin {
    /// Enters a new namespace and connects the sockets there.
    fn new() -> anyhow::Result<Twin> {
        enter_namespace()?;
        let udp = |port| socket_at(libc::SOCK_DGRAM, port, Protocol::Udp);
        let tcp = |port| socket_at(libc::SOCK_STREAM, port, Protocol::Tcp);
        let mut pair = (udp(40_001)?, udp(40_002)?);
        pair.0.connect(pair.1.address()?)?;
        pair.1.connect(pair.0.address()?)?;
        let (listener, mut near) = (tcp(40_003)?, tcp(40_004)?);
        sys::listen(listener.fd())?;
        near.connect(listener.address()?)?;
        let far = Socket::new(sys::accept(listener.fd())?, Protocol::Tcp);
        Ok(Twin {
            udp: pair,
            tcp: (near, far),
        })
    }

    fn talk(&self, bytes: usize, ledger: &mut Ledger) -> anyhow::Result<()> {
        talk(&self.udp.0, &self.udp.1, bytes, ledger)?;
        talk(&self.tcp.0, &self.tcp.1, bytes + 1, ledger)?;
        talk(&self.tcp.1, &self.tcp.0, bytes + 2, ledger)
    }
}

/// One after the other, each for itself.
fn two_processes(_: &mut Ledger) -> anyhow::Result<()> {
    for bytes in [1212, 3434] {
        in_child(|ledger| Twin::new()?.talk(bytes, ledger))?.end_well()?;
    }
    Ok(())
}

/// One process that has the same ends twice; the first are closed before the
/// last bytes of the second move. A report for each of the three stages.
pub fn two_namespaces(_: &[String]) -> anyhow::Result<()> {
    let mut ledger = Ledger::default();
    let first = Twin::new()?;
    first.talk(1111, &mut ledger)?;
    report(&mut ledger)?;
    if !pause()? {
        return Ok(());
    }
    let second = Twin::new()?;
    second.talk(2222, &mut ledger)?;
    report(&mut ledger)?;
    if !pause()? {
        return Ok(());
    }
    drop(first);
    second.talk(444, &mut ledger)?;
    report(&mut ledger)?;
    pause().map(|_| ())
}

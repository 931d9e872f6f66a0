//! A UDP server and its many peers, in the generator's process.
//!
//! Owns both ends; reports by the generator's ledger.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use anyhow::bail;

use crate::generator::{stages, stay_on_loopback};
use crate::traffic::{LOST, count};

/// Datagrams on their way at a time: fewer than any socket's queue holds.
const BATCH: u32 = 16;

/// A UDP server that answers as many new peers as a line says. The peers are one
/// socket that sends from another loopback address each time.
pub fn peers() -> anyhow::Result<()> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    stay_on_loopback(&client)?;
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(LOST))?;
    }
    let here = server.local_addr()?;
    let SocketAddr::V4(to) = here else {
        bail!("not IPv4: {here}");
    };
    let mut used = u32::from(Ipv4Addr::new(127, 1, 0, 1));
    stages(|new, ledger| {
        let end = used + u32::try_from(new)?;
        while used < end {
            let batch = used..end.min(used + BATCH);
            for peer in batch.clone() {
                let size = 1 + peer as usize % 100;
                let sent = send_from(&client, peer.into(), to, &[b'q'; 100][..size])?;
                count(&mut ledger.moved, 0, sent);
            }
            let mut answers = 0;
            for _ in batch.clone() {
                let Some((received, peer)) = receive(&server)? else {
                    break;
                };
                let flow = ledger.flows.entry((here, peer)).or_default();
                count(flow, 1, received);
                count(&mut ledger.moved, 1, received);
                let sent = server.send_to(&[b'a'; 8], peer)?;
                count(flow, 0, sent);
                count(&mut ledger.moved, 0, sent);
                answers += 1;
            }
            for _ in 0..answers {
                let Some((received, _)) = receive(&client)? else {
                    break;
                };
                count(&mut ledger.moved, 1, received);
            }
            used = batch.end;
        }
        Ok(())
    })
}

/// The next datagram and who sent it, unless it was dropped on its way.
fn receive(socket: &UdpSocket) -> io::Result<Option<(usize, SocketAddr)>> {
    match socket.recv_from(&mut [0; 128]) {
        Ok(arrival) => Ok(Some(arrival)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// One datagram whose source is any address of this machine (`IP_PKTINFO`).
fn send_from(
    socket: &UdpSocket,
    source: Ipv4Addr,
    to: SocketAddrV4,
    data: &[u8],
) -> io::Result<usize> {
    /// A control message as the kernel lays it out.
    #[repr(C)]
    struct Control {
        header: libc::cmsghdr,
        packet: libc::in_pktinfo,
    }
    let mut control = Control {
        header: libc::cmsghdr {
            cmsg_len: std::mem::offset_of!(Control, packet) + size_of::<libc::in_pktinfo>(),
            cmsg_level: libc::IPPROTO_IP,
            cmsg_type: libc::IP_PKTINFO,
        },
        packet: libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr {
                s_addr: u32::from(source).to_be(),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        },
    };
    let mut name = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*to.ip()).to_be(),
        },
        sin_zero: [0; 8],
    };
    let mut part = libc::iovec {
        iov_base: data.as_ptr().cast_mut().cast(),
        iov_len: data.len(),
    };
    // SAFETY: msghdr is integers and pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = size_of_val(&name) as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: the header points at four locals and `data`, which the call only reads.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

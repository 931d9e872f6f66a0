//! Cases of other protocols than TCP and UDP, by other calls than the plainest.
//!
//! What such sockets need to exist is in `protocols`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use anyhow::ensure;

use super::ledger::Ledger;
use super::paths::{Outgoing, ReceivePath, SendPath};
use super::protocols::{connect_streams, datagram_pair, loopback, second_loopback, vsock_pair};
use super::socket::Socket;
use super::special::receive_all;
use super::sys;
use super::{Named, unsupported};
use crate::model::flow::Protocol;

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("udplite4::all_paths", |l| udp_lite(libc::AF_INET, l)),
    ("udplite6::all_paths", |l| udp_lite(libc::AF_INET6, l)),
    ("mptcp4::all_paths", |l| mptcp(libc::AF_INET, l)),
    ("mptcp6::all_paths", |l| mptcp(libc::AF_INET6, l)),
    ("sctp4::stream::all_paths", |l| {
        let (domain, kind) = (libc::AF_INET, libc::SOCK_STREAM);
        let at = SocketAddr::from((loopback(domain), 0)).into();
        let number = libc::IPPROTO_SCTP;
        messages(
            connect_streams(number, domain, kind, &at, Protocol::Sctp)?,
            l,
        )
    }),
    ("sctp4::one_to_many::sendmsg", |l| {
        one_to_many(libc::AF_INET, l)
    }),
    ("sctp6::one_to_many::sendmsg", |l| {
        one_to_many(libc::AF_INET6, l)
    }),
    ("vsock::seqpacket::all_paths", |l| {
        messages(vsock_pair(libc::SOCK_SEQPACKET)?, l)
    }),
    ("vsock::stream::all_paths", |l| {
        messages(vsock_pair(libc::SOCK_STREAM)?, l)
    }),
    ("raw4::own_header::sendto", own_header),
];

/// Every call that sends a message with its receiving counterpart.
fn messages((near, far): (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    let data = [0x5a; 1414];
    let message = [Outgoing {
        data: &data,
        to: None,
    }];
    let pairs = SendPath::ALL.into_iter().zip(ReceivePath::ALL);
    for (send, receive) in pairs.filter(|(send, _)| !send.is_piecewise()) {
        let sent = near.send(ledger, send, &message, 0)?;
        ensure!(
            sys::wait_for(far.fd(), libc::POLLIN, 1000)?,
            "nothing came of {}",
            send.name()
        );
        let received = far.receive(ledger, receive, &[4096], 0)?[0].bytes;
        let (send, receive) = (send.name(), receive.name());
        ensure!(
            sent == received,
            "{send}: {sent} bytes, {receive}: {received}"
        );
    }
    Ok(())
}

fn udp_lite(domain: i32, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (kind, number) = (libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE);
    let (near, far) = datagram_pair(domain, kind, number, Protocol::Udp)?;
    let data = [0x5a; 1515];
    let message = [Outgoing {
        data: &data,
        to: None,
    }];
    let mut sent = near.send(ledger, SendPath::Splice, &message, 0)?;
    sent += near.send(ledger, SendPath::Sendfile, &message, 0)?;
    sys::wait_for(far.fd(), libc::POLLIN, 1000)?;
    let mut received = far.receive(ledger, ReceivePath::Splice, &[4096], 0)?[0].bytes;
    received += receive_all(&far, ReceivePath::Recvmmsg, ledger)?;
    ensure!(sent == received, "{sent} bytes sent, {received} received");
    messages((near, far), ledger)
}

fn mptcp(domain: i32, ledger: &mut Ledger) -> anyhow::Result<()> {
    let at = SocketAddr::from((loopback(domain), 0)).into();
    let (number, kind) = (libc::IPPROTO_MPTCP, libc::SOCK_STREAM);
    let (near, far) = connect_streams(number, domain, kind, &at, Protocol::Mptcp)?;
    let data = [0x5a; 3535];
    let message = [Outgoing {
        data: &data,
        to: None,
    }];
    let receives = ReceivePath::ALL.into_iter();
    for (send, receive) in SendPath::ALL.into_iter().zip(receives.rev()) {
        let sent = near.send(ledger, send, &message, 0)?;
        let mut received = 0;
        while received < sent {
            ensure!(
                sys::wait_for(far.fd(), libc::POLLIN, 1000)?,
                "{}: {sent} bytes sent, {received} received",
                send.name()
            );
            received += far.receive(ledger, receive, &[2000], 0)?[0].bytes;
        }
    }
    Ok(())
}

/// Sockets that talk to any number of peers and name them in each call.
fn one_to_many(domain: i32, ledger: &mut Ledger) -> anyhow::Result<()> {
    let open = |address: IpAddr| -> anyhow::Result<Socket> {
        let (kind, number) = (libc::SOCK_SEQPACKET, libc::IPPROTO_SCTP);
        let fd = sys::socket(domain, kind, number).map_err(|error| unsupported("sctp", error))?;
        sys::bind(fd.as_fd(), &SocketAddr::from((address, 0)).into())?;
        sys::listen(fd.as_fd())?;
        Ok(Socket::new(fd, Protocol::Sctp))
    };
    let near = open(loopback(domain))?;
    let far = [open(loopback(domain))?, open(second_loopback(domain))?];
    let data = [0x5a; 1616];
    for (index, path) in [SendPath::Sendmsg, SendPath::Sendto, SendPath::Sendmmsg]
        .into_iter()
        .enumerate()
    {
        let peer = &far[index % far.len()];
        for (from, to, receive) in [
            (&near, peer, ReceivePath::Recvmsg),
            (peer, &near, ReceivePath::Recvfrom),
        ] {
            let message = [Outgoing {
                data: &data[..1000 + index],
                to: Some(to.address()?),
            }];
            let sent = from.send(ledger, path, &message, 0)?;
            sys::wait_for(to.fd(), libc::POLLIN, 1000)?;
            let received = to.receive(ledger, receive, &[4096], 0)?[0].bytes;
            ensure!(sent == received, "{sent} bytes sent, {received} received");
        }
    }
    Ok(())
}

/// A packet whose IP header the process wrote itself, which counts with the rest.
fn own_header(ledger: &mut Ledger) -> anyhow::Result<()> {
    const PROTOCOL: u8 = 253;
    let (here, there) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2));
    let open = |number: i32, address: Ipv4Addr| -> anyhow::Result<Socket> {
        let fd = sys::socket(libc::AF_INET, libc::SOCK_RAW, number)
            .map_err(|error| unsupported("raw sockets", error))?;
        sys::bind(fd.as_fd(), &SocketAddr::from((address, 0)).into())?;
        Ok(Socket::new(fd, Protocol::Raw))
    };
    let near = open(libc::IPPROTO_RAW, here)?;
    let far = open(PROTOCOL.into(), there)?;
    // Version 4, five words; the kernel fills in length, identification and checksum.
    let mut packet = vec![0; 20 + 444];
    packet[0] = 0x45;
    packet[8] = 64;
    packet[9] = PROTOCOL;
    packet[12..16].copy_from_slice(&here.octets());
    packet[16..20].copy_from_slice(&there.octets());
    let to = Some(SocketAddr::from((there, 0)));
    for path in [SendPath::Sendto, SendPath::Sendmsg, SendPath::Sendmmsg] {
        let message = [Outgoing { data: &packet, to }];
        let sent = near.send(ledger, path, &message, 0)?;
        let received = receive_all(&far, ReceivePath::Recvmsg, ledger)?;
        ensure!(sent == received, "{sent} bytes sent, {received} received");
    }
    Ok(())
}

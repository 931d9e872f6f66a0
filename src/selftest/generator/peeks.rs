//! Reads that leave the data where they are: peeks from an offset, lengths
//! alone, urgent bytes.
//!
//! Only what is taken counts. The peeks of every receiving call are in `cell`.

use std::ffi::c_int;

use anyhow::ensure;

use super::ledger::Ledger;
use super::paths::{Outgoing, ReceivePath, SendPath};
use super::socket::{Family, Socket, tcp_pair, udp_pair};
use super::sys;
use super::{Named, unsupported};

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("udp4::peek_offset::recv", |l| {
        peek_offset(udp_pair(Family::V4)?, l)
    }),
    ("tcp4::peek_offset::recv", |l| {
        peek_offset(tcp_pair(Family::V4)?, l)
    }),
    ("udp4::peek_length::recvmsg", |l| {
        peek_length(udp_pair(Family::V4)?, l)
    }),
    ("tcp4::peek_length::recvmsg", |l| {
        peek_length(tcp_pair(Family::V4)?, l)
    }),
    ("tcp4::urgent::inline", |l| urgent(true, l)),
    ("tcp4::urgent::peeked", |l| urgent(false, l)),
];

/// Each look begins where the one before it ended.
fn peek_offset((near, far): (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    sys::set_option(far.fd(), libc::SOL_SOCKET, libc::SO_PEEK_OFF, 0)
        .map_err(|error| unsupported("SO_PEEK_OFF", error))?;
    near.send_plain(ledger, 3000)?;
    sys::wait_for(far.fd(), libc::POLLIN, 1000)?;
    for length in [1000, 1000, 500] {
        let seen = far.receive(ledger, ReceivePath::Recv, &[length], libc::MSG_PEEK)?[0].bytes;
        ensure!(seen == length, "{seen} bytes seen");
    }
    let received = far.receive(ledger, ReceivePath::Recv, &[9000], 0)?[0].bytes;
    ensure!(received == 3000, "{received} bytes received");
    Ok(())
}

/// `MSG_PEEK | MSG_TRUNC` asks how long the next message is.
fn peek_length((near, far): (Socket, Socket), ledger: &mut Ledger) -> anyhow::Result<()> {
    near.send_plain(ledger, 2500)?;
    sys::wait_for(far.fd(), libc::POLLIN, 1000)?;
    for path in [
        ReceivePath::Recvmsg,
        ReceivePath::RecvmsgNoName,
        ReceivePath::Recvmmsg,
    ] {
        let flags = libc::MSG_PEEK | libc::MSG_TRUNC;
        let seen = far.receive(ledger, path, &[10], flags)?[0].bytes;
        ensure!(seen == 2500 || seen == 10, "{seen} bytes seen");
    }
    let received = far.receive(ledger, ReceivePath::Recvmsg, &[9000], 0)?[0].bytes;
    ensure!(received == 2500, "{received} bytes received");
    Ok(())
}

/// The urgent byte among the others, or looked at before it is taken.
fn urgent(inline: bool, ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = tcp_pair(Family::V4)?;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_OOBINLINE);
    sys::set_option(far.fd(), level, option, c_int::from(inline))?;
    let data = [0x5a; 100];
    let message = [Outgoing {
        data: &data,
        to: None,
    }];
    near.send(ledger, SendPath::Sendmsg, &message, libc::MSG_OOB)?;
    near.end_sending()?;
    if !inline {
        sys::wait_for(far.fd(), libc::POLLPRI, 1000)?;
        for flags in [libc::MSG_PEEK, libc::MSG_PEEK, 0] {
            let flags = libc::MSG_OOB | flags;
            let bytes = far.receive(ledger, ReceivePath::Recvmsg, &[10], flags)?[0].bytes;
            ensure!(bytes == 1, "{bytes} urgent bytes");
        }
    }
    let received = far.drain(ledger)?;
    let expected = if inline { 100 } else { 99 };
    ensure!(received == expected, "{received} bytes received");
    Ok(())
}

//! TLS records made and opened by the kernel: what counts is the plain bytes.
//!
//! Owns the keys, which are the same at both ends. Counts what the calls return.

use std::ffi::c_int;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use anyhow::ensure;

use super::ledger::{Direction, How, Ledger};
use super::paths::{self, Outgoing, ReceivePath, SendPath};
use super::socket::{Family, Socket, tcp_pair};
use super::sys::{self, check};
use super::{Named, unsupported};

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::tls::send_recv", |l| {
        move_by(Family::V4, SendPath::Send, ReceivePath::Recv, l)
    }),
    ("tcp6::tls::send_recv", |l| {
        move_by(Family::V6, SendPath::Send, ReceivePath::Recv, l)
    }),
    ("tcp4::tls::sendmsg_recvmsg", |l| {
        move_by(Family::V4, SendPath::Sendmsg, ReceivePath::Recvmsg, l)
    }),
    ("tcp4::tls::write_read", |l| {
        move_by(Family::V4, SendPath::Write, ReceivePath::Read, l)
    }),
    ("tcp4::tls::sendfile", |l| {
        move_by(Family::V4, SendPath::Sendfile, ReceivePath::Recv, l)
    }),
    ("tcp4::tls::splice_to", |l| {
        move_by(Family::V4, SendPath::Splice, ReceivePath::Recv, l)
    }),
    ("tcp4::tls::splice_from", |l| {
        move_by(Family::V4, SendPath::Send, ReceivePath::Splice, l)
    }),
    ("tcp4::tls::peeked", peek),
    ("tcp4::tls::alert_record", alert_record),
];

/// Odd lengths, of which the last is more than one record.
const LENGTHS: [usize; 3] = [1003, 77, 20_021];
/// The type of a record that carries an alert.
const ALERT: u8 = 21;

/// Makes the kernel do this end's records from here on; `option` is a direction.
fn key(socket: &Socket, option: c_int) -> io::Result<()> {
    let info = libc::tls12_crypto_info_aes_gcm_128 {
        info: libc::tls_crypto_info {
            version: libc::TLS_1_2_VERSION,
            cipher_type: libc::TLS_CIPHER_AES_GCM_128,
        },
        iv: [1; 8],
        key: [2; 16],
        salt: [3; 4],
        rec_seq: [0; 8],
    };
    let length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: pointer and length describe `info`.
    check(unsafe {
        let (raw, value) = (socket.fd.as_raw_fd(), (&raw const info).cast());
        libc::setsockopt(raw, libc::SOL_TLS, option, value, length) as isize
    })?;
    Ok(())
}

/// A TCP connection whose first end sends records and whose second opens them.
fn tls_pair(family: Family) -> anyhow::Result<(Socket, Socket)> {
    let (near, far) = tcp_pair(family)?;
    for (socket, option) in [(&near, libc::TLS_TX), (&far, libc::TLS_RX)] {
        let name = c"tls";
        // SAFETY: pointer and length describe `name`.
        check(unsafe {
            let (raw, level) = (socket.fd.as_raw_fd(), libc::IPPROTO_TCP);
            libc::setsockopt(raw, level, libc::TCP_ULP, name.as_ptr().cast(), 3) as isize
        })
        .map_err(|error| unsupported("TLS in the kernel", error))?;
        key(socket, option).map_err(|error| unsupported("AES-GCM by TLS", error))?;
    }
    Ok((near, far))
}

/// Sends each length by one call and receives all of it by as many as it takes.
fn move_by(
    family: Family,
    send: SendPath,
    receive: ReceivePath,
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let (near, far) = tls_pair(family)?;
    for length in LENGTHS {
        let data = vec![0x5a; length];
        let message = [Outgoing {
            data: &data,
            to: None,
        }];
        let sent = near.send(ledger, send, &message, 0)?;
        let mut received = 0;
        while received < sent {
            ensure!(
                sys::wait_for(far.fd(), libc::POLLIN, 1000)?,
                "{sent} bytes sent, {received} received"
            );
            received += far.receive(ledger, receive, &[9000], 0)?[0].bytes;
        }
        ensure!(sent == received, "{sent} bytes sent, {received} received");
    }
    Ok(())
}

/// Looking at a record opens it, which must not count it.
fn peek(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = tls_pair(Family::V4)?;
    near.send_plain(ledger, 4004)?;
    for path in [ReceivePath::Recv, ReceivePath::Recvmsg] {
        let seen = far.receive(ledger, path, &[9000], libc::MSG_PEEK)?[0].bytes;
        ensure!(seen == 4004, "{seen} bytes seen");
    }
    let received = far.receive(ledger, ReceivePath::Recv, &[9000], 0)?[0].bytes;
    ensure!(received == 4004, "{received} bytes received");
    Ok(())
}

/// A `msghdr` of `data` with room for one control message of one byte.
fn with_control<T>(
    data: &mut [u8],
    control: &mut [u64; 4],
    call: impl FnOnce(&mut libc::msghdr) -> T,
) -> T {
    let mut parts = paths::thirds(data.as_mut_ptr(), data.len());
    let mut header = paths::header(&mut parts, None);
    header.msg_control = control.as_mut_ptr().cast();
    // SAFETY: computes a number from a number.
    header.msg_controllen = unsafe { libc::CMSG_SPACE(1) } as usize;
    call(&mut header)
}

fn send_alert(fd: BorrowedFd, data: &mut [u8]) -> io::Result<usize> {
    let mut control = [0_u64; 4];
    with_control(data, &mut control, |header| {
        // SAFETY: the control buffer is as large as the header says and aligned
        // for the one message that is written into it; all outlives the call.
        check(unsafe {
            let message = &mut *libc::CMSG_FIRSTHDR(header);
            message.cmsg_level = libc::SOL_TLS;
            message.cmsg_type = libc::TLS_SET_RECORD_TYPE;
            message.cmsg_len = libc::CMSG_LEN(1) as usize;
            libc::CMSG_DATA(message).write(ALERT);
            libc::sendmsg(fd.as_raw_fd(), header, 0)
        })
    })
}

/// Receives one record; its bytes and its type where the kernel tells it.
fn receive_record(fd: BorrowedFd, data: &mut [u8]) -> io::Result<(usize, Option<u8>)> {
    let mut control = [0_u64; 4];
    with_control(data, &mut control, |header| {
        // SAFETY: header, parts and control buffer outlive the call.
        let bytes = check(unsafe { libc::recvmsg(fd.as_raw_fd(), header, 0) })?;
        // SAFETY: null, or a message within what the kernel has just written.
        let kind = unsafe {
            let message = libc::CMSG_FIRSTHDR(header);
            (!message.is_null()).then(|| libc::CMSG_DATA(message).read())
        };
        Ok((bytes, kind))
    })
}

/// Records of another type than data, which only a control message can name.
fn alert_record(ledger: &mut Ledger) -> anyhow::Result<()> {
    let (near, far) = tls_pair(Family::V4)?;
    let mut data = vec![0x5a; 5000];
    let sent = send_alert(near.fd(), &mut data[..303])?;
    ledger.record(near.movement(Direction::Sent, None, How::Call), sent);
    sys::wait_for(far.fd(), libc::POLLIN, 1000)?;
    // A call that could not be told the type fails and leaves the record.
    let refused = far.receive(ledger, ReceivePath::Recv, &[5000], 0);
    ensure!(refused.is_err(), "an alert taken for data: {refused:?}");
    let (received, kind) = receive_record(far.fd(), &mut data)?;
    ledger.record(far.movement(Direction::Received, None, How::Call), received);
    ensure!(
        (received, kind) == (sent, Some(ALERT)),
        "{received} of {sent} bytes of type {kind:?} received"
    );
    // The same by the calls for files, which send data only.
    let (reader, writer) = sys::pipe()?;
    File::from(writer).write_all(&data[..505])?;
    let spliced = paths::splice(reader.as_fd().as_raw_fd(), near.fd.as_raw_fd(), 505);
    ledger.record(
        near.movement(Direction::Sent, None, How::Pieces),
        check(spliced)?,
    );
    let (received, _) = receive_record(far.fd(), &mut data)?;
    ledger.record(far.movement(Direction::Received, None, How::Call), received);
    Ok(())
}

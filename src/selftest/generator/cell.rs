//! What each cell of the matrix does.
//!
//! Owns the sequence of calls: the path under test on one side, plain `send` or
//! `recv` on the other. Which cells exist is `matrix`' business.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, ensure};

use super::ledger::Ledger;
use super::matrix::{Cell, Path, Transport, Variant};
use super::paths::{Outgoing, ReceivePath, SendPath};
use super::socket::{Socket, tcp_pair, udp, udp_pair};
use super::sys;

/// How often a call is made that must count nothing.
const FUTILE_CALLS: usize = 50;
/// Odd lengths, so that no sum is right by chance.
const LENGTHS: [usize; 3] = [1000, 2001, 3];

impl Cell {
    /// Moves its bytes and writes them down.
    pub fn run(&self, ledger: &mut Ledger) -> anyhow::Result<()> {
        let (near, far) = match self.transport {
            Transport::Tcp => {
                return match self.path {
                    Path::Send(path) => self.tcp_send(path, ledger),
                    Path::Receive(path) => self.tcp_receive(path, ledger),
                };
            }
            Transport::Udp => {
                let (near, far) = udp_pair(self.family)?;
                (near, vec![far])
            }
            Transport::UdpUnconnected => {
                let near = udp(self.family)?;
                let mut far = vec![udp(self.family)?, udp(self.family)?];
                for peer in &mut far {
                    peer.connect(near.address()?)?;
                }
                (near, far)
            }
        };
        match self.path {
            Path::Send(path) => self.udp_send(path, &near, &far, ledger),
            Path::Receive(path) => self.udp_receive(path, &near, &far, ledger),
        }
    }

    fn tcp_send(&self, path: SendPath, ledger: &mut Ledger) -> anyhow::Result<()> {
        let (near, far) = tcp_pair(self.family)?;
        // TCP ignores an address once connected; a counter must ignore it too.
        let elsewhere = path
            .takes_address()
            .then(|| SocketAddr::from((self.family.loopback(), 9)));
        let mut sent = 0;
        if self.variant == Variant::Plain {
            sent += send_all(&near, path, &LENGTHS, |_| elsewhere, ledger)?;
            ensure!(
                sent == LENGTHS.iter().sum::<usize>(),
                "only {sent} bytes were taken"
            );
        } else {
            sys::set_option(near.fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, 32 << 10)?;
            near.set_nonblocking(true)?;
            let data = vec![
                0x5a;
                if self.variant == Variant::Partial {
                    4 << 20
                } else {
                    5003
                }
            ];
            let to = elsewhere;
            let message = [Outgoing { data: &data, to }];
            let mut failed = 0;
            while failed < FUTILE_CALLS {
                match near.send(ledger, path, &message, 0) {
                    Ok(bytes) => sent += bytes,
                    Err(error) => failed += expected(error, libc::EAGAIN)?,
                }
            }
            ensure!(sent > 0, "nothing was taken");
        }
        near.end_sending()?;
        let received = far.drain(ledger)?;
        ensure!(received == sent, "{sent} bytes sent, {received} received");
        Ok(())
    }

    fn tcp_receive(&self, path: ReceivePath, ledger: &mut Ledger) -> anyhow::Result<()> {
        let (near, far) = tcp_pair(self.family)?;
        let capacities = match self.variant {
            Variant::Partial => vec![77],
            _ if path.is_multiple() => vec![1500, 700, 4096],
            _ => vec![4096],
        };
        if self.variant == Variant::Again {
            fail_to_receive(&near, path, &capacities, ledger)?;
        }
        let mut left = 0;
        for bytes in LENGTHS {
            left += far.send_plain(ledger, bytes)?;
        }
        if self.variant == Variant::Peek {
            sys::wait_for(near.fd(), libc::POLLIN, 1000)?;
            for _ in 0..4 {
                near.receive(ledger, path, &capacities, libc::MSG_PEEK | wait_once(path))?;
            }
        }
        let flags = wait_once(path)
            | match self.variant {
                Variant::Truncate => libc::MSG_TRUNC,
                _ => 0,
            };
        while left > 0 {
            let arrivals = near.receive(ledger, path, &capacities, flags)?;
            let bytes: usize = arrivals.iter().map(|arrival| arrival.bytes).sum();
            ensure!(
                bytes > 0 && bytes <= left,
                "{bytes} bytes of {left} received"
            );
            left -= bytes;
        }
        if self.variant == Variant::Again {
            fail_to_receive(&near, path, &capacities, ledger)?;
        }
        Ok(())
    }

    /// `near` sends to each of `far` in turn, which receive by plain `recv`.
    fn udp_send(
        &self,
        path: SendPath,
        near: &Socket,
        far: &[Socket],
        ledger: &mut Ledger,
    ) -> anyhow::Result<()> {
        let mut lengths = LENGTHS;
        if self.variant == Variant::Empty {
            lengths[1] = 0;
        }
        // On a connected socket the explicit address is that of its peer.
        let peers: Vec<SocketAddr> = far.iter().map(|s| s.address()).collect::<io::Result<_>>()?;
        let to = |turn: usize| path.takes_address().then(|| peers[turn % peers.len()]);
        if self.variant == Variant::TooLong {
            let data = vec![0; 70_000];
            let message = [Outgoing {
                data: &data,
                to: to(0),
            }];
            for _ in 0..FUTILE_CALLS {
                let outcome = near.send(ledger, path, &message, 0);
                let error = outcome.err().context("70,000 bytes in one datagram")?;
                expected(error, libc::EMSGSIZE)?;
            }
        }
        let sent = send_all(near, path, &lengths, to, ledger)?;
        ensure!(
            sent == lengths.iter().sum::<usize>(),
            "only {sent} bytes were taken"
        );
        let mut received = 0;
        for turn in 0..lengths.len() {
            let peer = &far[turn % far.len()];
            received += peer.receive(ledger, ReceivePath::Recv, &[9000], 0)?[0].bytes;
        }
        ensure!(received == sent, "{sent} bytes sent, {received} received");
        Ok(())
    }

    /// Each of `far` sends to `near` in turn by plain `send`.
    fn udp_receive(
        &self,
        path: ReceivePath,
        near: &Socket,
        far: &[Socket],
        ledger: &mut Ledger,
    ) -> anyhow::Result<()> {
        let mut lengths = LENGTHS;
        if self.variant == Variant::Empty {
            lengths[1] = 0;
        }
        let capacity = match self.variant {
            Variant::Short | Variant::Truncate => 10,
            _ => 4096,
        };
        let capacities = vec![capacity; if path.is_multiple() { 3 } else { 1 }];
        if self.variant == Variant::Again {
            fail_to_receive(near, path, &capacities, ledger)?;
        }
        for (turn, &bytes) in lengths.iter().enumerate() {
            far[turn % far.len()].send_plain(ledger, bytes)?;
        }
        if self.variant == Variant::Peek {
            for _ in 0..4 {
                near.receive(ledger, path, &capacities, libc::MSG_PEEK)?;
            }
        }
        let flags = match self.variant {
            Variant::Truncate => libc::MSG_TRUNC,
            _ => 0,
        };
        let mut left = lengths.len();
        while left > 0 {
            left -= near
                .receive(
                    ledger,
                    path,
                    &capacities[..left.min(capacities.len())],
                    flags,
                )?
                .len();
        }
        if self.variant == Variant::Again {
            fail_to_receive(near, path, &capacities, ledger)?;
        }
        Ok(())
    }
}

/// Makes `recvmmsg` return what is there instead of waiting for every buffer.
fn wait_once(path: ReceivePath) -> i32 {
    if path.is_multiple() {
        libc::MSG_WAITFORONE
    } else {
        0
    }
}

/// One message per length, in one call where the path can; returns what was taken.
fn send_all(
    socket: &Socket,
    path: SendPath,
    lengths: &[usize],
    to: impl Fn(usize) -> Option<SocketAddr>,
    ledger: &mut Ledger,
) -> io::Result<usize> {
    let data = vec![0x5a; 1 << 14];
    let turns = lengths.iter().enumerate();
    let messages: Vec<Outgoing> = turns
        .map(|(turn, &length)| Outgoing {
            data: &data[..length],
            to: to(turn),
        })
        .collect();
    let per_call = if path == SendPath::Sendmmsg {
        messages.len()
    } else {
        1
    };
    let mut taken = 0;
    for call in messages.chunks(per_call) {
        taken += socket.send(ledger, path, call, 0)?;
    }
    Ok(taken)
}

/// Calls that find nothing to receive.
fn fail_to_receive(
    socket: &Socket,
    path: ReceivePath,
    capacities: &[usize],
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    socket.set_nonblocking(true)?;
    for _ in 0..FUTILE_CALLS {
        match socket.receive(ledger, path, capacities, 0) {
            Ok(arrivals) => anyhow::bail!("received {arrivals:?} where nothing was sent"),
            Err(error) => expected(error, libc::EAGAIN)?,
        };
    }
    socket.set_nonblocking(false)?;
    Ok(())
}

/// 1 for the error that is part of the plan, else the error.
fn expected(error: io::Error, errno: i32) -> io::Result<usize> {
    if error.raw_os_error() == Some(errno) {
        Ok(1)
    } else {
        Err(error)
    }
}

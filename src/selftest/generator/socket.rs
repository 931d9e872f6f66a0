//! Sockets that write down in a ledger what they move.
//!
//! Owns the making of connected and unconnected sockets on loopback and the
//! rule which return values count. How a call is made is `paths`' business.

use std::ffi::c_int;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::ledger::{Direction, How, Ledger, Movement, my_pid};
use super::paths::{self, Arrival, Outgoing, ReceivePath, SendPath};
use super::sys::{self, End};
use crate::model::flow::{Endpoint, Protocol};

/// Which addresses a socket uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
    /// IPv4 addresses in an IPv6 socket.
    Mapped,
}

impl Family {
    pub const ALL: [Family; 3] = [Family::V4, Family::V6, Family::Mapped];

    pub fn suffix(self) -> &'static str {
        match self {
            Family::V4 => "4",
            Family::V6 => "6",
            Family::Mapped => "_mapped",
        }
    }

    /// True for what a family adds to a transport's name.
    pub fn is_suffix(text: &str) -> bool {
        Family::ALL.iter().any(|family| family.suffix() == text)
    }

    /// Its loopback address.
    pub fn loopback(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
            Family::Mapped => Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
        }
    }
}

/// A socket and the protocol its bytes count for.
pub struct Socket {
    pub fd: OwnedFd,
    pub protocol: Protocol,
    /// Who it is connected to. Remembered, because a TCP socket forgets it when reset.
    peer: Option<Endpoint>,
}

impl Socket {
    pub fn new(fd: impl Into<OwnedFd>, protocol: Protocol) -> Socket {
        let mut socket = Socket {
            fd: fd.into(),
            protocol,
            peer: None,
        };
        socket.peer = socket.end(End::Remote);
        socket
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn has_ports(&self) -> bool {
        matches!(
            self.protocol,
            Protocol::Tcp | Protocol::Udp | Protocol::Mptcp | Protocol::Sctp
        )
    }

    /// Raw sockets keep the protocol number where others have the port.
    fn without_foreign_port(&self, mut end: Endpoint) -> Endpoint {
        if !self.has_ports() {
            end.port = 0;
        }
        end
    }

    fn end(&self, end: End) -> Option<Endpoint> {
        let name = sys::name(self.fd(), end).ok()?.endpoint()?;
        Some(self.without_foreign_port(name))
    }

    /// The socket's own end as it says at this moment; a packet socket has none.
    pub fn local(&self) -> Option<Endpoint> {
        let name = self.end(End::Local)?;
        name.address.ip().map(|_| name)
    }

    /// The end it is connected to, or the interface a packet socket is bound to.
    fn peer(&self) -> Option<Endpoint> {
        if self.protocol == Protocol::Packet {
            self.end(End::Local)
        } else {
            self.peer
        }
    }

    /// The address another socket can send to, in the form this family takes.
    pub fn address(&self) -> io::Result<SocketAddr> {
        let name = sys::name(self.fd(), End::Local)?;
        let plain = name.decode().ok_or(io::ErrorKind::Unsupported)?;
        let is_mapped = name_is_v6(&name) && plain.is_ipv4();
        Ok(match plain.ip() {
            IpAddr::V4(v4) if is_mapped => (v4.to_ipv6_mapped(), plain.port()).into(),
            ip => (ip, plain.port()).into(),
        })
    }

    /// Connects a datagram socket.
    pub fn connect(&mut self, to: SocketAddr) -> io::Result<()> {
        sys::connect(self.fd(), &to.into())?;
        // A peer without a port counts as none for getpeername.
        let plain = Endpoint::from(SocketAddr::from((to.ip().to_canonical(), to.port())));
        let named = (!self.has_ports()).then(|| self.without_foreign_port(plain));
        self.peer = self.end(End::Remote).or(named);
        Ok(())
    }

    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        sys::set_nonblocking(self.fd(), on)
    }

    pub fn end_sending(&self) -> io::Result<()> {
        sys::end_sending(self.fd())
    }

    /// A movement of this socket's; `told` is the other end the caller named or was told.
    pub fn movement(&self, direction: Direction, told: Option<SocketAddr>, how: How) -> Movement {
        let plain = |end: SocketAddr| SocketAddr::from((end.ip().to_canonical(), end.port()));
        self.movement_with(direction, told.map(|end| plain(end).into()), how)
    }

    /// The same with an end that may be an interface.
    pub fn movement_with(
        &self,
        direction: Direction,
        told: Option<Endpoint>,
        how: How,
    ) -> Movement {
        // A connected stream ignores any address in the call.
        let is_stream = matches!(self.protocol, Protocol::Tcp | Protocol::Mptcp);
        let told = told.filter(|_| !is_stream);
        let peer = self.peer();
        Movement {
            pid: my_pid(),
            protocol: self.protocol,
            local: self.local(),
            remote: told.map(|end| self.without_foreign_port(end)).or(peer),
            peer,
            direction,
            how,
        }
    }

    /// One sending system call, written down; returns the bytes it took.
    pub fn send(
        &self,
        ledger: &mut Ledger,
        path: SendPath,
        messages: &[Outgoing],
        flags: c_int,
    ) -> io::Result<usize> {
        let taken = paths::send(path, self.fd(), messages, flags)?;
        let how = if path.is_piecewise() {
            How::Pieces
        } else {
            How::Call
        };
        for (message, &bytes) in messages.iter().zip(&taken) {
            ledger.record(self.movement(Direction::Sent, message.to, how), bytes);
        }
        Ok(taken.iter().sum())
    }

    /// Sends `bytes` bytes in one `send` call.
    pub fn send_plain(&self, ledger: &mut Ledger, bytes: usize) -> io::Result<usize> {
        let data = vec![0x5a; bytes];
        let message = Outgoing {
            data: &data,
            to: None,
        };
        self.send(ledger, SendPath::Send, &[message], 0)
    }

    /// One receiving system call, written down unless it left the data where they
    /// were or read the error queue.
    pub fn receive(
        &self,
        ledger: &mut Ledger,
        path: ReceivePath,
        capacities: &[usize],
        flags: c_int,
    ) -> io::Result<Vec<Arrival>> {
        let arrivals = paths::receive(path, self.fd(), capacities, flags)?;
        let how = if path == ReceivePath::Splice && self.protocol == Protocol::Tcp {
            How::SpliceFromTcp
        } else {
            How::Call
        };
        if flags & (libc::MSG_PEEK | libc::MSG_ERRQUEUE) == 0 {
            for arrival in &arrivals {
                let movement = self.movement_with(Direction::Received, arrival.from, how);
                ledger.record(movement, arrival.bytes);
            }
        }
        Ok(arrivals)
    }

    /// Receives by plain `recv` until the peer has ended; returns the bytes.
    pub fn drain(&self, ledger: &mut Ledger) -> io::Result<usize> {
        let mut total = 0;
        loop {
            match self.receive(ledger, ReceivePath::Recv, &[1 << 18], 0)?[0].bytes {
                0 => return Ok(total),
                bytes => total += bytes,
            }
        }
    }
}

fn name_is_v6(name: &sys::RawAddress) -> bool {
    name.length as usize == size_of::<libc::sockaddr_in6>()
}

/// Both ends of a TCP connection, the connecting one first.
pub fn tcp_pair(family: Family) -> io::Result<(Socket, Socket)> {
    let listener = TcpListener::bind((family.loopback(), 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    Ok((
        Socket::new(near, Protocol::Tcp),
        Socket::new(far, Protocol::Tcp),
    ))
}

/// A UDP socket bound to loopback and connected to nobody.
pub fn udp(family: Family) -> io::Result<Socket> {
    let socket = UdpSocket::bind((family.loopback(), 0))?;
    Ok(Socket::new(socket, Protocol::Udp))
}

/// Two UDP sockets connected to each other.
pub fn udp_pair(family: Family) -> io::Result<(Socket, Socket)> {
    let (mut near, mut far) = (udp(family)?, udp(family)?);
    near.connect(far.address()?)?;
    far.connect(near.address()?)?;
    Ok((near, far))
}

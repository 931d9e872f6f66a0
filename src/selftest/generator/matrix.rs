//! The exactness matrix: transport × path × variant.
//!
//! Owns which combinations exist and what they are called. What each does is in
//! `cell`; cases outside the matrix have files of their own.

use super::paths::{ReceivePath, SendPath};
use super::socket::Family;

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
    /// UDP sockets that are connected to nobody and talk to two peers.
    UdpUnconnected,
}

/// The call under test; the other side always uses plain `send` or `recv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Send(SendPath),
    Receive(ReceivePath),
}

/// What is special about the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    Plain,
    /// Calls that move only a part of what they were asked for.
    Partial,
    /// Calls that fail with EAGAIN, before and after ones that succeed.
    Again,
    /// Datagrams too long to send, before one that is not.
    TooLong,
    /// The data are looked at several times before they are taken.
    Peek,
    /// Buffers shorter than the datagram.
    Short,
    /// `MSG_TRUNC`: TCP discards, UDP returns the length on the wire.
    Truncate,
    /// An empty datagram among others.
    Empty,
}

impl Variant {
    const ALL: [Variant; 8] = [
        Variant::Plain,
        Variant::Partial,
        Variant::Again,
        Variant::TooLong,
        Variant::Peek,
        Variant::Short,
        Variant::Truncate,
        Variant::Empty,
    ];

    fn name(self) -> &'static str {
        match self {
            Variant::Plain => "plain",
            Variant::Partial => "partial",
            Variant::Again => "eagain",
            Variant::TooLong => "emsgsize",
            Variant::Peek => "peek",
            Variant::Short => "short",
            Variant::Truncate => "msg_trunc",
            Variant::Empty => "empty",
        }
    }
}

/// One cell of the matrix.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub transport: Transport,
    pub family: Family,
    pub path: Path,
    pub variant: Variant,
}

/// Every cell that makes sense.
pub fn cells() -> Vec<Cell> {
    let sends = SendPath::ALL.into_iter().map(Path::Send);
    let paths: Vec<Path> = sends
        .chain(ReceivePath::ALL.into_iter().map(Path::Receive))
        .collect();
    let mut cells = Vec::new();
    for transport in [Transport::Tcp, Transport::Udp, Transport::UdpUnconnected] {
        for family in Family::ALL {
            for &path in &paths {
                for variant in Variant::ALL {
                    let cell = Cell {
                        transport,
                        family,
                        path,
                        variant,
                    };
                    if cell.makes_sense() {
                        cells.push(cell);
                    }
                }
            }
        }
    }
    cells
}

/// True for the name of a variant, which is a part of a cell's name.
pub fn is_variant(name: &str) -> bool {
    Variant::ALL.iter().any(|variant| variant.name() == name)
}

impl Cell {
    pub fn name(&self) -> String {
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp | Transport::UdpUnconnected => "udp",
        };
        let unconnected = match self.transport {
            Transport::UdpUnconnected => "_unconnected",
            _ => "",
        };
        let path = match self.path {
            Path::Send(path) => path.name(),
            Path::Receive(path) => path.name(),
        };
        let family = self.family.suffix();
        let variant = self.variant.name();
        format!("{transport}{family}{unconnected}::{path}::{variant}")
    }

    /// All that was sent was also received and counted at both ends.
    pub fn conserves(&self) -> bool {
        self.variant != Variant::Short
    }

    fn makes_sense(&self) -> bool {
        let is_tcp = self.transport == Transport::Tcp;
        let possible = match self.path {
            Path::Send(path) => match self.variant {
                Variant::Plain => true,
                Variant::Partial | Variant::Again => is_tcp,
                Variant::TooLong => !is_tcp,
                // The vectored and file calls return before they reach the socket.
                Variant::Empty => !is_tcp && (path.takes_address() || path == SendPath::Send),
                Variant::Peek | Variant::Short | Variant::Truncate => false,
            },
            Path::Receive(path) => match self.variant {
                Variant::Plain | Variant::Again => true,
                Variant::Partial => is_tcp,
                Variant::Peek | Variant::Truncate => path.takes_flags(),
                Variant::Short | Variant::Empty => !is_tcp,
                Variant::TooLong => false,
            },
        };
        let fits_transport = match (self.transport, self.path) {
            // A stream's calls give no name anyway.
            (Transport::Tcp, Path::Receive(path)) => !path.hides_name(),
            (Transport::Tcp, Path::Send(_)) => true,
            (_, Path::Send(path)) if path.is_piecewise() => false,
            (Transport::UdpUnconnected, Path::Send(path)) => path.takes_address(),
            (Transport::Udp | Transport::UdpUnconnected, _) => true,
        };
        // Mapped sockets differ by their addresses only.
        let worth_it = self.family != Family::Mapped || self.variant == Variant::Plain;
        possible && fits_transport && worth_it
    }
}

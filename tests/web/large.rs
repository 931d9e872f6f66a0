//! A record too large for the buffers on its way, and a client that takes it slowly.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use nix::sys::socket::{setsockopt, sockopt};

use crate::answers::wait;
use crate::client::{connect, get};

/// Flows of this process: their record is more than the kernel holds of a connection.
const FLOWS: u32 = 4000;

/// Bytes of a record that no buffers hold.
const LARGE: usize = 1_000_000;

/// What the client's kernel holds unread, bytes; it doubles them.
const UNREAD: usize = 16 * 1024;

/// The same once it reads, as with tiny pieces it would take minutes.
const READ: usize = 1024 * 1024;

/// Sends something to each of many addresses of this machine, and waits until the
/// server's record has it all. The flows last as long as what comes back.
pub fn record(server: SocketAddr) -> anyhow::Result<[UdpSocket; 2]> {
    let to = UdpSocket::bind("0.0.0.0:0")?;
    let port = to.local_addr()?.port();
    let from = UdpSocket::bind("127.0.0.1:0")?;
    wait("a large record", || {
        for number in 0..FLOWS {
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number);
            from.send_to(b"x", (address, port))?;
        }
        let answer = get(server, "/api/current")?;
        Ok((answer.status == 200 && answer.body.len() > LARGE).then_some(()))
    })?;
    Ok([from, to])
}

/// Connects with little room for what is not read.
pub fn small(server: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = connect(server)?;
    setsockopt(&stream, sockopt::RcvBuf, &UNREAD)?;
    Ok(stream)
}

/// Makes room, from now on it reads.
pub fn widen(stream: &TcpStream) -> anyhow::Result<()> {
    Ok(setsockopt(stream, sockopt::RcvBuf, &READ)?)
}

//! Network namespaces with wires between them, and traffic across these.
//!
//! A wire is a veth pair between namespaces of a test's own, which sleeping processes
//! hold; with them it goes. Traffic is the test's own: a socket stays in the namespace in
//! which it was opened. Judges nothing.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};

use crate::netmon::{Live, run, shell};
use crate::trial::Impossible;

/// A network namespace with a loopback, as long as its holder sleeps.
pub struct Space {
    holder: Live,
}

impl Space {
    /// An empty one. TCP sends nothing again there because an answer is late, as on a busy
    /// machine they are: what is sent again is in packets, and not in what a process sent.
    pub fn new() -> anyhow::Result<Space> {
        if !run(&mut shell("ip -V"))?.status.success() {
            return Err(Impossible("it needs `ip` (package iproute2)".to_owned()).into());
        }
        let line = "ip link set lo up && echo 0 > /proc/sys/net/ipv4/tcp_early_retrans \
            && echo ready && exec sleep 600";
        let mut command = Command::new("unshare");
        let mut holder = Live::start(command.args(["--net", "sh", "-c", line]))?;
        holder.line()?;
        Ok(Space { holder })
    }

    /// The process that holds it.
    pub fn pid(&self) -> u32 {
        self.holder.pid()
    }

    /// The file that names it.
    pub fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.pid())
    }

    /// A command that begins with entering it.
    pub fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path()));
        command
    }

    /// Runs a shell's line in it.
    pub fn sh(&self, line: &str) -> anyhow::Result<()> {
        let done = run(self.command().args(["sh", "-ec", line]))?;
        done.check_code(0).with_context(|| line.to_owned())
    }

    /// Joins it to `other` by a pair of interfaces with these names and addresses.
    pub fn join(&self, mine: (&str, &str), other: &Space, its: (&str, &str)) -> anyhow::Result<()> {
        let (name, peer, pid) = (mine.0, its.0, other.holder.pid());
        self.sh(&format!(
            "ip link add {name} type veth peer name {peer} netns {pid}"
        ))?;
        for (space, (name, address)) in [(self, mine), (other, its)] {
            space.sh(&format!("ip address add {address} dev {name}"))?;
            space.sh(&format!("ip link set {name} up"))?;
        }
        Ok(())
    }

    /// What `open` gives when it is done in this namespace.
    pub fn inside<T: Send>(
        &self,
        open: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let space = File::open(self.path())?;
        // Only that thread changes its namespace, and then ends.
        let open = || {
            // SAFETY: setns takes two numbers; the descriptor is open.
            let result = unsafe { libc::setns(space.as_raw_fd(), libc::CLONE_NEWNET) };
            ensure!(result == 0, "setns: {}", std::io::Error::last_os_error());
            open()
        };
        thread::scope(|scope| scope.spawn(open).join()).map_err(|_| anyhow!("no socket"))?
    }
}

/// Two namespaces with a wire between them: `a0`, 10.9.0.1 and fd00:9::1, and `b0`,
/// the same with a 2.
pub fn two() -> anyhow::Result<(Space, Space)> {
    let (a, b) = (Space::new()?, Space::new()?);
    a.join(("a0", "10.9.0.1/24"), &b, ("b0", "10.9.0.2/24"))?;
    a.sh("ip address add fd00:9::1/64 dev a0 nodad")?;
    b.sh("ip address add fd00:9::2/64 dev b0 nodad")?;
    Ok((a, b))
}

/// A connection from one namespace to an address in another, or the same one.
pub fn connection(
    from: &Space,
    to: &Space,
    address: &str,
) -> anyhow::Result<(TcpStream, TcpStream)> {
    let address = SocketAddr::new(address.parse()?, 0);
    let listener = to.inside(|| Ok(TcpListener::bind(address)?))?;
    let port = listener.local_addr()?;
    let near = from.inside(|| Ok(TcpStream::connect(port)?))?;
    Ok((near, listener.accept()?.0))
}

/// Sends `count` messages of `size` bytes one way; all of them are received.
pub fn stream(
    from: &mut TcpStream,
    to: &mut TcpStream,
    size: usize,
    count: usize,
) -> anyhow::Result<()> {
    let message = vec![b'n'; size];
    thread::scope(|scope| {
        let sender = scope.spawn(|| (0..count).try_for_each(|_| from.write_all(&message)));
        let mut room = vec![0; 64 * 1024];
        let mut left = size * count;
        while left > 0 {
            let length = to.read(&mut room)?;
            ensure!(length > 0, "the connection ended");
            left -= length;
        }
        Ok(sender.join().map_err(|_| anyhow!("no sender"))??)
    })
}

/// Sends `count` datagrams of `size` bytes; how many bytes arrived.
pub fn datagrams(
    from: &UdpSocket,
    to: &UdpSocket,
    size: usize,
    count: usize,
) -> anyhow::Result<u64> {
    to.set_read_timeout(Some(Duration::from_millis(300)))?;
    let mut room = vec![0; size];
    let mut arrived = 0;
    for _ in 0..count {
        ensure!(from.send(&vec![b'n'; size])? == size, "a partial datagram");
        match to.recv(&mut room) {
            Ok(length) => arrived += length as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => bail!(error),
        }
    }
    Ok(arrived)
}

/// Connected UDP sockets at these addresses.
pub fn pair(from: (&Space, &str), to: (&Space, &str)) -> anyhow::Result<(UdpSocket, UdpSocket)> {
    let bind = |(space, address): (&Space, &str)| {
        space.inside(|| Ok(UdpSocket::bind(format!("{address}:0"))?))
    };
    let (near, far) = (bind(from)?, bind(to)?);
    near.connect(far.local_addr()?)?;
    far.connect(near.local_addr()?)?;
    Ok((near, far))
}

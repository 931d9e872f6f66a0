//! Network namespaces of a test's own. A descriptor holds each; with it goes the
//! namespace and all interfaces in it.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use anyhow::{Context, anyhow, ensure};
use nix::sched::{CloneFlags, setns, unshare};

use crate::netmon::{run, shell};
use crate::trial::Impossible;
use crate::watched::settled;

/// A network namespace whose loopback is down.
pub struct Space {
    file: File,
}

impl Space {
    pub fn new() -> anyhow::Result<Space> {
        if !run(&mut shell("ip -V"))?.status.success() {
            return Err(Impossible("it needs `ip` (package iproute2)".to_owned()).into());
        }
        // Only that thread changes its namespace, and then ends.
        let open = || {
            unshare(CloneFlags::CLONE_NEWNET).context("unshare")?;
            Ok(File::open("/proc/thread-self/ns/net")?)
        };
        let file: anyhow::Result<File> = thread::spawn(open)
            .join()
            .map_err(|_| anyhow!("no namespace"))?;
        Ok(Space { file: file? })
    }

    /// Where other commands find it.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// What `open` gives when it is done in this namespace; commands that it starts
    /// are in it, too.
    pub fn inside<T: Send>(
        &self,
        open: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let open = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).context("setns")?;
            open()
        };
        thread::scope(|scope| scope.spawn(open).join()).map_err(|_| anyhow!("it panicked"))?
    }

    /// Runs a shell's line in it.
    pub fn sh(&self, line: &str) -> anyhow::Result<()> {
        self.say(line).map(drop)
    }

    /// The same, and what it printed.
    pub fn say(&self, line: &str) -> anyhow::Result<String> {
        let line = format!("set -e; {line}");
        let done = self.inside(|| run(&mut shell(&line)))?;
        done.check_code(0).with_context(|| line.clone())?;
        Ok(done.stdout)
    }

    /// The `ifindex` of an interface in it.
    pub fn index(&self, name: &str) -> anyhow::Result<u32> {
        let name = name.to_owned();
        self.inside(move || Ok(nix::net::if_::if_nametoindex(&*name)?))
    }

    /// Joins it to `other` by a pair of interfaces with these names, both down. No other
    /// interface has the index of the first, in any namespace.
    pub fn join(&self, mine: &str, other: &Space, its: &str) -> anyhow::Result<()> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let index = 1_000_000 + std::process::id() % 20_000 * 100 + MADE.fetch_add(1, Relaxed);
        self.sh(&format!(
            "ip link add {mine} index {index} type veth peer name {its} netns {}",
            other.path()
        ))
    }
}

/// Sets features of an interface of this thread's namespace.
pub fn ethtool(words: &str) -> anyhow::Result<()> {
    if !run(&mut shell("ethtool --version"))?.status.success() {
        return Err(Impossible("it needs `ethtool` (package ethtool)".to_owned()).into());
    }
    run(&mut shell(&format!("ethtool {words}")))?.check_code(0)
}

/// Two namespaces with a wire between them: `a0`, 10.9.0.1 and fd00:9::1, and `b0`,
/// the same with a 2; both down. IPv6 says nothing by itself but for what it needs.
pub fn two() -> anyhow::Result<(Space, Space)> {
    let (a, b) = (Space::new()?, Space::new()?);
    a.join("a0", &b, "b0")?;
    for (space, name, end) in [(&a, "a0", 1), (&b, "b0", 2)] {
        space.sh(&format!(
            "ip address add 10.9.0.{end}/24 dev {name}
             ip address add fd00:9::{end}/64 dev {name} nodad"
        ))?;
    }
    Ok((a, b))
}

/// Brings both ends up, until they no longer drop what they are given.
pub fn up(a: &Space, b: &Space) -> anyhow::Result<()> {
    b.sh("ip link set b0 up")?;
    a.sh("ip link set a0 up")?;
    for (space, name) in [(a, "a0"), (b, "b0")] {
        settled(|| {
            let state = space.say(&format!("ip -brief link show dev {name}"))?;
            ensure!(state.contains(" UP "), "{state}");
            Ok(())
        })?;
    }
    Ok(())
}

/// Two joined namespaces in which nothing is said that a test does not say.
pub fn silent() -> anyhow::Result<(Space, Space)> {
    let (a, b) = two()?;
    for space in [&a, &b] {
        space.sh("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")?;
    }
    Ok((a, b))
}

/// A connection from one namespace to an address in another, at that port or any.
pub fn connection(
    from: &Space,
    to: &Space,
    address: &str,
    port: u16,
) -> anyhow::Result<(TcpStream, TcpStream)> {
    let address = SocketAddr::new(address.parse()?, port);
    let listener = to.inside(|| Ok(TcpListener::bind(address)?))?;
    let address = listener.local_addr()?;
    let near = from.inside(|| Ok(TcpStream::connect(address)?))?;
    let far = listener.accept()?.0;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

/// Connected UDP sockets at these addresses, the second at that port or any.
pub fn datagram_pair(
    from: (&Space, &str),
    to: (&Space, &str),
    port: u16,
) -> anyhow::Result<(UdpSocket, UdpSocket)> {
    let bind = |(space, address): (&Space, &str), port: u16| {
        let address = SocketAddr::new(address.parse()?, port);
        space.inside(|| Ok(UdpSocket::bind(address)?))
    };
    let (near, far) = (bind(from, 0)?, bind(to, port)?);
    near.connect(far.local_addr()?)?;
    far.connect(near.local_addr()?)?;
    ensure!(near.local_addr()?.port() != 0, "no port");
    Ok((near, far))
}

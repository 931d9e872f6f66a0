//! A network namespace of a test's own, and frames made by hand in it.
//!
//! The namespace is a thread's: it goes with the thread and the sockets opened there.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure};
use netmon::collect::ring::{Frame, Ring, Settings};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::counters::counters;
use crate::trial::Impossible;

/// Longest wait for anything that is bound to come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test in a new network namespace with its loopback up.
pub fn inside(test: fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let inside = thread::Builder::new().name("namespace".to_owned());
    let thread = inside.spawn(move || {
        // SAFETY: no pointers; only this thread moves.
        let code = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        ensure!(code == 0, "unshare: {}", io::Error::last_os_error());
        ip("link set lo up")?;
        test()
    })?;
    thread.join().map_err(|_| anyhow!("the test panicked"))?
}

/// `ip` in this thread's namespace.
pub fn ip(words: &str) -> anyhow::Result<()> {
    let done = Command::new("ip").args(words.split(' ')).output();
    let done = match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Impossible("it needs `ip` (package iproute2)".to_owned()).into());
        }
        other => other?,
    };
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "ip {words}: {said}");
    Ok(())
}

/// A veth pair `near` and `far`, both up, with no address and nothing sent on its own.
pub fn wire() -> anyhow::Result<()> {
    ip("link add near type veth peer name far")?;
    for end in ["near", "far"] {
        ip(&format!("link set {end} addrgenmode none"))?;
        ip(&format!("link set {end} arp off mtu 1500 up"))?;
    }
    Ok(())
}

/// The CPUs that this thread may run on.
pub fn cpus() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    let all = (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false));
    Ok(all.collect())
}

/// Keeps this thread on one CPU, and with it what it sends: a veth pair hands it over there.
pub fn stay_on(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

pub fn index(name: &str) -> anyhow::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(name)?)
}

/// A small ring on an interface of this namespace; all of them without a name.
pub fn settings(interface: Option<&str>) -> anyhow::Result<Settings> {
    Ok(Settings {
        interface: interface.map_or(Ok(0), index)?,
        block_size: 1 << 16,
        block_count: 16,
        frame_size: 2048,
        block_timeout: Duration::from_millis(5),
    })
}

/// What a frame was, to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub protocol: u16,
    pub network: Vec<u8>,
    pub length: u32,
    pub link: u32,
    pub interface: u32,
    pub outgoing: bool,
}

impl From<Frame<'_>> for Seen {
    fn from(frame: Frame<'_>) -> Seen {
        Seen {
            protocol: frame.protocol,
            network: frame.network.to_vec(),
            length: frame.length,
            link: frame.link,
            interface: frame.interface,
            outgoing: frame.outgoing,
        }
    }
}

/// Reads rings until they gave `count` frames and then nothing more for a while.
pub fn collect(rings: &mut [Ring], count: usize) -> anyhow::Result<Vec<Vec<Seen>>> {
    let mut seen = vec![Vec::new(); rings.len()];
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut quiet = true;
        for (ring, seen) in rings.iter_mut().zip(&mut seen) {
            if ring.wait(Duration::from_millis(100))? {
                quiet = false;
                ring.drain(|frame| seen.push(Seen::from(frame)));
            }
        }
        let total: usize = seen.iter().map(Vec::len).sum();
        if quiet && total >= count {
            ensure!(total == count, "{total} frames, not {count}");
            return Ok(seen);
        }
        if Instant::now() > deadline {
            bail!("{total} frames, not {count}");
        }
    }
}

/// As [`collect`], for one ring.
pub fn collect_one(ring: &mut Ring, count: usize) -> anyhow::Result<Vec<Seen>> {
    Ok(collect(std::slice::from_mut(ring), count)?.remove(0))
}

/// Sends whole frames out of an interface.
pub struct Sender {
    socket: OwnedFd,
    address: libc::sockaddr_ll,
}

impl Sender {
    pub fn new(name: &str) -> anyhow::Result<Sender> {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::empty(),
            None,
        )?;
        // SAFETY: sockaddr_ll is plain integers, for which zero is valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = index(name)? as i32;
        Ok(Sender { socket, address })
    }

    /// Listens to all that is on the interface, in a fanout group of this kind.
    pub fn join(&mut self, number: u16, kind: u32) -> anyhow::Result<()> {
        self.address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: the address outlives the call.
        let code = unsafe {
            libc::bind(
                self.socket.as_raw_fd(),
                (&raw const self.address).cast(),
                size_of_val(&self.address) as u32,
            )
        };
        ensure!(code == 0, "bind: {}", io::Error::last_os_error());
        let request = u32::from(number) | kind << 16;
        // SAFETY: pointer and length describe `request`.
        let code = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_FANOUT,
                (&raw const request).cast(),
                size_of_val(&request) as u32,
            )
        };
        ensure!(code == 0, "PACKET_FANOUT: {}", io::Error::last_os_error());
        Ok(())
    }

    pub fn send(&self, frame: &[u8]) -> anyhow::Result<()> {
        // SAFETY: the frame and the address outlive the call.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const self.address).cast(),
                size_of_val(&self.address) as u32,
            )
        };
        ensure!(
            sent == frame.len() as isize,
            "sendto: {sent}, {}",
            io::Error::last_os_error()
        );
        Ok(())
    }
}

/// Packets and bytes that an interface counted as received.
pub fn received(name: &str) -> anyhow::Result<(u64, u64)> {
    let received = counters(name)?.received;
    Ok((received.packets, received.bytes))
}

/// An Ethernet frame: addresses, tags, and what follows.
pub fn ethernet(tags: &[u16], protocol: u16, network: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for (depth, tag) in tags.iter().enumerate() {
        let outer = depth + 1 < tags.len();
        let kind: u16 = if outer { 0x88a8 } else { 0x8100 };
        frame.extend(kind.to_be_bytes());
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(protocol.to_be_bytes());
    frame.extend(network);
    frame
}

/// An IPv4 packet of UDP from 10.0.0.`host`, with `data` bytes.
pub fn ipv4(host: u8, port: u16, data: usize) -> Vec<u8> {
    let total = (28 + data) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, host, 10, 0, 1, 1]);
    packet.extend(port.to_be_bytes());
    packet.extend(9_u16.to_be_bytes());
    packet.extend((8 + data as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.resize(28 + data, 0x5a);
    packet
}

/// An IPv6 packet of UDP from 2001:db8::`host`, with `data` bytes.
pub fn ipv6(host: u8, port: u16, data: usize) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((8 + data as u16).to_be_bytes());
    packet.extend([17, 64]);
    for last in [host, 200] {
        packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    packet.extend(port.to_be_bytes());
    packet.extend(9_u16.to_be_bytes());
    packet.extend((8 + data as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.resize(48 + data, 0x5a);
    packet
}

/// The reading end of a tun device, which gives it a carrier.
pub fn open_tun(name: &str) -> anyhow::Result<fs::File> {
    let device = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    let device = device.map_err(|error| Impossible(format!("/dev/net/tun: {error}")))?;
    // struct ifreq: the name in 16 bytes, then the flags.
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as u16;
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: the request has the size of struct ifreq.
    let code = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
    ensure!(code == 0, "TUNSETIFF: {}", io::Error::last_os_error());
    Ok(device)
}

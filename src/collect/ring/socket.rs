//! The packet socket of a ring: its options and its interface.
//!
//! Owns what the kernel's refusals mean for a person. Touches no frame.

use std::ffi::{CStr, c_int, c_void};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use libc::{SOL_PACKET, SOL_SOCKET};

use super::{Filter, Settings, Statistics};

/// A classic filter that lets nothing through.
const CLOSED: [libc::sock_filter; 1] = [libc::sock_filter {
    code: (libc::BPF_RET | libc::BPF_K) as u16,
    jt: 0,
    jf: 0,
    k: 0,
}];

/// A socket that is bound to its interface, has no ring yet and hears nothing before
/// [`attach`].
pub(super) fn open(interface: u32) -> Result<OwnedFd> {
    // Protocol 0: it receives nothing before it is bound.
    // SAFETY: no pointers.
    let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if raw < 0 {
        let error = io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            Some(libc::EPERM) => anyhow!(
                "not permitted to capture packets: CAP_NET_RAW missing; run it by `sudo`, or grant \
                 it by `setcap cap_net_raw=ep $(command -v netmon)`"
            ),
            Some(libc::EMFILE | libc::ENFILE) => anyhow!(
                "no further file may be open, and each capture ring is one; allow more \
                 (`ulimit -n`) or ask for fewer --workers"
            ),
            _ => anyhow::Error::new(error).context(
                "could not open a packet socket; a kernel built with CONFIG_PACKET=y is needed",
            ),
        });
    }
    // SAFETY: a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let version = libc::tpacket_versions::TPACKET_V3 as c_int;
    set(&socket, SOL_PACKET, libc::PACKET_VERSION, &version)
        .context("this kernel has no TPACKET_V3 rings")?;
    bind(&socket, interface)?;
    Ok(socket)
}

/// Refuses rings that would leave less than a quarter of the free memory: the kernel looks
/// for it at the cost of other programs.
pub(super) fn check_room(settings: &Settings, count: u16) -> Result<()> {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text.lines().find_map(|line| {
        let rest = line.strip_prefix("MemAvailable:")?;
        rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    match available {
        Some(kilobytes) if bytes(settings, count) / 1024 > kilobytes / 4 * 3 => Err(too_large(
            settings,
            count,
            &format!(
                "{} MiB are available, and they may take three quarters of it",
                kilobytes / 1024
            ),
        )),
        _ => Ok(()),
    }
}

/// Bytes of `count` rings.
fn bytes(settings: &Settings, count: u16) -> u64 {
    let ring = u64::from(settings.block_size) * u64::from(settings.block_count);
    ring.saturating_mul(u64::from(count))
}

fn too_large(settings: &Settings, count: u16, why: &str) -> anyhow::Error {
    let megabytes = bytes(settings, count).div_ceil(1 << 20);
    let (blocks, size) = (settings.block_count, settings.block_size);
    let rings = match count {
        1 => "a capture ring",
        _ => "capture rings",
    };
    anyhow!(
        "there is no memory for {rings} of {megabytes} MiB ({count} × {blocks} blocks of {size} \
         bytes): {why}; ask for fewer or smaller blocks (--block-count, --block-size) or fewer \
         workers (--workers)"
    )
}

/// What it means that the kernel has no memory for a ring, of which there may be others.
pub(super) fn no_memory(settings: &Settings) -> anyhow::Error {
    too_large(settings, 1, "the kernel found none")
}

/// Gives a socket its ring, which is not mapped yet.
pub(super) fn make_ring(socket: &OwnedFd, settings: &Settings) -> Result<()> {
    let frames =
        (settings.block_size / settings.frame_size.max(1)).saturating_mul(settings.block_count);
    let request = libc::tpacket_req3 {
        tp_block_size: settings.block_size,
        tp_block_nr: settings.block_count,
        tp_frame_size: settings.frame_size,
        tp_frame_nr: frames,
        // Settings are a few ms; 0 would leave the choice to the kernel.
        tp_retire_blk_tov: settings.block_timeout.as_millis().clamp(1, 60_000) as u32,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    };
    let Err(error) = set(socket, SOL_PACKET, libc::PACKET_RX_RING, &request) else {
        return Ok(());
    };
    let (size, count) = (settings.block_size, settings.block_count);
    Err(match error.raw_os_error() {
        Some(libc::ENOMEM) => no_memory(settings),
        Some(libc::EINVAL) => anyhow!(
            "the kernel takes no ring of {count} blocks of {size} bytes with frames of {}: a \
             block must be whole pages and hold a whole frame, a frame a multiple of 16 bytes",
            settings.frame_size
        ),
        _ => anyhow::Error::new(error).context("could not make the capture ring"),
    })
}

/// With nothing let through before [`attach`]: a socket that is bound and not yet in its
/// group would see what the group's others see, too.
fn bind(socket: &OwnedFd, interface: u32) -> Result<()> {
    set_filter(socket, &CLOSED)?;
    // What loopback sends comes in again. Unknown before Linux 4.20, where the walk over
    // a block leaves it out all the same.
    if interface == LOOPBACK_INDEX {
        let _ = set(socket, SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1);
    }
    // SAFETY: sockaddr_ll is plain integers, for which zero is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = interface as c_int;
    // SAFETY: pointer and length describe `address`.
    let code = unsafe {
        let length = size_of_val(&address) as u32;
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length)
    };
    if code < 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() == Some(libc::ENODEV) {
            bail!("no interface has the number {interface}");
        }
        return Err(error).context("could not bind the capture ring to its interface");
    }
    match pending(socket)? {
        Some(error) => Err(went_down(error, interface)),
        None => Ok(()),
    }
}

/// Loopback is the first interface of every network namespace (`LOOPBACK_IFINDEX`).
pub(super) const LOOPBACK_INDEX: u32 = 1;

/// Puts `filter` in the place of what [`bind`] set, and thereby opens the ring.
pub(super) fn attach(socket: &OwnedFd, filter: Filter<'_>) -> Result<()> {
    match filter {
        Filter::None => set(socket, SOL_SOCKET, libc::SO_DETACH_FILTER, &0)
            .context("could not open the capture ring"),
        Filter::Classic(instructions) => set_filter(socket, instructions),
        Filter::Bpf(program) => {
            let number = program.as_raw_fd();
            set(socket, SOL_SOCKET, libc::SO_ATTACH_BPF, &number)
                .context("could not attach the capture filter")
        }
    }
}

/// Lets nothing more into the ring.
pub(super) fn close(socket: &OwnedFd) -> Result<()> {
    set_filter(socket, &CLOSED)
}

fn set_filter(socket: &OwnedFd, instructions: &[libc::sock_filter]) -> Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(instructions.len()).context("the filter is too long")?,
        // The kernel only reads them.
        filter: instructions.as_ptr().cast_mut(),
    };
    set(socket, SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
        .context("could not attach the capture filter")
}

/// The error that the socket holds, which this clears.
pub(super) fn pending(socket: &OwnedFd) -> Result<Option<io::Error>> {
    let number: c_int = get(socket, SOL_SOCKET, libc::SO_ERROR)?;
    Ok((number != 0).then(|| io::Error::from_raw_os_error(number)))
}

/// What an error that the socket holds means.
pub(super) fn went_down(error: io::Error, interface: u32) -> anyhow::Error {
    let name = name_of(interface);
    match error.raw_os_error() {
        Some(libc::ENETDOWN) => {
            anyhow!("interface {name} is down or gone; `ip link set {name} up` starts it")
        }
        _ => anyhow::Error::new(error).context(format!("capturing on {name} failed")),
    }
}

fn name_of(interface: u32) -> String {
    let mut name = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the size that the call writes at most.
    let found = unsafe { libc::if_indextoname(interface, name.as_mut_ptr().cast()) };
    match CStr::from_bytes_until_nul(&name) {
        Ok(text) if !found.is_null() => text.to_string_lossy().into_owned(),
        _ => format!("number {interface}"),
    }
}

/// `PACKET_STATISTICS`, which starts again from zero.
pub(super) fn statistics(socket: &OwnedFd) -> Result<Statistics> {
    let counts: libc::tpacket_stats_v3 = get(socket, SOL_PACKET, libc::PACKET_STATISTICS)
        .context("could not read what the kernel counts of the capture ring")?;
    Ok(Statistics {
        packets: u64::from(counts.tp_packets),
        drops: u64::from(counts.tp_drops),
        freezes: u64::from(counts.tp_freeze_q_cnt),
    })
}

/// Waits until the socket has something to say or `bell` can be read, at the longest for
/// `timeout`; true if it is an error of the socket.
pub(super) fn poll(
    socket: BorrowedFd<'_>,
    bell: Option<BorrowedFd<'_>>,
    timeout: Duration,
) -> Result<bool> {
    // Rounded up, so that a short time does not become a busy loop.
    let milliseconds = timeout.as_micros().div_ceil(1000).min(i32::MAX as u128) as c_int;
    let entry = |fd: c_int| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // The kernel leaves out a negative one.
    let bell = bell.map_or(-1, |bell| bell.as_raw_fd());
    let mut entries = [entry(socket.as_raw_fd()), entry(bell)];
    // SAFETY: two entries, alive during the call.
    let code = unsafe { libc::poll(entries.as_mut_ptr(), 2, milliseconds) };
    if code < 0 {
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::Interrupted {
            return Ok(false);
        }
        return Err(error).context("could not wait for packets");
    }
    Ok(entries[0].revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0)
}

pub(super) fn set<T>(socket: &OwnedFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let (start, length) = (std::ptr::from_ref(value).cast(), size_of::<T>() as u32);
    // SAFETY: pointer and length describe `value`, which the kernel only reads.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, start, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Reads an option whose value is plain integers.
fn get<T>(socket: &OwnedFd, level: c_int, name: c_int) -> io::Result<T> {
    // SAFETY: every T it is called with is plain integers, for which zero is valid.
    let mut value: T = unsafe { std::mem::zeroed() };
    let mut length = size_of::<T>() as u32;
    let start: *mut c_void = (&raw mut value).cast();
    // SAFETY: pointer and length describe `value`.
    match unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, start, &mut length) } {
        0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

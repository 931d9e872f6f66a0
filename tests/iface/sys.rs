//! The calls that the standard library does not have: packet sockets, `tcp_info`, tun
//! devices, runs of an XDP program on bytes of ours.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, ensure};
use libbpf_rs::libbpf_sys;
use libbpf_rs::query::{LinkInfoIter, LinkTypeInfo};

/// Sends whole frames on an interface.
pub struct PacketSocket {
    socket: OwnedFd,
    index: u32,
}

impl PacketSocket {
    pub fn open(index: u32) -> anyhow::Result<PacketSocket> {
        // SAFETY: takes numbers only.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        ensure!(fd >= 0, "a packet socket: {}", io::Error::last_os_error());
        // SAFETY: it is a new descriptor that nobody else has.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(PacketSocket { socket, index })
    }

    pub fn send(&self, frame: &[u8]) -> anyhow::Result<()> {
        // SAFETY: plain integers, for which zeros are valid.
        let mut to: libc::sockaddr_ll = unsafe { mem::zeroed() };
        to.sll_family = libc::AF_PACKET as u16;
        to.sll_ifindex = self.index.cast_signed();
        // SAFETY: both pointers come with the length of what they point to.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const to).cast(),
                size_of_val(&to) as u32,
            )
        };
        ensure!(
            sent == frame.len() as isize,
            "{}",
            io::Error::last_os_error()
        );
        Ok(())
    }
}

/// What TCP says of a connection.
pub fn tcp_info(stream: &TcpStream) -> anyhow::Result<libc::tcp_info> {
    // SAFETY: plain integers, for which zeros are valid.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut length = size_of_val(&info) as u32;
    // SAFETY: the pointer comes with the length of what it points to.
    let code = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    ensure!(code == 0, "TCP_INFO: {}", io::Error::last_os_error());
    Ok(info)
}

/// A tun or tap device of this thread's namespace, as long as the file is open.
pub fn tun(name: &str, flags: libc::c_int) -> anyhow::Result<File> {
    opened_tun(name, flags, 0)
}

/// The same, which never waits: only then the kernel builds no socket buffer before XDP
/// (tun_can_build_skb, drivers/net/tun.c).
pub fn unwaiting_tun(name: &str, flags: libc::c_int) -> anyhow::Result<File> {
    opened_tun(name, flags, libc::O_NONBLOCK)
}

fn opened_tun(name: &str, flags: libc::c_int, open: libc::c_int) -> anyhow::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(open)
        .open("/dev/net/tun")?;
    // SAFETY: plain integers, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = flags as i16;
    // SAFETY: TUNSETIFF takes an ifreq, which this is.
    let code = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    ensure!(code == 0, "TUNSETIFF: {}", io::Error::last_os_error());
    Ok(file)
}

/// The XDP programs on an interface of this thread's namespace.
pub fn xdp_programs(index: u32) -> anyhow::Result<Vec<u32>> {
    let mut ids = Vec::new();
    for flags in [
        libbpf_sys::XDP_FLAGS_SKB_MODE,
        libbpf_sys::XDP_FLAGS_DRV_MODE,
    ] {
        let mut id = 0;
        // SAFETY: writes one u32 where the pointer says.
        let code = unsafe {
            libbpf_sys::bpf_xdp_query_id(index.cast_signed(), flags.cast_signed(), &raw mut id)
        };
        ensure!(code == 0, "XDP of {index}: error {code}");
        ids.extend((id != 0).then_some(id));
    }
    Ok(ids)
}

/// The XDP and tcx links on an interface, by id; of those in all namespaces that have
/// this index.
pub fn links(index: u32) -> impl Iterator<Item = u32> {
    let links = LinkInfoIter::default().filter(move |link| match &link.info {
        LinkTypeInfo::Xdp(xdp) => xdp.ifindex == index,
        LinkTypeInfo::Tcx(tcx) => tcx.ifindex == index,
        _ => false,
    });
    links.map(|link| link.id)
}

/// Detaches every XDP and tcx link on an interface, as any other root may; how many.
pub fn detach_links(index: u32) -> anyhow::Result<usize> {
    let mut detached = 0;
    for id in links(index) {
        // SAFETY: takes a number only.
        let fd = unsafe { libbpf_sys::bpf_link_get_fd_by_id(id) };
        ensure!(fd >= 0, "link {id}: error {fd}");
        // SAFETY: it is a new descriptor that nobody else has.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: takes a number only, of a descriptor that is open.
        let code = unsafe { libbpf_sys::bpf_link_detach(fd.as_raw_fd()) };
        ensure!(code == 0, "link {id}: error {code}");
        detached += 1;
    }
    Ok(detached)
}

/// A loaded program, to be run on bytes.
pub struct Program {
    fd: OwnedFd,
}

impl Program {
    /// The one with that id.
    pub fn open(id: u32) -> anyhow::Result<Program> {
        // SAFETY: takes a number only.
        let fd = unsafe { libbpf_sys::bpf_prog_get_fd_by_id(id) };
        ensure!(fd >= 0, "program {id}: error {fd}");
        // SAFETY: it is a new descriptor that nobody else has.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Program { fd })
    }

    /// Hangs it on an interface, where it stays without us.
    pub fn hang(&self, index: u32, flags: u32) -> anyhow::Result<()> {
        // SAFETY: the program is open; no options.
        let code = unsafe {
            libbpf_sys::bpf_xdp_attach(
                index.cast_signed(),
                self.fd.as_raw_fd(),
                flags,
                std::ptr::null(),
            )
        };
        ensure!(code == 0, "bpf_xdp_attach: {code}");
        Ok(())
    }

    /// Its verdict on a frame, and the frame as it leaves it. As if it came in by the
    /// loopback of this thread's namespace.
    pub fn run(&self, frame: &[u8]) -> anyhow::Result<(u32, Vec<u8>)> {
        let mut out = vec![0; frame.len() + 64];
        let mut options = libbpf_sys::bpf_test_run_opts {
            sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
            data_in: frame.as_ptr().cast(),
            data_size_in: frame.len() as u32,
            data_out: out.as_mut_ptr().cast(),
            data_size_out: out.len() as u32,
            repeat: 1,
            ..Default::default()
        };
        // SAFETY: every pointer comes with the length of what it points to.
        let code =
            unsafe { libbpf_sys::bpf_prog_test_run_opts(self.fd.as_raw_fd(), &raw mut options) };
        if code != 0 {
            return Err(io::Error::from_raw_os_error(-code))
                .with_context(|| format!("{} bytes", frame.len()));
        }
        out.truncate(options.data_size_out as usize);
        Ok((options.retval, out))
    }
}

/// Has the kernel cut what is sent into datagrams of `size` bytes, as late as it can.
pub fn segment_datagrams(socket: &UdpSocket, size: libc::c_int) -> anyhow::Result<()> {
    // SAFETY: the pointer comes with the length of what it points to.
    let code = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const size).cast(),
            size_of_val(&size) as u32,
        )
    };
    ensure!(code == 0, "UDP_SEGMENT: {}", io::Error::last_os_error());
    Ok(())
}

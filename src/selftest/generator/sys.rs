//! The system calls the generator needs beside the ones that move bytes.
//!
//! Owns descriptors, socket options, addresses in the kernel's layout, pipes,
//! memory files and forks. Does not move a byte over a network (that is
//! `paths`) and counts nothing (that is `ledger`).

use std::ffi::{c_int, c_long};
use std::fs::{self, File};
use std::io::{self, Write};
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use anyhow::Context;

use super::{DEADLINE_SECONDS, unsupported};
use crate::model::flow::{Address, Endpoint, InterfaceName};

/// The kernel's "-1 and errno" as a `Result`.
pub fn check(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// A descriptor a system call has just returned, owned.
pub fn own(returned: c_int) -> io::Result<OwnedFd> {
    check(returned as isize)?;
    // SAFETY: the caller passes what a descriptor-creating call returned, it is
    // not negative, and nobody else has seen it yet.
    Ok(unsafe { OwnedFd::from_raw_fd(returned) })
}

/// A socket address in the kernel's layout, with room for any family.
#[derive(Clone, Copy)]
pub struct RawAddress {
    storage: libc::sockaddr_storage,
    pub length: libc::socklen_t,
}

impl RawAddress {
    /// Room for an address the kernel fills in.
    pub fn room() -> RawAddress {
        RawAddress {
            // SAFETY: sockaddr_storage is plain integers, for which zero is valid.
            storage: unsafe { mem::zeroed() },
            length: mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        }
    }

    /// Any `sockaddr_*` of libc.
    pub fn of<T: Copy>(address: T) -> RawAddress {
        let mut raw = RawAddress::room();
        assert!(mem::size_of::<T>() <= mem::size_of_val(&raw.storage));
        // SAFETY: the storage is at least as large (asserted) and aligned for
        // every socket address type.
        unsafe { (&raw mut raw.storage).cast::<T>().write(address) };
        raw.length = mem::size_of::<T>() as libc::socklen_t;
        raw
    }

    /// Makes it an address of AF_UNSPEC.
    pub fn clear_family(&mut self) {
        self.storage.ss_family = libc::AF_UNSPEC as libc::sa_family_t;
    }

    pub fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.storage).cast()
    }

    /// The end it names: an address and port, or a packet socket's interface.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let is_packet = c_int::from(self.storage.ss_family) == libc::AF_PACKET;
        if is_packet && self.length as usize >= mem::offset_of!(libc::sockaddr_ll, sll_hatype) {
            // SAFETY: the family says which type the kernel wrote; what it did not
            // write was zero before.
            let raw = unsafe { (&raw const self.storage).cast::<libc::sockaddr_ll>().read() };
            let address = Address::Interface(interface_of(&raw)?);
            return Some(Endpoint { address, port: 0 });
        }
        self.decode().map(Endpoint::from)
    }

    /// The IP address and port in it, with mapped addresses as IPv4.
    pub fn decode(&self) -> Option<SocketAddr> {
        let family = c_int::from(self.storage.ss_family);
        let filled = self.length as usize;
        if family == libc::AF_INET && filled >= mem::size_of::<libc::sockaddr_in>() {
            // SAFETY: the family says which type the kernel wrote, and all of it is there.
            let raw = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in>().read() };
            let address = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
            return Some(SocketAddr::from((address, u16::from_be(raw.sin_port))));
        }
        if family == libc::AF_INET6 && filled >= mem::size_of::<libc::sockaddr_in6>() {
            // SAFETY: as above.
            let raw = unsafe {
                (&raw const self.storage)
                    .cast::<libc::sockaddr_in6>()
                    .read()
            };
            let address = Ipv6Addr::from(raw.sin6_addr.s6_addr).to_canonical();
            return Some(SocketAddr::from((address, u16::from_be(raw.sin6_port))));
        }
        None
    }
}

/// The name of the interface that a packet socket's address holds.
fn interface_of(address: &libc::sockaddr_ll) -> Option<InterfaceName> {
    let index = u32::try_from(address.sll_ifindex).ok()?;
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the name has the IFNAMSIZ bytes that if_indextoname may write.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    (!found.is_null()).then_some(InterfaceName(name))
}

impl From<SocketAddr> for RawAddress {
    fn from(address: SocketAddr) -> RawAddress {
        match address {
            SocketAddr::V4(v4) => RawAddress::of(raw_v4(v4)),
            SocketAddr::V6(v6) => RawAddress::of(raw_v6(v6)),
        }
    }
}

fn raw_v4(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*address.ip()).to_be(),
        },
        sin_zero: [0; 8],
    }
}

fn raw_v6(address: SocketAddrV6) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: address.port().to_be(),
        sin6_flowinfo: address.flowinfo(),
        sin6_addr: libc::in6_addr {
            s6_addr: address.ip().octets(),
        },
        sin6_scope_id: address.scope_id(),
    }
}

/// `socket(2)`.
pub fn socket(domain: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes integers only.
    own(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) })
}

/// `socketpair(2)`.
pub fn socket_pair(domain: c_int, kind: c_int) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors.
    check(unsafe { libc::socketpair(domain, kind, 0, ends.as_mut_ptr()) } as isize)?;
    Ok((own(ends[0])?, own(ends[1])?))
}

/// `bind(2)`.
pub fn bind(fd: BorrowedFd, address: &RawAddress) -> io::Result<()> {
    // SAFETY: pointer and length describe one live address.
    check(unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr(), address.length) } as isize)?;
    Ok(())
}

/// `connect(2)`.
pub fn connect(fd: BorrowedFd, address: &RawAddress) -> io::Result<()> {
    // SAFETY: pointer and length describe one live address.
    check(unsafe { libc::connect(fd.as_raw_fd(), address.as_ptr(), address.length) } as isize)?;
    Ok(())
}

/// `listen(2)`.
pub fn listen(fd: BorrowedFd) -> io::Result<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::listen(fd.as_raw_fd(), 16) } as isize)?;
    Ok(())
}

/// `accept4(2)`.
pub fn accept(fd: BorrowedFd) -> io::Result<OwnedFd> {
    // SAFETY: null says that the address is not wanted.
    own(unsafe {
        libc::accept4(
            fd.as_raw_fd(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            libc::SOCK_CLOEXEC,
        )
    })
}

/// Which end of a socket [`name`] asks for.
#[derive(Clone, Copy)]
pub enum End {
    Local,
    Remote,
}

/// `getsockname(2)` or `getpeername(2)`; an unconnected socket is an error.
pub fn name(fd: BorrowedFd, end: End) -> io::Result<RawAddress> {
    let call = match end {
        End::Local => libc::getsockname,
        End::Remote => libc::getpeername,
    };
    let mut address = RawAddress::room();
    let mut length = address.length;
    // SAFETY: the room is as large as `length` says.
    check(unsafe { call(fd.as_raw_fd(), address.as_mut_ptr(), &mut length) } as isize)?;
    address.length = length;
    Ok(address)
}

/// `setsockopt(2)` with an integer.
pub fn set_option(fd: BorrowedFd, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    let length = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: pointer and length describe `value`.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            length,
        )
    } as isize)?;
    Ok(())
}

/// Turns `O_NONBLOCK` on or off.
pub fn set_nonblocking(fd: BorrowedFd, on: bool) -> io::Result<()> {
    // SAFETY: F_GETFL and F_SETFL take and return integers only.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) } as isize)? as c_int;
    let wanted = if on {
        flags | libc::O_NONBLOCK
    } else {
        flags & !libc::O_NONBLOCK
    };
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, wanted) } as isize)?;
    Ok(())
}

/// `shutdown(2)` of the sending direction.
pub fn end_sending(fd: BorrowedFd) -> io::Result<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_WR) } as isize)?;
    Ok(())
}

/// Waits until any of `events` is there, at most `milliseconds`.
pub fn wait_for(fd: BorrowedFd, events: i16, milliseconds: c_int) -> io::Result<bool> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: one live pollfd.
    Ok(check(unsafe { libc::poll(&mut poll, 1, milliseconds) } as isize)? > 0)
}

/// A file in memory that holds `data`.
pub fn memory_file(data: &[u8]) -> io::Result<File> {
    // SAFETY: the name is a C string.
    let fd = own(unsafe { libc::memfd_create(c"known bytes".as_ptr(), libc::MFD_CLOEXEC) })?;
    let mut file = File::from(fd);
    file.write_all(data)?;
    Ok(file)
}

/// A pipe as large as an unprivileged one may be, reading end first.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } as isize)?;
    let (reader, writer) = (own(ends[0])?, own(ends[1])?);
    // SAFETY: takes integers only.
    check(unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 1 << 20) } as isize)?;
    Ok((reader, writer))
}

/// Runs `work` in a forked child, which ends with its result as exit status.
///
/// Only called while this process has a single thread, so that no lock can be
/// held by a thread that does not exist in the child.
pub fn fork(work: impl FnOnce() -> c_int) -> io::Result<libc::pid_t> {
    // SAFETY: single-threaded (see above), so the child may run ordinary code.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // A child must not outlive a generator that was killed; the alarm is for
        // one that was killed before the child could ask for the signal.
        // SAFETY: both take integers only.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::alarm(DEADLINE_SECONDS);
        }
        let status = work();
        // SAFETY: ends this process without running the parent's exit handlers.
        unsafe { libc::_exit(status) };
    }
    check(child as isize)?;
    Ok(child)
}

/// Reaps `child` and returns its wait status.
pub fn reap(child: libc::pid_t) -> io::Result<c_int> {
    let mut status = MaybeUninit::<c_int>::uninit();
    // SAFETY: the status has room for what waitpid writes.
    check(unsafe { libc::waitpid(child, status.as_mut_ptr(), 0) } as isize)?;
    // SAFETY: waitpid succeeded, so it wrote the status.
    Ok(unsafe { status.assume_init() })
}

/// Sets the name of this thread, which for the leader is the process's `comm`.
pub fn set_comm(name: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: a C string; the kernel copies at most 16 bytes of it.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) } as isize)?;
    Ok(())
}

/// The id of the calling thread.
pub fn thread_id() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() as u32 }
}

/// True while the thread of that id sleeps in the system call `number`.
///
/// # Errors
/// [`super::Unsupported`] where nobody or not this user may see that.
pub fn sleeps_in(thread: u32, number: c_long) -> anyhow::Result<bool> {
    // The file says `running` of one that does not sleep.
    match fs::read_to_string(format!("/proc/{thread}/syscall")) {
        Ok(call) => Ok(call.starts_with(&format!("{number} "))),
        Err(error) => {
            let may_not = matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM));
            if may_not || !Path::new("/proc/self/syscall").exists() {
                return Err(unsupported("seeing in which call a thread sleeps", error));
            }
            Err(error).with_context(|| format!("thread {thread} is gone"))
        }
    }
}

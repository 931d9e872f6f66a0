//! Every system call that moves bytes through a socket, one function per direction.
//!
//! Owns how each call is made. Counts nothing and knows no protocol: it returns
//! what the kernel returned, and an address only where the kernel gave one.

use std::ffi::c_int;
use std::io::{self, Write};
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::sys::{self, RawAddress, check};
use crate::model::flow::Endpoint;

/// How bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendPath {
    Send,
    Sendto,
    Sendmsg,
    Sendmmsg,
    Write,
    Writev,
    Pwritev2,
    Sendfile,
    Splice,
}

impl SendPath {
    pub const ALL: [SendPath; 9] = [
        SendPath::Send,
        SendPath::Sendto,
        SendPath::Sendmsg,
        SendPath::Sendmmsg,
        SendPath::Write,
        SendPath::Writev,
        SendPath::Pwritev2,
        SendPath::Sendfile,
        SendPath::Splice,
    ];

    pub fn name(self) -> &'static str {
        match self {
            SendPath::Send => "send",
            SendPath::Sendto => "sendto",
            SendPath::Sendmsg => "sendmsg",
            SendPath::Sendmmsg => "sendmmsg",
            SendPath::Write => "write",
            SendPath::Writev => "writev",
            SendPath::Pwritev2 => "pwritev2",
            SendPath::Sendfile => "sendfile",
            SendPath::Splice => "splice_to",
        }
    }

    /// The call has an argument for the peer's address.
    pub fn takes_address(self) -> bool {
        matches!(
            self,
            SendPath::Sendto | SendPath::Sendmsg | SendPath::Sendmmsg
        )
    }

    /// The kernel hands the bytes to the socket in pieces of its own choice.
    pub fn is_piecewise(self) -> bool {
        matches!(self, SendPath::Sendfile | SendPath::Splice)
    }
}

/// How bytes are received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceivePath {
    Recv,
    Recvfrom,
    Recvmsg,
    RecvmsgNoName,
    Recvmmsg,
    RecvmmsgNoName,
    Read,
    Readv,
    Preadv2,
    Splice,
}

impl ReceivePath {
    pub const ALL: [ReceivePath; 10] = [
        ReceivePath::Recv,
        ReceivePath::Recvfrom,
        ReceivePath::Recvmsg,
        ReceivePath::RecvmsgNoName,
        ReceivePath::Recvmmsg,
        ReceivePath::RecvmmsgNoName,
        ReceivePath::Read,
        ReceivePath::Readv,
        ReceivePath::Preadv2,
        ReceivePath::Splice,
    ];

    pub fn name(self) -> &'static str {
        match self {
            ReceivePath::Recv => "recv",
            ReceivePath::Recvfrom => "recvfrom",
            ReceivePath::Recvmsg => "recvmsg",
            ReceivePath::RecvmsgNoName => "recvmsg_no_name",
            ReceivePath::Recvmmsg => "recvmmsg",
            ReceivePath::RecvmmsgNoName => "recvmmsg_no_name",
            ReceivePath::Read => "read",
            ReceivePath::Readv => "readv",
            ReceivePath::Preadv2 => "preadv2",
            ReceivePath::Splice => "splice_from",
        }
    }

    /// The call has an argument for flags such as `MSG_PEEK`.
    pub fn takes_flags(self) -> bool {
        !matches!(
            self,
            ReceivePath::Read | ReceivePath::Readv | ReceivePath::Preadv2 | ReceivePath::Splice
        )
    }

    /// The caller leaves no room for the sender's address in a call that could tell it.
    pub fn hides_name(self) -> bool {
        matches!(
            self,
            ReceivePath::RecvmsgNoName | ReceivePath::RecvmmsgNoName
        )
    }

    pub fn is_multiple(self) -> bool {
        matches!(self, ReceivePath::Recvmmsg | ReceivePath::RecvmmsgNoName)
    }
}

/// One message to send.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    pub data: &'a [u8],
    pub to: Option<SocketAddr>,
}

/// One message that came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub bytes: usize,
    /// Who the kernel said had sent it.
    pub from: Option<Endpoint>,
}

/// Three parts, so that the vectored calls have something to gather or scatter.
pub fn thirds(base: *mut u8, length: usize) -> [libc::iovec; 3] {
    let first = length / 3;
    let second = (length - first) / 2;
    let part = |from: usize, length: usize| libc::iovec {
        iov_base: base.wrapping_add(from).cast(),
        iov_len: length,
    };
    [
        part(0, first),
        part(first, second),
        part(first + second, length - first - second),
    ]
}

/// All of `data` as one part.
pub fn part(data: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    }
}

/// A header of these parts with this name.
pub fn header(parts: &mut [libc::iovec], name: Option<&mut RawAddress>) -> libc::msghdr {
    // SAFETY: msghdr is integers and pointers, for which zero is valid.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = parts.as_mut_ptr();
    header.msg_iovlen = parts.len();
    if let Some(name) = name {
        header.msg_namelen = name.length;
        header.msg_name = name.as_mut_ptr().cast();
    }
    header
}

/// One `mmsghdr` per header.
pub fn headers(single: impl Iterator<Item = libc::msghdr>) -> Vec<libc::mmsghdr> {
    single
        .map(|msg_hdr| libc::mmsghdr {
            msg_hdr,
            msg_len: 0,
        })
        .collect()
}

/// One system call that sends `messages`: all of them for `sendmmsg`, else the
/// first. Returns what the kernel said it took of each.
pub fn send(
    path: SendPath,
    fd: BorrowedFd,
    messages: &[Outgoing],
    flags: c_int,
) -> io::Result<Vec<usize>> {
    let raw = fd.as_raw_fd();
    let data = messages[0].data;
    let start = data.as_ptr();
    let mut names: Vec<Option<RawAddress>> = messages
        .iter()
        .map(|m| m.to.map(RawAddress::from))
        .collect();
    let mut parts: Vec<[libc::iovec; 3]> = messages
        .iter()
        .map(|m| thirds(m.data.as_ptr().cast_mut(), m.data.len()))
        .collect();
    let returned = match path {
        // SAFETY: pointer and length describe `data`.
        SendPath::Send => unsafe { libc::send(raw, start.cast(), data.len(), flags) },
        SendPath::Sendto => {
            let (name, length) = match &names[0] {
                Some(name) => (name.as_ptr(), name.length),
                None => (ptr::null(), 0),
            };
            // SAFETY: `data` and, where given, `names[0]` outlive the call.
            unsafe { libc::sendto(raw, start.cast(), data.len(), flags, name, length) }
        }
        SendPath::Sendmsg => {
            let header = header(&mut parts[0], names[0].as_mut());
            // SAFETY: the header points at `parts`, `names` and `data`, all alive.
            unsafe { libc::sendmsg(raw, &header, flags) }
        }
        SendPath::Sendmmsg => {
            let mut all = headers(
                parts
                    .iter_mut()
                    .zip(&mut names)
                    .map(|(parts, name)| header(parts, name.as_mut())),
            );
            // SAFETY: as for sendmsg, for each of the `all.len()` headers.
            let done = check(unsafe {
                libc::sendmmsg(raw, all.as_mut_ptr(), all.len() as u32, flags) as isize
            })?;
            return Ok(all[..done].iter().map(|m| m.msg_len as usize).collect());
        }
        // SAFETY: pointer and length describe `data`.
        SendPath::Write => unsafe { libc::write(raw, start.cast(), data.len()) },
        // SAFETY: the three parts lie within `data`; writing calls only read them.
        SendPath::Writev => unsafe { libc::writev(raw, parts[0].as_ptr(), 3) },
        // SAFETY: as above. Offset -1 means "the file position", which a socket has not.
        SendPath::Pwritev2 => unsafe { libc::pwritev2(raw, parts[0].as_ptr(), 3, -1, 0) },
        SendPath::Sendfile => {
            let file = sys::memory_file(data)?;
            let mut offset = 0;
            // SAFETY: two live descriptors and an offset to update.
            unsafe { libc::sendfile(raw, file.as_raw_fd(), &mut offset, data.len()) }
        }
        SendPath::Splice => {
            let (reader, writer) = sys::pipe()?;
            sys::set_nonblocking(std::os::fd::AsFd::as_fd(&writer), true)?;
            let filled = std::fs::File::from(writer).write(data)?;
            splice(reader.as_raw_fd(), raw, filled)
        }
    };
    Ok(vec![check(returned)?])
}

/// One `splice` between descriptors without a position: the kernel's return value.
pub fn splice(from: c_int, to: c_int, length: usize) -> isize {
    // SAFETY: null offsets say that neither end has a position.
    unsafe { libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), length, 0) }
}

/// One system call that receives into buffers of these `capacities`: all of them
/// for `recvmmsg`, else the first. Returns what the kernel said came.
pub fn receive(
    path: ReceivePath,
    fd: BorrowedFd,
    capacities: &[usize],
    flags: c_int,
) -> io::Result<Vec<Arrival>> {
    let raw = fd.as_raw_fd();
    let mut buffers: Vec<Vec<u8>> = capacities.iter().map(|&size| vec![0; size]).collect();
    let mut names: Vec<RawAddress> = capacities.iter().map(|_| RawAddress::room()).collect();
    let mut parts: Vec<[libc::iovec; 3]> = buffers
        .iter_mut()
        .map(|buffer| thirds(buffer.as_mut_ptr(), buffer.len()))
        .collect();
    let (start, capacity) = (buffers[0].as_mut_ptr(), capacities[0]);
    let mut from = None;
    let returned = match path {
        // SAFETY: pointer and capacity describe the first buffer.
        ReceivePath::Recv => unsafe { libc::recv(raw, start.cast(), capacity, flags) },
        ReceivePath::Recvfrom => {
            let name = &mut names[0];
            let mut length = name.length;
            // SAFETY: as above, and `name` has room for `length` bytes.
            let returned = unsafe {
                libc::recvfrom(
                    raw,
                    start.cast(),
                    capacity,
                    flags,
                    name.as_mut_ptr(),
                    &mut length,
                )
            };
            name.length = length;
            from = name.endpoint();
            returned
        }
        ReceivePath::Recvmsg | ReceivePath::RecvmsgNoName => {
            let name = (!path.hides_name()).then_some(&mut names[0]);
            let mut header = header(&mut parts[0], name);
            // SAFETY: the header points at `parts` and `names`, both alive.
            let returned = unsafe { libc::recvmsg(raw, &mut header, flags) };
            names[0].length = header.msg_namelen;
            from = names[0].endpoint();
            returned
        }
        ReceivePath::Recvmmsg | ReceivePath::RecvmmsgNoName => {
            let mut all = headers(
                parts
                    .iter_mut()
                    .zip(&mut names)
                    .map(|(parts, name)| header(parts, (!path.hides_name()).then_some(name))),
            );
            // SAFETY: as for recvmsg, for each of the `all.len()` headers.
            let done = check(unsafe {
                let count = all.len() as u32;
                libc::recvmmsg(raw, all.as_mut_ptr(), count, flags, ptr::null_mut()) as isize
            })?;
            let arrivals = all[..done].iter().zip(&mut names).map(|(message, name)| {
                name.length = message.msg_hdr.msg_namelen;
                Arrival {
                    bytes: message.msg_len as usize,
                    from: name.endpoint(),
                }
            });
            return Ok(arrivals.collect());
        }
        // SAFETY: pointer and capacity describe the first buffer.
        ReceivePath::Read => unsafe { libc::read(raw, start.cast(), capacity) },
        // SAFETY: the three parts lie within the first buffer, which is alive.
        ReceivePath::Readv => unsafe { libc::readv(raw, parts[0].as_ptr(), 3) },
        // SAFETY: as above. Offset -1 means "the file position", which a socket has not.
        ReceivePath::Preadv2 => unsafe { libc::preadv2(raw, parts[0].as_ptr(), 3, -1, 0) },
        ReceivePath::Splice => {
            let (_reader, writer) = sys::pipe()?;
            splice(raw, writer.as_raw_fd(), capacity)
        }
    };
    let bytes = check(returned)?;
    Ok(vec![Arrival { bytes, from }])
}

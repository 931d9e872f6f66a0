//! System calls of the 32-bit ABI, which have other numbers than the native ones.
//!
//! x86-64 only: a native process may make them by `int 0x80`. Moves bytes by
//! exactly five calls and counts their return values.

use super::Named;
use super::ledger::Ledger;

/// Every case of this file.
pub const CASES: &[Named] = &[
    ("tcp4::compat32::send_recv", |l| {
        machine::run(machine::SEND_RECV, true, l)
    }),
    ("tcp4::compat32::write_read", |l| {
        machine::run(machine::WRITE_READ, true, l)
    }),
    ("udp4::compat32::send_recv", |l| {
        machine::run(machine::SEND_RECV, false, l)
    }),
    ("udp4::compat32::write_read", |l| {
        machine::run(machine::WRITE_READ, false, l)
    }),
    ("tcp4::compat32::splice_from", machine::splice_from),
];

#[cfg(not(target_arch = "x86_64"))]
mod machine {
    use super::super::unsupported;
    use super::Ledger;

    pub const SEND_RECV: () = ();
    pub const WRITE_READ: () = ();

    pub fn run(_: (), _: bool, _: &mut Ledger) -> anyhow::Result<()> {
        Err(unsupported("32-bit calls", "only written for x86-64"))
    }

    pub fn splice_from(ledger: &mut Ledger) -> anyhow::Result<()> {
        run((), true, ledger)
    }
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use std::arch::asm;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::ptr;

    use anyhow::ensure;

    use super::super::ledger::{Direction, How};
    use super::super::socket::{Family, Socket, tcp_pair, udp_pair};
    use super::super::{sys, unsupported};
    use super::Ledger;

    /// A sending and a receiving call of arch/x86/entry/syscalls/syscall_32.tbl.
    pub const SEND_RECV: (u32, u32) = (369, 371);
    pub const WRITE_READ: (u32, u32) = (4, 3);
    const GETPID: u32 = 20;
    const SPLICE: u32 = 313;

    /// # Safety
    /// The call must be sound with these arguments, in a kernel that knows the ABI.
    unsafe fn call(number: u32, arguments: [u32; 6]) -> io::Result<usize> {
        let [first, second, third, fourth, fifth, sixth] = arguments.map(u64::from);
        let mut result = u64::from(number);
        // SAFETY: rbx and rbp can't be named as operands, so they are swapped in and
        // out; the kernel keeps every other register but those declared as lost.
        unsafe {
            asm!(
                "xchg rbx, r12",
                "xchg rbp, r13",
                "int 0x80",
                "xchg rbp, r13",
                "xchg rbx, r12",
                inout("r12") first => _,
                inout("r13") sixth => _,
                inout("rax") result,
                in("rcx") second,
                in("rdx") third,
                in("rsi") fourth,
                in("rdi") fifth,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            );
        }
        let result = result as i32;
        usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
    }

    /// A page that a 32-bit pointer can name.
    fn low_page() -> io::Result<u32> {
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice, kept for
        // the few milliseconds this process lives.
        let page = unsafe { libc::mmap(ptr::null_mut(), 4096, protection, kind, -1, 0) };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(page as usize as u32)
    }

    /// Without the ABI the instruction is a fault, so a child tries it first.
    fn is_known() -> io::Result<bool> {
        // SAFETY: getpid takes nothing and changes nothing.
        let child = sys::fork(|| i32::from(unsafe { call(GETPID, [0; 6]) }.is_err()))?;
        Ok(sys::reap(child)? == 0)
    }

    fn require() -> anyhow::Result<()> {
        if is_known()? {
            return Ok(());
        }
        Err(unsupported(
            "32-bit calls",
            "the kernel is built without them",
        ))
    }

    /// Out of a socket into a pipe.
    pub fn splice_from(ledger: &mut Ledger) -> anyhow::Result<()> {
        require()?;
        let (near, far) = tcp_pair(Family::V4)?;
        let (_reader, writer) = sys::pipe()?;
        let sent = near.send_plain(ledger, 2727)?;
        sys::wait_for(far.fd(), libc::POLLIN, 1000)?;
        let (from, to) = (far.fd.as_raw_fd() as u32, writer.as_raw_fd() as u32);
        // SAFETY: no end has an offset, so the call touches no memory of this process.
        let received = unsafe { call(SPLICE, [from, 0, to, 0, sent as u32, 0]) }?;
        let movement = far.movement(Direction::Received, None, How::CompatSplice);
        ledger.record(movement, received);
        ensure!(sent == received, "{sent} bytes sent, {received} received");
        Ok(())
    }

    pub fn run(numbers: (u32, u32), is_tcp: bool, ledger: &mut Ledger) -> anyhow::Result<()> {
        require()?;
        let (near, far) = if is_tcp {
            tcp_pair(Family::V4)?
        } else {
            udp_pair(Family::V4)?
        };
        let page = low_page()?;
        let once = |number, socket: &Socket, direction, length, ledger: &mut Ledger| {
            let fd = socket.fd.as_raw_fd() as u32;
            // SAFETY: sends or receives `length` bytes, at most the page's size.
            let moved = unsafe { call(number, [fd, page, length, 0, 0, 0]) }?;
            ledger.record(socket.movement(direction, None, How::Compat), moved);
            io::Result::Ok(moved)
        };
        once(numbers.0, &near, Direction::Sent, 1111, ledger)?;
        once(numbers.1, &far, Direction::Received, 4096, ledger)?;
        Ok(())
    }
}

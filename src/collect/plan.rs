//! The designs of counting: which programs each takes, and what it cannot see.
//!
//! Owns the choice of programs before they are loaded. Loads and attaches
//! nothing: that is `accounting`.

use anyhow::{Context, Result};
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Func, Typedef};

use super::skeleton::OpenNetmonProgs;
use crate::model::snapshot::Engine;

/// Which programs count, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// The socket layer, and at the exit of each network syscall what it did
    /// not see. Needs `sock_send_length` (Linux 6.3).
    Residual,
    /// Entry and exit of syscalls, the read and write family included, and the
    /// ends of the sockets' functions (`fexit`) for what no syscall moves. Needs
    /// a kernel that takes such programs.
    Functions,
    /// Only the entry and exit of syscalls, the read and write family included,
    /// and the completions of io_uring.
    EnterExit,
    /// Only the socket layer: costs other syscalls nothing. Needs Linux 6.3.
    Socket,
}

impl Plan {
    /// What screens and records say of this plan.
    pub fn engine(self) -> Engine {
        match self {
            Plan::Residual => Engine::new(
                "syscall",
                "socket layer + rest of syscalls",
                &[
                    "AF_PACKET receive rings and AF_XDP",
                    "io_uring zero-copy receive from TCP",
                    "splice and zero-copy receive from TCP by 32-bit processes and the kernel itself",
                    "peers of unconnected datagrams of io_uring and 32-bit processes",
                ],
            ),
            Plan::Functions => Engine::new(
                "syscall",
                "syscall entry and exit + socket functions",
                &[
                    "AF_PACKET receive rings and AF_XDP",
                    "io_uring zero-copy receive from TCP",
                    "splice and zero-copy receive from TCP by 32-bit processes and the kernel itself",
                    "vsock of io_uring and 32-bit processes",
                    "peers of unconnected datagrams of io_uring and 32-bit processes",
                ],
            ),
            Plan::EnterExit => Engine::new(
                "syscall",
                "syscall entry and exit",
                &[
                    "io_uring requests of many completions, or of none",
                    "io_submit",
                    "32-bit processes",
                    "traffic of kernel threads",
                    "AF_PACKET receive rings and AF_XDP",
                ],
            ),
            Plan::Socket => Engine::new(
                "socket",
                "socket layer",
                &[
                    "peers of unconnected datagrams",
                    "splice and zero-copy receive from TCP",
                    "AF_PACKET receive rings and AF_XDP",
                ],
            ),
        }
    }

    /// The same where the kernel refuses the programs for splice of io_uring.
    pub(super) fn engine_without_ring(self) -> Engine {
        let engine = self.engine();
        let blind_spots: &[&str] = match self {
            Plan::Residual => &[
                "AF_PACKET receive rings and AF_XDP",
                "io_uring splice and zero-copy receive from TCP",
                "splice and zero-copy receive from TCP by 32-bit processes and the kernel itself",
                "peers of unconnected datagrams of io_uring and 32-bit processes",
            ],
            Plan::Functions => &[
                "AF_PACKET receive rings and AF_XDP",
                "io_uring splice and zero-copy receive from TCP",
                "splice and zero-copy receive from TCP by 32-bit processes and the kernel itself",
                "vsock of io_uring and 32-bit processes",
                "peers of unconnected datagrams of io_uring and 32-bit processes",
            ],
            Plan::EnterExit => &[
                "io_uring and io_submit",
                "32-bit processes",
                "traffic of kernel threads",
                "AF_PACKET receive rings and AF_XDP",
            ],
            Plan::Socket => return engine,
        };
        Engine::new(&engine.name, &engine.method, blind_spots)
    }

    /// The sock tracepoints count.
    pub(super) fn uses_socket_layer(self) -> bool {
        matches!(self, Plan::Residual | Plan::Socket)
    }

    /// Threads are armed at the entry of syscalls and looked at when they leave.
    pub(super) fn uses_syscalls(self) -> bool {
        self != Plan::Socket
    }

    /// Splice of io_uring out of TCP takes two programs of its own.
    pub(super) fn sees_ring_splice(self) -> bool {
        self != Plan::Socket
    }

    /// Completions of io_uring count, as nothing else tells of its requests.
    pub(super) fn counts_completions(self) -> bool {
        self == Plan::EnterExit
    }

    /// Leaves out the programs that this plan does not use or this kernel has no
    /// place for; `with_ring` asks for those of io_uring's splice.
    ///
    /// # Errors
    /// If the kernel's type information cannot be read.
    pub(super) fn select(self, with_ring: bool, programs: &mut OpenNetmonProgs<'_>) -> Result<()> {
        for program in [&mut programs.on_sock_send, &mut programs.on_sock_recv] {
            program.set_autoload(self.uses_socket_layer());
        }
        for program in [&mut programs.on_sys_enter, &mut programs.on_sys_exit] {
            program.set_autoload(self.uses_syscalls());
        }
        let types = Btf::from_vmlinux().context("could not read the kernel's type information")?;
        let has_ring = with_ring
            && self.sees_ring_splice()
            && types
                .type_by_name::<Typedef<'_>>("btf_trace_io_uring_complete")
                .is_some();
        for program in [
            &mut programs.on_receive_space,
            &mut programs.on_ring_complete,
        ] {
            program.set_autoload(has_ring);
        }
        for (name, program) in [
            ("inet_sendmsg", &mut programs.on_inet_send),
            ("inet6_sendmsg", &mut programs.on_inet6_send),
            ("inet_sendpage", &mut programs.on_inet_page),
            ("packet_sendmsg", &mut programs.on_packet_send),
            ("inet_recvmsg", &mut programs.on_inet_recv),
            ("inet6_recvmsg", &mut programs.on_inet6_recv),
            ("sock_common_recvmsg", &mut programs.on_common_recv),
            ("packet_recvmsg", &mut programs.on_packet_recv),
        ] {
            let is_there = || types.type_by_name::<Func<'_>>(name).is_some();
            program.set_autoload(self == Plan::Functions && is_there());
        }
        Ok(())
    }
}

//! How much of the machine owners can be looked for in, with these privileges.
//!
//! Owns the probes, each of which tries what it tells of, and the words for what is
//! missing and how to mend it.

use std::fs::File;
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use super::conntrack::Conntrack;
use crate::collect::{capability, sock_diag};
use crate::model::packets::number;

/// See the module's text.
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    /// The kernel answers for single sockets (sock_diag); else files are read.
    asks: bool,
    /// Other network namespaces can be entered.
    enters: bool,
    /// Address translations may be asked for.
    translations: Result<(), Errno>,
    /// Every process is listed.
    lists: bool,
    /// Every user's processes may be looked at.
    looks: bool,
}

impl Sight {
    /// Tries everything.
    pub fn look() -> Sight {
        let mut tables = sock_diag::Tables::open();
        let mut knows = |protocol| tables.as_mut().is_ok_and(|it| it.knows(protocol));
        Sight {
            asks: knows(number::TCP) && knows(number::UDP),
            enters: may_enter(),
            translations: Conntrack::open().map(drop),
            lists: capability::lists_all_processes(),
            looks: capability::sees_all_processes(),
        }
    }

    /// What cannot be known, and what would mend that.
    pub fn blind_spots(&self) -> Vec<String> {
        let texts = [
            (
                self.lists,
                "processes of another PID namespace or hidden (run netmon in the host's, with \
                 /proc mounted without hidepid)",
            ),
            (
                self.looks,
                "sockets of other users' processes (CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH \
                 missing; root has them)",
            ),
            (
                self.translations != Err(Errno::EPERM),
                "owners behind address translations, whose bytes may be counted under either \
                 address (CAP_NET_ADMIN missing)",
            ),
        ];
        let missing = texts.into_iter().filter(|(is_there, _)| !is_there);
        missing.map(|(_, text)| text.to_owned()).collect()
    }

    /// Where owners are looked for, a line for each way.
    pub fn lines(&self) -> [&'static str; 3] {
        [
            if self.asks {
                "sockets: the kernel is asked (sock_diag)"
            } else {
                "sockets: files are read (/proc/PID/net), as this kernel has no sock_diag for TCP \
                 and UDP"
            },
            if self.enters {
                "other network namespaces: entered"
            } else {
                "other network namespaces: not entered, only read by files (CAP_SYS_ADMIN missing)"
            },
            match self.translations {
                Ok(()) => "address translations: the kernel is asked (conntrack)",
                Err(Errno::EPERM) => {
                    "address translations: may not be asked for (CAP_NET_ADMIN missing)"
                }
                Err(_) => "address translations: cannot be asked for (no conntrack in this kernel)",
            },
        ]
    }
}

/// Whether a thread may change its network namespace, tried with the one that it is in.
fn may_enter() -> bool {
    let try_it = || {
        let here = File::open("/proc/thread-self/ns/net");
        here.is_ok_and(|here| setns(here, CloneFlags::CLONE_NEWNET).is_ok())
    };
    thread::Builder::new()
        .name("namespace".to_owned())
        .spawn(try_it)
        .is_ok_and(|thread| thread.join().unwrap_or(false))
}

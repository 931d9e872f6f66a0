//! Bytes whose process is not known: one row for each reason.

use std::sync::Arc;

use super::Owner;
use crate::model::flow::ProcessId;
use crate::model::sample::Identity;

/// The name of the rows.
pub const NAME: &str = "<unattributed>";

/// Why nobody can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There was no socket any more, or never one, when it was looked for: a process that
    /// ended, a closed port.
    Ended,
    /// So many were new at once that nobody looked for it in time.
    Late,
    /// ICMP belongs to the kernel at least as often as to a socket.
    Icmp,
    /// Neither end is on this machine.
    Passing,
    /// There are network namespaces that could not be looked into.
    Unreadable,
    /// The socket is there, and no process has it.
    Kernel,
    /// The socket is there, and not all processes could be asked for it.
    Hidden,
    /// The socket is there, and not all processes can be seen.
    Unseen,
    /// Neither TCP nor UDP, and no raw socket takes it.
    NoSocket,
}

impl Reason {
    /// All of them, in the order of their rows.
    pub const ALL: [Reason; 9] = [
        Reason::Ended,
        Reason::Late,
        Reason::Icmp,
        Reason::Passing,
        Reason::Unreadable,
        Reason::Kernel,
        Reason::Hidden,
        Reason::Unseen,
        Reason::NoSocket,
    ];

    /// What the row's command says.
    pub fn text(self) -> &'static str {
        match self {
            Reason::Ended => "no socket there when it was looked up",
            Reason::Late => "not looked up in time",
            Reason::Icmp => "icmp has no owner in the socket tables",
            Reason::Passing => "forwarded or of another host",
            Reason::Unreadable => "socket of a namespace that cannot be read",
            Reason::Kernel => "kernel socket",
            Reason::Hidden => "process that may not be looked at",
            Reason::Unseen => "process of another PID namespace or hidden",
            Reason::NoSocket => "protocol without a socket",
        }
    }

    /// The row's key: no process has PID 0. From 1, so that none is all zeros.
    pub fn process(self) -> ProcessId {
        ProcessId {
            pid: 0,
            start_ns: self as u64 + 1,
        }
    }

    /// The row as an owner, in the network namespace `namespace`.
    pub fn owner(self, namespace: u32) -> Owner {
        Owner {
            process: self.process(),
            namespace,
            identity: Arc::new(Identity {
                name: NAME.to_owned(),
                command: self.text().to_owned(),
                user: "-".to_owned(),
                ..Identity::default()
            }),
        }
    }
}

/// Whether it is one of these rows.
pub fn is_one(process: ProcessId) -> bool {
    process.pid == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_row_of_its_own() {
        let mut rows: Vec<ProcessId> = Reason::ALL.map(Reason::process).to_vec();
        rows.dedup();
        assert_eq!(rows.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            let owner = reason.owner(7);
            assert!(is_one(owner.process) && owner.process != ProcessId::default());
            assert_eq!(owner.identity.name, NAME);
            assert_eq!(owner.identity.command, reason.text());
        }
    }
}

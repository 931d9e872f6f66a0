//! Which rows a person asked to see.
//!
//! One filter serves the command line (`--pid`, `--name`, …), the screen's
//! live `/` text and the stream. Rows are hidden, counts never change.

use std::net::IpAddr;

use super::flow::{Endpoint, Protocol};
use super::snapshot::{FlowRow, ProcessRow, Snapshot};

/// Options given several times are alternatives; different options must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Process ids.
    pub pids: Vec<u32>,
    /// Parts of a process name, in any case.
    pub names: Vec<String>,
    /// User names or numeric user ids.
    pub users: Vec<String>,
    /// Parts of a cgroup path (unit and container names are parts of it).
    pub cgroups: Vec<String>,
    /// Local or remote ports.
    pub ports: Vec<u16>,
    /// Protocols.
    pub protocols: Vec<Protocol>,
    /// Live text: matches a part of name, PID, user, protocol, address or port.
    pub text: String,
}

impl Filter {
    /// True when nothing is filtered.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// True when whole processes can be judged without looking at their flows.
    fn is_about_processes_only(&self) -> bool {
        self.ports.is_empty() && self.protocols.is_empty()
    }

    fn owner_matches(&self, process: &ProcessRow) -> bool {
        let who = &process.identity;
        (self.pids.is_empty() || self.pids.contains(&process.id.pid))
            && any_part(&self.names, &who.name)
            && (self.users.is_empty()
                || self
                    .users
                    .iter()
                    .any(|user| *user == who.user || user.parse() == Ok(who.uid)))
            && any_part(&self.cgroups, who.cgroup.as_deref().unwrap_or(""))
    }

    fn text_matches_process(&self, process: &ProcessRow) -> bool {
        let text = self.text.as_str();
        text.is_empty()
            || contains(&process.identity.name, text)
            || contains(&process.identity.user, text)
            || process.id.pid.to_string() == text
    }

    fn text_matches_flow(&self, flow: &FlowRow) -> bool {
        let text = self.text.as_str();
        contains(flow.key.protocol.name(), text)
            || end_contains(flow.key.local, text)
            || end_contains(flow.key.remote, text)
    }

    fn ends_match(&self, flow: &FlowRow) -> bool {
        let key = &flow.key;
        let port = |end: Option<Endpoint>| end.is_some_and(|end| self.ports.contains(&end.port));
        (self.protocols.is_empty() || self.protocols.contains(&key.protocol))
            && (self.ports.is_empty() || port(key.local) || port(key.remote))
    }

    /// Whether a flow's row is shown.
    pub fn matches_flow(&self, flow: &FlowRow, process: &ProcessRow) -> bool {
        self.is_empty()
            || (self.owner_matches(process)
                && self.ends_match(flow)
                && (self.text_matches_process(process) || self.text_matches_flow(flow)))
    }

    /// Which processes are shown, by index: those that match by themselves, and,
    /// where the filter speaks of ends or protocols, those with a matching flow.
    pub fn processes(&self, snapshot: &Snapshot) -> Vec<bool> {
        let mut shown: Vec<bool> = snapshot
            .processes
            .iter()
            .map(|process| {
                self.is_about_processes_only()
                    && self.owner_matches(process)
                    && self.text_matches_process(process)
            })
            .collect();
        if !self.is_empty() && (!self.text.is_empty() || !self.is_about_processes_only()) {
            for flow in &snapshot.flows {
                let Some(process) = snapshot.process_of(flow) else {
                    continue;
                };
                if !shown[flow.process] && self.matches_flow(flow, process) {
                    shown[flow.process] = true;
                }
            }
        }
        shown
    }
}

fn contains(whole: &str, part: &str) -> bool {
    part.is_empty() || whole.to_lowercase().contains(&part.to_lowercase())
}

fn any_part(parts: &[String], whole: &str) -> bool {
    parts.is_empty() || parts.iter().any(|part| contains(whole, part))
}

fn end_contains(end: Option<Endpoint>, text: &str) -> bool {
    end.is_some_and(|end| {
        address_contains(end.address, text)
            || (end.port != 0 && end.port.to_string() == text.trim_start_matches(':'))
            || (text.contains(':') && contains(&end.to_string(), text))
    })
}

fn address_contains(address: IpAddr, text: &str) -> bool {
    contains(&address.to_string(), text)
}

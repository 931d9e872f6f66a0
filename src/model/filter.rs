//! Which rows a person asked to see.
//!
//! One filter serves the command line (`--pid`, `--name`, …), the screen's
//! live `/` text and the stream. Rows are hidden, counts never change.

use super::flow::{Endpoint, Protocol};
use super::needle::Needle;
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

    /// Applies the filter to a snapshot. What concerns its processes is decided
    /// here, once each, and not again for each of their flows.
    pub fn judge<'a>(&self, snapshot: &'a Snapshot) -> Judge<'a> {
        let owner = OwnerFilter::new(self);
        let text = Needle::new(&self.text);
        let verdict = |process: &ProcessRow| match owner.matches(process) {
            false => Verdict::Hidden,
            true if text.is_in_process(process) => Verdict::Shown,
            true => Verdict::OneByOne,
        };
        Judge {
            ports: self.ports.clone(),
            protocols: self.protocols.clone(),
            snapshot,
            owners: snapshot.processes.iter().map(verdict).collect(),
            text,
        }
    }
}

/// What is known of a process's flows before looking at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The process is not asked for.
    Hidden,
    /// The process is asked for, but the text must still be found in the flow.
    OneByOne,
    /// The process is asked for and matches the text.
    Shown,
}

/// A [`Filter`] applied to one [`Snapshot`].
#[derive(Debug)]
pub struct Judge<'a> {
    ports: Vec<u16>,
    protocols: Vec<Protocol>,
    snapshot: &'a Snapshot,
    owners: Vec<Verdict>,
    text: Needle,
}

impl Judge<'_> {
    /// Whether a flow's row is shown.
    pub fn shows(&self, flow: &FlowRow) -> bool {
        match self.owners.get(flow.process) {
            None | Some(Verdict::Hidden) => false,
            Some(Verdict::Shown) => self.ends_match(flow),
            Some(Verdict::OneByOne) => self.ends_match(flow) && self.text.is_in_flow(&flow.key),
        }
    }

    fn ends_match(&self, flow: &FlowRow) -> bool {
        let key = &flow.key;
        let port = |end: Option<Endpoint>| end.is_some_and(|end| self.ports.contains(&end.port));
        (self.protocols.is_empty() || self.protocols.contains(&key.protocol))
            && (self.ports.is_empty() || port(key.local) || port(key.remote))
    }

    /// Which processes are shown, by index: those that match by themselves, and,
    /// where the filter speaks of ends or protocols, those with a matching flow.
    pub fn processes(&self) -> Vec<bool> {
        let alone = self.ports.is_empty() && self.protocols.is_empty();
        let matches = |verdict: &Verdict| alone && *verdict == Verdict::Shown;
        let mut shown: Vec<bool> = self.owners.iter().map(matches).collect();
        if !alone || self.owners.contains(&Verdict::OneByOne) {
            for flow in &self.snapshot.flows {
                if shown.get(flow.process) == Some(&false) && self.shows(flow) {
                    shown[flow.process] = true;
                }
            }
        }
        shown
    }
}

/// The options that speak of processes, ready to be compared.
struct OwnerFilter<'a> {
    filter: &'a Filter,
    names: Vec<String>,
    users: Vec<(&'a str, Option<u32>)>,
    cgroups: Vec<String>,
}

impl<'a> OwnerFilter<'a> {
    fn new(filter: &'a Filter) -> Self {
        let lower = |parts: &[String]| parts.iter().map(|part| part.to_lowercase()).collect();
        OwnerFilter {
            filter,
            names: lower(&filter.names),
            users: filter
                .users
                .iter()
                .map(|user| (user.as_str(), user.parse().ok()))
                .collect(),
            cgroups: lower(&filter.cgroups),
        }
    }

    fn matches(&self, process: &ProcessRow) -> bool {
        let who = &process.identity;
        let pids = &self.filter.pids;
        let is_user =
            |(name, uid): &(&str, Option<u32>)| *name == who.user || *uid == Some(who.uid);
        (pids.is_empty() || pids.contains(&process.id.pid))
            && any_part(&self.names, &who.name)
            && (self.users.is_empty() || self.users.iter().any(is_user))
            && any_part(&self.cgroups, who.cgroup.as_deref().unwrap_or(""))
    }
}

/// `parts` are in lower case already.
fn any_part(parts: &[String], whole: &str) -> bool {
    if parts.is_empty() {
        return true;
    }
    let whole = whole.to_lowercase();
    parts.iter().any(|part| whole.contains(part.as_str()))
}

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::flow::{FlowKey, ProcessId, Totals};
    use crate::model::sample::{Identity, Moment};
    use crate::model::snapshot::{Balance, Engine, Loss, Rates};

    fn process(pid: u32, name: &str, user: &str, uid: u32, cgroup: &str) -> ProcessRow {
        ProcessRow {
            id: ProcessId { pid, start_ns: 0 },
            identity: Arc::new(Identity {
                name: name.to_owned(),
                user: user.to_owned(),
                uid,
                cgroup: Some(cgroup.to_owned()),
                ..Identity::default()
            }),
            totals: Totals::default(),
            rates: Rates::default(),
            by_protocol: Default::default(),
            kernel_thread: false,
            exited: false,
            anomalous: false,
        }
    }

    fn flow(process: usize, protocol: Protocol, local: &str, remote: &str) -> FlowRow {
        let end = |text: &str| {
            let (address, port) = text.rsplit_once(' ')?;
            Some(Endpoint {
                address: address.parse().ok()?,
                port: port.parse().ok()?,
            })
        };
        FlowRow {
            key: FlowKey {
                process: ProcessId::default(),
                protocol,
                network_namespace: 1,
                local: end(local),
                remote: end(remote),
            },
            process,
            totals: Totals::default(),
            rates: Rates::default(),
            tcp: None,
            closed: false,
            anomalous: false,
        }
    }

    /// Firefox with two flows, sshd with one, and a ping nobody answers.
    fn scene() -> Snapshot {
        Snapshot {
            sequence: 1,
            at: Moment::default(),
            boot: Default::default(),
            interval: Default::default(),
            nominal_interval: Default::default(),
            engine: Arc::new(Engine::new("syscall", "", &[])),
            threshold: 0.0,
            protocols: Vec::new(),
            processes: vec![
                process(1733, "Firefox", "alice", 1000, "/user.slice/app.scope"),
                process(812, "sshd", "root", 0, "/system.slice/ssh.service"),
                process(443, "ping", "alice", 1000, "/user.slice/term.scope"),
            ],
            flows: vec![
                flow(0, Protocol::Tcp, "10.0.0.5 40100", "93.184.216.34 443"),
                flow(0, Protocol::Udp, "2001:db8::5 40101", "2001:db8::35 53"),
                flow(1, Protocol::Tcp, "10.0.0.5 22", "10.0.0.77 60022"),
                flow(2, Protocol::Icmp, "10.0.0.5 0", "none"),
                flow(9, Protocol::Tcp, "10.0.0.5 1", "10.0.0.6 2"),
            ],
            aggregates: Vec::new(),
            anomalies: Vec::new(),
            loss: Loss::default(),
            balance: Balance::default(),
            coverage: None,
            interfaces: Vec::new(),
        }
    }

    /// Indices of the processes and flows that `filter` shows.
    fn shown(filter: &Filter) -> (Vec<usize>, Vec<usize>) {
        let scene = scene();
        let judge = filter.judge(&scene);
        let at = |flags: Vec<bool>| (0..flags.len()).filter(|at| flags[*at]).collect();
        let flows = scene.flows.iter().map(|row| judge.shows(row)).collect();
        (at(judge.processes()), at(flows))
    }

    fn text(text: &str) -> (Vec<usize>, Vec<usize>) {
        shown(&Filter {
            text: text.to_owned(),
            ..Filter::default()
        })
    }

    #[test]
    fn no_filter_shows_everything_that_has_a_process() {
        assert_eq!(shown(&Filter::default()), (vec![0, 1, 2], vec![0, 1, 2, 3]));
    }

    #[test]
    fn text_is_looked_for_in_processes_and_flows() {
        assert_eq!(text("FIRE"), (vec![0], vec![0, 1]));
        assert_eq!(text("alice"), (vec![0, 2], vec![0, 1, 3]));
        assert_eq!(text("812"), (vec![1], vec![2]));
        // One process by its PID, another by the port of one of its flows.
        assert_eq!(text("443"), (vec![0, 2], vec![0, 3]));
        assert_eq!(text(":443"), (vec![0], vec![0]));
        assert_eq!(text("10.0.0.7"), (vec![1], vec![2]));
        assert_eq!(text("2001:DB8::3"), (vec![0], vec![1]));
        assert_eq!(text("]:53"), (vec![0], vec![1]));
        assert_eq!(text("icm"), (vec![2], vec![3]));
        assert_eq!(text("no such thing"), (vec![], vec![]));
    }

    #[test]
    fn options_given_several_times_are_alternatives() {
        let names = ["ssh", "PING"].map(ToOwned::to_owned).to_vec();
        let filter = Filter {
            names,
            ..Filter::default()
        };
        assert_eq!(shown(&filter), (vec![1, 2], vec![2, 3]));
    }

    #[test]
    fn different_options_must_all_hold() {
        let filter = Filter {
            users: vec!["1000".to_owned(), "nobody".to_owned()],
            cgroups: vec!["APP".to_owned(), "ssh".to_owned()],
            ..Filter::default()
        };
        assert_eq!(shown(&filter), (vec![0], vec![0, 1]));
        let nobody = Filter {
            pids: vec![1],
            text: "alice".to_owned(),
            ..Filter::default()
        };
        assert_eq!(shown(&nobody), (vec![], vec![]));
    }

    #[test]
    fn ends_and_protocols_show_the_processes_that_have_them() {
        let ports = Filter {
            ports: vec![22, 53],
            ..Filter::default()
        };
        assert_eq!(shown(&ports), (vec![0, 1], vec![1, 2]));
        let both = Filter {
            protocols: vec![Protocol::Udp],
            text: "alice".to_owned(),
            ..ports
        };
        assert_eq!(shown(&both), (vec![0], vec![1]));
    }
}

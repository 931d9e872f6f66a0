//! The sums over captured packets, as the kernel programs' maps would hold them.
//!
//! Owns cumulative counts by flow, process and protocol, which grow together: what is
//! added is in all of them or in what is told as lost. Counters never fall; an entry
//! leaves when the tracker says so, and begins at 0 if it comes again.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{Ends, Owner};
use crate::model::flow::{FlowKey, ProcessId, Protocol, Totals};
use crate::model::sample::{FlowCounters, Identity, ProcessCounters, Sample};

/// See the module's text.
#[derive(Debug)]
pub struct Books {
    flows: HashMap<FlowKey, Totals, RandomState>,
    processes: HashMap<ProcessId, Account, RandomState>,
    protocols: [Totals; Protocol::COUNT],
    untracked_flows: Totals,
    untracked_processes: Totals,
    removed_flows: Vec<FlowCounters>,
    removed_processes: Vec<ProcessId>,
    max_flows: usize,
}

#[derive(Debug)]
struct Account {
    identity: Arc<Identity>,
    totals: Totals,
    /// Something was added since it was last asked for.
    moved: bool,
    exited: bool,
}

impl Books {
    /// Books with room for that many flows.
    pub fn new(max_flows: usize) -> Books {
        Books {
            flows: HashMap::default(),
            processes: HashMap::default(),
            protocols: Default::default(),
            untracked_flows: Totals::default(),
            untracked_processes: Totals::default(),
            removed_flows: Vec::new(),
            removed_processes: Vec::new(),
            max_flows,
        }
    }

    /// Adds what an owner moved at its end.
    pub fn add(&mut self, owner: &Owner, protocol: Protocol, ends: Ends, moved: Totals) {
        self.protocols[protocol.index()] += moved;
        let account = self
            .processes
            .entry(owner.process)
            .or_insert_with(|| Account {
                identity: Arc::clone(&owner.identity),
                totals: Totals::default(),
                moved: true,
                exited: false,
            });
        account.totals += moved;
        account.moved = true;
        if !Arc::ptr_eq(&account.identity, &owner.identity) {
            account.identity = Arc::clone(&owner.identity);
        }
        let key = FlowKey {
            process: owner.process,
            protocol,
            network_namespace: owner.namespace,
            local: Some(ends.local),
            remote: Some(ends.remote),
        };
        let is_full = self.flows.len() >= self.max_flows;
        match self.flows.get_mut(&key) {
            Some(totals) => *totals += moved,
            None if is_full => self.untracked_flows += moved,
            None => _ = self.flows.insert(key, moved),
        }
    }

    /// Adds what found no room among the pairs: nobody looked for its owner.
    pub fn add_untracked(&mut self, protocol: Protocol, moved: Totals) {
        self.protocols[protocol.index()] += moved;
        self.untracked_processes += moved;
        self.untracked_flows += moved;
    }

    /// The processes that have not ended and of which nothing was added since the last
    /// call; with `all` the others, too.
    pub fn living(&mut self, all: bool) -> Vec<ProcessId> {
        let mut living = Vec::new();
        for (id, account) in &mut self.processes {
            let moved = std::mem::take(&mut account.moved);
            if !account.exited && (all || !moved) {
                living.push(*id);
            }
        }
        living
    }

    /// That process has ended.
    pub fn end(&mut self, process: ProcessId) {
        if let Some(account) = self.processes.get_mut(&process) {
            account.exited = true;
        }
    }

    /// Hands over what was removed since the last sample.
    pub fn fill_removed(&mut self, sample: &mut Sample) {
        sample.removed_flows.append(&mut self.removed_flows);
        sample.removed_processes.append(&mut self.removed_processes);
    }

    /// Writes the counters into `sample`, in the place of others.
    pub fn fill(&self, sample: &mut Sample) {
        sample.flows.clear();
        let flows = self.flows.iter().map(|(key, totals)| FlowCounters {
            key: *key,
            totals: *totals,
            closed: false,
        });
        sample.flows.extend(flows);
        sample.processes.clear();
        let processes = self.processes.iter().map(|(id, account)| ProcessCounters {
            id: *id,
            totals: account.totals,
            identity: Arc::clone(&account.identity),
            kernel_thread: false,
            exited: account.exited,
        });
        sample.processes.extend(processes);
        sample.protocols = self.protocols;
        sample.untracked_flows = self.untracked_flows;
        sample.untracked_processes = self.untracked_processes;
    }

    /// Takes flows out; their final counters are in the next sample.
    pub fn remove_flows(&mut self, keys: &[FlowKey]) {
        for key in keys {
            if let Some(totals) = self.flows.remove(key) {
                self.removed_flows.push(FlowCounters {
                    key: *key,
                    totals,
                    closed: true,
                });
            }
        }
    }

    /// Takes processes that ended out. What they moved since the last sample stays.
    pub fn remove_processes(&mut self, ids: &[ProcessId]) {
        for id in ids {
            if self.processes.remove(id).is_some() {
                self.removed_processes.push(*id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::unattributed::Reason;
    use super::*;
    use crate::model::flow::Endpoint;

    fn end(port: u16) -> Endpoint {
        Endpoint {
            address: "192.0.2.1".parse().unwrap(),
            port,
        }
    }

    fn ends(local: u16) -> Ends {
        Ends {
            local: end(local),
            remote: end(443),
        }
    }

    fn sent(bytes: u64) -> Totals {
        Totals {
            tx_bytes: bytes,
            tx_operations: 1,
            ..Totals::default()
        }
    }

    fn sums(sample: &Sample) -> (u64, u64, u64) {
        let flows = sample
            .flows
            .iter()
            .map(|flow| flow.totals.bytes())
            .sum::<u64>();
        let processes = sample.processes.iter().map(|row| row.totals.bytes());
        (
            flows + sample.untracked_flows.bytes(),
            processes.sum::<u64>() + sample.untracked_processes.bytes(),
            sample.protocols.iter().map(Totals::bytes).sum(),
        )
    }

    #[test]
    fn the_three_sums_are_the_same_even_when_the_books_are_full() {
        let mut books = Books::new(2);
        let (ended, icmp) = (Reason::Ended.owner(1), Reason::Icmp.owner(1));
        for port in 1..=3 {
            books.add(&ended, Protocol::Tcp, ends(port), sent(100));
        }
        books.add(&icmp, Protocol::Icmp, ends(1), sent(7));
        books.add_untracked(Protocol::Udp, sent(1000));
        let mut sample = Sample::default();
        books.fill(&mut sample);
        assert_eq!(sums(&sample), (1307, 1307, 1307));
        assert_eq!(sample.flows.len(), 2);
        assert_eq!(sample.untracked_flows.bytes(), 1107);
        assert_eq!(sample.untracked_processes.bytes(), 1000);
    }

    #[test]
    fn what_is_removed_is_told_once_with_its_last_count() {
        let mut books = Books::new(10);
        let owner = Reason::Kernel.owner(1);
        books.add(&owner, Protocol::Udp, ends(5), sent(9));
        assert!(books.living(false).is_empty());
        assert_eq!(books.living(false), [owner.process]);
        books.end(owner.process);
        assert!(books.living(true).is_empty());
        let mut sample = Sample::default();
        books.fill(&mut sample);
        let key = sample.flows[0].key;
        assert!(sample.processes[0].exited);
        books.add(&owner, Protocol::Udp, ends(5), sent(1));
        books.remove_flows(&[key, key]);
        books.remove_processes(&[owner.process]);
        sample.clear();
        books.fill_removed(&mut sample);
        books.fill(&mut sample);
        assert_eq!(sample.removed_flows.len(), 1);
        assert_eq!(sample.removed_flows[0].totals, sent(9) + sent(1));
        assert_eq!(sample.removed_processes, [owner.process]);
        assert!(sample.flows.is_empty() && sample.processes.is_empty());
        // The protocols never forget.
        assert_eq!(sample.protocols[Protocol::Udp.index()].bytes(), 10);
        sample.clear();
        books.fill_removed(&mut sample);
        assert!(sample.removed_flows.is_empty());
    }
}

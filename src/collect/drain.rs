//! The maps' bytes into a [`Sample`], and rates and removals back into the maps.
//!
//! Reads in the order flows, losses, processes, totals: the opposite of the
//! order in which the kernel adds, so that what it adds meanwhile can only
//! appear in the later sums. Computes nothing.

use std::collections::HashMap;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags, MapHandle};

use super::accounting::{Accounting, Maps};
use super::batch::Batch;
use super::closings::{Closings, MOST};
use super::identity::{Identities, Seen};
use super::wire::{self, RawFlowKey, RawLosses, RawProcess, RawTotals, RawTraffic, Wire};
use crate::model::flow::{FlowKey, ProcessId, Totals};
use crate::model::sample::{FlowCounters, ProcessCounters, Sample};

/// Reads one set of maps again and again, with buffers that stay.
pub struct Drain {
    flows: Batch<RawFlowKey, RawTraffic>,
    processes: Batch<u32, RawProcess>,
    slots: HashMap<ProcessId, u32>,
    identities: Identities,
    closings: Closings,
    removed_flows: Vec<FlowCounters>,
    removed_processes: Vec<ProcessId>,
    rate_keys: Vec<RawFlowKey>,
    rates: Vec<u64>,
}

impl Drain {
    /// Buffers for the maps of `accounting`.
    ///
    /// # Errors
    /// If the ring of closed connections cannot be read.
    pub fn new(accounting: &Accounting) -> Result<Drain> {
        Drain::keeping(accounting, MOST)
    }

    /// As [`Drain::new`], with room for that many closed connections beside their ring.
    ///
    /// # Errors
    /// As [`Drain::new`].
    pub fn keeping(accounting: &Accounting, most: usize) -> Result<Drain> {
        Ok(Drain {
            // Most machines have fewer; the buffers grow.
            flows: Batch::new(1024),
            processes: Batch::new(256),
            slots: HashMap::new(),
            identities: Identities::new(),
            closings: Closings::open(&accounting.maps.closed, most)?,
            removed_flows: Vec::new(),
            removed_processes: Vec::new(),
            rate_keys: Vec::new(),
            rates: Vec::new(),
        })
    }

    /// Reads everything into `sample`, which is emptied first.
    ///
    /// # Errors
    /// If the kernel refuses a read.
    pub fn poll(&mut self, accounting: &Accounting, sample: &mut Sample) -> Result<()> {
        sample.clear();
        sample.removed_flows.append(&mut self.removed_flows);
        sample.removed_processes.append(&mut self.removed_processes);
        self.poll_again(accounting, sample)
    }

    /// Reads the counters once more into the same `sample`. What left the maps and
    /// which connections closed stays in it.
    ///
    /// # Errors
    /// If the kernel refuses a read.
    pub fn poll_again(&mut self, accounting: &Accounting, sample: &mut Sample) -> Result<()> {
        let maps = &accounting.maps;
        // Closed connections before the flows: all that moved before a close is there.
        self.closings.take(&mut sample.closed)?;

        sample.flows.clear();
        self.read_flows(&maps.traffic, &mut sample.flows)?;

        let losses = losses(&maps.losses)?;
        sample.untracked_flows = losses.flows;
        sample.untracked_processes = losses.processes;
        sample.missed_events = losses.unarmed + losses.closed + accounting.recursion_misses();

        sample.processes.clear();
        self.read_processes(maps, &mut sample.processes)?;

        for (index, totals) in sample.protocols.iter_mut().enumerate() {
            // There are nine protocols.
            *totals = percpu::<RawTotals>(&maps.protocols, index as u32)?
                .iter()
                .map(wire::totals)
                .sum();
        }
        Ok(())
    }

    fn read_processes(&mut self, maps: &Maps, to: &mut Vec<ProcessCounters>) -> Result<()> {
        let used = maps
            .slots_used
            .lookup(&0_u32.to_ne_bytes(), MapFlags::ANY)
            .context("could not read a kernel map")?
            .and_then(|bytes| wire::read::<u32>(&bytes))
            .unwrap_or(0);
        self.processes
            .read_at_most(&maps.processes, used as usize)
            .context("pid_stats")?;
        self.identities.begin();
        for (slot, process) in self.processes.entries() {
            if process.flags & wire::PROCESS_USED == 0 {
                continue;
            }
            let id = wire::process_id(process);
            self.slots.insert(id, *slot);
            let kernel_thread = process.flags & wire::PROCESS_KERNEL != 0;
            let exited = process.flags & wire::PROCESS_EXITED != 0;
            let identity = self.identities.of(&Seen {
                id,
                exec_id: process.exec_id,
                comm: &process.comm,
                uid: process.uid,
                cgroup_id: process.cgroup_id,
                kernel_thread,
                exited,
            });
            to.push(ProcessCounters {
                id,
                totals: wire::totals(&process.totals),
                identity,
                kernel_thread,
                exited,
            });
        }
        Ok(())
    }

    /// Reads and decodes the flow map alone.
    ///
    /// # Errors
    /// If the kernel refuses the read.
    pub fn read_flows(&mut self, traffic: &MapHandle, to: &mut Vec<FlowCounters>) -> Result<()> {
        self.flows.read(traffic).context("traffic_map")?;
        to.extend(
            self.flows
                .entries()
                .map(|(key, value)| wire::flow_counters(wire::flow_key(key, value), value)),
        );
        Ok(())
    }

    /// Writes smoothed rates (bytes/s) into `anomaly_map`, in one batch.
    ///
    /// # Errors
    /// If the kernel refuses the write.
    pub fn write_rates(
        &mut self,
        maps: &Maps,
        rates: impl Iterator<Item = (FlowKey, u64)>,
    ) -> Result<()> {
        self.rate_keys.clear();
        self.rates.clear();
        for (key, rate) in rates {
            self.rate_keys.push(wire::raw_flow_key(&key));
            self.rates.push(rate);
        }
        if self.rates.is_empty() {
            return Ok(());
        }
        // Not more than the map holds, a u32.
        let count = self.rates.len() as u32;
        maps.anomalies
            .update_batch(
                wire::bytes_of_slice(&self.rate_keys),
                wire::bytes_of_slice(&self.rates),
                count,
                MapFlags::ANY,
                MapFlags::ANY,
            )
            .context("could not write rates into anomaly_map")
    }

    /// Takes flows out of the kernel's maps; their final counters are in the
    /// next sample. Each is read and deleted in one step, so nothing that was
    /// added before is lost.
    ///
    /// # Errors
    /// If the kernel refuses a removal.
    pub fn remove_flows(&mut self, maps: &Maps, keys: &[FlowKey]) -> Result<()> {
        let mut value = [0; size_of::<RawTraffic>()];
        for key in keys {
            let raw = wire::raw_flow_key(key);
            let raw = wire::bytes_of(&raw);
            // First here: traffic_map never has fewer entries than anomaly_map.
            ignore_missing(maps.anomalies.delete(raw))?;
            let found = maps
                .traffic
                .lookup_into_and_delete(raw, &mut value)
                .context("could not remove a flow from traffic_map")?;
            // An entry that somebody else removed has nothing more to say.
            let last = found.then(|| wire::read(&value)).flatten();
            let last: RawTraffic = last.unwrap_or_default();
            self.removed_flows.push(wire::flow_counters(*key, &last));
        }
        Ok(())
    }

    /// Takes ended processes out of the kernel's map; nobody writes to them any more.
    ///
    /// # Errors
    /// If the kernel refuses a removal.
    pub fn remove_processes(&mut self, maps: &Maps, ids: &[ProcessId]) -> Result<()> {
        for id in ids {
            let Some(slot) = self.slots.remove(id) else {
                continue;
            };
            let key = wire::raw_process_key(id);
            ignore_missing(maps.process_slots.delete(wire::bytes_of(&key)))?;
            let free = RawProcess::default();
            maps.processes
                .update(&slot.to_ne_bytes(), wire::bytes_of(&free), MapFlags::ANY)
                .and_then(|()| {
                    maps.free_slots
                        .update(&[], &slot.to_ne_bytes(), MapFlags::ANY)
                })
                .context("could not free an element of pid_stats")?;
            self.identities.forget(id);
            self.removed_processes.push(*id);
        }
        Ok(())
    }
}

fn ignore_missing(result: libbpf_rs::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != libbpf_rs::ErrorKind::NotFound => {
            Err(error).context("could not remove an entry from a kernel map")
        }
        _ => Ok(()),
    }
}

struct Losses {
    flows: Totals,
    processes: Totals,
    unarmed: u64,
    closed: u64,
}

fn losses(map: &MapHandle) -> Result<Losses> {
    let cpus = percpu::<RawLosses>(map, 0)?;
    Ok(Losses {
        flows: cpus.iter().map(|cpu| wire::totals(&cpu.flows)).sum(),
        processes: cpus.iter().map(|cpu| wire::totals(&cpu.processes)).sum(),
        unarmed: cpus.iter().map(|cpu| cpu.unarmed).sum(),
        closed: cpus.iter().map(|cpu| cpu.closed).sum(),
    })
}

/// Each CPU's value of one array element.
fn percpu<T: Wire>(map: &MapHandle, index: u32) -> Result<Vec<T>> {
    let cpus = map
        .lookup_percpu(&index.to_ne_bytes(), MapFlags::ANY)
        .context("could not read a kernel map")?
        .unwrap_or_default();
    Ok(cpus
        .iter()
        .filter_map(|bytes| wire::read::<T>(bytes))
        .collect())
}

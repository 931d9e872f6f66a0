//! A kernel of interfaces in memory with the table that reads it, and the naive sums.
//!
//! Checks after every tick what must hold of every history. Judges no particular one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use netmon::model::flow::Totals;
use netmon::model::interface::{
    Class, Count, Hook, Interface, InterfaceTable, Sampled, Way, WireCounters,
};
use netmon::model::network::{Link, LinkCounters, Lower, Network};
use netmon::model::sample::{Moment, Sample};
use netmon::model::tracker::Tick;

/// A device and its counters.
#[derive(Debug, Clone)]
pub struct Device {
    pub name: String,
    kind: &'static str,
    pub totals: Totals,
    pub sampler: Option<WireCounters>,
}

/// What has moved by the naive model: from the first reading that showed it on.
#[derive(Debug, Clone, Default)]
pub struct Naive {
    kernel: Option<Totals>,
    uptime: Duration,
    sampled: Option<(Way, Way)>,
}

/// A kernel with interfaces, and the table that reads it.
pub struct Machine {
    pub table: InterfaceTable,
    pub devices: BTreeMap<u32, Device>,
    network: Arc<Network>,
    /// What moved since the last reading, by interface.
    pub since: BTreeMap<u32, (Totals, Way, Way)>,
    pub naive: BTreeMap<u32, Naive>,
    pub last: Vec<Interface>,
}

fn hook() -> Arc<Hook> {
    Arc::new(Hook {
        ingress: "xdp generic".to_owned(),
        egress: "tcx".to_owned(),
        reason: "a test".to_owned(),
    })
}

/// Packets of a hundred bytes, one of them HTTPS, and half as many frames.
fn way(packets: u64) -> Way {
    let count = |packets| Count {
        packets,
        bytes: packets * 100,
    };
    let mut way = Way {
        frames: count(packets.div_ceil(2)),
        ..Way::default()
    };
    way.classes[Class::Tcp as usize] = count(packets / 2);
    way.classes[Class::Udp as usize] = count(packets - packets / 2);
    way.classes[Class::Https as usize] = count(packets.min(1));
    way
}

impl Machine {
    pub fn new() -> Machine {
        Machine {
            table: InterfaceTable::default(),
            devices: BTreeMap::new(),
            network: Arc::default(),
            since: BTreeMap::new(),
            naive: BTreeMap::new(),
            last: Vec::new(),
        }
    }

    pub fn appears(&mut self, index: u32, kind: &'static str, counted: u64) {
        let device = Device {
            name: format!("eth{index}"),
            kind,
            totals: totals(counted, counted),
            sampler: None,
        };
        self.devices.insert(index, device);
        self.since.remove(&index);
    }

    pub fn sampler(&mut self, index: u32) {
        if let Some(device) = self.devices.get_mut(&index) {
            device.sampler = Some(WireCounters {
                index,
                hook: hook(),
                tx: Way::default(),
                rx: Way::default(),
            });
        }
    }

    pub fn moves(&mut self, index: u32, tx: u64, rx: u64) {
        let Some(device) = self.devices.get_mut(&index) else {
            return;
        };
        device.totals += totals(tx, rx);
        let since = self.since.entry(index).or_default();
        since.0 += totals(tx, rx);
        if let Some(sampler) = &mut device.sampler {
            sampler.tx += way(tx);
            sampler.rx += way(rx);
            since.1 += way(tx);
            since.2 += way(rx);
        }
    }

    /// The set-up is told anew, as after any change of it.
    pub fn changes(&mut self) {
        self.network = Arc::new(Network {
            namespace: 1,
            is_first: true,
            links: self
                .devices
                .iter()
                .map(|(index, device)| Link {
                    index: *index,
                    name: device.name.as_str().into(),
                    medium: 1,
                    loopback: false,
                    hardware: false,
                    kind: Some(device.kind.to_owned()),
                    lower: Lower::Nothing,
                    master: None,
                })
                .collect(),
            addresses: Vec::new(),
        });
    }

    pub fn sample(&self) -> Sample {
        let links = self.devices.iter().map(|(index, device)| LinkCounters {
            index: *index,
            totals: device.totals,
        });
        Sample {
            network: Some(Arc::clone(&self.network)),
            links: links.collect(),
            wire: self
                .devices
                .values()
                .filter_map(|it| it.sampler.clone())
                .collect(),
            ..Sample::default()
        }
    }

    pub fn begins(&mut self) {
        let sample = self.sample();
        self.table.begin(&sample);
        self.naive.clear();
        for (index, device) in &self.devices {
            let naive = Naive {
                kernel: Some(Totals::default()),
                uptime: Duration::ZERO,
                sampled: device.sampler.is_some().then(Default::default),
            };
            self.naive.insert(*index, naive);
        }
        self.since.clear();
        self.last = self.table.rows();
    }

    /// A tick whose reading holds all but what `lacks` says.
    pub fn ticks(&mut self, elapsed: Duration, lacks: Lacks) -> Vec<Interface> {
        let mut sample = self.sample();
        let (mut links, mut wire) = (true, true);
        match lacks {
            Lacks::Nothing => (),
            Lacks::Counters => {
                // As the collector has it: no set-up without counters.
                sample.network = None;
                sample.links.clear();
                links = false;
            }
            Lacks::Sampler => {
                sample.wire.clear();
                wire = false;
            }
        }
        self.table.tick(&sample, &tick(elapsed));
        let rows = self.table.rows();
        self.learns(links, wire, elapsed);
        self.check(&rows, links, wire);
        self.last.clone_from(&rows);
        rows
    }

    /// The naive model takes the same reading in.
    fn learns(&mut self, links: bool, wire: bool, elapsed: Duration) {
        if links {
            let devices = &self.devices;
            self.naive.retain(|index, _| devices.contains_key(index));
        }
        for (index, device) in &self.devices {
            if links {
                self.naive.entry(*index).or_default();
            }
            let Some(naive) = self.naive.get_mut(index) else {
                continue;
            };
            let since = self.since.entry(*index).or_default();
            naive.uptime += elapsed;
            if links {
                let moved = std::mem::take(&mut since.0);
                match &mut naive.kernel {
                    Some(kernel) => *kernel += moved,
                    None => {
                        naive.kernel = Some(Totals::default());
                        naive.uptime = Duration::ZERO;
                    }
                }
            }
            if wire && device.sampler.is_some() {
                let sampled = naive.sampled.get_or_insert_default();
                sampled.0 += std::mem::take(&mut since.1);
                sampled.1 += std::mem::take(&mut since.2);
            }
        }
    }

    fn check(&self, rows: &[Interface], links: bool, wire: bool) {
        let indices: Vec<u32> = rows.iter().map(|row| row.index).collect();
        if links {
            let there: Vec<u32> = self.devices.keys().copied().collect();
            assert_eq!(indices, there);
        }
        for row in rows {
            let naive = &self.naive[&row.index];
            assert_eq!(row.totals, naive.kernel.unwrap_or_default(), "{row:?}");
            if links {
                assert_eq!(row.uptime, naive.uptime, "{row:?}");
            }
            let device = self.devices.get(&row.index);
            let attached = device.is_some_and(|device| device.sampler.is_some());
            assert_eq!(row.sampled.is_some(), attached && wire, "{row:?}");
            if let Some(sampled) = &row.sampled {
                assert_eq!((sampled.tx, sampled.rx), naive.sampled.unwrap(), "{row:?}");
                follows(sampled);
            }
            let before = self.last.iter().find(|before| before.index == row.index);
            if let Some(before) = before.filter(|before| before.name == row.name) {
                never_fell(before, row);
            }
        }
    }
}

/// What a reading could not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacks {
    Nothing,
    Counters,
    Sampler,
}

pub fn totals(tx: u64, rx: u64) -> Totals {
    Totals {
        tx_bytes: tx * 100,
        rx_bytes: rx * 100,
        tx_operations: tx,
        rx_operations: rx,
    }
}

/// What must hold of any sampler's line.
fn follows(sampled: &Sampled) {
    let moved = sampled.tx.all().bytes + sampled.rx.all().bytes;
    let average = sampled.average() * sampled.uptime.as_secs_f64();
    if !sampled.uptime.is_zero() {
        assert!((average - moved as f64).abs() < 1e-6 * moved as f64 + 1e-6);
    }
    assert!(sampled.tx.all().packets >= sampled.tx.frames.packets);
    assert!(sampled.peak.is_finite() && sampled.peak >= 0.0);
}

fn never_fell(before: &Interface, after: &Interface) {
    let parts = |row: &Interface| {
        let Totals {
            tx_bytes,
            rx_bytes,
            tx_operations,
            rx_operations,
        } = row.totals;
        [tx_bytes, rx_bytes, tx_operations, rx_operations]
    };
    for (now, then) in parts(after).into_iter().zip(parts(before)) {
        assert!(now >= then, "{before:?}, {after:?}");
    }
    assert!(after.uptime >= before.uptime && after.peak >= before.peak);
    if let (Some(before), Some(after)) = (&before.sampled, &after.sampled) {
        for (now, then) in [(after.tx, before.tx), (after.rx, before.rx)] {
            assert!(now.frames.bytes >= then.frames.bytes);
            for class in Class::ALL {
                assert!(now.of(class).bytes >= then.of(class).bytes);
                assert!(now.of(class).packets >= then.of(class).packets);
            }
        }
        assert!(after.uptime >= before.uptime && after.peak >= before.peak);
    }
}

/// A tick of that length.
pub fn tick(elapsed: Duration) -> Tick {
    Tick {
        sequence: 1,
        now: Moment::default(),
        elapsed,
        weight: 0.4,
    }
}

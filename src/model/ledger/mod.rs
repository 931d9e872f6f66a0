//! What every process moved to whom, and every interface, summed into buckets of time.
//!
//! Owns the cutting of time and the sums of one bucket; bytes that are in no flow are
//! `carry`'s, flows above the threshold `alerts`', interfaces those of their module.
//! Whether and where buckets are kept is their reader's business.

mod alerts;
mod carry;
mod interfaces;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use self::alerts::Alerts;
use self::carry::Carries;
pub use self::interfaces::InterfaceRow;
use self::interfaces::Interfaces;
use super::endpoint::Address;
use super::flow::{ProcessId, Protocol};
use super::sample::{Identity, Moment};
use super::snapshot::{Rates, Snapshot};

/// Most rows of one bucket that are kept apart by remote address: 13 times as many as
/// the kernel's map holds flows by default. What comes beyond is kept without it.
const DETAILED: usize = 131_072;

/// Lengths of a bucket by which the wall clock may step back and is not followed: so
/// one that is set right by a few seconds cuts no bucket in two.
const STEP_BACK: u32 = 2;

/// What moved in one stretch of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bucket {
    /// Wall-clock time of its start since the Unix epoch: a multiple of its length.
    pub start: Duration,
    /// Who moved what to whom.
    pub rows: Vec<BucketRow>,
    /// Bytes sent and received by protocol, of the whole machine.
    pub protocols: Vec<(Protocol, u64, u64)>,
    /// What interfaces moved that moved anything.
    pub interfaces: Vec<InterfaceRow>,
    /// Alerts that began, changed their peak or ended.
    pub alerts: Vec<Alert>,
}

/// What one process moved to and from one remote address by one protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketRow {
    /// Who it is; a name in brackets for bytes of processes that are not listed.
    pub identity: Arc<Identity>,
    /// Its process id, 0 with a name in brackets.
    pub pid: u32,
    /// By which protocol; `None` for bytes that are in no flow.
    pub protocol: Option<Protocol>,
    /// To and from whom; `None` where nobody knows.
    pub remote: Option<Address>,
    /// Sent, bytes.
    pub tx_bytes: u64,
    /// Received, bytes.
    pub rx_bytes: u64,
}

/// A flow above the threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// The same as long as it is the same alert, in one run.
    pub number: u64,
    /// Wall-clock time since the Unix epoch at which it rose above.
    pub started: Duration,
    /// The same for when it fell below, or the run ended.
    pub ended: Option<Duration>,
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// Process id.
    pub pid: u32,
    /// Protocol.
    pub protocol: Protocol,
    /// To and from whom.
    pub remote: Option<Address>,
    /// Port, 0 where there is none.
    pub remote_port: u16,
    /// Highest smoothed rate, bytes/s.
    pub peak: f64,
    /// What it was above, bytes/s.
    pub threshold: f64,
}

/// Sums every snapshot of a run into buckets; see the module's text.
///
/// The bytes of a snapshot are those of its whole interval, and belong to the bucket
/// in which it was taken.
pub struct Ledger {
    length: Duration,
    running: Option<Running>,
    moved: HashMap<Key, [u64; 2], RandomState>,
    protocols: [[u64; 2]; Protocol::COUNT],
    owners: Owners,
    /// By index of the process in the present snapshot: its number among the owners,
    /// and what its flows moved.
    listed: Vec<(Option<u32>, [u64; 2])>,
    carries: Carries,
    interfaces: Interfaces,
    alerts: Alerts,
}

/// The bucket that is being filled.
#[derive(Debug, Clone, Copy)]
struct Running {
    /// As [`Bucket::start`].
    start: Duration,
    /// Monotonic time of its first snapshot.
    since: Duration,
}

impl Ledger {
    /// A ledger whose buckets are `length` long and begin at multiples of it.
    pub fn new(length: Duration) -> Ledger {
        Ledger {
            length,
            running: None,
            moved: HashMap::default(),
            protocols: Default::default(),
            owners: Owners::default(),
            listed: Vec::new(),
            carries: Carries::default(),
            interfaces: Interfaces::default(),
            alerts: Alerts::default(),
        }
    }

    /// Takes a snapshot in. Returns the bucket that ended before it was taken, also
    /// one in which nothing moved.
    ///
    /// While the wall clock stands a little behind the latest bucket, the bytes stay in
    /// it, and it comes in several parts. After a larger step back the clock is followed,
    /// and buckets begin at times that were there before: one that was ahead for a while
    /// must not keep all that follows in its future.
    pub fn absorb(&mut self, snapshot: &Snapshot) -> Option<Bucket> {
        let finished = self.cut(snapshot.at);
        self.take_flows(snapshot);
        self.take_processes(snapshot);
        for row in &snapshot.aggregates {
            let bytes = bytes(&row.rates);
            if bytes != [0; 2] {
                let owner = self.owners.of_aggregate(row.name);
                self.add(owner, None, None, bytes);
            }
        }
        for row in &snapshot.protocols {
            add(&mut self.protocols[row.protocol.index()], bytes(&row.rates));
        }
        self.interfaces.absorb(snapshot);
        self.alerts.absorb(snapshot);
        finished
    }

    /// The bucket that has not ended, with everything that was not in one before. Alerts
    /// that go on end with the last snapshot.
    pub fn finish(&mut self) -> Option<Bucket> {
        let running = self.running.take()?;
        for (process, identity, bytes) in self.carries.finish() {
            let owner = self.owners.of(process, &identity);
            self.add(owner, None, None, bytes);
        }
        self.alerts.finish();
        Some(self.take(running.start))
    }

    /// Ends the running bucket if `at` is no more in it, and begins one.
    fn cut(&mut self, at: Moment) -> Option<Bucket> {
        let aligned = aligned(at.wall, self.length);
        let Some(Running { start, since }) = self.running else {
            self.running = Some(Running {
                start: aligned,
                since: at.monotonic,
            });
            return None;
        };
        // While the clock stands behind, nothing may wait until it has caught up. The
        // half is for a clock that is slowed down, which is no reason to cut.
        let overdue = at.monotonic.saturating_sub(since) >= self.length + self.length / 2;
        let stays = aligned <= start && start - aligned <= self.length * STEP_BACK;
        if stays && !overdue {
            return None;
        }
        self.running = Some(Running {
            start: if stays { start } else { aligned },
            since: at.monotonic,
        });
        Some(self.take(start))
    }

    /// Everything since the last bucket, as the one that began at `start`.
    fn take(&mut self, start: Duration) -> Bucket {
        let owners = &self.owners.list;
        let rows = self.moved.drain().filter(|(_, bytes)| *bytes != [0; 2]);
        let rows = rows.map(|(key, [tx_bytes, rx_bytes])| {
            let (process, identity) = &owners[key.owner as usize];
            BucketRow {
                identity: Arc::clone(identity),
                pid: process.pid,
                protocol: key.protocol,
                remote: key.remote,
                tx_bytes,
                rx_bytes,
            }
        });
        let rows = rows.collect();
        self.owners.clear();
        let protocols = std::mem::take(&mut self.protocols);
        Bucket {
            start,
            rows,
            protocols: Protocol::ALL
                .into_iter()
                .zip(protocols)
                .filter(|(_, bytes)| *bytes != [0; 2])
                .map(|(protocol, [tx_bytes, rx_bytes])| (protocol, tx_bytes, rx_bytes))
                .collect(),
            interfaces: self.interfaces.take(self.length),
            alerts: self.alerts.take(),
        }
    }

    fn take_flows(&mut self, snapshot: &Snapshot) {
        self.listed.clear();
        self.listed.resize(snapshot.processes.len(), (None, [0; 2]));
        for flow in &snapshot.flows {
            let bytes = bytes(&flow.rates);
            let (Some(process), false) = (snapshot.process_of(flow), bytes == [0; 2]) else {
                continue;
            };
            let (owner, by_flow) = &mut self.listed[flow.process];
            let owner = *owner.get_or_insert_with(|| self.owners.of(process.id, &process.identity));
            add(by_flow, bytes);
            let remote = flow.key.remote.map(|end| end.address);
            self.add(owner, Some(flow.key.protocol), remote, bytes);
        }
    }

    fn take_processes(&mut self, snapshot: &Snapshot) {
        for (at, process) in snapshot.processes.iter().enumerate() {
            let (owner, by_flow) = self.listed[at];
            let (moved, now) = (bytes(&process.rates), snapshot.at.monotonic);
            let settled = self.carries.absorb(process, moved, by_flow, now);
            let Some(settled) = settled else {
                continue;
            };
            let owner = owner.unwrap_or_else(|| self.owners.of(process.id, &process.identity));
            self.take_back(owner, settled.excess);
            self.add(owner, None, None, settled.unassigned);
        }
        for (process, identity, bytes) in self.carries.gone() {
            let owner = self.owners.of(process, &identity);
            self.add(owner, None, None, bytes);
        }
    }

    fn add(
        &mut self,
        owner: u32,
        protocol: Option<Protocol>,
        remote: Option<Address>,
        bytes: [u64; 2],
    ) {
        if bytes == [0; 2] {
            return;
        }
        let mut key = Key {
            owner,
            protocol,
            remote,
        };
        if self.moved.len() >= DETAILED && !self.moved.contains_key(&key) {
            key.remote = None;
        }
        add(self.moved.entry(key).or_default(), bytes);
    }

    /// Takes bytes that were in a bucket before, as bytes of no flow, out of the flows
    /// that have them too: these moved at least as many in this very snapshot.
    fn take_back(&mut self, owner: u32, mut excess: [u64; 2]) {
        if excess == [0; 2] {
            return;
        }
        for (_, row) in self.moved.iter_mut().filter(|(key, _)| key.owner == owner) {
            for (bytes, excess) in row.iter_mut().zip(&mut excess) {
                let taken = (*bytes).min(*excess);
                *bytes -= taken;
                *excess -= taken;
            }
        }
    }
}

/// What a row of the running bucket is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    owner: u32,
    protocol: Option<Protocol>,
    remote: Option<Address>,
}

/// As two numbers.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.remote {
            Some(address) => address.hash(state),
            None => state.write_u128(0),
        }
        let protocol = self.protocol.map_or(0, |protocol| protocol.index() + 1);
        state.write_u64(u64::from(self.owner) << 8 | protocol as u64);
    }
}

/// Who moved bytes in the running bucket, by number.
#[derive(Debug, Default)]
struct Owners {
    list: Vec<(ProcessId, Arc<Identity>)>,
    /// The identity by its address: `list` holds it, so no other can have that.
    numbers: HashMap<(ProcessId, usize), u32, RandomState>,
    aggregates: HashMap<&'static str, Arc<Identity>, RandomState>,
}

impl Owners {
    fn of(&mut self, process: ProcessId, identity: &Arc<Identity>) -> u32 {
        let list = &mut self.list;
        *self
            .numbers
            .entry((process, Arc::as_ptr(identity).addr()))
            .or_insert_with(|| {
                list.push((process, Arc::clone(identity)));
                // A machine has at most 2^22 processes at a time, and a bucket few times.
                (list.len() - 1) as u32
            })
    }

    fn of_aggregate(&mut self, name: &'static str) -> u32 {
        let identity = self.aggregates.entry(name).or_insert_with(|| {
            Arc::new(Identity {
                name: name.to_owned(),
                command: name.to_owned(),
                ..Identity::default()
            })
        });
        let identity = Arc::clone(identity);
        self.of(ProcessId::default(), &identity)
    }

    fn clear(&mut self) {
        self.list.clear();
        self.numbers.clear();
    }
}

fn bytes(rates: &Rates) -> [u64; 2] {
    [rates.tx_bytes, rates.rx_bytes]
}

fn add(sum: &mut [u64; 2], bytes: [u64; 2]) {
    sum[0] += bytes[0];
    sum[1] += bytes[1];
}

/// The last multiple of `length` until `time`.
fn aligned(time: Duration, length: Duration) -> Duration {
    let nanoseconds = length.as_nanos().max(1);
    let passed = time.as_nanos() % nanoseconds;
    // Less than `time`, which is a u64 of nanoseconds for the next 500 years.
    time - Duration::from_nanos(u64::try_from(passed).unwrap_or(0))
}

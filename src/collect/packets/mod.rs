//! The packet engine: captured packets into [`Sample`]s, without any tracing program.
//!
//! Owns its threads and what they share: one per ring counts pairs of ends, one looks for
//! the owners of new pairs at once, since who sent the first packet may be gone soon. What
//! is counted once and for whom is `model::packets`' rule.

mod capture;
mod lookup;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::owner::sight::Sight;
use super::owner::{Owners, has_ended};
use super::ring::Ring;
use super::{capability, clock};
use crate::model::flow::{FlowKey, ProcessId};
use crate::model::packets::books::Books;
use crate::model::packets::pairs::Pairs;
use crate::model::packets::unattributed::{Reason, is_one};
use crate::model::sample::Sample;
use crate::model::snapshot::{Engine, PACKET};

/// What to capture.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Names of interfaces; none for all.
    pub interfaces: Vec<String>,
    /// Flows, and pairs of ends, that are kept apart.
    pub max_flows: usize,
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    /// Locked for a batch of packets, never for one.
    pairs: Mutex<Pairs>,
    /// Frames for which the rings had no room, or which could not be read there.
    drops: AtomicU64,
    is_ending: AtomicBool,
    /// `ifindex`es of what is only a part of another interface (a bond's), which shows
    /// the same packets.
    parts: Mutex<Vec<u32>>,
    /// What is to be said to people.
    troubles: Mutex<Vec<String>>,
}

impl Shared {
    fn pairs(&self) -> MutexGuard<'_, Pairs> {
        // Counts are sound at any moment.
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self, text: String) {
        let troubles = self.troubles.lock();
        troubles.unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }
}

/// A running engine; dropping it ends its threads.
#[derive(Debug)]
pub struct Packets {
    /// What it can and cannot see here.
    pub engine: Arc<Engine>,
    shared: Arc<Shared>,
    books: Books,
    threads: Vec<JoinHandle<()>>,
}

impl Packets {
    /// Opens the rings; counting has begun when it returns.
    ///
    /// # Errors
    /// One line for a person: no CAP_NET_RAW, no such interface, no memory.
    pub fn open(settings: &Settings) -> Result<Packets> {
        let mut owners = Owners::open().context("could not read the network's set-up")?;
        let late = owners.nobody(Reason::Late);
        let shared = Arc::new(Shared {
            pairs: Mutex::new(Pairs::new(settings.max_flows, late)),
            drops: AtomicU64::new(0),
            is_ending: AtomicBool::new(false),
            parts: Mutex::new(lookup::parts(owners.links(), &settings.interfaces)),
            troubles: Mutex::default(),
        });
        let mut sources = Vec::new();
        for name in &settings.interfaces {
            if !owners.links().iter().any(|link| *link.name == **name) {
                let all: Vec<&str> = owners.links().iter().map(|link| &*link.name).collect();
                bail!(
                    "--iface {name}: no such interface; there are {}",
                    all.join(", ")
                );
            }
            sources.push(Some(name.clone()));
        }
        if sources.is_empty() {
            sources.push(None);
        }
        let mut rings = Vec::new();
        for source in sources {
            rings.push((open_ring(source.as_deref())?, source));
        }
        // From here on dropping it ends what was started.
        let mut packets = Packets {
            engine: Arc::new(engine(&Sight::look())),
            shared,
            books: Books::new(settings.max_flows),
            threads: Vec::new(),
        };
        let (wake, woken) = mpsc::sync_channel(1);
        for (ring, source) in rings {
            let (shared, wake) = (Arc::clone(&packets.shared), wake.clone());
            packets.spawn("capture", move || {
                capture::run(ring, source, &shared, &wake);
            })?;
        }
        drop(wake);
        let shared = Arc::clone(&packets.shared);
        let named = settings.interfaces.clone();
        packets.spawn("owners", move || {
            lookup::run(owners, &named, &shared, &woken);
        })?;
        Ok(packets)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .context("could not start a thread")?;
        self.threads.push(thread);
        Ok(())
    }

    /// Reads everything into `sample`, which is emptied first.
    ///
    /// # Errors
    /// If one of its threads has ended.
    pub fn poll(&mut self, sample: &mut Sample) -> Result<()> {
        sample.clear();
        self.books.fill_removed(sample);
        self.poll_again(sample)
    }

    /// Reads the counters once more into the same `sample`.
    ///
    /// # Errors
    /// If one of its threads has ended.
    pub fn poll_again(&mut self, sample: &mut Sample) -> Result<()> {
        let has_ended_itself = self.threads.iter().any(JoinHandle::is_finished);
        if has_ended_itself && !self.shared.is_ending() {
            bail!("a thread of the packet engine ended by itself; start netmon again");
        }
        let now = clock::now().monotonic;
        let is_last = self.threads.is_empty();
        let mut pairs = self.shared.pairs();
        pairs.take(&mut self.books, &mut sample.closed, now, is_last);
        drop(pairs);
        self.note_ends(is_last);
        self.books.fill(sample);
        sample.missed_events = self.shared.drops.load(Ordering::Relaxed);
        Ok(())
    }

    /// Looks which processes have ended. Packets come some milliseconds late, so one whose
    /// bytes still move ends at the next reading, unless there is none.
    fn note_ends(&mut self, is_last: bool) {
        let living = self.books.living(is_last);
        for process in living {
            if !is_one(process) && has_ended(process) {
                self.books.end(process);
            }
        }
    }

    /// What went wrong since the last call, or is well again.
    pub fn troubles(&mut self) -> Vec<String> {
        let troubles = self.shared.troubles.lock();
        std::mem::take(&mut *troubles.unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes flows out of the books.
    pub fn remove_flows(&mut self, keys: &[FlowKey]) {
        self.books.remove_flows(keys);
    }

    /// Takes processes that ended out of the books.
    pub fn remove_processes(&mut self, ids: &[ProcessId]) {
        self.books.remove_processes(ids);
    }

    /// Counts what the rings hold, looks for the owners of that, and nothing from then on.
    pub fn detach(&mut self) {
        self.shared.is_ending.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // What a panic says has been printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        self.detach();
    }
}

/// What screens and records say of it, with these privileges.
fn engine(sight: &Sight) -> Engine {
    let mut engine = Engine::new(
        PACKET,
        "AF_PACKET ring, owners by the socket tables: estimated",
        &[
            "processes that end before they are looked up, and who owns ICMP",
            "retransmissions, which are counted again",
            "which process moves the bytes where several share a port or a socket, or take it over",
            "what stays inside another network namespace",
            "vsock, AF_XDP and what never becomes a packet of an interface here",
        ],
    );
    engine.blind_spots.extend(sight.blind_spots());
    engine
}

/// Whether it could run here, and what it would see.
///
/// # Errors
/// As [`Packets::open`].
pub fn probe() -> Result<(Engine, Sight)> {
    open_ring(None)?;
    let sight = Sight::look();
    Ok((engine(&sight), sight))
}

/// A ring; without the privilege for it an error that names all that this engine has a
/// use for.
fn open_ring(interface: Option<&str>) -> Result<Ring> {
    match capture::open(interface) {
        Err(_) if !capability::captures() => bail!(
            "not permitted to capture packets: CAP_NET_RAW missing; run netmon by `sudo`, or \
             `setcap {PRIVILEGES}=ep $(command -v netmon)`: the first to capture, two for other \
             users' processes, one to enter other network namespaces, one to ask for address \
             translations"
        ),
        ring => ring,
    }
}

/// In the order in which they are explained.
const PRIVILEGES: &str = "cap_net_raw,cap_sys_ptrace,cap_dac_read_search,cap_sys_admin,\
                          cap_net_admin";

/// How long the kernel holds back a block that is not full.
const BLOCK_TIMEOUT: Duration = Duration::from_millis(5);

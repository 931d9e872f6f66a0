//! How TCP connections fare, asked for now and then in a thread of its own.
//!
//! Owns when the kernel is asked and in which network namespaces. A table of many
//! connections takes milliseconds, for which the sampler does not wait.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::AddressFamily;

use super::clock;
use super::sock_diag::{Dump, Tables, states};
use crate::model::flow::{Connection, Protocol};
use crate::model::packets::number;
use crate::model::sample::Sample;
use crate::model::tcp::TcpTable;

/// Shortest time between two tables.
const PERIOD: Duration = Duration::from_secs(1);
/// What asking may take: one part in so many of a CPU.
const SHARE: u32 = 100;
/// Network namespaces that are asked, the busiest of a machine with thousands of
/// containers not being known.
const MOST_NAMESPACES: usize = 64;

/// Processes by which a namespace may be entered: some may have ended, or have left it.
const DOORS: usize = 8;

/// Network namespaces by inode number, each with processes that are in it.
type Wanted = HashMap<u32, Vec<u32>>;

/// What the thread and the sampler share.
#[derive(Debug, Default)]
struct Shared {
    latest: Mutex<Option<Arc<TcpTable>>>,
    /// The thread waits to be told what is wanted.
    idle: AtomicBool,
}

/// The thread that asks; see the module's text.
#[derive(Debug)]
pub struct TcpHealths {
    wanted: Option<SyncSender<Wanted>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl TcpHealths {
    /// Starts the thread; it asks nothing before it is told of a connection.
    ///
    /// # Errors
    /// If there can be no further thread.
    pub fn start() -> Result<TcpHealths> {
        let shared = Arc::<Shared>::default();
        let (wanted, asked) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("tcp-health".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || ask(&asked, &shared)
            })
            .context("could not start a thread")?;
        Ok(TcpHealths {
            wanted: Some(wanted),
            shared,
            thread: Some(thread),
        })
    }

    /// Gives `sample` the table that was made since the last call, if one was, and
    /// says which namespaces its connections are in. Never waits for the kernel.
    pub fn read(&mut self, sample: &mut Sample) {
        let latest = self.shared.latest.lock();
        sample.tcp = latest.unwrap_or_else(PoisonError::into_inner).take();
        if !self.shared.idle.load(Ordering::Acquire) {
            return;
        }
        let wanted = wanted(sample);
        if !wanted.is_empty()
            && let Some(to) = &self.wanted
        {
            // Only a thread that waits is told, so that there is room.
            let _ = to.try_send(wanted);
        }
    }
}

impl Drop for TcpHealths {
    fn drop(&mut self) {
        self.wanted = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, what it said has been printed.
            let _ = thread.join();
        }
    }
}

/// The namespaces that connections of the sample are in.
fn wanted(sample: &Sample) -> Wanted {
    let mut wanted = Wanted::new();
    let mut last = None;
    for flow in &sample.flows {
        let (key, pid) = (&flow.key, flow.key.process.pid);
        let namespace = key.network_namespace;
        // Most are the same as the one before, and there are thousands.
        if last == Some((namespace, pid))
            || !matches!(key.protocol, Protocol::Tcp | Protocol::Mptcp)
        {
            continue;
        }
        last = Some((namespace, pid));
        if wanted.len() >= MOST_NAMESPACES && !wanted.contains_key(&namespace) {
            continue;
        }
        let doors = wanted.entry(namespace).or_default();
        // Nobody has PID 0.
        if pid != 0 && doors.len() < DOORS && !doors.contains(&pid) {
            doors.push(pid);
        }
    }
    wanted
}

/// Makes a table whenever one is wanted, but not too often, until nobody is there.
fn ask(asked: &Receiver<Wanted>, shared: &Shared) {
    loop {
        shared.idle.store(true, Ordering::Release);
        let Ok(wanted) = asked.recv() else {
            return;
        };
        shared.idle.store(false, Ordering::Release);
        // CPU time: on a busy machine the time passes while others have it.
        let before = clock::thread_cpu();
        let mut table = TcpTable::default();
        let elsewhere = wanted
            .iter()
            .map(|(&namespace, doors)| add(&mut table, namespace, doors))
            .sum::<Duration>();
        let took = clock::thread_cpu().saturating_sub(before) + elsewhere;
        *shared.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(table));
        if rest(asked, PERIOD.max(took * SHARE)) {
            return;
        }
    }
}

/// Waits that long; true if nobody is there any more.
fn rest(asked: &Receiver<Wanted>, time: Duration) -> bool {
    let end = clock::now().monotonic + time;
    loop {
        let left = end.saturating_sub(clock::now().monotonic);
        if left.is_zero() {
            return false;
        }
        match asked.recv_timeout(left) {
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
}

/// Adds the connections of the namespace that one of the processes is in, if it may be
/// entered; the CPU time that another thread had for it.
///
/// Another one takes a thread that goes there and ends. A socket that was kept there
/// would be cheaper, and keep the namespace and its interfaces alive.
fn add(table: &mut TcpTable, namespace: u32, doors: &[u32]) -> Duration {
    let is_wanted = |file: &File| {
        let metadata = file.metadata().ok();
        metadata.is_some_and(|metadata| metadata.ino() == u64::from(namespace))
    };
    let here = File::open("/proc/thread-self/ns/net").ok();
    if here.as_ref().is_some_and(is_wanted) {
        fill(table, namespace);
        return Duration::ZERO;
    }
    let mut there = doors
        .iter()
        .filter_map(|pid| File::open(format!("/proc/{pid}/ns/net")).ok());
    let Some(there) = there.find(is_wanted) else {
        return Duration::ZERO;
    };
    thread::scope(|scope| {
        let asking = thread::Builder::new().name("namespace".to_owned());
        let asking = asking.spawn_scoped(scope, || {
            if setns(there, CloneFlags::CLONE_NEWNET).is_ok() {
                fill(table, namespace);
            }
            clock::thread_cpu()
        });
        // Without a thread, or if it may not go there, nothing is known.
        asking
            .ok()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    })
}

/// Adds the connections of this thread's namespace. What the kernel refuses, as one
/// without `CONFIG_INET_DIAG` does, nobody knows, and nothing is shown.
fn fill(table: &mut TcpTable, network_namespace: u32) {
    let Ok(mut tables) = Tables::open() else {
        return;
    };
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let question = Dump {
            family,
            protocol: number::TCP,
            states: states::CONNECTED,
            health: true,
        };
        let _ = tables.dump(question, |socket| {
            let connection = Connection {
                protocol: Protocol::Tcp,
                network_namespace,
                local: Some(socket.local),
                remote: Some(socket.remote),
            };
            if let Some(health) = socket.health {
                table.insert(&connection, health);
            }
        });
    }
}

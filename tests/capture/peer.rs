//! Another network namespace at the end of a wire, in which a test lets things run.

use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use anyhow::{Context, ensure};

use crate::space::ip;

/// Addresses of the two ends of the wire, by family.
pub const NEAR: [&str; 2] = ["10.77.0.1", "fd00:77::1"];
pub const FAR: [&str; 2] = ["10.77.0.2", "fd00:77::2"];

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a namespace of its own; both end when it is dropped.
pub struct Peer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// A peer at the end `far` of a veth pair, whose end `near` is in this thread's
    /// namespace; both have an address of each family and send nothing on their own.
    pub fn wired() -> anyhow::Result<Peer> {
        let (jobs, work) = mpsc::channel::<Job>();
        let (sender, born) = mpsc::channel();
        let thread = thread::Builder::new().name("peer".to_owned());
        let thread = thread.spawn(move || {
            // SAFETY: no pointers; only this thread moves.
            let code = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            // SAFETY: no arguments.
            let id = unsafe { libc::gettid() };
            // Whoever waits for it may be gone.
            let _ = sender.send((code, id));
            work.into_iter().for_each(|job| job());
        })?;
        let (code, id) = born.recv().context("the peer ended")?;
        ensure!(code == 0, "no further network namespace");
        let peer = Peer {
            jobs: Some(jobs),
            thread: Some(thread),
        };
        ip(&format!("link add near type veth peer name far netns {id}"))?;
        set_up("near", NEAR)?;
        peer.run(|| set_up("far", FAR))??;
        Ok(peer)
    }

    /// Runs `job` in the peer's namespace, to its end.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let (sender, result) = mpsc::channel();
        let job = move || {
            // Whoever waits for it may be gone.
            let _ = sender.send(job());
        };
        let jobs = self.jobs.as_ref().context("ended")?;
        ensure!(jobs.send(Box::new(job)).is_ok(), "the peer ended");
        result.recv().context("the peer panicked")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it has failed the test already.
            let _ = thread.join();
        }
    }
}

/// One end, up. Without ARP each end takes its own hardware address for the other's, so
/// they have the same one.
fn set_up(name: &str, addresses: [&str; 2]) -> anyhow::Result<()> {
    ip(&format!("link set {name} addrgenmode none"))?;
    ip(&format!("link set {name} address 02:00:00:00:77:77"))?;
    ip(&format!("link set {name} arp off up"))?;
    ip(&format!("addr add {}/24 dev {name}", addresses[0]))?;
    ip(&format!("addr add {}/64 dev {name} nodad", addresses[1]))
}

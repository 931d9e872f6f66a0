//! Connections that closed, as the kernel tells of them in a ring.
//!
//! Owns the reading of that ring, and the thread that empties it when it is half full before
//! anybody has asked: between two readings more may close than there is room for. Judges
//! nothing of what is told.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use libbpf_rs::{MapHandle, RingBuffer, RingBufferBuilder};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::wire::{self, RawSocketKey};
use crate::model::flow::Connection;

/// Closings that are kept for the next reading: some 20 MiB.
pub const MOST: usize = 1 << 18;

/// Time between two rounds. As the kernel wakes for each closing once the ring is half full,
/// the other half must last that long: 9,362 closings.
const REST: Duration = Duration::from_millis(2);

/// What the events of the two descriptors carry.
const RING: u64 = 0;
const END: u64 = 1;

/// The ring's reader; dropping it ends its thread.
pub struct Closings {
    shared: Arc<Shared>,
    /// Closed at the end, which the thread hears.
    end: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    most: usize,
    /// Locked by whoever empties it.
    ring: Mutex<RingBuffer<'static>>,
    told: Arc<Mutex<Vec<Connection>>>,
}

impl Closings {
    /// Begins to read `map`, a ring of `socket_key`s. Between two readings `most` are kept;
    /// those beyond stay in the ring, and the kernel counts what finds no room there.
    ///
    /// # Errors
    /// If it cannot be mapped or there can be no further thread or descriptor.
    pub fn open(map: &MapHandle, most: usize) -> Result<Closings> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let mut builder = RingBufferBuilder::new();
        builder
            .add(map, move |bytes| {
                if let Some(raw) = wire::read::<RawSocketKey>(bytes) {
                    lock(&sink).push(wire::closed_connection(&raw));
                }
                0
            })
            .context("could not open the ring of closed connections")?;
        let ring = builder
            .build()
            .context("could not map the ring of closed connections")?;
        let shared = Arc::new(Shared {
            most,
            ring: Mutex::new(ring),
            told,
        });
        let (ear, end) = io::pipe().context("could not open a pipe")?;
        let waits = waits(map, &ear).context("could not wait for closed connections")?;
        let at_work = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("closings".to_owned())
            .spawn(move || {
                at_work.relieve(&waits);
                drop(ear);
            })
            .context("could not start a thread")?;
        Ok(Closings {
            shared,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Moves all that were told since the last call to the end of `to`.
    ///
    /// # Errors
    /// If the ring cannot be read.
    pub fn take(&self, to: &mut Vec<Connection>) -> Result<()> {
        lock(&self.shared.ring)
            .consume()
            .context("could not read the ring of closed connections")?;
        to.append(&mut lock(&self.shared.told));
        Ok(())
    }
}

impl Drop for Closings {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // What a panic says has been printed.
            let _ = thread.join();
        }
    }
}

/// Where to wait for the ring and for the end. Only a wake-up counts (`EPOLLET`), not that
/// there is something in the ring, as there nearly always is.
fn waits(ring: &MapHandle, end: &PipeReader) -> nix::Result<Epoll> {
    let waits = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let woken = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
    waits.add(ring.as_fd(), EpollEvent::new(woken, RING))?;
    waits.add(end, EpollEvent::new(EpollFlags::EPOLLIN, END))?;
    Ok(waits)
}

impl Shared {
    /// Empties the ring whenever the kernel says that it is half full, until the end.
    fn relieve(&self, waits: &Epoll) {
        let mut events = [EpollEvent::empty(); 2];
        loop {
            match waits.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) if events[..count].iter().all(|event| event.data() == RING) => {}
                Err(Errno::EINTR) => continue,
                // The end; or there is no waiting, and the readings must do alone.
                Ok(_) | Err(_) => return,
            }
            let ring = lock(&self.ring);
            let room = self.most.saturating_sub(lock(&self.told).len());
            if room > 0 {
                // What fails here fails at the next reading, which says so.
                let _ = ring.consume_raw_n(room);
            }
            drop(ring);
            thread::sleep(REST);
        }
    }
}

/// Both hold what is sound at any moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

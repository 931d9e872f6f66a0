//! The capture threads: a ring's frames into the shared pairs.
//!
//! Owns the rings, and what becomes of one whose interface goes away: it is opened again
//! when there is one of that name. Looks at headers only, which is all that is kept.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;

use super::{BLOCK_TIMEOUT, Shared};
use crate::collect::clock;
use crate::collect::ring::{Filter, Ring, Settings};
use crate::model::packet;
use crate::model::packets::pairs::Place;

/// Bytes of a frame that are kept: Ethernet, tags, IPv6 with extensions, TCP's ports.
const KEPT: u32 = 192;
/// Longest wait for a block; how late the end may be noticed.
const WAIT: Duration = Duration::from_millis(50);
/// Time between two looks at the drops.
const LOOK: Duration = Duration::from_millis(200);

/// Packets that are counted while the others who want the sums wait.
const BATCH: u32 = 1024;

/// Keeps the beginning of every frame. A classic filter needs no privilege.
const FILTER: [libc::sock_filter; 1] = [libc::sock_filter {
    code: (libc::BPF_RET | libc::BPF_K) as u16,
    jt: 0,
    jf: 0,
    k: KEPT,
}];

/// A ring on that interface, or on all.
///
/// # Errors
/// As [`Ring::open_filtered`].
pub fn open(interface: Option<&str>) -> Result<Ring> {
    let index = match interface {
        Some(name) => if_nametoindex(name).with_context(|| format!("--iface {name}"))?,
        None => 0,
    };
    let settings = Settings {
        interface: index,
        // 16 MiB are some 70,000 headers, and seldom are more than a few blocks in use.
        block_size: 128 * 1024,
        block_count: 128,
        frame_size: 2048,
        block_timeout: BLOCK_TIMEOUT,
    };
    Ring::open_filtered(&settings, Filter::Classic(&FILTER))
}

/// Counts until the end, and then what is still in the ring.
pub(super) fn run(
    mut ring: Ring,
    interface: Option<String>,
    shared: &Shared,
    wake: &SyncSender<()>,
) {
    let count = |ring: &mut Ring| {
        if count(ring, shared) {
            // One that is awake already need not be woken.
            let _ = wake.try_send(());
        }
    };
    // All that is in a ring, and the end of it.
    let finish = |mut ring: Ring| {
        // It stays open only where there is no memory for a filter of one instruction. What
        // is there now must be enough then: more could come for ever.
        let is_closed = ring.close().is_ok();
        while ring.wait_for_rest() {
            count(&mut ring);
            if !is_closed {
                break;
            }
        }
        note_drops(&mut ring, shared);
    };
    let mut looked = Instant::now();
    while !shared.is_ending() {
        match ring.wait(WAIT) {
            Ok(true) => count(&mut ring),
            Ok(false) => {}
            Err(_) => {
                finish(ring);
                match again(interface.as_deref(), shared) {
                    Some(new) => ring = new,
                    None => return,
                }
            }
        }
        if looked.elapsed() >= LOOK {
            note_drops(&mut ring, shared);
            looked = Instant::now();
        }
    }
    finish(ring);
}

/// Counts what is there; whether anybody new was among it.
fn count(ring: &mut Ring, shared: &Shared) -> bool {
    let now = clock::now().monotonic;
    let parts = shared.parts.lock();
    let parts = parts.unwrap_or_else(PoisonError::into_inner).clone();
    let mut pairs = Some(shared.pairs());
    let mut left = BATCH;
    ring.drain(|frame| {
        if parts.contains(&frame.interface) {
            return;
        }
        let length = frame.length.saturating_sub(frame.link);
        let Some(packet) = packet::parse(frame.protocol, frame.network, length) else {
            return;
        };
        if left == 0 {
            // Others wait for it, too, and a ring may hold very much.
            pairs = None;
            thread::yield_now();
            left = BATCH;
        }
        left -= 1;
        let place = Place {
            interface: frame.interface,
            outgoing: frame.outgoing,
        };
        let pairs = pairs.get_or_insert_with(|| shared.pairs());
        pairs.count(place, &packet, now);
    });
    pairs.map_or_else(|| shared.pairs().has_fresh(), |pairs| pairs.has_fresh())
}

fn note_drops(ring: &mut Ring, shared: &Shared) {
    // A socket that tells nothing has dropped nothing that could be told.
    let drops = ring.statistics().map_or(0, |statistics| statistics.drops);
    let lost = drops + ring.take_unread();
    shared.drops.fetch_add(lost, Ordering::Relaxed);
}

/// A new ring in place of one that failed; `None` at the end.
fn again(interface: Option<&str>, shared: &Shared) -> Option<Ring> {
    let what = match interface {
        Some(name) => format!("interface {name}"),
        None => "capturing".to_owned(),
    };
    shared.trouble(format!(
        "{what} went down; its packets are not counted until it is up again"
    ));
    while !shared.is_ending() {
        thread::sleep(LOOK);
        if let Ok(ring) = open(interface) {
            shared.trouble(format!("{what} is up again; its packets are counted"));
            return Some(ring);
        }
    }
    None
}

//! A real interface in the history: what the kernel counted, to the packet.
//!
//! The loopback of a network namespace of the test's own, where nothing else moves.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::books::Books;
use crate::counters::{Counters, counters};
use crate::daemon::{terminate, wait_for};
use crate::netmon::{BINARY, Live, Scratch};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("interfaces::as_the_kernel_counts_to_the_packet", real),
        root("interfaces::kill_9_costs_the_running_bucket", kill_9),
    ]
}

/// A daemon in a network namespace of its own, in which nothing else moves, and what
/// leads there.
fn daemon(file: &Path) -> anyhow::Result<(Live, File)> {
    let line = "ip link set lo up; exec \"$NETMON\" serve --listen 127.0.0.1:0 \
                --max-flows 131072 --db \"$DB\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-ec", line]);
    command.env("NETMON", BINARY).env("DB", file);
    let live = Live::start(&mut command)?.attached()?;
    let space = File::open(format!("/proc/{}/ns/net", live.pid()))?;
    Ok((live, space))
}

/// Does something in a network namespace.
fn inside<T: Send>(
    space: &File,
    what: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // Of this thread alone, which ends here.
            // SAFETY: setns takes two numbers; the descriptor is open.
            let done = unsafe { libc::setns(space.as_raw_fd(), libc::CLONE_NEWNET) };
            ensure!(done == 0, "setns: {}", std::io::Error::last_os_error());
            what()
        });
        thread.join().expect("no panic")
    })
}

/// Sends datagrams over the loopback.
fn send(space: &File, packets: usize) -> anyhow::Result<()> {
    inside(space, || {
        let to = UdpSocket::bind("127.0.0.1:0")?;
        let from = UdpSocket::bind("127.0.0.1:0")?;
        for size in 0..packets {
            from.send_to(&vec![0; 1 + size % 1400], to.local_addr()?)?;
        }
        Ok(())
    })
}

/// What the kernel counts of the loopback: bytes and packets, sent and received.
fn counted(space: &File) -> anyhow::Result<[u64; 4]> {
    let Counters { received, sent } = inside(space, || counters("lo"))?;
    Ok([sent.bytes, received.bytes, sent.packets, received.packets])
}

/// The same out of a history.
fn stored(books: &Books) -> anyhow::Result<[u64; 4]> {
    let mut found = [0; 4];
    let columns = ["tx_bytes", "rx_bytes", "tx_packets", "rx_packets"];
    for (found, column) in found.iter_mut().zip(columns) {
        let query = format!("SELECT sum({column}) FROM interfaces WHERE interface = 'lo'");
        *found = books.number(&query, [])?.unsigned_abs();
    }
    Ok(found)
}

fn real() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let (netmon, space) = daemon(&file)?;
    send(&space, 3000)?;
    // Over the end of a bucket, too.
    let books = Books::open(&file)?;
    wait_for("the first bucket", || Ok(stored(&books)? != [0; 4]))?;
    send(&space, 500)?;
    terminate(netmon)?;
    let (found, counted) = (stored(&books)?, counted(&space)?);
    ensure!(counted[2] >= 3500, "{counted:?}");
    ensure!(found == counted, "{found:?}, the kernel has {counted:?}");
    books.check_whole()
}

fn kill_9() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let (netmon, space) = daemon(&file)?;
    send(&space, 1000)?;
    let books = Books::open(&file)?;
    let flushed = counted(&space)?;
    wait_for("all of it", || Ok(stored(&books)? == flushed))?;
    send(&space, 200)?;
    netmon.signal(Signal::SIGKILL)?;
    netmon.end()?;
    let (found, counted) = (stored(&books)?, counted(&space)?);
    let is_between = (0..4).all(|at| flushed[at] <= found[at] && found[at] <= counted[at]);
    ensure!(is_between, "{flushed:?}, {found:?}, {counted:?}");
    books.check_whole()?;
    // The next one goes on with it.
    let (netmon, space) = daemon(&file)?;
    send(&space, 50)?;
    terminate(netmon)?;
    let more = self::counted(&space)?;
    let all: Vec<u64> = found.iter().zip(more).map(|(a, b)| a + b).collect();
    ensure!(
        stored(&books)?[..] == all,
        "{:?}, not {all:?}",
        stored(&books)?
    );
    books.check_whole()
}

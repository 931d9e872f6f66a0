//! Two hundred clients at a time: what they cost, and what the sampler feels of it.
//!
//! The figures are printed; what is judged is only that every client is served and
//! that the counted bytes are true.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;

use crate::answers::wait;
use crate::client::{Events, connect, get, request};
use crate::contract::{check_line, check_moved, process};
use crate::served::Served;
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

const CLIENTS: usize = 200;

/// Time of each part.
const PART: Duration = Duration::from_secs(5);

pub fn trials() -> Vec<Trial> {
    vec![root("crowd::two_hundred_streams", two_hundred)]
}

/// Clients that read as fast as they can, each in a thread of its own.
struct Crowd {
    over: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    threads: Vec<JoinHandle<anyhow::Result<u64>>>,
}

impl Crowd {
    fn start(address: SocketAddr, target: &'static str, clients: usize) -> Crowd {
        let over = Arc::new(AtomicBool::new(false));
        let bytes = Arc::new(AtomicU64::new(0));
        let threads = (0..clients).map(|_| {
            let (over, bytes) = (Arc::clone(&over), Arc::clone(&bytes));
            thread::spawn(move || read(address, target, &over, &bytes))
        });
        let threads = threads.collect();
        Crowd {
            over,
            bytes,
            threads,
        }
    }

    /// Events that each client saw.
    fn end(self) -> anyhow::Result<Vec<u64>> {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.threads.into_iter().map(|thread| {
            let result = thread.join();
            result.map_err(|_| anyhow::anyhow!("a client panicked"))?
        });
        ended.collect()
    }
}

/// Reads until all is over; how many events came.
fn read(
    address: SocketAddr,
    target: &str,
    over: &AtomicBool,
    bytes: &AtomicU64,
) -> anyhow::Result<u64> {
    // They stand for clients elsewhere: what they need of this machine is not netmon's.
    // SAFETY: it takes numbers only; process 0 means the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
    let mut stream = connect(address)?;
    let host = address.to_string();
    stream.write_all(request("GET", target, &[("Host", &host)]).as_bytes())?;
    let mut room = vec![0; 1 << 16];
    let mut events = 0;
    while !over.load(Ordering::Relaxed) {
        let length = stream.read(&mut room)?;
        ensure!(length > 0, "the stream ended");
        bytes.fetch_add(length as u64, Ordering::Relaxed);
        let lines = room[..length].split(|byte| *byte == b'\n');
        events += lines.filter(|line| line.starts_with(b"event: ")).count() as u64;
    }
    Ok(events)
}

/// Processor time of a process by thread name, in ticks.
fn ticks(pid: u32) -> anyhow::Result<Vec<(String, u64)>> {
    let mut all: Vec<(String, u64)> = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else {
            continue;
        };
        let name = stat.split(['(', ')']).nth(1).unwrap_or("?").to_owned();
        let rest = stat.rsplit(") ").next().unwrap_or_default();
        let fields: Vec<&str> = rest.split(' ').collect();
        let field = |at: usize| fields.get(at).and_then(|it| it.parse::<u64>().ok());
        let time = field(11).context("no time")? + field(12).context("no time")?;
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += time,
            None => all.push((name, time)),
        }
    }
    Ok(all)
}

/// Watches the records for a while; by how many milliseconds each of those that came
/// was late, and how many there were in all.
fn lateness(address: SocketAddr, nominal: f64) -> anyhow::Result<(Vec<f64>, u64)> {
    let events = Events::open(address, "/api/events", &[])?;
    let mut events = events.map_err(|status| anyhow::anyhow!("{status}"))?;
    // The first one is from before.
    let before = events.next()?.context("the stream ended")?.id;
    let mut last = before;
    let end = Instant::now() + PART;
    let mut late = Vec::new();
    while Instant::now() < end {
        let event = events.next()?.context("the stream ended")?;
        last = event.id;
        let interval = event.data["interval_seconds"]
            .as_f64()
            .context("no interval")?;
        late.push((interval - nominal) * 1000.0);
    }
    late.sort_by(f64::total_cmp);
    Ok((late, last - before))
}

fn two_hundred() -> anyhow::Result<()> {
    let served = Served::start(&["--no-history", "--interval", "100ms"])?;
    let address = served.address;
    // Some eleven seconds of it; it stays until it is told to end.
    let mut traffic = Traffic::start(&Plan {
        pause: Duration::from_millis(1),
        ..Plan::udp("nmw-crowd", 500, 10_000)
    })?;
    let per_second: f64 =
        nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("no ticks")? as f64;
    for (clients, target) in [
        (0, "/api/events"),
        (CLIENTS, "/api/events"),
        (CLIENTS, "/api/events?view=summary"),
    ] {
        let crowd = Crowd::start(address, target, clients);
        let (start, before) = (Instant::now(), ticks(served.pid())?);
        let (late, steps) = lateness(address, 0.1)?;
        let (took, after) = (start.elapsed().as_secs_f64(), ticks(served.pid())?);
        let sent = crowd.bytes.load(Ordering::Relaxed);
        let events = crowd.end()?;
        ensure!(
            events.iter().all(|events| *events > 0),
            "a client saw nothing: {events:?}"
        );
        let share = |name: &str| {
            let of = |all: &[(String, u64)]| {
                let found = all
                    .iter()
                    .filter(|(known, _)| name.is_empty() || known == name);
                found.map(|(_, ticks)| *ticks).sum::<u64>()
            };
            100.0 * (of(&after).saturating_sub(of(&before))) as f64 / per_second / took
        };
        let at = |part: f64| late[((late.len() - 1) as f64 * part) as usize];
        println!(
            "{clients} clients of {target} and the one that measures, {took:.1} s at 100 ms: \
             step late by {:.1} ms (median), {:.1} (p99), {:.1} (most) in {} of {steps} records; \
             processor {:.1} % (sampler {:.1}, events {:.1}, http {:.1}); {:.0} events/s, \
             {:.1} MB/s",
            at(0.5),
            at(0.99),
            at(1.0),
            late.len(),
            share(""),
            share("sampler"),
            share("events"),
            share("http"),
            events.iter().sum::<u64>() as f64 / took,
            sent as f64 / took / 1e6,
        );
    }
    let moved = traffic.moved()?;
    wait("all of its bytes", || {
        let record = check_line(&get(address, "/api/current")?.body)?;
        Ok(check_moved(process(&record, traffic.pid()), moved).ok())
    })?;
    traffic.reap()?;
    served.end()?;
    Ok(())
}

//! Load from a process of its own: many connections, short ones, many peers.
//!
//! Owns the child's work ([`main`]), of which the peers are in `peers`. It does as
//! much as each line of its input says, then reports all that its calls have
//! returned since it started. Knows nothing of netmon; the handle is `handle`'s.

use std::collections::HashMap;
use std::io::{self, BufWriter, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::BindToDevice;

use crate::peers;
use crate::traffic::{Moved, count};

/// The first argument that makes the test program a generator.
pub const OPTION: &str = "--load";

/// Bytes that the connecting end of a short connection sends, and its answer.
pub const QUESTION: usize = 120;
pub const ANSWER: usize = 40;

/// Threads that open and close connections.
const THREADS: usize = 2;

/// The child: what it does when the test program is started with [`OPTION`].
pub fn main(words: &[String]) -> anyhow::Result<()> {
    let [scenario, size] = words else {
        bail!("not a scenario and a size: {words:?}");
    };
    match scenario.as_str() {
        "live" => live(size.parse()?),
        "churn" => churn(),
        "peers" => peers::peers(),
        _ => bail!("no such scenario: {scenario}"),
    }
}

/// What was moved since the start: in all, and by those flows that are told apart.
#[derive(Default)]
pub struct Ledger {
    pub moved: Moved,
    pub flows: HashMap<(SocketAddr, SocketAddr), Moved>,
}

impl Ledger {
    fn say(&self, took: Duration) -> io::Result<()> {
        let numbers = |moved: &Moved| moved.map(|number| number.to_string()).join(" ");
        let mut output = BufWriter::new(io::stdout().lock());
        for ((local, remote), moved) in &self.flows {
            writeln!(output, "flow {local} {remote} {}", numbers(moved))?;
        }
        writeln!(
            output,
            "moved {} {}",
            numbers(&self.moved),
            took.as_micros()
        )?;
        output.flush()
    }
}

/// Runs `stage` with the number on each line of the input, and reports.
pub fn stages(
    mut stage: impl FnMut(usize, &mut Ledger) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut ledger = Ledger::default();
    println!("ready");
    for line in io::stdin().lines() {
        let start = Instant::now();
        stage(line?.trim().parse()?, &mut ledger)?;
        ledger.say(start.elapsed())?;
    }
    Ok(())
}

/// Both ends of a connection, and what each has moved.
struct Pair {
    near: (TcpStream, Moved),
    far: (TcpStream, Moved),
}

impl Pair {
    fn connect(listener: &TcpListener, to: SocketAddr) -> anyhow::Result<Pair> {
        let near = TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?;
        near.set_nodelay(true)?;
        let (far, _) = listener.accept()?;
        far.set_nodelay(true)?;
        Ok(Pair {
            near: (near, [0; 4]),
            far: (far, [0; 4]),
        })
    }

    /// A question one way, an answer the other.
    fn talk(&mut self, question: usize, answer: usize) -> anyhow::Result<()> {
        pass(&mut self.near, &mut self.far, question)?;
        pass(&mut self.far, &mut self.near, answer)
    }
}

fn pass(
    from: &mut (TcpStream, Moved),
    to: &mut (TcpStream, Moved),
    bytes: usize,
) -> anyhow::Result<()> {
    let mut buffer = [b'n'; 4096];
    let sent = from.0.write(&buffer[..bytes])?;
    ensure!(sent == bytes, "{sent} of {bytes} bytes taken");
    count(&mut from.1, 0, sent);
    let mut left = bytes;
    while left > 0 {
        let received = to.0.read(&mut buffer[..left])?;
        ensure!(received > 0, "the connection ended");
        count(&mut to.1, 1, received);
        left -= received;
    }
    Ok(())
}

fn add(to: &mut Moved, moved: &Moved) {
    for (sum, number) in to.iter_mut().zip(moved) {
        *sum += number;
    }
}

/// `size` connections that stay: each talks as often as a line says.
fn live(size: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let pairs = (0..size).map(|_| Pair::connect(&listener, address));
    let mut pairs = pairs.collect::<anyhow::Result<Vec<Pair>>>()?;
    stages(|rounds, ledger| {
        for _ in 0..rounds {
            // Now from one side, now from the other: not always the same are first.
            pairs.reverse();
            for (index, pair) in pairs.iter_mut().enumerate() {
                // No two neighbours alike, so that a mix-up shows.
                pair.talk(1 + index % 701, 1 + index % 97)?;
            }
        }
        ledger.moved = [0; 4];
        for (stream, moved) in pairs.iter().flat_map(|pair| [&pair.near, &pair.far]) {
            let ends = (stream.local_addr()?, stream.peer_addr()?);
            ledger.flows.insert(ends, *moved);
            add(&mut ledger.moved, moved);
        }
        Ok(())
    })
}

/// Connections that are opened, talk once and are closed, one after the other in
/// each of a few threads: as many as a line says.
fn churn() -> anyhow::Result<()> {
    let listeners = (0..THREADS).map(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)));
    let listeners = listeners.collect::<io::Result<Vec<TcpListener>>>()?;
    for listener in &listeners {
        stay_on_loopback(listener)?;
    }
    let mut opened = 0;
    stages(|connections, ledger| {
        let each = opened..opened + connections / THREADS;
        opened = each.end;
        let sums = thread::scope(|scope| {
            let workers = listeners.iter().enumerate();
            let workers = workers.map(|(thread, listener)| {
                let each = each.clone();
                scope.spawn(move || open_and_close(listener, thread, each))
            });
            let workers: Vec<_> = workers.collect();
            let done = workers.into_iter().map(|worker| worker.join());
            done.collect::<Result<Vec<_>, _>>()
        });
        let sums = sums.map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        for sum in sums {
            add(&mut ledger.moved, &sum?);
        }
        Ok(())
    })
}

fn open_and_close(
    listener: &TcpListener,
    thread: usize,
    connections: std::ops::Range<usize>,
) -> anyhow::Result<Moved> {
    let port = listener.local_addr()?.port();
    let mut sum = [0; 4];
    for index in connections {
        // Each address has local ports of its own: no connection is like an earlier
        // one, and none meets one in TIME_WAIT.
        let block = u32::from(Ipv4Addr::new(127, 16 + thread as u8, 0, 1));
        let address = Ipv4Addr::from(block + (index % 60_000) as u32);
        let mut pair = Pair::connect(listener, (address, port).into())?;
        pair.talk(QUESTION, ANSWER)?;
        if index % 2 == 1 {
            reset_on_close(&pair.near.0)?;
        }
        add(&mut sum, &pair.near.1);
        add(&mut sum, &pair.far.1);
    }
    Ok(sum)
}

/// Nothing from the network reaches a socket for all the many loopback addresses.
pub fn stay_on_loopback(socket: &impl AsFd) -> anyhow::Result<()> {
    setsockopt(socket, BindToDevice, &"lo".into()).context("binding to the loopback")
}

/// The connection will end by a reset, not by the exchange of two FINs.
fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the pointer and the length describe `linger`.
    let code = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of_val(&linger) as libc::socklen_t,
        )
    };
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

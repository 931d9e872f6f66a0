//! What the generator itself moved, by its own return values, and how it says so.
//!
//! The one file both sides share: the generator writes a report, the verdict
//! reads it. Moves nothing and judges nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Context, bail};

use crate::model::flow::{Address, Endpoint, Protocol};

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the process to its peer.
    Sent,
    /// From the peer to the process.
    Received,
}

/// How bytes were moved, as far as some engine cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// By a call that every engine sees.
    Call,
    /// By a call that the kernel splits into as many socket operations as it likes.
    Pieces,
    /// By splice out of a TCP socket.
    SpliceFromTcp,
    /// By `getsockopt(TCP_ZEROCOPY_RECEIVE)`.
    ZerocopyReceive,
    /// By io_uring.
    Ring,
    /// By an io_uring request that takes as many socket operations as the kernel likes.
    RingPieces,
    /// By an io_uring request of many completions.
    RingMany,
    /// By io_uring's splice out of a TCP socket.
    RingSplice,
    /// By `io_submit`.
    Aio,
    /// By a system call of the 32-bit ABI.
    Compat,
    /// By the 32-bit ABI's splice out of a TCP socket.
    CompatSplice,
}

impl How {
    /// For a person, with a verb.
    pub fn words(self) -> &'static str {
        match self {
            How::Call => "this call is",
            How::Pieces => "calls in pieces are",
            How::SpliceFromTcp => "splice from TCP is",
            How::ZerocopyReceive => "TCP_ZEROCOPY_RECEIVE is",
            How::Ring | How::RingPieces => "io_uring is",
            How::RingMany => "io_uring requests of many completions are",
            How::Aio => "io_submit is",
            How::RingSplice => "io_uring's splice from TCP is",
            How::Compat => "32-bit calls are",
            How::CompatSplice => "a 32-bit process's splice from TCP is",
        }
    }
}

/// One kind of bytes: who, over what, to whom, which way, how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Movement {
    /// The process, as the whole machine calls it.
    pub pid: u32,
    /// What the bytes count for.
    pub protocol: Protocol,
    /// The socket's own end.
    pub local: Option<Endpoint>,
    /// The true other end; `None` where not even the caller was told.
    pub remote: Option<Endpoint>,
    /// The other end as the socket itself knows it: the one it is connected to.
    pub peer: Option<Endpoint>,
    /// Which way.
    pub direction: Direction,
    /// By what kind of call.
    pub how: How,
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Payload, as the calls returned it.
    pub bytes: u64,
    /// Calls or messages that moved any.
    pub operations: u64,
}

/// The id of this process as the whole machine sees it. `getpid` tells it as the
/// process's own PID namespace does; /proc is the one of the machine.
pub fn my_pid() -> u32 {
    let link = std::fs::read_link("/proc/self");
    let pid = link.ok().and_then(|link| link.to_str()?.parse().ok());
    pid.unwrap_or_else(std::process::id)
}

/// A process that moved bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    /// Its id as the whole machine calls it.
    pub pid: u32,
    /// Start in clock ticks since boot, as `/proc/PID/stat` says.
    pub start_ticks: u64,
    /// Inode number of its network namespace.
    pub network_namespace: u32,
    /// Its name, as `/proc/PID/comm` says.
    pub comm: String,
}

impl Who {
    /// This process.
    pub fn me() -> anyhow::Result<Who> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        // The name in parentheses may hold spaces; the 20th field after it is the start.
        let after = stat.rsplit_once(')').context("no name in stat")?.1;
        let start = after.split_ascii_whitespace().nth(19);
        let namespace = std::fs::read_link("/proc/self/ns/net")?;
        let namespace = namespace.to_string_lossy();
        let inode = namespace.trim_start_matches("net:[").trim_end_matches(']');
        Ok(Who {
            pid: my_pid(),
            start_ticks: start.context("no start in stat")?.parse()?,
            network_namespace: inode.parse()?,
            comm: std::fs::read_to_string("/proc/self/comm")?
                .trim()
                .to_owned(),
        })
    }
}

/// Everything moved so far and not yet reported.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The sum of each kind.
    pub entries: BTreeMap<Movement, Amount>,
}

impl Ledger {
    /// One successful call or message. Nothing moved, nothing counts.
    pub fn record(&mut self, movement: Movement, bytes: usize) {
        if bytes > 0 {
            let amount = self.entries.entry(movement).or_default();
            amount.bytes += bytes as u64;
            amount.operations += 1;
        }
    }

    /// Takes in what another thread wrote down.
    pub fn merge(&mut self, other: Ledger) {
        for (movement, amount) in other.entries {
            let sum = self.entries.entry(movement).or_default();
            sum.bytes += amount.bytes;
            sum.operations += amount.operations;
        }
    }

    /// Bytes of one direction.
    pub fn bytes(&self, direction: Direction) -> u64 {
        let moved = self.entries.iter();
        moved
            .filter(|(movement, _)| movement.direction == direction)
            .map(|(_, amount)| amount.bytes)
            .sum()
    }

    /// This process and what it moved, as report lines; empties the ledger.
    pub fn take_report(&mut self) -> anyhow::Result<String> {
        Ok(self.take_report_of(&Who::me()?))
    }

    /// The same for a process that introduced itself earlier.
    pub fn take_report_of(&mut self, who: &Who) -> String {
        let mut text = format!(
            "who {} {} {} {}\n",
            who.pid, who.start_ticks, who.network_namespace, who.comm
        );
        for (movement, amount) in std::mem::take(&mut self.entries) {
            text += &format!("move {movement} {} {}\n", amount.bytes, amount.operations);
        }
        text
    }
}

const DIRECTIONS: [(&str, Direction); 2] =
    [("sent", Direction::Sent), ("received", Direction::Received)];

const MANNERS: [(&str, How); 11] = [
    ("call", How::Call),
    ("pieces", How::Pieces),
    ("splice-from-tcp", How::SpliceFromTcp),
    ("zerocopy-receive", How::ZerocopyReceive),
    ("io-uring", How::Ring),
    ("io-uring-pieces", How::RingPieces),
    ("io-uring-many", How::RingMany),
    ("io-uring-splice", How::RingSplice),
    ("io-submit", How::Aio),
    ("32-bit", How::Compat),
    ("32-bit-splice", How::CompatSplice),
];

fn word_of<T: PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    let entry = table.iter().find(|(_, of)| *of == value);
    entry.map_or("?", |(word, _)| word)
}

fn value_of<T: Copy>(table: &[(&str, T)], word: &str) -> anyhow::Result<T> {
    let entry = table.iter().find(|(of, _)| *of == word);
    Ok(entry.with_context(|| format!("unknown word {word:?}"))?.1)
}

fn end_text(end: Option<Endpoint>) -> String {
    end.map_or_else(|| "-".to_owned(), |end| end.to_string())
}

/// The inverse of [`end_text`]. What is no address is an interface.
fn end_of(text: &str) -> anyhow::Result<Option<Endpoint>> {
    if text == "-" {
        return Ok(None);
    }
    if let Ok(end) = text.parse::<SocketAddr>() {
        return Ok(Some(end.into()));
    }
    let address = match text.parse() {
        Ok(address) => Address::Ip(address),
        Err(_) => Address::Interface(text.parse()?),
    };
    Ok(Some(Endpoint { address, port: 0 }))
}

impl fmt::Display for Movement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {} {} {}",
            self.pid,
            self.protocol,
            end_text(self.local),
            end_text(self.remote),
            end_text(self.peer),
            word_of(&DIRECTIONS, self.direction),
            word_of(&MANNERS, self.how),
        )
    }
}

/// What a generator said between two of its pauses.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The processes that moved bytes.
    pub who: Vec<Who>,
    /// What each of them moved.
    pub moved: Vec<(Movement, Amount)>,
    /// Why this kernel cannot run the case.
    pub unsupported: Option<String>,
    /// A number the scenario hands out, such as a port.
    pub value: Option<u64>,
}

impl Report {
    /// Takes in one line; true when it ends the report.
    pub fn add_line(&mut self, line: &str) -> anyhow::Result<bool> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "ready" => return Ok(true),
            "unsupported" => self.unsupported = Some(rest.to_owned()),
            "failed" => bail!("the generator failed: {rest}"),
            "value" => self.value = Some(rest.parse()?),
            "who" => self.add_who(parse_who(rest)?),
            "move" => self.moved.push(parse_move(rest)?),
            _ => bail!("the generator said {line:?}"),
        }
        Ok(false)
    }

    /// A process that tells who it is again has become another program.
    fn add_who(&mut self, who: Who) {
        match self.who.iter_mut().find(|known| is_same(known, &who)) {
            Some(known) => *known = who,
            None => self.who.push(who),
        }
    }
}

/// True if both are one process, whatever it was called at the time.
fn is_same(one: &Who, other: &Who) -> bool {
    (one.pid, one.start_ticks) == (other.pid, other.start_ticks)
}

fn parsed<T: FromStr>(word: Option<&str>) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    Ok(word.context("a word is missing")?.parse()?)
}

fn parse_who(line: &str) -> anyhow::Result<Who> {
    let mut words = line.splitn(4, ' ');
    Ok(Who {
        pid: parsed(words.next())?,
        start_ticks: parsed(words.next())?,
        network_namespace: parsed(words.next())?,
        comm: words.next().context("no name")?.to_owned(),
    })
}

fn parse_move(line: &str) -> anyhow::Result<(Movement, Amount)> {
    let words: Vec<&str> = line.split(' ').collect();
    let &[
        pid,
        protocol,
        local,
        remote,
        peer,
        direction,
        how,
        bytes,
        operations,
    ] = &words[..]
    else {
        bail!("not a movement: {line:?}");
    };
    let movement = Movement {
        pid: pid.parse()?,
        protocol: Protocol::from_name(protocol).context("unknown protocol")?,
        local: end_of(local)?,
        remote: end_of(remote)?,
        peer: end_of(peer)?,
        direction: value_of(&DIRECTIONS, direction)?,
        how: value_of(&MANNERS, how)?,
    };
    let amount = Amount {
        bytes: bytes.parse()?,
        operations: operations.parse()?,
    };
    Ok((movement, amount))
}

//! The traffic generator: a child process that moves known bytes and says which.
//!
//! It is the testing program itself, started again as [`command`] says. It
//! talks to whoever started it through pipes, never sockets, so that control adds no
//! network bytes: a report on standard output ends with `ready`, then it waits
//! for a line on standard input; end of input ends it. Knows nothing of netmon's
//! counting.

mod aio;
mod cell;
mod compat;
mod crowd;
mod fastopen;
mod handed;
mod interrupted;
pub mod ledger;
mod matrix;
mod names;
mod packet;
mod paths;
mod peeks;
mod pipes;
mod protocols;
mod ring;
mod ring_manners;
mod ring_splice;
mod socket;
mod special;
mod sys;
mod timing;
mod tls;
mod twins;
mod uncounted;
mod uring;
mod variants;
mod zerocopy;

use std::env;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv6Addr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use ledger::{Direction, Ledger};
pub use matrix::is_variant;
pub use sys::sleeps_in;

/// The first two words of the command line that makes the testing program a generator.
pub const DOOR: [&str; 2] = ["selftest", "--generator"];

/// A generator that takes longer than this is stuck.
const DEADLINE_SECONDS: u32 = 30;

/// Why this kernel or these privileges cannot run a case.
#[derive(Debug)]
pub struct Unsupported(pub String);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

/// The error that marks a case as not for this kernel.
pub fn unsupported(what: &str, error: impl fmt::Display) -> anyhow::Error {
    Unsupported(format!("{what}: {error}")).into()
}

/// A case that is no cell of the matrix: its name and what it does.
pub type Named = (&'static str, fn(&mut Ledger) -> anyhow::Result<()>);

/// What moves the bytes of a case.
enum Action {
    Matrix(matrix::Cell),
    Special(fn(&mut Ledger) -> anyhow::Result<()>),
}

/// One case that a single report tells all about.
pub struct Case {
    /// `transport::path::variant`, or as its file calls it.
    pub name: String,
    action: Action,
}

impl Case {
    fn run(&self, ledger: &mut Ledger) -> anyhow::Result<()> {
        let outcome = match &self.action {
            Action::Matrix(cell) => cell.run(ledger),
            Action::Special(run) => run(ledger),
        };
        outcome.map_err(|error| match needs_ipv6(&self.name) {
            true => for_want_of_ipv6(error),
            false => error,
        })
    }
}

/// True if sockets of IPv6 move the bytes of that case.
pub fn needs_ipv6(case: &str) -> bool {
    let transport = case.split("::").next().unwrap_or_default();
    let transport = transport.trim_end_matches("_unconnected");
    [socket::Family::V6, socket::Family::Mapped]
        .iter()
        .any(|family| transport.ends_with(family.suffix()))
}

/// The error of a case of IPv6: where this host or its loopback has none of it,
/// that is why.
fn for_want_of_ipv6(error: anyhow::Error) -> anyhow::Error {
    let of_system = error.chain().find_map(|cause| {
        let cause = cause.downcast_ref::<io::Error>()?;
        cause.raw_os_error()
    });
    let may_be = match of_system {
        Some(number) => matches!(number, libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL),
        None => error.is::<Unsupported>(),
    };
    let missing = may_be.then(|| UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).err());
    match missing.flatten() {
        Some(missing) => unsupported("IPv6", missing),
        None => error,
    }
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let matrix = matrix::cells().into_iter().map(|cell| Case {
        name: cell.name(),
        action: Action::Matrix(cell),
    });
    let tables = [
        special::CASES,
        names::CASES,
        peeks::CASES,
        protocols::CASES,
        variants::CASES,
        packet::CASES,
        zerocopy::CASES,
        pipes::CASES,
        fastopen::CASES,
        tls::CASES,
        ring::CASES,
        ring_manners::CASES,
        ring_splice::CASES,
        aio::CASES,
        compat::CASES,
        timing::CASES,
        interrupted::CASES,
        handed::CASES,
        twins::CASES,
        uncounted::CASES,
    ];
    let special = tables.into_iter().flatten().map(|&(name, run)| Case {
        name: name.to_owned(),
        action: Action::Special(run),
    });
    matrix.chain(special).collect()
}

/// True for what a family of addresses adds to a transport's name.
pub fn is_family(text: &str) -> bool {
    socket::Family::is_suffix(text)
}

/// This very program as the generator `name`, even if its file is gone by now.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(this_program());
    command.args(DOOR).arg(name);
    command
}

/// The path of this program, by which the kernel names a process; the link to it
/// where that path leads to another file by now, or to none.
fn this_program() -> PathBuf {
    let link = PathBuf::from("/proc/self/exe");
    let id = |path: &Path| {
        let file = fs::metadata(path).ok()?;
        Some((file.dev(), file.ino()))
    };
    let path = env::current_exe().ok();
    path.filter(|path| id(path).is_some() && id(path) == id(&link))
        .unwrap_or(link)
}

/// Sends everything in `ledger` to whoever started this process.
pub fn report(ledger: &mut Ledger) -> anyhow::Result<()> {
    say(&ledger.take_report()?)
}

/// One write, so that the lines of several processes do not mix.
pub fn say(lines: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    Ok(out.flush()?)
}

/// Ends the report and waits to be told to go on; false at the end of input.
pub fn pause() -> anyhow::Result<bool> {
    say("ready\n")?;
    Ok(io::stdin().read_line(&mut String::new())? > 0)
}

/// Runs as a generator: `list`, `check`, a case or a crowd scenario.
pub fn main(name: &str, arguments: &[String]) {
    // SAFETY: takes an integer only.
    unsafe { libc::alarm(DEADLINE_SECONDS) };
    let outcome = run(name, arguments);
    let Err(error) = outcome else {
        return;
    };
    // Whoever started this process is gone when it can't be told.
    let _ = say(&format!("{}\nready\n", last_words(name, &error)));
    std::process::exit(1);
}

/// Why the generator `name` could not do its part, as one line of a report.
fn last_words(name: &str, error: &anyhow::Error) -> String {
    let words = match error.downcast_ref::<Unsupported>() {
        Some(reason) => format!("unsupported {reason}"),
        None => format!("failed {name}: {error:#}"),
    };
    words.replace('\n', " ")
}

fn run(name: &str, arguments: &[String]) -> anyhow::Result<()> {
    match name {
        "list" => {
            let lines: String = cases()
                .iter()
                .map(|case| case.name.clone() + "\n")
                .collect();
            return say(&lines);
        }
        "check" => return check(),
        _ => {}
    }
    if let Some(scenario) = crowd::find(name) {
        return scenario(arguments);
    }
    let all = cases();
    let case = all.iter().find(|case| case.name == name);
    let mut ledger = Ledger::default();
    case.with_context(|| format!("no case {name:?}"))?
        .run(&mut ledger)?;
    report(&mut ledger)?;
    pause().map(|_| ())
}

/// Runs every case by itself and compares what was sent with what was received.
fn check() -> anyhow::Result<()> {
    for case in cases() {
        // A deadline for each: all of them may take longer on a slow machine.
        // SAFETY: takes an integer only.
        unsafe { libc::alarm(DEADLINE_SECONDS) };
        let mut ledger = Ledger::default();
        let outcome = case.run(&mut ledger);
        let (sent, received) = (
            ledger.bytes(Direction::Sent),
            ledger.bytes(Direction::Received),
        );
        match outcome {
            Err(error) if error.is::<Unsupported>() => {
                say(&format!("{}: not on this kernel: {error}\n", case.name))?;
                continue;
            }
            outcome => outcome.with_context(|| case.name.clone())?,
        }
        say(&format!(
            "{}: sent {sent}, received {received}\n",
            case.name
        ))?;
        if let Action::Matrix(cell) = &case.action {
            ensure!(sent > 0, "{}: nothing was sent", case.name);
            ensure!(
                !cell.conserves() || sent == received,
                "{}: sent {sent}, received {received}",
                case.name
            );
        }
    }
    Ok(())
}

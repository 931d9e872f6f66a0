//! Every way out: exit code, terminal, and what is left in the kernel.

use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::session::{Session, WIDE};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("endings::q", || by_keys("q")),
        root("endings::ctrl_c", || by_keys("\x03")),
        root("endings::f10", || by_keys("\x1b[21~")),
        root("endings::ctrl_c_in_the_filter", || by_keys("/abc\x03")),
        root("endings::sigterm", || by_signal(Signal::SIGTERM)),
        root("endings::sigint", || by_signal(Signal::SIGINT)),
        root("endings::sighup", || by_signal(Signal::SIGHUP)),
        root("endings::sigkill", sigkill),
        root("endings::refused_start", refused_start),
    ]
}

fn started() -> anyhow::Result<Session> {
    let session = Session::start(WIDE, &[])?;
    session.wait_text("No anomalies")?;
    Ok(session)
}

fn by_keys(keys: &str) -> anyhow::Result<()> {
    let session = started()?;
    let held = session.held();
    session.send(keys)?;
    session.check_ends_well(&held)
}

fn by_signal(signal: Signal) -> anyhow::Result<()> {
    let session = started()?;
    let held = session.held();
    session.signal(signal)?;
    session.check_ends_well(&held)
}

/// Nothing can give the terminal back then, but the kernel is clean.
fn sigkill() -> anyhow::Result<()> {
    let mut session = started()?;
    let held = session.held();
    session.signal(Signal::SIGKILL)?;
    session.end()?;
    held.check_gone()
}

/// What fails before there is a screen says so on the ordinary one.
fn refused_start() -> anyhow::Result<()> {
    let mut session = Session::start(WIDE, &["--pin", "/proc/netmon"])?;
    let status = session.end()?;
    ensure!(status.code() == Some(1), "{status}");
    session.wait_text("netmon: --pin /proc/netmon")?;
    let bytes = session.pty.shown().bytes.clone();
    ensure!(!bytes.contains(&b'\x1b'), "the terminal was taken");
    Ok(())
}

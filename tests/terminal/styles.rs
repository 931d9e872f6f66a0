//! Terminals without UTF-8 and people without colours.

use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::session::{Session, WIDE, netmon};
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("styles::ascii_in_the_c_locale", ascii),
        root("styles::no_color", no_color),
        root("styles::dumb_terminal", dumb),
    ]
}

/// Every byte that a netmon writes with these variables, while it shows traffic,
/// an alert, the flows and the help.
fn bytes_with(variables: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    let traffic = Traffic::start(&Plan::endless("nmy-é", 900, Duration::from_millis(1)))?;
    let pid = traffic.pid().to_string();
    let mut command = netmon(&["--threshold", "10KB", "--pid", &pid]);
    command.envs(variables.iter().copied());
    let session = Session::run(WIDE, command)?;
    session.wait_text("ALERT")?;
    session.type_for("\t", "REMOTE")?;
    session.type_for("\r", "last minute")?;
    session.send("q")?;
    session.type_for("?", "netmon: keys")?;
    session.send("?")?;
    session.wait_gone("netmon: keys")?;
    let bytes = session.pty.shown().bytes.clone();
    session.quit()?;
    Ok(bytes)
}

/// Parameters of every SGR sequence.
fn attributes(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let sequences = text.split("\x1b[").skip(1);
    sequences
        .filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
            rest[end..].starts_with('m').then(|| rest[..end].to_owned())
        })
        .collect()
}

/// True where an SGR sequence asks for a colour; 39, 49 and 59 take one back.
fn is_color(parameters: &str) -> bool {
    parameters.split([';', ':']).any(|number| {
        matches!(
            number.parse(),
            Ok(30..=38 | 40..=48 | 58 | 90..=97 | 100..=107)
        )
    })
}

fn ascii() -> anyhow::Result<()> {
    let bytes = bytes_with(&[("LC_ALL", "C")])?;
    let other = bytes.iter().position(|byte| !byte.is_ascii());
    ensure!(
        other.is_none(),
        "{:?}",
        other.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(20)..][..30]).into_owned())
    );
    ensure!(
        attributes(&bytes).iter().any(|it| is_color(it)),
        "no colours"
    );
    Ok(())
}

fn no_color() -> anyhow::Result<()> {
    let bytes = bytes_with(&[("NO_COLOR", "1")])?;
    let colors: Vec<_> = attributes(&bytes)
        .into_iter()
        .filter(|it| is_color(it))
        .collect();
    ensure!(colors.is_empty(), "{colors:?}");
    let text = String::from_utf8_lossy(&bytes);
    ensure!(text.contains('↑'), "UTF-8 has nothing to do with colours");
    Ok(())
}

fn dumb() -> anyhow::Result<()> {
    let bytes = bytes_with(&[("TERM", "dumb")])?;
    ensure!(bytes.is_ascii(), "beyond ASCII");
    ensure!(!attributes(&bytes).iter().any(|it| is_color(it)), "colours");
    Ok(())
}

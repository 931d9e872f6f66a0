//! How a run ends: readers that have seen enough, full disks, signals, no terminal.

use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::netmon::{Live, killed_by, netmon, run, shell};
use crate::trial::{root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        root("endings::head_json", || head("json")),
        root("endings::head_csv", || head("csv")),
        root("endings::head_text", || head("text")),
        root("endings::full_disk", full_disk),
        trial("endings::doctor_to_a_full_disk", doctor_to_a_full_disk),
        trial("endings::doctor_into_head", doctor_into_head),
        trial("endings::top_without_terminal", top_without_terminal),
        root("endings::sigkill", sigkill),
        root("endings::signal_while_starting", signal_while_starting),
    ]
}

/// The reader goes after one line; netmon's own exit code is the line on stderr.
fn head(format: &str) -> anyhow::Result<()> {
    let line = format!(
        r#"{{ "$NETMON" stream --interval 50ms --format {format}; echo "code $?" >&2; }} | head -1"#
    );
    let done = run(&mut shell(&line))?;
    done.check_code(0)?;
    ensure!(done.stderr == "code 0\n", "on stderr: {}", done.stderr);
    ensure!(done.stdout.lines().count() == 1, "{}", done.stdout);
    Ok(())
}

fn full_disk() -> anyhow::Result<()> {
    let done = run(&mut shell(
        r#"exec "$NETMON" stream --interval 50ms > /dev/full"#,
    ))?;
    done.check_failure(&["standard output", "No space left on device", "make room"])
}

fn doctor_to_a_full_disk() -> anyhow::Result<()> {
    let done = run(&mut shell(r#"exec "$NETMON" doctor > /dev/full"#))?;
    done.check_failure(&["standard output", "No space left on device"])
}

fn doctor_into_head() -> anyhow::Result<()> {
    let line = r#"{ "$NETMON" doctor; echo "code $?" >&2; } | true"#;
    let done = run(&mut shell(line))?;
    // 1 where the machine lacks something and all was written before the end.
    ensure!(
        ["code 0\n", "code 1\n"].contains(&done.stderr.as_str()),
        "on stderr: {}",
        done.stderr
    );
    Ok(())
}

fn top_without_terminal() -> anyhow::Result<()> {
    for arguments in [vec![], vec!["top"], vec!["top", "--interval", "1s"]] {
        let done = run(&mut netmon(arguments))?;
        done.check_failure(&["not a terminal", "`netmon stream`"])?;
        ensure!(done.stdout.is_empty(), "{}", done.stdout);
    }
    Ok(())
}

fn sigkill() -> anyhow::Result<()> {
    let mut live = Live::start(&mut netmon(["stream", "--interval", "50ms"]))?;
    live.line()?;
    let held = live.held();
    live.signal(Signal::SIGKILL)?;
    let status = live.end()?.status;
    ensure!(killed_by(status) == Some(Signal::SIGKILL), "{status}");
    held.check_gone()
}

/// A signal at any moment of the start either kills the process, as long as it
/// does not handle it yet, or ends it in order.
fn signal_while_starting() -> anyhow::Result<()> {
    for delay in [0, 5, 20, 60, 150] {
        let live = Live::start(&mut netmon(["stream", "--interval", "1m"]))?;
        std::thread::sleep(std::time::Duration::from_millis(delay));
        live.signal(Signal::SIGTERM)?;
        let done = live.end()?;
        if killed_by(done.status) != Some(Signal::SIGTERM) {
            done.check_quiet()?;
            crate::contract::check_run(&done.stdout)?;
        }
    }
    Ok(())
}

//! How a run ends: signals, readers that have seen enough, full disks. Nothing stays.

use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::netmon::{BINARY, Live, killed_by, run};
use crate::space::{Space, datagrams, pair, two};
use crate::station::{attached, iface, number, of, parsed, reporting};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("endings::sigterm", || ended_by(Signal::SIGTERM)),
        root("endings::sigint", || ended_by(Signal::SIGINT)),
        root("endings::sigkill", sigkill),
        root("endings::while_starting", while_starting),
        root("endings::head", head),
        root("endings::full_disk", full_disk),
    ]
}

/// A signal in the midst of the first interval: one last report, and it is complete.
fn ended_by(signal: Signal) -> anyhow::Result<()> {
    let (a, b) = two()?;
    let words = ["--iface", "a0", "--format", "json", "--interval", "1m"];
    let live = Live::start(&mut iface(&a, &words))?;
    attached(&live)?;
    let (from, to) = pair((&a, "10.9.0.1"), (&b, "10.9.0.2"))?;
    let arrived = datagrams(&from, &to, 500, 200)?;
    ensure!(arrived == 100_000, "{arrived}");
    let held = live.held();
    live.signal(signal)?;
    let done = live.end()?;
    done.check_code(0)?;
    ensure!(done.stdout.lines().count() == 1, "{}", done.stdout);
    let report = parsed(&done.stdout)?;
    let row = of(&report, "a0")?;
    ensure!(number(row, "/sampled/tx/udp/packets")? == 200, "{row}");
    ensure!(number(row, "/sampled/tx/udp/bytes")? == 200 * 542, "{row}");
    check_free(&a, &held)
}

/// Fails unless what was held is gone, and with it all that was on the interface.
fn check_free(space: &Space, held: &crate::attached::Held) -> anyhow::Result<()> {
    ensure!(
        !held.programs.is_empty() && !held.maps.is_empty(),
        "{held:?}"
    );
    held.wait_gone(0)?;
    let done = run(space.command().args(["ip", "link", "show", "dev", "a0"]))?;
    done.check_code(0)?;
    ensure!(!done.stdout.contains("xdp"), "{}", done.stdout);
    Ok(())
}

fn sigkill() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    let live = reporting(&a, &["--iface", "a0"])?;
    let held = live.held();
    live.signal(Signal::SIGKILL)?;
    let status = live.end()?.status;
    ensure!(killed_by(status) == Some(Signal::SIGKILL), "{status}");
    check_free(&a, &held)
}

/// A signal at any moment of the start either kills the process, as long as it does not
/// handle it yet, or ends it in order.
fn while_starting() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    for delay in [0, 5, 20, 60, 150] {
        let words = ["--iface", "a0", "--format", "json", "--interval", "1m"];
        let live = Live::start(&mut iface(&a, &words))?;
        std::thread::sleep(std::time::Duration::from_millis(delay));
        live.signal(Signal::SIGTERM)?;
        let done = live.end()?;
        if killed_by(done.status) != Some(Signal::SIGTERM) {
            done.check_code(0)?;
            ensure!(done.stdout.lines().count() == 1, "{}", done.stdout);
            parsed(&done.stdout)?;
        }
    }
    Ok(())
}

fn head() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    for format in ["text", "json", "csv"] {
        let line = format!(
            "{{ {BINARY} iface --iface a0 --interval 50ms --format {format} 2>/dev/null; \
             echo \"code $?\" >&2; }} | head -1"
        );
        let done = run(a.command().args(["sh", "-c", &line]))?;
        done.check_code(0)?;
        ensure!(done.stderr == "code 0\n", "on stderr: {}", done.stderr);
        ensure!(done.stdout.lines().count() == 1, "{}", done.stdout);
    }
    Ok(())
}

fn full_disk() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    let line = format!("exec {BINARY} iface --iface a0 --interval 50ms > /dev/full");
    let done = run(a.command().args(["sh", "-c", &line]))?;
    done.check_code(1)?;
    let last = done.stderr.lines().last().unwrap_or("");
    ensure!(
        last.starts_with("netmon: could not write to standard output"),
        "{last}"
    );
    Ok(())
}

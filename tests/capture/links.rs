//! Interfaces that are not there, go down, come up, or are gone for good.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::model::packet::IPV4;

use crate::netmon::{Live, PATIENCE, Scratch, run, shell};
use crate::running::{Running, capture, moved, number};
use crate::space::{Sender, ethernet, inside, ip, ipv4, wire};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("links::missing", || inside(missing)),
        root("links::down_at_start", || inside(down)),
        root("links::down_for_a_while", || inside(down_and_up)),
        root("links::renamed", || inside(renamed)),
        root("links::alternative_name", || inside(alternative)),
        root("links::gone", || inside(gone)),
    ]
}

fn missing() -> anyhow::Result<()> {
    wire()?;
    let done = run(&mut capture("eth7", &[]))?;
    done.check_failure(&["no interface eth7", "there are far, lo, near"])
}

fn down() -> anyhow::Result<()> {
    wire()?;
    ip("link set far down")?;
    let done = run(&mut capture("far", &[]))?;
    done.check_failure(&["far is down", "`ip link set far up`"])
}

/// Told on stderr, and packets are counted again when it is up.
fn down_and_up() -> anyhow::Result<()> {
    wire()?;
    let mut watched = Watched::start()?;
    let sender = Sender::new("near")?;
    let send = |times: u32| {
        (0..times).try_for_each(|_| sender.send(&ethernet(&[], IPV4, &ipv4(1, 7, 10))))
    };
    send(5)?;
    watched.counted(5)?;
    ip("link set far down")?;
    watched.tells("netmon: interface far went down; waiting for it")?;
    ip("link set far up")?;
    watched.tells("netmon: interface far is up again")?;
    send(7)?;
    let last = watched.counted(12)?;
    ensure!(moved(&last, "10.0.0.1")?[1] == 12, "{last}");
    Ok(())
}

/// It is the same interface under its other name, and told by that from then on.
fn renamed() -> anyhow::Result<()> {
    wire()?;
    let mut watched = Watched::start()?;
    let sender = Sender::new("near")?;
    // Older kernels rename only what is down.
    ip("link set far down")?;
    watched.tells("netmon: interface far went down; waiting for it")?;
    ip("link set far name distant")?;
    watched.tells("netmon: interface far is now distant")?;
    // What has its old name now is another one.
    ip("link add far type veth peer name other")?;
    ip("link set distant up")?;
    watched.tells("netmon: interface distant is up again")?;
    sender.send(&ethernet(&[], IPV4, &ipv4(1, 7, 10)))?;
    let last = watched.counted(1)?;
    ensure!(last["interface"] == "distant", "{last}");
    ip("link del distant")?;
    watched.tells("netmon: interface distant is gone; start again when it is back")
}

/// By another name that it has besides.
fn alternative() -> anyhow::Result<()> {
    wire()?;
    ip("link property add dev far altname wan")?;
    let report = Running::start("wan", &[])?.end()?;
    ensure!(report["interface"] == "far", "{report}");
    Ok(())
}

/// A capture on `far` whose words on stderr are waited for.
struct Watched {
    live: Live,
    scratch: Scratch,
}

impl Watched {
    fn start() -> anyhow::Result<Watched> {
        let scratch = Scratch::new()?;
        let line = r#"exec "$NETMON" capture --iface far --block-count 4 --format json \
            --report-interval-secs 1 2> "$TOLD""#;
        let mut command = shell(line);
        let mut live = Live::start(command.env("TOLD", scratch.path.join("told")))?;
        live.line()?;
        Ok(Watched { live, scratch })
    }

    /// Waits until the last line that it told is this one.
    fn tells(&self, expected: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(self.scratch.path.join("told"))?;
            if text.lines().last() == Some(expected) && text.ends_with('\n') {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not `{expected}`: {text}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The first report that has so many packets.
    fn counted(&mut self, packets: u64) -> anyhow::Result<serde_json::Value> {
        loop {
            let report = serde_json::from_str(&self.live.line()?)?;
            if number(&report, "packets")? >= packets {
                return Ok(report);
            }
        }
    }
}

/// A last report with all that was counted, then an error.
fn gone() -> anyhow::Result<()> {
    wire()?;
    let running = Running::start("far", &[])?;
    let sender = Sender::new("near")?;
    for _ in 0..5 {
        sender.send(&ethernet(&[], IPV4, &ipv4(1, 7, 10)))?;
    }
    drop(sender);
    ip("link del far")?;
    let done = running.live.end()?;
    done.check_failure(&["far is gone", "start again"])?;
    let report = crate::running::last(&done)?;
    ensure!(number(&report, "packets")? == 5, "{report}");
    Ok(())
}

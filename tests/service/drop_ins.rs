//! The drop-ins that packaging/systemd/README.md documents, taken from there to the
//! letter: systemd adds them to the unit, and what the two give is enough, and needed.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::netmon::{Done, Live, Scratch, run};
use crate::packaging::{confine, granted, packaged, systemd};
use crate::space::{Space, two};
use crate::traffic::{Plan, Traffic};
use crate::trial::{root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("drop_ins::add_to_the_unit", add),
        root("drop_ins::iface_is_enough", iface),
        root("drop_ins::packet_is_enough", packet),
        root("drop_ins::containers_is_enough", containers),
    ]
}

/// The drop-in below the heading of the README that has this word.
fn documented(word: &str) -> anyhow::Result<String> {
    let readme = fs::read_to_string(packaged("README.md"))?;
    let mut parts = readme.split("\n### ").skip(1);
    let part = parts.find(|part| part.lines().next().is_some_and(|it| it.contains(word)));
    let part = part.with_context(|| format!("no heading with {word}"))?;
    let block = part.split("```").nth(1).context("no lines to copy")?;
    let lines = block.strip_prefix("ini\n").context("no drop-in")?;
    ensure!(lines.starts_with("[Service]\n"), "{lines}");
    Ok(lines.to_owned())
}

const ALL: [&str; 3] = ["iface", "packet", "containers"];

/// What systemd finds that the unit may do, with a drop-in and without.
fn add() -> anyhow::Result<()> {
    for word in ALL {
        let scratch = Scratch::new()?;
        let unit = scratch.path.join("netmon.service");
        fs::copy(packaged("netmon.service"), &unit)?;
        let may = |what: &str| -> anyhow::Result<bool> {
            let words = ["security", "--offline=yes", "--json=short", "--no-pager"];
            let done = systemd("systemd-analyze", &words, &unit)?;
            done.check_code(0)?;
            let items: Value = serde_json::from_str(&done.stdout)?;
            let items = items.as_array().context("no list")?;
            let item = items.iter().find(|item| item["name"] == what);
            let item = item.with_context(|| format!("no {what}"))?;
            Ok(item["set"] == false)
        };
        let drop_in = documented(word)?;
        let wanted = wanted(&drop_in)?;
        for what in &wanted {
            ensure!(!may(what)?, "without {word}: {what}");
        }
        let directory = scratch.path.join("netmon.service.d");
        fs::create_dir(&directory)?;
        fs::write(directory.join("override.conf"), &drop_in)?;
        for what in &wanted {
            ensure!(may(what)?, "with {word}: not {what}");
        }
        // What was there before stays.
        for what in [
            "RestrictAddressFamilies=~AF_NETLINK",
            "RestrictAddressFamilies=~AF_UNIX",
        ] {
            ensure!(may(what)?, "with {word}: no longer {what}");
        }
        for what in ["RestrictNamespaces=~user", "RestrictAddressFamilies=~…"] {
            ensure!(!may(what)?, "with {word}: {what}");
        }
        let done = systemd("systemd-analyze", &["verify"], &unit)?;
        let said = done
            .stderr
            .lines()
            .find(|line| line.contains("override.conf"));
        ensure!(said.is_none(), "{said:?}");
    }
    Ok(())
}

/// What a drop-in grants, as `systemd-analyze security` calls it.
fn wanted(drop_in: &str) -> anyhow::Result<Vec<&'static str>> {
    const NAMES: [(&str, &str); 6] = [
        ("CAP_NET_ADMIN", "CapabilityBoundingSet=~CAP_NET_ADMIN"),
        ("CAP_SYS_ADMIN", "CapabilityBoundingSet=~CAP_SYS_ADMIN"),
        (
            "CAP_NET_RAW",
            "CapabilityBoundingSet=~CAP_NET_(BIND_SERVICE|BROADCAST|RAW)",
        ),
        (
            "CAP_DAC_READ_SEARCH",
            "CapabilityBoundingSet=~CAP_(DAC_*|FOWNER|IPC_OWNER)",
        ),
        ("AF_PACKET", "RestrictAddressFamilies=~AF_PACKET"),
        ("net", "RestrictNamespaces=~net"),
    ];
    let values = drop_in.lines().filter_map(|line| line.split_once('='));
    let called = |value: &str| {
        let found = NAMES.iter().find(|(name, _)| *name == value);
        found
            .map(|(_, called)| *called)
            .with_context(|| format!("what is {value}?"))
    };
    values
        .flat_map(|(_, values)| values.split(' ').map(called))
        .collect()
}

/// netmon as the service runs it, with the unit's capabilities and these drop-ins'.
struct Service {
    binary: PathBuf,
    _scratch: Scratch,
}

impl Service {
    fn new() -> anyhow::Result<Service> {
        let scratch = Scratch::new()?;
        Ok(Service {
            binary: scratch.binary()?,
            _scratch: scratch,
        })
    }

    fn stream(
        &self,
        space: &Space,
        drop_ins: &[&str],
        options: &[&str],
    ) -> anyhow::Result<std::process::Command> {
        let mut texts = Vec::new();
        for word in drop_ins {
            texts.push(documented(word)?);
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut command = space.command();
        confine(&mut command, &granted(&texts)?, &self.binary);
        command
            .args(["stream", "--interval", "100ms"])
            .args(options);
        Ok(command)
    }
}

/// Reads records until one has what is looked for.
fn until<T>(live: &mut Live, look: impl Fn(&Value) -> Option<T>) -> anyhow::Result<T> {
    for _ in 0..300 {
        let record: Value = serde_json::from_str(&live.line()?)?;
        if let Some(found) = look(&record) {
            return Ok(found);
        }
    }
    anyhow::bail!("not in 300 records")
}

/// Ends it in order; what it says of how it counts may be on stderr.
fn stop(live: Live) -> anyhow::Result<Done> {
    live.signal(Signal::SIGINT)?;
    let done = live.end()?;
    ensure!(done.status.success(), "{}", done.stderr);
    Ok(done)
}

fn row<'a>(record: &'a Value, list: &str, name: &str, is: &Value) -> Option<&'a Value> {
    record[list].as_array()?.iter().find(|row| row[name] == *is)
}

fn iface() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    let service = Service::new()?;
    let refused = run(&mut service.stream(&a, &[], &["--iface", "a0", "--count", "1"])?)?;
    refused.check_failure(&["CAP_NET_ADMIN"])?;
    for mode in ["auto", "native", "generic"] {
        let mut command = service.stream(&a, &["iface"], &["--iface", "a0", "--xdp", mode])?;
        let mut live = Live::start(&mut command)?;
        let hooks = until(&mut live, |record| {
            let sampled = &row(record, "interfaces", "interface", &"a0".into())?["sampled"];
            sampled.is_object().then(|| sampled.clone())
        })?;
        for way in ["ingress", "egress"] {
            ensure!(
                hooks[way].as_str().is_some_and(|it| !it.is_empty()),
                "{hooks}"
            );
        }
        stop(live)?;
    }
    Ok(())
}

/// Traffic of root's in a namespace.
fn traffic(space: &Space, name: &str) -> anyhow::Result<Traffic> {
    let plan = Plan::endless(name, 500, Duration::from_millis(5)).over_tcp();
    space.inside(move || Traffic::start(&plan))
}

const PACKET: [&str; 2] = ["--engine", "packet"];

fn packet() -> anyhow::Result<()> {
    let a = Space::new()?;
    let service = Service::new()?;
    let refused = run(&mut service.stream(&a, &[], &["--engine", "packet", "--count", "1"])?)?;
    refused.check_failure(&["CAP_NET_RAW"])?;
    let moving = traffic(&a, "nms-packets")?;
    let mut live = Live::start(&mut service.stream(&a, &["packet"], &PACKET)?)?;
    until(&mut live, |record| {
        let process = row(record, "processes", "pid", &moving.pid().into())?;
        (process["name"] == "nms-packets" && process["tx_bytes"].as_u64() > Some(0)).then_some(())
    })?;
    let done = stop(live)?;
    // It would name what it cannot see for want of a capability.
    ensure!(!done.stderr.contains("missing"), "{}", done.stderr);
    Ok(())
}

/// Of a connection in another namespace it is known how it fares, and only then.
fn containers() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let service = Service::new()?;
    let moving = traffic(&b, "nms-elsewhere")?;
    let (from, _) = moving.ports;
    let flow = |record: &Value| row(record, "flows", "local_port", &from.into()).cloned();
    let pid = moving.pid().to_string();
    let options = ["--pid", pid.as_str()];
    let mut live = Live::start(&mut service.stream(&a, &["containers"], &options)?)?;
    until(&mut live, |record| {
        flow(record)?["tcp"].is_object().then_some(())
    })?;
    stop(live)?;

    let mut live = Live::start(&mut service.stream(&a, &[], &options)?)?;
    let mut seen = 0;
    until(&mut live, |record| flow(record).map(drop))?;
    while seen < 10 {
        let record: Value = serde_json::from_str(&live.line()?)?;
        if let Some(flow) = flow(&record) {
            ensure!(flow["tcp"].is_null(), "without the drop-in: {flow}");
            seen += 1;
        }
    }
    stop(live).map(drop)
}

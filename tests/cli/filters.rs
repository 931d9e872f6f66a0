//! Row filters on real traffic: each option, lists, and several options at once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::contract::{check_lines, check_moved, last, process, rows};
use crate::netmon::{Live, roomy};
use crate::traffic::{Plan, Traffic};
use crate::trial::{Impossible, root};

pub fn trials() -> Vec<Trial> {
    vec![
        root("filters::pid", pid),
        root("filters::name", name),
        root("filters::user", user),
        root("filters::cgroup", cgroup),
        root("filters::port", port),
        root("filters::protocol", protocol),
        root("filters::lists", lists),
        root("filters::all_must_hold", all_must_hold),
        root("filters::no_match", no_match),
    ]
}

const NOBODY: u32 = 65534;

/// Two processes that have not moved anything yet: UDP as root, TCP as nobody.
struct Two {
    udp: Traffic,
    tcp: Traffic,
}

const BYTES: u64 = 2000;
const MESSAGES: usize = 10;

impl Two {
    fn prepare() -> anyhow::Result<Two> {
        let size = BYTES as usize / MESSAGES;
        let tcp = Plan::udp("nmf-Second", size, MESSAGES).over_tcp();
        Ok(Two {
            udp: Traffic::prepare(&Plan::udp("nmf-First", size, MESSAGES))?,
            tcp: Traffic::prepare(&Plan { uid: NOBODY, ..tcp })?,
        })
    }

    /// Lets both move under a netmon with `arguments`; its last record.
    fn watched(&mut self, arguments: &[String]) -> anyhow::Result<Value> {
        let mut command = roomy(["stream", "--interval", "100ms"]);
        let mut live = Live::start(command.args(arguments))?;
        live.line()?;
        for traffic in [&mut self.udp, &mut self.tcp] {
            traffic.go()?;
            let [sent, ..] = traffic.moved()?;
            ensure!(sent == BYTES, "the generator sent {sent}");
        }
        let records = check_lines(&live.interrupt()?.stdout)?;
        let record = last(&records)?.clone();
        // Protocols and losses speak of the whole machine.
        for protocol in ["udp", "tcp"] {
            let mut all = rows(&record, "protocols").iter();
            let sum = all.find(|row| row["protocol"] == protocol);
            ensure!(sum.is_some(), "no {protocol} in the sums: {record}");
        }
        let mut sums = rows(&record, "processes").iter();
        ensure!(sums.all(|row| row["pid"] != 0), "sums of others: {record}");
        Ok(record)
    }
}

fn flows_of(record: &Value, pid: u32) -> usize {
    let flows = rows(record, "flows").iter();
    flows.filter(|row| row["pid"] == pid).count()
}

/// Runs both under `arguments`, and fails unless the rows shown are those wanted
/// and every other row satisfies `rule` (which other tests' traffic may).
fn check(
    arguments: impl Fn(&Two) -> Vec<String>,
    wanted: [bool; 2],
    rule: impl Fn(&Value) -> bool,
) -> anyhow::Result<()> {
    let mut two = Two::prepare()?;
    let arguments = arguments(&two);
    let record = two.watched(&arguments)?;
    for (traffic, wanted) in [&two.udp, &two.tcp].into_iter().zip(wanted) {
        let (row, flows) = (
            process(&record, traffic.pid()),
            flows_of(&record, traffic.pid()),
        );
        ensure!(row.is_some() == wanted, "{arguments:?}: {record}");
        ensure!(
            (flows == 2) == wanted,
            "{flows} flows, {arguments:?}: {record}"
        );
        if let Some(row) = row {
            ensure!(row["tx_bytes"] == BYTES, "{row}");
        }
    }
    for row in rows(&record, "processes") {
        ensure!(rule(row), "{arguments:?} lets through: {row}");
    }
    Ok(())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn pid() -> anyhow::Result<()> {
    let own = std::cell::Cell::new(0);
    check(
        |two| {
            own.set(two.udp.pid());
            words(&["--pid", &two.udp.pid().to_string()])
        },
        [true, false],
        |row| row["pid"] == own.get(),
    )
}

fn name() -> anyhow::Result<()> {
    // A part of it, in any case.
    let holds = |row: &Value| {
        row["name"]
            .as_str()
            .is_some_and(|name| name.contains("Sec"))
    };
    check(|_| words(&["--name", "F-sec"]), [false, true], holds)
}

fn user() -> anyhow::Result<()> {
    check(
        |_| words(&["--user", "65534"]),
        [false, true],
        |row| row["uid"] == NOBODY,
    )?;
    check(
        |_| words(&["--user", "root"]),
        [true, false],
        |row| row["user"] == "root",
    )
}

fn port() -> anyhow::Result<()> {
    check(
        |two| words(&["--port", &two.tcp.ports.0.to_string()]),
        [false, true],
        |_| true,
    )
}

fn protocol() -> anyhow::Result<()> {
    let mut two = Two::prepare()?;
    let record = two.watched(&words(&["--protocol", "tcp"]))?;
    ensure!(process(&record, two.udp.pid()).is_none(), "{record}");
    ensure!(process(&record, two.tcp.pid()).is_some(), "{record}");
    let mut flows = rows(&record, "flows").iter();
    ensure!(flows.all(|row| row["protocol"] == "tcp"), "{record}");
    Ok(())
}

fn lists() -> anyhow::Result<()> {
    check(
        |two| {
            let list = format!("{},{}", two.udp.pid(), two.tcp.pid());
            words(&["--pid", &list])
        },
        [true, true],
        |row| {
            row["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("nmf-"))
        },
    )?;
    check(
        |two| {
            let ports = format!("9,{}", two.udp.ports.1);
            words(&["--port", &ports, "--protocol", "icmp,udp,tcp"])
        },
        [true, false],
        |_| true,
    )?;
    // An option given twice is a list, too.
    check(
        |_| words(&["--name", "nmf-first", "--name", "nmf-second"]),
        [true, true],
        |row| {
            row["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("nmf-"))
        },
    )
}

fn all_must_hold() -> anyhow::Result<()> {
    check(
        |_| words(&["--name", "nmf-", "--user", "65534", "--protocol", "tcp,udp"]),
        [false, true],
        |row| row["uid"] == NOBODY,
    )?;
    check(
        |two| words(&["--pid", &two.udp.pid().to_string(), "--protocol", "tcp"]),
        [false, false],
        |_| false,
    )
}

fn no_match() -> anyhow::Result<()> {
    check(
        |_| words(&["--name", "no such name"]),
        [false, false],
        |_| false,
    )
}

/// A cgroup of the unified hierarchy, removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> anyhow::Result<Cgroup> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let root = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let at = fields.next()?;
            (fields.next() == Some("cgroup2")).then(|| at.to_owned())
        });
        let Some(root) = root else {
            return Err(Impossible("no cgroup2 is mounted".to_owned()).into());
        };
        let path = Path::new(&root).join(format!("netmon-test-{}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Cgroup(path)),
            Err(error) => Err(Impossible(format!("no cgroup can be made: {error}")).into()),
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its members are reaped; the kernel may need a moment to forget them.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

fn cgroup() -> anyhow::Result<()> {
    let cgroup = Cgroup::new()?;
    let directory = cgroup.0.display().to_string();
    let name = cgroup.0.file_name().and_then(|name| name.to_str());
    let name = name.context("no name")?.to_owned();
    let inside = Plan {
        cgroup: Some(directory),
        ..Plan::udp("nmf-inside", 300, 5)
    };
    let mut inside = Traffic::prepare(&inside)?;
    let mut outside = Traffic::prepare(&Plan::udp("nmf-outside", 300, 5))?;
    let arguments = ["stream", "--interval", "100ms", "--cgroup", &name];
    let mut live = Live::start(&mut roomy(arguments))?;
    live.line()?;
    outside.go()?;
    outside.moved()?;
    inside.go()?;
    let moved = inside.moved()?;
    let records = check_lines(&live.interrupt()?.stdout)?;
    let record = last(&records)?;
    let row = process(record, inside.pid());
    check_moved(row, moved)?;
    let path = row.and_then(|row| row["cgroup"].as_str());
    ensure!(path.is_some_and(|path| path.ends_with(&name)), "{path:?}");
    ensure!(process(record, outside.pid()).is_none(), "{record}");
    inside.reap()
}

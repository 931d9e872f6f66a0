//! Steps through the stored past: every byte once, the finest bucket that is there.

use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::model::flow::Protocol;
use netmon::run::past::StoredPast;
use netmon::sink::history::past::Past;
use netmon::sink::history::reader::Reader;

use crate::answers::{NOON, world};
use crate::netmon::Scratch;
use crate::stored::{Alert, Fact, PROTOCOLS, World, down};
use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("past::steps_meet_every_byte_once", steps),
        trial("past::buckets_become_snapshots", snapshots),
    ]
}

fn steps() -> anyhow::Result<()> {
    for seed in 1..=4 {
        let scratch = Scratch::new()?;
        let file = scratch.path.join("history.db");
        let world = world(seed);
        let _writer = world.write(&file)?;
        let reader = Reader::open(&file)?;
        let mut all: Vec<Past> = Vec::new();
        let mut time = i64::MAX;
        while let Some(past) = reader.past_before(time)? {
            ensure!(past.start < time, "{} is not before {time}", past.start);
            ensure!(
                past.start + past.length <= time,
                "{} overlaps {time}",
                past.start
            );
            ensure!(
                past.length == world.finest_at(past.start),
                "{}",
                past.length
            );
            check(&world, &past).with_context(|| format!("bucket {}", past.start))?;
            time = past.start;
            all.push(past);
        }
        let rows: usize = all.iter().map(|past| past.rows.len()).sum();
        ensure!(rows > 1000, "only {rows} rows");
        let bytes = |past: &Past| -> u64 { past.rows.iter().map(|it| it.tx_bytes).sum() };
        let found: u64 = all.iter().map(bytes).sum();
        let wanted: u64 = world.facts.iter().map(|it| it.tx).sum();
        ensure!(found == wanted, "{found} bytes, not {wanted}");

        let mut forth = Vec::new();
        let mut time = 0;
        while let Some(past) = reader.past_after(time)? {
            time = past.start;
            forth.push(past);
        }
        forth.reverse();
        ensure!(
            forth == all,
            "{} steps forth, {} back",
            forth.len(),
            all.len()
        );

        for past in all.iter().step_by(7) {
            for within in [0, past.length / 2, past.length - 1] {
                let found = reader.past_at(past.start + within)?;
                ensure!(found.as_ref() == Some(past), "at {} + {within}", past.start);
            }
        }
        let first = all.last().context("none")?;
        ensure!(reader.past_at(0)?.as_ref() == Some(first), "before all");
    }
    Ok(())
}

/// A bucket against the facts of its time.
fn check(world: &World, past: &Past) -> anyhow::Result<()> {
    let end = past.start + past.length;
    let within = |time: i64| time >= past.start && time < end;
    for row in &past.rows {
        let is_it = |fact: &&Fact| {
            within(fact.time)
                && fact.process as i64 + 1 == row.process
                && row.remote.as_deref().unwrap_or_default() == world.remotes[fact.remote]
                && row.protocol.map_or("", Protocol::name) == PROTOCOLS[fact.protocol]
                && (row.pid == 0 || row.pid == fact.pid)
        };
        let facts = world.facts.iter().filter(is_it);
        let (tx, rx) = facts.fold((0, 0), |(tx, rx), it| (tx + it.tx, rx + it.rx));
        ensure!(
            (row.tx_bytes, row.rx_bytes) == (tx, rx),
            "{row:?}: {tx} {rx}"
        );
        let [name, _, user, ..] = world.processes[usize::try_from(row.process)? - 1];
        ensure!((row.who.name.as_str(), row.who.user.as_str()) == (name, user));
        ensure!((row.pid != 0) == (past.length == 10), "{row:?}");
    }
    let machine = world.by_protocol();
    for (protocol, tx, rx) in &past.protocols {
        let is_it = |it: &&Fact| within(it.time) && PROTOCOLS[it.protocol] == protocol.name();
        let facts = machine.iter().filter(is_it);
        let sum = facts.fold((0, 0), |(tx, rx), it| (tx + it.tx, rx + it.rx));
        ensure!((*tx, *rx) == sum, "{protocol}: {tx} {rx} is not {sum:?}");
    }
    let active = |it: &&Alert| {
        it.started < end as f64 && it.ended.is_none_or(|ended| ended >= past.start as f64)
    };
    let active = world.alerts.iter().filter(active).count();
    ensure!(past.alerts.len() == active, "{} alerts", past.alerts.len());
    Ok(())
}

fn snapshots() -> anyhow::Result<()> {
    let fact = |process, remote, protocol, pid, tx| Fact {
        time: down(NOON, 10),
        process,
        remote,
        protocol,
        pid,
        tx,
        rx: 10,
    };
    let whole = World {
        facts: vec![
            fact(0, 3, 1, 7, 1000),
            fact(0, 4, 2, 7, 500),
            fact(0, 3, 1, 8, 20),
            fact(0, 0, 0, 8, 1),
            fact(5, 0, 0, 0, 300),
            fact(2, 1, 2, 9, 4),
        ],
        unlisted: Vec::new(),
        alerts: vec![Alert {
            started: NOON as f64 - 5.0,
            ended: None,
            process: 0,
            pid: 7,
            protocol: 1,
            remote: 3,
            port: Some(443),
            peak: 2e7,
        }],
        cut_10s: i64::MIN,
        cut_1m: i64::MIN,
        rolled_up: i64::MIN,
        ..world(1)
    };
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let _writer = whole.write(&file)?;
    let mut past = StoredPast::open(&file)?;
    let start = Duration::from_secs(NOON as u64);
    let just_after = start + Duration::from_millis(1);
    ensure!(past.before(start)?.is_none() && past.after(start)?.is_none());
    let snapshot = past.before(just_after)?.context("nothing before")?;
    let same = past.after(Duration::ZERO)?.context("nothing after")?;
    ensure!(snapshot == same, "back and forth differ");
    ensure!(snapshot.at.wall == start && snapshot.interval == Duration::from_secs(10));
    ensure!(snapshot.engine.name == "history");

    let process = |pid: u32| {
        let mut rows = snapshot.processes.iter();
        rows.find(|row| row.id.pid == pid).context("a process")
    };
    let curl = process(7)?;
    ensure!(
        (curl.totals.tx_bytes, curl.totals.rx_bytes) == (1500, 20),
        "{curl:?}"
    );
    ensure!(
        (curl.rates.tx, curl.rates.smoothed) == (150.0, 152.0),
        "{curl:?}"
    );
    ensure!(curl.identity.name == "curl" && curl.identity.command == "/usr/bin/curl");
    ensure!(curl.by_protocol[Protocol::Tcp.index()].tx_bytes == 1000);
    ensure!(curl.anomalous && !process(8)?.anomalous);
    ensure!(
        process(8)?.totals.tx_bytes == 21,
        "what is in no flow counts too"
    );
    ensure!(snapshot.processes.len() == 3, "{:?}", snapshot.processes);

    // The bytes in no flow have none; the kernel's are no process.
    ensure!(snapshot.flows.len() == 4, "{:?}", snapshot.flows);
    for flow in &snapshot.flows {
        let owner = snapshot.process_of(flow).context("an owner")?;
        ensure!(
            owner.id == flow.key.process && flow.key.local.is_none(),
            "{flow:?}"
        );
    }
    let remotes = snapshot.flows.iter().filter_map(|flow| flow.key.remote);
    let mut remotes: Vec<String> = remotes.map(|end| end.to_string()).collect();
    remotes.sort();
    ensure!(
        remotes == ["192.0.2.3", "192.0.2.3", "192.0.2.4", "eth0"],
        "{remotes:?}"
    );
    ensure!(snapshot.flows.iter().filter(|flow| flow.anomalous).count() == 1);
    let [kernel] = &snapshot.aggregates[..] else {
        anyhow::bail!("{:?}", snapshot.aggregates);
    };
    ensure!(kernel.name == "[kernel]" && kernel.kernel_thread && kernel.totals.tx_bytes == 300);

    let (totals, rates) = snapshot.overall();
    ensure!((totals.tx_bytes, rates.tx) == (1524, 152.4), "{totals:?}");
    ensure!(snapshot.anomalies.len() == 1 && snapshot.threshold == 10_485_760.0);
    Ok(())
}

//! Answers against the naive model: random histories, windows, steps and filters, beyond
//! retention and across the marks up to which they are rolled up.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::model::flow::Protocol;
use netmon::sink::history::answer::{Moved, Timeline};
use netmon::sink::history::ask::{By, Whose, Window, text};
use netmon::sink::history::reader::Reader;

use crate::naive::{add, bytes, told};
use crate::netmon::Scratch;
use crate::stored::{Alert, Dice, Fact, PROTOCOLS, Process, World, down};
use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("answers::tops", tops),
        trial("answers::protocols_and_remotes", shares),
        trial("answers::timelines", timelines),
        trial("answers::alerts", alerts),
        trial("answers::nothing_stored", nothing_stored),
    ]
}

/// 2026-11-20T12:00:00Z.
pub const NOON: i64 = 1_795_176_000;

pub const PROCESSES: [Process; 8] = [
    ["curl", "/usr/bin/curl", "alice", "", ""],
    ["curl", "/usr/bin/curl", "bob", "", ""],
    ["sshd", "/usr/sbin/sshd", "root", "ssh.service", ""],
    ["nginx", "/usr/sbin/nginx", "www-data", "nginx.service", ""],
    ["nginx", "/usr/sbin/nginx", "www-data", "", "0123456789ab"],
    ["[kernel]", "", "", "", ""],
    ["a,b \"c\"", "", "alice", "user@1000.service", ""],
    [
        "postgres",
        "/opt/postgres",
        "postgres",
        "docker.scope",
        "ba9876543210",
    ],
];

/// A history of some days with a few thousand facts.
pub fn world(seed: u64) -> World {
    let mut dice = Dice::new(seed);
    let rolled_up = down(NOON - dice.below(7200), 60);
    let days = 3 * 86_400;
    let mut world = World {
        processes: PROCESSES.to_vec(),
        remotes: (0..12)
            .map(|at| match at {
                0 => String::new(),
                1 => "eth0".to_owned(),
                2 => "2001:db8::1".to_owned(),
                at => format!("192.0.2.{at}"),
            })
            .collect(),
        facts: Vec::new(),
        unlisted: Vec::new(),
        alerts: Vec::new(),
        cut_10s: down(rolled_up - dice.below(86_400), 60),
        cut_1m: down(rolled_up - 86_400 - dice.below(86_400), 3600),
        rolled_up,
    };
    let mut times: Vec<i64> = (0..3000).map(|_| NOON - dice.below(days)).collect();
    // Busy moments, and one bucket on each mark; what has no protocol is in no sum of
    // the protocols here, so that the sums cannot be taken for one another.
    times.extend((0..600).map(|_| NOON - 7200 + dice.below(7260)));
    times.extend((0..400).map(|_| world.cut_10s + dice.below(600) - 300));
    times.extend([
        world.cut_10s,
        world.cut_1m,
        world.cut_1m + 3590,
        NOON - days,
    ]);
    for time in times {
        let marked = [world.cut_10s, world.cut_1m, NOON - days].contains(&time);
        let fact = Fact {
            time: down(time, 10),
            process: dice.below(8) as usize,
            remote: dice.below(12) as usize,
            protocol: if marked { 1 } else { dice.below(5) as usize },
            pid: 100 + dice.below(5) as u32,
            tx: dice.below(1 << 30) as u64,
            rx: dice.below(1 << 20) as u64,
        };
        world.facts.push(fact);
        if dice.one_in(10) {
            world
                .unlisted
                .push((fact.time, 1, 1 + dice.below(1000) as u64));
        }
    }
    // In some nothing is old enough to be gone.
    if seed.is_multiple_of(4) {
        (world.cut_10s, world.cut_1m) = (i64::MIN, i64::MIN);
    }
    for _ in 0..40 {
        let started = NOON as f64 - dice.below(days) as f64 + 0.25;
        world.alerts.push(Alert {
            started,
            ended: (!dice.one_in(4)).then(|| started + dice.below(7200) as f64),
            process: dice.below(8) as usize,
            pid: 100 + dice.below(5) as u32,
            protocol: 1 + dice.below(4) as usize,
            remote: dice.below(12) as usize,
            port: Some(443).filter(|_| dice.one_in(2)),
            peak: 2e7,
        });
    }
    world
}

/// A window anywhere in or beside the history.
pub fn window(dice: &mut Dice, world: &World) -> Window {
    let marks = [world.rolled_up, world.cut_10s, world.cut_1m].map(|mark| mark.max(0));
    let marks = [marks[0], marks[1], marks[2], NOON];
    let near = *dice.pick(&marks) - dice.below(4000) + 2000;
    let since = match dice.below(3) {
        0 => NOON - dice.below(4 * 86_400),
        _ => near,
    };
    let length = match dice.below(3) {
        0 => dice.below(300),
        1 => dice.below(7200),
        _ => dice.below(2 * 86_400),
    };
    Window {
        since,
        until: since + length + 1,
    }
}

fn whose(dice: &mut Dice, world: &World) -> Whose {
    let mut whose = Whose::default();
    if dice.one_in(3) {
        whose.name = Some(dice.pick(&world.processes)[0].to_owned());
    }
    if dice.one_in(4) {
        whose.remote = Some(dice.pick(&world.remotes).clone());
    }
    if dice.one_in(4) {
        whose.protocol = Protocol::from_name(dice.pick::<&str>(&PROTOCOLS[1..]));
    }
    if dice.one_in(8) {
        whose.pid = Some(100 + dice.below(6) as u32);
    }
    whose
}

/// Asks of many histories; what differs is told with the question.
fn ask(
    test: impl Fn(&mut Dice, &World, &Reader, Window, &Whose) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for seed in 1..=8 {
        let scratch = Scratch::new()?;
        let file = scratch.path.join("history.db");
        let world = world(seed);
        let _writer = world.write(&file)?;
        let reader = Reader::open(&file)?;
        let mut dice = Dice::new(seed + 1000);
        for number in 0..50 {
            let (window, whose) = (window(&mut dice, &world), whose(&mut dice, &world));
            test(&mut dice, &world, &reader, window, &whose).with_context(|| {
                let marks = (world.cut_1m, world.cut_10s, world.rolled_up);
                format!("history {seed}, question {number}: {window:?} {whose:?} of {marks:?}")
            })?;
        }
    }
    Ok(())
}

fn tops() -> anyhow::Result<()> {
    ask(|dice, world, reader, window, whose| {
        let by = *dice.pick(&By::ALL);
        let limit = 1 + dice.below(10) as usize;
        let found = reader.top(window, by, whose, limit)?;
        let wanted = world.top(window, by, whose, limit);
        ensure!(found == wanted, "{by:?}: {found:#?} is not {wanted:#?}");
        Ok(())
    })
}

fn shares() -> anyhow::Result<()> {
    ask(|dice, world, reader, window, whose| {
        let found = reader.protocols(window, whose)?;
        let wanted = world.top(window, By::Protocol, whose, 100);
        ensure!((&found.since, &found.until) == (&wanted.since, &wanted.until));
        let rows = found.protocols.iter();
        let rows: Vec<_> = rows
            .map(|row| (&row.protocol, row.moved, row.percentage))
            .collect();
        let those = wanted.rows.iter();
        let those: Vec<_> = those
            .map(|row| (&row.key, row.moved, row.percentage))
            .collect();
        ensure!(rows == those, "{rows:?} is not {those:?}");

        let limit = 1 + dice.below(10) as usize;
        let found = reader.remotes(window, whose, limit)?;
        let wanted = world.top(window, By::Remote, whose, limit);
        ensure!(found.other == wanted.other, "other");
        for (row, that) in found.remotes.iter().zip(&wanted.rows) {
            let address = row.remote_address.as_deref();
            ensure!(address == Some(that.key.as_str()).filter(|key| !key.is_empty()));
            ensure!(row.moved == that.moved, "{row:?} is not {that:?}");
        }
        Ok(())
    })
}

fn timelines() -> anyhow::Result<()> {
    ask(|dice, world, reader, window, whose| {
        let step = match dice.below(3) {
            0 => 1 + dice.below(100),
            1 => 1 + dice.below(4000),
            _ => 1 + dice.below(100_000),
        };
        let limit = 1 + dice.below(4) as usize;
        let by = dice.one_in(2).then(|| (*dice.pick(&By::ALL), limit));
        let length = Duration::from_secs(step as u64);
        let found = reader.timeline(window, length, whose, by)?;
        check_line(world, window, step, whose, by, &found)
            .with_context(|| format!("step {step}, by {by:?}"))
    })
}

fn check_line(
    world: &World,
    window: Window,
    asked: i64,
    whose: &Whose,
    by: Option<(By, usize)>,
    found: &Timeline,
) -> anyhow::Result<()> {
    let start =
        |text: &str| -> anyhow::Result<i64> { Ok(text.parse::<jiff::Timestamp>()?.as_second()) };
    let (since, until) = (start(&found.since)?, start(&found.until)?);
    let step = i64::try_from(found.step_seconds)?;
    let wanted = world.widened(window, whose);
    ensure!(since <= wanted.since && until >= wanted.until, "too narrow");
    ensure!(
        since > wanted.since - step && until < wanted.until + step,
        "too wide: {since} {until} {step}"
    );
    ensure!(
        step >= asked && since % step == 0 && until % step == 0,
        "step {step}"
    );
    ensure!(
        step <= asked.max(10) * 30 || step <= 3600,
        "step {step} for {asked}"
    );
    ensure!(
        found.points.len() as i64 == (until - since) / step,
        "points"
    );
    ensure!(found.points.len() <= 2000, "too many points");

    let mut window = Window { since, until };
    if whose.pid.is_some() {
        window.since = window.since.max(world.cut_10s);
    }
    let stored = world.stored(window, std::iter::empty());
    ensure!(found.stored == told(stored), "{:?}", found.stored);
    let machine = by.is_none_or(|(by, _)| by == By::Protocol);
    let facts = world.facts_of(window, whose, machine);
    // With a remote or a name the bytes are those of flows; without, the machine's.
    let mut line = vec![Moved::default(); found.points.len()];
    for fact in &facts {
        add(&mut line[((fact.time - since) / step) as usize], fact);
    }
    for (at, (point, moved)) in found.points.iter().zip(&line).enumerate() {
        ensure!(point.t == text(since + at as i64 * step), "{point:?}");
        ensure!(point.moved == *moved, "{point:?} is not {moved:?}");
    }
    let Some((by, limit)) = by else {
        ensure!(found.series.is_none(), "series");
        return Ok(());
    };
    check_series(world, &facts, by, limit, found, (since, step))
}

fn check_series(
    world: &World,
    facts: &[Fact],
    by: By,
    limit: usize,
    found: &Timeline,
    (since, step): (i64, i64),
) -> anyhow::Result<()> {
    let mut sums: BTreeMap<(usize, String), Moved> = BTreeMap::new();
    let key = |fact: &Fact| match world.key(fact, by) {
        // A line is known by its name alone.
        (_, key) if by == By::Process => (0, key),
        key => key,
    };
    for fact in facts {
        add(sums.entry(key(fact)).or_default(), fact);
    }
    let mut keys: Vec<_> = sums.into_iter().collect();
    keys.sort_by_key(|(_, moved)| std::cmp::Reverse(bytes(*moved)));
    let keys: Vec<_> = keys.into_iter().take(limit).map(|(key, _)| key).collect();
    let mut lines = vec![vec![Moved::default(); found.points.len()]; keys.len() + 1];
    for fact in facts {
        let place = keys.iter().position(|it| *it == key(fact));
        let line = &mut lines[place.unwrap_or(keys.len())];
        add(&mut line[((fact.time - since) / step) as usize], fact);
    }
    let series = found.series.as_ref().context("no series")?;
    ensure!(series.len() == lines.len(), "{} series", series.len());
    let names = keys.iter().map(|(_, key)| key.as_str()).chain(["other"]);
    for ((series, line), name) in series.iter().zip(&lines).zip(names) {
        ensure!(series.key == name, "{} is not {name}", series.key);
        let tx: Vec<u64> = line.iter().map(|moved| moved.tx_bytes).collect();
        let rx: Vec<u64> = line.iter().map(|moved| moved.rx_bytes).collect();
        ensure!(series.tx_bytes == tx, "{name}: sent");
        ensure!(series.rx_bytes == rx, "{name}: received");
    }
    Ok(())
}

fn alerts() -> anyhow::Result<()> {
    ask(|dice, world, reader, window, whose| {
        let limit = 1 + dice.below(20) as usize;
        let found = reader.alerts(window, whose, limit)?;
        let is_it = |it: &&Alert| {
            let name = |name: &String| world.processes[it.process][0] == name;
            it.started < window.until as f64
                && it.ended.is_none_or(|ended| ended >= window.since as f64)
                && whose.name.as_ref().is_none_or(name)
                && whose.pid.is_none_or(|pid| it.pid == pid)
                && (whose.remote.as_ref()).is_none_or(|to| world.remotes[it.remote] == *to)
                && whose
                    .protocol
                    .is_none_or(|by| by.name() == PROTOCOLS[it.protocol])
        };
        let mut wanted: Vec<&Alert> = world.alerts.iter().filter(is_it).collect();
        wanted.reverse();
        wanted.sort_by(|a, b| b.started.total_cmp(&a.started));
        wanted.truncate(limit);
        let time = |seconds: f64| {
            let time = jiff::Timestamp::from_millisecond((seconds * 1e3) as i64)?;
            anyhow::Ok(format!("{time:.3}"))
        };
        ensure!(found.alerts.len() == wanted.len(), "{found:?}");
        for (alert, it) in found.alerts.iter().zip(wanted) {
            ensure!(
                alert.started == time(it.started)?,
                "{alert:?} is not {it:?}"
            );
            ensure!(alert.ended == it.ended.map(time).transpose()?, "{alert:?}");
            ensure!(alert.name == world.processes[it.process][0], "{alert:?}");
            ensure!(
                (alert.pid, alert.remote_port) == (it.pid, it.port),
                "{alert:?}"
            );
            ensure!(
                alert.peak == 2e7 && alert.threshold == 10_485_760.0,
                "{alert:?}"
            );
        }
        Ok(())
    })
}

fn nothing_stored() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let empty = World {
        facts: Vec::new(),
        unlisted: Vec::new(),
        alerts: Vec::new(),
        rolled_up: i64::MIN,
        ..world(1)
    };
    let _writer = empty.write(&file)?;
    let reader = Reader::open(&file)?;
    let (window, whose) = (
        Window {
            since: 15,
            until: 86_400,
        },
        Whose::default(),
    );
    for by in By::ALL {
        let top = reader.top(window, by, &whose, 5)?;
        ensure!(top.rows.is_empty() && top.total == Moved::default());
        let step = Duration::from_secs(60);
        let line = reader.timeline(window, step, &whose, Some((by, 5)))?;
        ensure!(line.points.len() == 1440, "{} points", line.points.len());
        ensure!(line.series.is_some_and(|series| series.len() == 1));
    }
    ensure!(reader.past_before(i64::MAX)?.is_none() && reader.past_after(0)?.is_none());
    Ok(())
}

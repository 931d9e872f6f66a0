//! Interfaces of the past: answers against a naive model, and the real binary's words.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::model::interface::Class;
use netmon::sink::history::answer::{Frames, Moved};
use netmon::sink::history::ask::{Whose, Window};
use netmon::sink::history::reader::Reader;

use crate::answers::{self, NOON};
use crate::naive;
use crate::netmon::{Scratch, netmon, run};
use crate::stored::{Dice, World};
use crate::trial::trial;
use crate::wired::{self, Fact, NAMES, facts, write};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("interfaces::sums", sums),
        trial("interfaces::timelines", timelines),
        trial("interfaces::averages_of_a_young_history", young),
        trial("interfaces::binary", binary),
        trial("interfaces::usage", usage),
    ]
}

/// A history of some minutes: its averages are over these, however much longer the window
/// is and however long the buckets are that tell of them.
fn young() -> anyhow::Result<()> {
    let moved = Frames {
        tx_bytes: 1000,
        rx_bytes: 3000,
        tx_packets: 10,
        rx_packets: 30,
    };
    let fact = |time| Fact {
        time,
        interface: 1,
        class: None,
        moved,
    };
    // Forty minutes into an hour.
    let begun = NOON - 1200;
    for (minutes, cut_10s) in [(4, i64::MIN), (4, begun + 120), (15, i64::MIN)] {
        let until = begun + minutes * 60;
        let facts: Vec<Fact> = (begun..until).step_by(10).map(fact).collect();
        let world = World {
            facts: Vec::new(),
            unlisted: Vec::new(),
            alerts: Vec::new(),
            cut_10s,
            cut_1m: i64::MIN,
            rolled_up: until - 60,
            ..answers::world(1)
        };
        let scratch = Scratch::new()?;
        let file = scratch.path.join("history.db");
        write(&world.write(&file)?, &world, &facts)?;
        let reader = Reader::open(&file)?;
        let stored = |since, until| naive::told(Some(Window { since, until }));
        for length in [900, 3600, 86_400, 14 * 86_400] {
            let window = Window {
                since: until - length,
                until,
            };
            let found = reader.interfaces(window, Some("eth0"), 1)?;
            let since = begun.max(window.since);
            ensure!(found.stored == stored(since, until), "{found:?}");
            let row = &found.interfaces[0];
            ensure!(row.average_rate == 400.0 && row.peak_rate == 400, "{row:?}");
            let step = Duration::from_secs(length as u64 / 300);
            let line = reader.interface_timeline(window, step, "eth0")?;
            ensure!(line.stored == stored(begun, until), "{line:?}");
        }
        let before = Window {
            since: begun - 7200,
            until: begun - 3600,
        };
        let found = reader.interfaces(before, None, 9)?;
        ensure!(
            found.stored.is_none() && found.interfaces.is_empty(),
            "{found:?}"
        );
    }
    Ok(())
}

/// Asks of many histories; what differs is told with the question.
fn ask(
    test: impl Fn(&mut Dice, &World, &[Fact], &Reader, Window) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for seed in 1..=8 {
        let scratch = Scratch::new()?;
        let file = scratch.path.join("history.db");
        let world = answers::world(seed);
        let facts = facts(seed, &world);
        let db = world.write(&file)?;
        write(&db, &world, &facts)?;
        let reader = Reader::open(&file)?;
        let mut dice = Dice::new(seed + 2000);
        for number in 0..50 {
            let window = answers::window(&mut dice, &world);
            test(&mut dice, &world, &facts, &reader, window).with_context(|| {
                let marks = (world.cut_1m, world.cut_10s, world.rolled_up);
                format!("history {seed}, question {number}: {window:?} of {marks:?}")
            })?;
        }
    }
    Ok(())
}

fn sums() -> anyhow::Result<()> {
    ask(|dice, world, facts, reader, window| {
        // The last name is that of one that never moved anything.
        let name = dice.one_in(3).then(|| *dice.pick(&NAMES));
        let limit = 1 + dice.below(4) as usize;
        let found = reader.interfaces(window, name, limit)?;
        let wanted = wired::sums(world, facts, window, name, limit);
        ensure!(found == wanted, "{name:?}: {found:#?} is not {wanted:#?}");
        Ok(())
    })
}

fn timelines() -> anyhow::Result<()> {
    ask(|dice, world, facts, reader, window| {
        let step = match dice.below(3) {
            0 => 1 + dice.below(100),
            1 => 1 + dice.below(4000),
            _ => 1 + dice.below(100_000),
        };
        let name = *dice.pick(&NAMES);
        let found = reader.interface_timeline(window, Duration::from_secs(step as u64), name)?;
        let second = |text: &str| anyhow::Ok(text.parse::<jiff::Timestamp>()?.as_second());
        let (since, until) = (second(&found.since)?, second(&found.until)?);
        let length = i64::try_from(found.step_seconds)?;
        let wanted = world.widened(window, &Whose::default());
        ensure!(since <= wanted.since && until >= wanted.until, "too narrow");
        ensure!(length >= step && since % length == 0, "step {length}");
        let stored = world.stored(Window { since, until }, facts.iter().map(|it| it.time));
        ensure!(found.stored == naive::told(stored), "{:?}", found.stored);
        let mut line = vec![Moved::default(); ((until - since) / length) as usize];
        for fact in facts.iter().filter(|fact| fact.class.is_none()) {
            let is_in = fact.time >= since && fact.time < until;
            if is_in && NAMES[fact.interface] == name {
                line[((fact.time - since) / length) as usize].add(Moved {
                    tx_bytes: fact.moved.tx_bytes,
                    rx_bytes: fact.moved.rx_bytes,
                });
            }
        }
        let points: Vec<Moved> = found.points.iter().map(|point| point.moved).collect();
        ensure!(
            points == line,
            "{name}, step {step}: {points:?} is not {line:?}"
        );
        Ok(())
    })
}

/// A small history for people: an hour of `eth0`, sampled, and of `lo`, not.
fn small(file: &Path) -> anyhow::Result<()> {
    let world = World {
        facts: Vec::new(),
        unlisted: Vec::new(),
        alerts: Vec::new(),
        cut_10s: i64::MIN,
        cut_1m: i64::MIN,
        rolled_up: NOON - 600,
        ..answers::world(1)
    };
    let mut facts = Vec::new();
    for at in 0..360 {
        let time = NOON - 3600 + at * 10;
        let frames = |bytes: u64, packets: u64| Frames {
            tx_bytes: bytes / 10,
            rx_bytes: bytes,
            tx_packets: packets / 2,
            rx_packets: packets,
        };
        let mut add = |interface, class, moved| {
            facts.push(Fact {
                time,
                interface,
                class,
                moved,
            });
        };
        let bytes = 1_000_000 + 10_000 * at.unsigned_abs();
        add(1, None, frames(bytes, 800));
        add(1, Some(Class::Tcp), frames(bytes - 1000, 790));
        add(1, Some(Class::Udp), frames(1000, 10));
        add(1, Some(Class::Https), frames(bytes / 2, 400));
        add(0, None, frames(2000, 20));
    }
    let db = world.write(file)?;
    write(&db, &world, &facts)
}

fn binary() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    small(&file)?;
    let ask = |words: &str| -> anyhow::Result<String> {
        let mut command = netmon(["history"]);
        command.args(words.split(' ')).arg("--db").arg(&file);
        command.args(["--since", "2026-11-20T11:00:00Z"]);
        command.args(["--until", "2026-11-20T12:00:00Z"]);
        let done = run(command.env("TZ", "UTC").env("LC_ALL", "C.UTF-8"))?;
        done.check_code(0)?;
        Ok(done.stdout)
    };
    insta::assert_snapshot!("interfaces_table", ask("interfaces")?);
    insta::assert_snapshot!("interfaces_csv", ask("interfaces --format csv")?);
    ensure!(ask("interfaces --csv")? == ask("interfaces --format csv")?);
    let json = ask("interfaces --format json --iface eth0 --limit 1")?;
    ensure!(json == ask("interfaces --json --iface eth0 --limit 1")?);
    let json: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(
        json["interfaces"]
            .as_array()
            .is_some_and(|rows| rows.len() == 1)
    );
    let row = &json["interfaces"][0];
    ensure!(
        row["interface"] == "eth0" && row["rx_packets"] == 800 * 360,
        "{row}"
    );
    ensure!(row["classes"][0]["class"] == "tcp", "{row}");
    let unknown = ask("interfaces --iface eth7")?;
    ensure!(unknown.contains("Nothing was counted"), "{unknown}");

    insta::assert_snapshot!(
        "interfaces_timeline",
        ask("timeline --iface eth0 --step 10m")?
    );
    let csv = ask("timeline --iface lo --step 10m --format csv")?;
    ensure!(
        csv.lines().nth(1) == Some("2026-11-20T11:00:00Z,12000,120000"),
        "{csv}"
    );
    Ok(())
}

fn usage() -> anyhow::Result<()> {
    for (words, part) in [
        ("timeline --iface eth0 --name curl", "--name"),
        ("timeline --iface eth0 --pid 1", "--pid"),
        ("timeline --iface eth0 --remote ::1", "--remote"),
        ("timeline --iface eth0 --protocol tcp", "--protocol"),
        ("timeline --iface eth0 --by user", "--by"),
        ("interfaces --name curl", "--name"),
        ("interfaces --format yaml", "table, json, csv"),
        ("interfaces --format csv --json", "--json"),
    ] {
        let mut command = netmon(["history"]);
        let done = run(command.args(words.split(' ')))?;
        done.check_code(2).with_context(|| words.to_owned())?;
        ensure!(done.stderr.contains(part), "{words}: {}", done.stderr);
    }
    Ok(())
}

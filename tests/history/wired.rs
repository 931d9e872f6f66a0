//! What interfaces moved in histories that are made by chance, and the naive answer to what
//! they moved in a window.
//!
//! Owns the facts and how they are stored. Judges nothing.

use std::collections::{BTreeMap, BTreeSet};

use netmon::model::interface::Class;
use netmon::sink::history::answer::{ClassShare, Frames, InterfaceSum, Interfaces};
use netmon::sink::history::ask::{Whose, Window, text};
use rusqlite::{Connection, params};

use crate::answers::NOON;
use crate::naive;
use crate::stored::{Dice, World, down};

pub const NAMES: [&str; 4] = ["lo", "eth0", "a,b\"", "veth12ab"];

/// What one interface moved in ten seconds, of one class; without one, all of it.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    pub time: i64,
    pub interface: usize,
    pub class: Option<Class>,
    pub moved: Frames,
}

/// Facts on top of a history, in it and a little beside it.
pub fn facts(seed: u64, world: &World) -> Vec<Fact> {
    let mut dice = Dice::new(seed + 77);
    let marks = [world.cut_10s, world.cut_1m, world.rolled_up].map(|mark| mark.max(0));
    let mut facts = Vec::new();
    for _ in 0..1500 {
        let time = match dice.below(3) {
            0 => NOON - dice.below(3 * 86_400),
            1 => NOON - dice.below(7200),
            _ => dice.pick(&marks) + dice.below(1200) - 600,
        };
        let class = match dice.below(3) {
            0 => Some(*dice.pick(&Class::ALL)),
            _ => None,
        };
        facts.push(Fact {
            time: down(time.min(NOON), 10),
            interface: dice.below(3) as usize,
            class,
            moved: Frames {
                tx_bytes: dice.below(1 << 30) as u64,
                rx_bytes: dice.below(1 << 20) as u64,
                tx_packets: dice.below(1 << 20) as u64,
                rx_packets: 1 + dice.below(1 << 10) as u64,
            },
        });
    }
    facts
}

/// Whole buckets of ten seconds: by time, interface and class.
pub type Buckets = BTreeMap<(i64, usize, Option<usize>), Frames>;

pub fn buckets(facts: &[Fact]) -> Buckets {
    let mut buckets = Buckets::new();
    for fact in facts {
        let class = fact.class.map(|class| class as usize);
        let sum = buckets.entry((fact.time, fact.interface, class));
        sum.or_default().add(fact.moved);
    }
    buckets
}

/// Writes what a netmon that counted them would have left.
pub fn write(db: &Connection, world: &World, facts: &[Fact]) -> anyhow::Result<()> {
    for (at, name) in NAMES.iter().enumerate() {
        db.execute(
            "INSERT INTO interface (id, name) VALUES (?1, ?2)",
            params![at as i64 + 1, name],
        )?;
    }
    let step = db.unchecked_transaction()?;
    for (level, length, from, until) in [
        ("10s", 10, world.cut_10s, i64::MAX),
        ("1m", 60, world.cut_1m, world.rolled_up),
        ("1h", 3600, i64::MIN, world.rolled_up),
    ] {
        for ((time, interface, class), moved) in buckets(facts) {
            let start = down(time, length);
            if time >= until || start < from {
                continue;
            }
            let (table, class_column) = match class {
                Some(class) => ("class", format!("{},", class + 1)),
                None => ("interface", String::new()),
            };
            let (peak_name, peak) = match class {
                Some(_) => ("", String::new()),
                None => (", peak", format!(", {}", moved.bytes() / 10)),
            };
            let class_name = if class.is_some() { "class," } else { "" };
            let set_peak = match class {
                Some(_) => "",
                None => ", peak = max(peak, excluded.peak)",
            };
            step.execute(
                &format!(
                    "INSERT INTO {table}_{level} (time, interface, {class_name} tx_bytes,
                       rx_bytes, tx_packets, rx_packets {peak_name})
                     VALUES (?1, ?2, {class_column} ?3, ?4, ?5, ?6 {peak})
                     ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                       rx_bytes = rx_bytes + excluded.rx_bytes,
                       tx_packets = tx_packets + excluded.tx_packets,
                       rx_packets = rx_packets + excluded.rx_packets {set_peak}"
                ),
                params![
                    start,
                    interface as i64 + 1,
                    moved.tx_bytes as i64,
                    moved.rx_bytes as i64,
                    moved.tx_packets as i64,
                    moved.rx_packets as i64,
                ],
            )?;
        }
    }
    Ok(step.commit()?)
}

/// The answer, found the naive way.
pub fn sums(
    world: &World,
    facts: &[Fact],
    window: Window,
    name: Option<&str>,
    limit: usize,
) -> Interfaces {
    let window = world.widened(window, &Whose::default());
    let stored = world.stored(window, facts.iter().map(|fact| fact.time));
    let seconds = stored.map_or(0, |it| it.until - it.since);
    let is_in = |time: i64| time >= window.since && time < window.until;
    let buckets: Buckets = buckets(facts)
        .into_iter()
        .filter(|((time, interface, _), _)| {
            is_in(*time) && name.is_none_or(|name| NAMES[*interface] == name)
        })
        .collect();
    let sum = |which: &dyn Fn(usize, Option<usize>) -> bool| {
        let mut sum = Frames::default();
        for ((_, interface, class), moved) in &buckets {
            if which(*interface, *class) {
                sum.add(*moved);
            }
        }
        sum
    };
    let seen: BTreeSet<usize> = buckets.keys().map(|key| key.1).collect();
    let round = |value: f64| (value * 1e2).round() / 1e2;
    let row = |wanted: usize| {
        let moved = sum(&|interface, class| interface == wanted && class.is_none());
        let of = |class: Class| {
            sum(&|interface, other| interface == wanted && other == Some(class as usize))
        };
        let parts: u64 = Class::PARTS.map(|class| of(class).bytes()).iter().sum();
        let share = |class: Class| ClassShare {
            class: class.name(),
            moved: of(class),
            percentage: round(of(class).bytes() as f64 / parts.max(1) as f64 * 1e2),
        };
        let classes: Vec<ClassShare> = Class::ALL
            .into_iter()
            .map(share)
            .filter(|one| one.moved != Frames::default())
            .collect();
        let peaks = buckets
            .iter()
            .filter(|((_, interface, class), _)| *interface == wanted && class.is_none());
        InterfaceSum {
            interface: NAMES[wanted].to_owned(),
            moved,
            average_rate: round(moved.bytes() as f64 / seconds as f64),
            peak_rate: peaks
                .map(|(_, moved)| moved.bytes() / 10)
                .max()
                .unwrap_or(0),
            classes: (!classes.is_empty()).then_some(classes),
        }
    };
    let mut rows: Vec<InterfaceSum> = seen.into_iter().map(row).collect();
    rows.sort_by(|a, b| {
        let larger = b.moved.bytes().cmp(&a.moved.bytes());
        larger.then_with(|| a.interface.cmp(&b.interface))
    });
    let mut other = Frames::default();
    for row in rows.iter().skip(limit) {
        other.add(row.moved);
    }
    rows.truncate(limit);
    Interfaces {
        since: text(window.since),
        until: text(window.until),
        stored: naive::told(stored),
        interfaces: rows,
        other,
    }
}

//! Interfaces in steps through the stored past: every frame once, the finest bucket that
//! is there.

use std::collections::BTreeMap;

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::model::interface::Class;
use netmon::sink::history::answer::Frames;
use netmon::sink::history::past::PastInterface;
use netmon::sink::history::reader::Reader;

use crate::answers;
use crate::netmon::Scratch;
use crate::trial::trial;
use crate::wired::{Fact, NAMES, buckets, facts, write};

pub fn trials() -> Vec<Trial> {
    vec![trial("wired_past::steps_meet_every_frame_once", steps)]
}

/// Every stretch of the past tells of each interface what moved in it, and all of them
/// together tell of every frame once: also those in which no process moved anything.
fn steps() -> anyhow::Result<()> {
    for seed in 1..=2 {
        let scratch = Scratch::new()?;
        let file = scratch.path.join("history.db");
        let world = answers::world(seed);
        let writer = world.write(&file)?;
        let facts = facts(seed, &world);
        write(&writer, &world, &facts)?;
        let reader = Reader::open(&file)?;
        let (mut time, mut all, mut alone) = (i64::MAX, Frames::default(), 0);
        while let Some(past) = reader.past_before(time)? {
            ensure!(past.length == world.finest_at(past.start), "{}", past.start);
            ensure!(past.start + past.length <= time, "{} overlaps", past.start);
            let expected = naive_past(&facts, past.start, past.length);
            ensure!(
                past.interfaces == expected,
                "{}: {:?}, not {expected:?}",
                past.start,
                past.interfaces
            );
            alone += usize::from(past.rows.is_empty());
            past.interfaces.iter().for_each(|row| all.add(row.moved));
            time = past.start;
        }
        let mut wanted = Frames::default();
        let whole = facts.iter().filter(|fact| fact.class.is_none());
        whole.for_each(|fact| wanted.add(fact.moved));
        ensure!(all == wanted, "{all:?}, not {wanted:?}");
        ensure!(alone > 10, "{alone} stretches without processes");
    }
    Ok(())
}

/// What a stretch tells of interfaces, found the naive way.
fn naive_past(facts: &[Fact], start: i64, length: i64) -> Vec<PastInterface> {
    let mut rows: BTreeMap<usize, PastInterface> = BTreeMap::new();
    let within = |time| time >= start && time < start + length;
    for ((time, interface, class), moved) in buckets(facts) {
        if !within(time) {
            continue;
        }
        let row = rows.entry(interface).or_insert_with(|| PastInterface {
            number: interface as i64 + 1,
            name: NAMES[interface].to_owned(),
            moved: Frames::default(),
            peak: 0,
            classes: Vec::new(),
        });
        let Some(class) = class else {
            row.moved.add(moved);
            row.peak = row.peak.max(moved.bytes() / 10);
            continue;
        };
        let class = Class::ALL[class];
        match row.classes.iter_mut().find(|(known, _)| *known == class) {
            Some((_, sum)) => sum.add(moved),
            None => row.classes.push((class, moved)),
        }
    }
    let order = |(class, _): &(Class, Frames)| *class as usize;
    rows.values_mut()
        .for_each(|row| row.classes.sort_by_key(order));
    rows.into_values().collect()
}

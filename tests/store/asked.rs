//! Answers out of files that a real writer left: whatever came late and whatever went
//! for its age or for want of room, the sums are those of the window that is named.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::model::ledger::BucketRow;
use netmon::sink::history::ask::{By, Whose, Window};
use netmon::sink::history::reader::Reader;
use netmon::sink::history::retention::Retention;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::books::{Books, FOREVER, bucket, row, tidy, who};
use crate::levels::{Event, START, event, live};
use crate::netmon::Scratch;
use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("answers_are_right_whatever_was_deleted", any_history),
        trial("without_minutes_hours_answer", without_minutes),
        trial("a_late_row_makes_nothing_whole", late_row),
    ]
}

/// What is asked: near which bucket, from how many seconds after it, for how long, in
/// points of what length.
type Question = (usize, i64, i64, u64);

fn any_history() -> anyhow::Result<()> {
    let mut runner = TestRunner::new(Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    });
    let seconds = |most: u64| (0..most).prop_map(Duration::from_secs);
    let retention =
        (seconds(7200), seconds(14_400), any::<bool>()).prop_map(|(keep_10s, longer, is_tiny)| {
            Retention {
                keep_10s,
                keep_1m: keep_10s + longer,
                max_size: if is_tiny { 1 } else { u64::MAX },
                ..FOREVER
            }
        });
    let question = (0..100_usize, -4000..4000_i64, 1..30_000_i64, 1..9000_u64);
    let all = (
        proptest::collection::vec(event(), 1..60),
        retention,
        proptest::collection::vec(question, 12),
    );
    let judged = runner.run(&all, |(events, retention, questions)| {
        check(&events, &retention, &questions)
            .map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    Ok(judged?)
}

fn check(events: &[Event], retention: &Retention, questions: &[Question]) -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let (mut store, _, written) = live(&file, events, retention)?;
    if written.is_empty() {
        return Ok(());
    }
    let reader = Reader::open(&file)?;
    for is_tidied in [false, true] {
        if is_tidied {
            tidy(&mut store, retention)?;
        }
        let hours = "SELECT max(time) FROM progress WHERE level = '1h'";
        let running = Books::open(&file)?.number(hours, [])?;
        for question in questions {
            let (near, offset, length, step) = *question;
            let mut since = written[near % written.len()].0 + offset;
            if retention.max_size == 1 {
                // Of hours before the running one nothing is promised.
                since = since.max(running);
            }
            let window = Window {
                since,
                until: since + length,
            };
            ask(&reader, &written, window, step)
                .with_context(|| format!("{window:?}, step {step}, tidied: {is_tidied}"))?;
        }
        if is_tidied && retention.max_size > 1 {
            // Centuries of ten seconds, one by one, would take minutes.
            let ever = Window {
                since: 0,
                until: 2 * START,
            };
            ask(&reader, &written, ever, 60).context("all there ever was")?;
        }
    }
    Ok(())
}

/// Sent and received by name.
type Sums = BTreeMap<String, (u64, u64)>;

fn sums(written: &[(i64, BucketRow)], (since, until): (i64, i64), pid: Option<u32>) -> Sums {
    let mut sums = Sums::new();
    for (time, row) in written {
        if *time >= since && *time < until && pid.is_none_or(|pid| pid == row.pid) {
            let sum = sums.entry(row.identity.name.clone()).or_default();
            *sum = (sum.0 + row.tx_bytes, sum.1 + row.rx_bytes);
        }
    }
    sums
}

fn seconds(text: &str) -> anyhow::Result<i64> {
    Ok(text.parse::<jiff::Timestamp>()?.as_second())
}

fn ask(
    reader: &Reader,
    written: &[(i64, BucketRow)],
    window: Window,
    step: u64,
) -> anyhow::Result<()> {
    let names = ["one", "two", "three"];
    let named = names.map(|name| Whose {
        name: Some(name.to_owned()),
        ..Whose::default()
    });
    let pid = Whose {
        pid: Some(1),
        ..Whose::default()
    };
    for whose in [Whose::default(), pid].into_iter().chain(named) {
        let top = reader.top(window, By::Process, &whose, 50)?;
        let asked = (seconds(&top.since)?, seconds(&top.until)?);
        if whose.pid.is_none() {
            ensure!(asked.0 <= window.since && asked.0 > window.since - 3600);
            ensure!(asked.1 >= window.until && asked.1 < window.until + 3600);
        }
        let row = |row: netmon::sink::history::answer::TopRow| {
            (row.key, (row.moved.tx_bytes, row.moved.rx_bytes))
        };
        let found: Sums = top.rows.into_iter().map(row).collect();
        let mut wanted = sums(written, asked, whose.pid);
        wanted.retain(|name, _| whose.name.as_ref().is_none_or(|it| it == name));
        ensure!(found == wanted, "{whose:?}: {found:?} is not {wanted:?}");
    }
    let step = Duration::from_secs(step);
    let line = reader.timeline(window, step, &Whose::default(), Some((By::Process, 50)))?;
    let series = line.series.context("no series")?;
    for (at, point) in line.points.iter().enumerate() {
        let start = seconds(&point.t)?;
        if start < window.since / 3600 * 3600 {
            // Of a longer point the begin may be gone.
            continue;
        }
        let until = start + line.step_seconds.cast_signed();
        let wanted = sums(written, (start, until), None);
        let apart = series.iter().filter(|it| it.key != "other");
        let found: Sums = apart
            .map(|it| (it.key.clone(), (it.tx_bytes[at], it.rx_bytes[at])))
            .filter(|(_, moved)| *moved != (0, 0))
            .collect();
        ensure!(found == wanted, "{}: {found:?} is not {wanted:?}", point.t);
        let all = wanted.values().fold(0, |sum, moved| sum + moved.0);
        ensure!(point.moved.tx_bytes == all, "{point:?} is not {all}");
    }
    Ok(())
}

/// What `one` sent from ten to twenty minutes after the start, and of which time that is.
fn ten_minutes(reader: &Reader) -> anyhow::Result<(u64, i64, i64)> {
    let window = Window {
        since: START + 600,
        until: START + 1200,
    };
    let top = reader.top(window, By::Process, &Whose::default(), 5)?;
    let asked = (seconds(&top.since)? - START, seconds(&top.until)? - START);
    Ok((top.total.tx_bytes, asked.0, asked.1))
}

fn without_minutes() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let (mut store, ..) = live(&file, &[], &FOREVER)?;
    for start in (START..START + 3600).step_by(60) {
        store.write(&bucket(start, vec![row(&who("one"), 1, 1, [1, 2])]))?;
    }
    store.write(&bucket(START + 3660, Vec::new()))?;
    let reader = Reader::open(&file)?;
    tidy(&mut store, &FOREVER)?;
    ensure!(ten_minutes(&reader)? == (10, 600, 1200));
    // Neither a minute nor ten seconds are left.
    let nothing = Retention {
        keep_10s: Duration::ZERO,
        keep_1m: Duration::ZERO,
        ..FOREVER
    };
    tidy(&mut store, &nothing)?;
    let found = ten_minutes(&reader)?;
    ensure!(found == (60, 0, 3600), "{found:?}");
    Ok(())
}

fn late_row() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let (mut store, ..) = live(&file, &[], &FOREVER)?;
    for start in (START..START + 7200).step_by(60) {
        store.write(&bucket(start, vec![row(&who("one"), 1, 1, [1, 2])]))?;
    }
    let hour = Retention {
        keep_10s: Duration::from_secs(1800),
        keep_1m: Duration::from_secs(1800),
        ..FOREVER
    };
    tidy(&mut store, &hour)?;
    drop(store);
    // Another run whose clock is behind: nothing is too old for it.
    let (mut store, ..) = live(&file, &[], &FOREVER)?;
    store.write(&bucket(START + 10, vec![row(&who("one"), 1, 1, [5, 5])]))?;
    tidy(&mut store, &hour)?;
    let reader = Reader::open(&file)?;
    let found = ten_minutes(&reader)?;
    ensure!(found == (65, 0, 3600), "{found:?}");
    Ok(())
}

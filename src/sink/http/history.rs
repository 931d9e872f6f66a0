//! Questions to the past: their parameters, and how many are answered at a time.
//!
//! Each opens the file for itself, in a thread that may wait for a disk. How an answer
//! is found is `history::reader`'s business.

use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result as Outcome, ensure};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use rusqlite::InterruptHandle;
use serde::Serialize;

use super::Sources;
use super::parameters::Parameters;
use super::refusal::Refusal;
use crate::sink::history::ask::{By, Window};
use crate::sink::history::reader::Reader;

/// Most rows of an answer.
const MOST_ROWS: usize = 10_000;

/// Most series in a timeline.
const MOST_SERIES: usize = 100;

/// Most points in a timeline, one series or many: 14 days by the minute.
const MOST_POINTS: u64 = 20_160;

/// Length of a point when nobody says otherwise.
const STEP: Duration = Duration::from_secs(60);

/// Parameters that ask for what processes moved, and why there is none of an interface.
const OF_PROCESSES: [&str; 5] = ["by", "name", "pid", "remote", "protocol"];
const NO_PROCESSES: &str = "interfaces know neither processes nor addresses; accepted with it are \
                            since, until and step";

type Answer = Result<Response, Refusal>;

/// `/api/history/top`
pub async fn top(State(sources): State<Arc<Sources>>, uri: Uri) -> Answer {
    let accepted = [
        "since", "until", "by", "limit", "name", "pid", "remote", "protocol",
    ];
    let asked = Parameters::of(&uri, &accepted)?;
    let by = asked.by()?.unwrap_or(By::Process);
    let limit = asked.number("limit", 1..=MOST_ROWS)?.unwrap_or(20);
    let (whose, window) = (asked.whose()?, asked.window("1h")?);
    ask(&sources, move |past| past.top(window, by, &whose, limit)).await
}

/// `/api/timeseries`
pub async fn timeseries(State(sources): State<Arc<Sources>>, uri: Uri) -> Answer {
    let accepted = [
        "since", "until", "step", "by", "limit", "name", "pid", "remote", "protocol", "iface",
    ];
    let asked = Parameters::of(&uri, &accepted)?;
    let step = asked.step()?.unwrap_or(STEP);
    let limit = asked.number("limit", 1..=MOST_SERIES)?;
    let by = asked.by()?.map(|by| (by, limit.unwrap_or(8)));
    if by.is_none() && limit.is_some() {
        return Err(Refusal::question("`limit` is for series: say `by` too"));
    }
    let iface = asked.alone("iface", &OF_PROCESSES, NO_PROCESSES)?;
    let (whose, window) = (asked.whose()?, asked.window("24h")?);
    check_points(window, step, by.map_or(0, |(_, limit)| limit))?;
    if let Some(iface) = iface.map(str::to_owned) {
        return ask(&sources, move |past| {
            past.interface_timeline(window, step, &iface)
        })
        .await;
    }
    ask(&sources, move |past| {
        past.timeline(window, step, &whose, by)
    })
    .await
}

/// `/api/protocol`
pub async fn protocol(State(sources): State<Arc<Sources>>, uri: Uri) -> Answer {
    let accepted = ["since", "until", "name", "pid", "remote"];
    let asked = Parameters::of(&uri, &accepted)?;
    let (whose, window) = (asked.whose()?, asked.window("1h")?);
    ask(&sources, move |past| past.protocols(window, &whose)).await
}

/// `/api/remotes`
pub async fn remotes(State(sources): State<Arc<Sources>>, uri: Uri) -> Answer {
    let accepted = ["since", "until", "limit", "name", "pid", "protocol"];
    let asked = Parameters::of(&uri, &accepted)?;
    let limit = asked.number("limit", 1..=MOST_ROWS)?.unwrap_or(20);
    let (whose, window) = (asked.whose()?, asked.window("1h")?);
    ask(&sources, move |past| past.remotes(window, &whose, limit)).await
}

/// `/api/history/interfaces`
pub async fn interfaces(State(sources): State<Arc<Sources>>, uri: Uri) -> Answer {
    let asked = Parameters::of(&uri, &["since", "until", "limit", "iface"])?;
    let limit = asked.number("limit", 1..=MOST_ROWS)?.unwrap_or(20);
    let (iface, window) = (asked.text("iface").map(str::to_owned), asked.window("1h")?);
    ask(&sources, move |past| {
        past.interfaces(window, iface.as_deref(), limit)
    })
    .await
}

/// `/api/alerts`
pub async fn alerts(State(sources): State<Arc<Sources>>, uri: Uri) -> Answer {
    let accepted = [
        "since", "until", "limit", "name", "pid", "remote", "protocol",
    ];
    let asked = Parameters::of(&uri, &accepted)?;
    let limit = asked.number("limit", 1..=MOST_ROWS)?.unwrap_or(100);
    let (whose, window) = (asked.whose()?, asked.window("24h")?);
    ask(&sources, move |past| past.alerts(window, &whose, limit)).await
}

/// What is asked for must fit into an answer.
fn check_points(window: Window, step: Duration, series: usize) -> Result<(), Refusal> {
    let seconds = u64::try_from(window.until.saturating_sub(window.since)).unwrap_or(0);
    let lines = 1 + series as u64;
    let points = seconds.div_ceil(step.as_secs().max(1));
    // A few series are no reason to see less of the time.
    let most = MOST_POINTS * 10 / lines.max(10);
    if points <= most {
        return Ok(());
    }
    Err(Refusal::question(format!(
        "`step` makes {points} points of this window; accepted are at most {most}: a step of {}s \
         or more, or a shorter window",
        seconds.div_ceil(most)
    )))
}

/// Puts a question to the past.
async fn ask<T: Serialize>(
    sources: &Sources,
    question: impl FnOnce(&Reader) -> Outcome<T> + Send + 'static,
) -> Answer {
    let Some(file) = sources.history.clone() else {
        return Err(Refusal::off(
            "no history is kept here: netmon serve runs with --no-history",
        ));
    };
    let leash = Leash::default();
    let held = leash.clone();
    let answered = move || -> Outcome<Bytes> {
        let past = Reader::open(&file)?;
        held.hold(past.interrupter())?;
        Ok(serde_json::to_vec(&question(&past)?)?.into())
    };
    let _cut = Cut(leash);
    let answer = sources.questions.answer(answered).await?;
    let failed = sources.past_fails.swap(answer.is_err(), Ordering::Relaxed);
    match answer {
        Ok(json) => Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response()),
        Err(error) => {
            // A page that is open asks every few seconds: once is enough.
            if !failed {
                tracing::warn!("a question to the history failed: {error:#}");
            }
            Err(Refusal::off(
                "the history cannot be read now; netmon's log says why",
            ))
        }
    }
}

/// The way to end a question that nobody waits for any longer.
#[derive(Clone, Default)]
struct Leash(Arc<Mutex<Held>>);

#[derive(Default)]
enum Held {
    /// It has not begun.
    #[default]
    Nothing,
    Question(InterruptHandle),
    /// Nobody waits.
    Cut,
}

impl Leash {
    /// For the one who asks: a panic leaves the value whole, as it is set at once.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the question: it begins, unless nobody waits.
    fn hold(&self, question: InterruptHandle) -> Outcome<()> {
        let mut held = self.held();
        ensure!(!matches!(*held, Held::Cut), "nobody waits for the answer");
        *held = Held::Question(question);
        Ok(())
    }
}

/// Ends the question when it is dropped; one that is answered has ended before.
struct Cut(Leash);

impl Drop for Cut {
    fn drop(&mut self) {
        if let Held::Question(question) = mem::replace(&mut *self.0.held(), Held::Cut) {
            question.interrupt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(seconds: i64, step: u64, series: usize) -> Result<(), String> {
        let window = Window {
            since: 1_000_000,
            until: 1_000_000 + seconds,
        };
        check_points(window, Duration::from_secs(step), series)
            .map_err(|refusal| refusal.reason().to_owned())
    }

    #[test]
    fn a_timeline_has_a_bound_that_is_told() {
        const DAY: i64 = 24 * 60 * 60;
        assert_eq!(points(14 * DAY, 60, 8), Ok(()));
        assert_eq!(points(400 * DAY, 60 * 60, 8), Ok(()));
        assert_eq!(points(DAY, 10, 9), Ok(()));
        let refused = points(400 * DAY, 60, 0).expect_err("a refusal");
        assert!(refused.contains("576000 points"), "{refused}");
        assert!(refused.contains("a step of 1715s"), "{refused}");
        assert_eq!(points(400 * DAY, 1715, 0), Ok(()));
        assert!(points(14 * DAY, 60, 100).is_err());
    }

    #[test]
    fn a_question_that_nobody_waits_for_is_ended() {
        let leash = Leash::default();
        let (tell, told) = std::sync::mpsc::channel();
        let question = std::thread::spawn({
            let leash = leash.clone();
            move || {
                let db = rusqlite::Connection::open_in_memory().expect("a database");
                leash.hold(db.get_interrupt_handle()).expect("a start");
                let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                               SELECT i FROM n";
                let mut endless = db.prepare(endless).expect("a question");
                let mut rows = endless.query([]).expect("rows");
                rows.next().expect("a row");
                tell.send(()).expect("somebody");
                // Without an interruption there would always be a further one.
                while rows.next().is_ok() {}
            }
        });
        told.recv().expect("a start");
        drop(Cut(leash.clone()));
        question.join().expect("an end");
        let late = rusqlite::Connection::open_in_memory().expect("a database");
        assert!(leash.hold(late.get_interrupt_handle()).is_err());
    }
}

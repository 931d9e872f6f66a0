//! Steps through the stored past, and where they end.
//!
//! Owns which stretch of time is shown, and which interface is which in it. How the past is kept and read is the business
//! of whoever implements [`Past`].

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::model::snapshot::Snapshot;

/// The past in stretches of time: as snapshots whose `at.wall` is the start of the
/// stretch (since the Unix epoch, whole seconds), whose `interval` is its length, whose
/// totals are what moved in it and whose rates are that by its length. An interface's
/// index is none that one of the present can have.
pub trait Past {
    /// The latest stretch that began before `wall`.
    ///
    /// # Errors
    /// If the past cannot be read.
    fn before(&mut self, wall: Duration) -> Result<Option<Arc<Snapshot>>>;

    /// The first stretch that began after `wall`.
    ///
    /// # Errors
    /// If the past cannot be read.
    fn after(&mut self, wall: Duration) -> Result<Option<Arc<Snapshot>>>;
}

/// A way through time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// To the stretch before.
    Back,
    /// To the stretch after.
    Forth,
    /// An hour back.
    HourBack,
    /// An hour forth.
    HourForth,
    /// To the present.
    Now,
}

/// Where a step leads.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    /// To this stretch of the past.
    Then(Arc<Snapshot>),
    /// To the present.
    Now,
    /// Nowhere, and why.
    Nowhere(String),
}

/// Interfaces of the past that there are now under the same name, as the same ones: with
/// their index, by which they are followed from one time to another.
pub fn recognize(then: Arc<Snapshot>, now: &Snapshot) -> Arc<Snapshot> {
    let mut then = Arc::unwrap_or_clone(then);
    for row in &mut then.interfaces {
        if let Some(known) = now.interfaces.iter().find(|it| it.name == row.name) {
            row.index = known.index;
            row.loopback = known.loopback;
        }
    }
    then.interfaces.sort_unstable_by_key(|row| row.index);
    Arc::new(then)
}

const HOUR: Duration = Duration::from_secs(3600);
/// Stretches begin at whole seconds.
const SECOND: Duration = Duration::from_secs(1);

/// Takes a step from the stretch that begins at `shown`, or from the present, `now`.
pub fn step(
    past: Option<&mut Box<dyn Past>>,
    step: Step,
    shown: Option<Duration>,
    now: Duration,
) -> Destination {
    let Some(past) = past else {
        return Destination::Nowhere("no history: start with --db FILE".to_owned());
    };
    let found = match (step, shown) {
        (Step::Now, _) => return Destination::Now,
        (Step::Forth | Step::HourForth, None) => {
            return Destination::Nowhere("this is now; [ steps back".to_owned());
        }
        (Step::Back, from) => past.before(from.unwrap_or(now)),
        (Step::HourBack, from) => hour_back(&mut **past, from.unwrap_or(now)),
        (Step::Forth, Some(from)) => past.after(from),
        (Step::HourForth, Some(from)) => past.after((from + HOUR).saturating_sub(SECOND)),
    };
    match found {
        Err(error) => Destination::Nowhere(format!("{error:#}")),
        Ok(Some(snapshot)) => Destination::Then(snapshot),
        Ok(None) => match step {
            Step::Back | Step::HourBack => {
                Destination::Nowhere("the history has nothing earlier".to_owned())
            }
            // Past the newest is the present.
            _ => Destination::Now,
        },
    }
}

/// What was an hour before `from`, or the first of all if the past is shorter.
fn hour_back(past: &mut dyn Past, from: Duration) -> Result<Option<Arc<Snapshot>>> {
    let at = from.saturating_sub(HOUR) + SECOND;
    if let Some(found) = past.before(at)? {
        return Ok(Some(found));
    }
    let first = past.after(Duration::ZERO)?;
    Ok(first.filter(|first| first.at.wall < from))
}

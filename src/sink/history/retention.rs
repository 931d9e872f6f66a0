//! What a history keeps: deletes what is too old or too much, and gives room back.
//!
//! Each step is one small transaction between two buckets. Nothing is deleted that is
//! not rolled up, and when room is short the finest and oldest goes first. Owns no time:
//! now is the end of the last bucket.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, TransactionBehavior};

use super::kept::{self, Edge};
use super::plan::{Level, down};
use super::rollup;
use super::space::Space;
use super::store::{HOUR, MINUTE, number};

/// How long what is kept, and in how much room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long buckets of ten seconds are kept.
    pub keep_10s: Duration,
    /// How long buckets of a minute are kept.
    pub keep_1m: Duration,
    /// How long buckets of an hour and alerts are kept.
    pub keep_1h: Duration,
    /// Most bytes of the file and its write-ahead log. What is not rolled up yet is kept
    /// whatever it takes: a minute of the finest buckets, the running hour of the coarsest.
    pub max_size: u64,
}

/// As the options have it when nobody says otherwise.
impl Default for Retention {
    fn default() -> Retention {
        let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
        Retention {
            keep_10s: days(1),
            keep_1m: days(14),
            keep_1h: days(400),
            max_size: 2 << 30,
        }
    }
}

/// Rows of one time that are deleted in one step, or about as many.
const ROWS: usize = 16_384;
/// Alerts, processes, remotes or interfaces that are deleted in one step.
const NAMES: usize = 1000;
/// Finest first.
const LEVELS: [Level; 3] = [Level::Finest, Level::Minute, Level::Hour];

/// Where deleting has got to; see the module's text.
#[derive(Debug)]
pub struct Keeper {
    /// Times before these are given up for want of room, by level.
    given_up: [i64; 3],
    space: Space,
    /// The hour in which names were last looked through.
    names_of: Option<i64>,
    /// The time at the last step.
    now: i64,
    removed_names: bool,
}

impl Default for Keeper {
    fn default() -> Keeper {
        Keeper {
            given_up: [i64::MIN; 3],
            space: Space::default(),
            names_of: None,
            now: i64::MIN,
            removed_names: false,
        }
    }
}

impl Keeper {
    /// Does one small piece of what is to be done at the time `now`. True if there is
    /// more.
    ///
    /// # Errors
    /// If it could not be done; nothing is half done then.
    pub fn step(
        &mut self,
        connection: &mut Connection,
        retention: &Retention,
        now: i64,
    ) -> Result<bool> {
        let Some(mark) = rollup::mark(connection)? else {
            return Ok(false);
        };
        if now < self.now {
            // What was given up while the clock was ahead may be the present now.
            self.given_up = [i64::MIN; 3];
        }
        self.now = now;
        let cutoffs = self.cutoffs(retention, now, mark);
        for (level, cutoff) in LEVELS.into_iter().zip(cutoffs) {
            if delete_oldest(connection, level, cutoff)? {
                return Ok(true);
            }
        }
        Ok(delete_alerts(connection, cutoffs[2])?
            || self.remove_names(connection, now)?
            || self.relieve(connection, retention.max_size, mark)?)
    }

    /// True if names were removed since this was last asked.
    pub fn has_removed_names(&mut self) -> bool {
        std::mem::take(&mut self.removed_names)
    }

    /// Times before which all goes, by level: whole buckets of the next level.
    fn cutoffs(&self, retention: &Retention, now: i64, mark: i64) -> [i64; 3] {
        let hour = down(mark, HOUR);
        let kept = [
            (retention.keep_10s, MINUTE, mark),
            (retention.keep_1m, HOUR, hour),
            (retention.keep_1h, HOUR, hour),
        ];
        let mut cutoffs = kept.map(|(kept, unit, rolled_up)| {
            let kept = i64::try_from(kept.as_secs()).unwrap_or(i64::MAX);
            down(now.saturating_sub(kept), unit).min(rolled_up)
        });
        for (cutoff, given_up) in cutoffs.iter_mut().zip(self.given_up) {
            *cutoff = (*cutoff).max(given_up);
        }
        cutoffs
    }

    /// Gives room back, or gives up the oldest of the finest level that there is.
    fn relieve(&mut self, connection: &Connection, max_size: u64, mark: i64) -> Result<bool> {
        if self.space.give_back(connection, max_size)? {
            return Ok(true);
        }
        if !self.space.is_over(connection, max_size)? {
            return Ok(false);
        }
        let hour = down(mark, HOUR);
        // By level: how much at once, and what is whole in the next level. Minutes of
        // the running hour are the last resort: they are in it, but not shown alone.
        for (level, unit, whole) in [
            (0, MINUTE, mark),
            (1, HOUR, hour),
            (2, 24 * HOUR, hour),
            (1, MINUTE, mark),
        ] {
            let oldest = oldest(connection, LEVELS[level])?.filter(|time| *time < whole);
            if let Some(oldest) = oldest {
                self.given_up[level] = (down(oldest, unit) + unit).min(whole);
                if level == 2 {
                    // Names are what most of it took.
                    self.names_of = None;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Once an hour: removes processes, remotes and interfaces that no row can name any
    /// more.
    fn remove_names(&mut self, connection: &mut Connection, now: i64) -> Result<bool> {
        let hour = down(now, HOUR);
        if self.names_of == Some(hour) {
            return Ok(false);
        }
        let mut before = hour;
        for level in LEVELS {
            before = oldest(connection, level)?.map_or(before, |time| before.min(time));
        }
        let alert = number(
            connection,
            "SELECT cast(min(started) AS INTEGER) FROM alert",
        )?;
        before = alert.map_or(before, |time| before.min(time));
        // A row's time may be at the end of the hour in which its process was last seen.
        let before = before.saturating_sub(HOUR);
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut removed = 0;
        for table in ["process", "remote", "interface"] {
            removed += step
                .prepare_cached(&format!(
                    "DELETE FROM {table} WHERE id IN
                     (SELECT id FROM {table} WHERE last_seen < ?1 AND id != 0 LIMIT {NAMES})"
                ))?
                .execute([before])?;
        }
        step.commit()?;
        if removed == 0 {
            self.names_of = Some(hour);
        }
        self.removed_names |= removed > 0;
        Ok(removed > 0)
    }
}

/// Deletes the oldest time of a level, or a piece of it, if it is before `cutoff`. True
/// if there was one.
fn delete_oldest(connection: &mut Connection, level: Level, cutoff: i64) -> Result<bool> {
    let Some(oldest) = oldest(connection, level)?.filter(|time| *time < cutoff) else {
        return Ok(false);
    };
    let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Of the hours there is nothing coarser that a reader could turn to.
    if level != Level::Hour {
        kept::note_cut(&step, level, oldest + level.seconds())?;
    }
    let has_sums = level != Level::Finest;
    let level = level.suffix();
    for table in ["protocol", "total", "interface", "class"] {
        delete_time(&step, level, oldest, table)?;
    }
    let is_piece = delete_piece(&step, level, oldest, "traffic", "process, remote")?
        || (has_sums && delete_piece(&step, level, oldest, "remote", "remote, time")?);
    if !is_piece {
        delete_time(&step, level, oldest, "traffic")?;
        if has_sums {
            delete_time(&step, level, oldest, "process")?;
            delete_time(&step, level, oldest, "remote")?;
        }
    }
    step.commit()?;
    Ok(true)
}

fn delete_time(step: &Connection, level: &str, time: i64, table: &str) -> Result<()> {
    step.prepare_cached(&format!("DELETE FROM {table}_{level} WHERE time = ?1"))?
        .execute([time])?;
    Ok(())
}

/// Deletes the first rows of one time in the order of `key`, if there are too many to
/// delete all of them in one step. True if so.
fn delete_piece(step: &Connection, level: &str, time: i64, table: &str, key: &str) -> Result<bool> {
    let last: Option<(i64, i64)> = step
        .prepare_cached(&format!(
            "SELECT {key} FROM {table}_{level} WHERE time = ?1
             ORDER BY {key} LIMIT 1 OFFSET {ROWS}"
        ))?
        .query_row([time], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((first, second)) = last else {
        return Ok(false);
    };
    step.prepare_cached(&format!(
        "DELETE FROM {table}_{level} WHERE time = ?1 AND ({key}) <= (?2, ?3)"
    ))?
    .execute((time, first, second))?;
    Ok(true)
}

fn delete_alerts(connection: &Connection, cutoff: i64) -> Result<bool> {
    let deleted = connection
        .prepare_cached(&format!(
            "DELETE FROM alert WHERE id IN
             (SELECT id FROM alert WHERE started < ?1 ORDER BY started LIMIT {NAMES})"
        ))?
        .execute([cutoff])?;
    Ok(deleted > 0)
}

fn oldest(connection: &Connection, level: Level) -> Result<Option<i64>> {
    kept::edge(connection, level, Edge::First, true)
}

//! How far each level of a stored history reaches, read from its tables.
//!
//! What follows from it for a window is `plan`'s business; what is deleted is that of
//! `retention`, which notes here how far it got.

use rusqlite::{Connection, OptionalExtension, Result};

use super::plan::{Kept, Level};

impl Kept {
    /// Reads it; the connection must be in a transaction that the answer is read in too.
    pub fn read(db: &Connection) -> Result<Kept> {
        let rolled_up = progress(db, Level::Minute.suffix())?.unwrap_or(i64::MIN);
        let mut stored: Option<(i64, i64)> = None;
        for level in [Level::Finest, Level::Minute, Level::Hour] {
            let [first, last] =
                [Edge::First, Edge::Last].map(|edge| start(db, level, edge, i64::MIN, i64::MAX));
            if let (Some(first), Some(last)) = (first?, last?) {
                let end = last.saturating_add(level.seconds());
                let (since, until) = stored.unwrap_or((first, end));
                stored = Some((since.min(first), until.max(end)));
            }
        }
        Ok(Kept::new(
            rolled_up,
            progress(db, &cut(Level::Finest))?,
            progress(db, &cut(Level::Minute))?,
            stored,
        ))
    }
}

/// Notes that of `level` buckets are deleted that began before `time`. Belongs into the
/// transaction that deletes them.
pub fn note_cut(db: &Connection, level: Level, time: i64) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO progress (level, time) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET time = max(time, excluded.time)",
    )?
    .execute((cut(level), time))?;
    Ok(())
}

/// Under which name it is noted how far a level was deleted.
fn cut(level: Level) -> String {
    format!("{} cut", level.suffix())
}

fn progress(db: &Connection, of: &str) -> Result<Option<i64>> {
    db.prepare_cached("SELECT time FROM progress WHERE level = ?1")?
        .query_row([of], |row| row.get(0))
        .optional()
}

/// Which bucket of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The earliest.
    First,
    /// The latest.
    Last,
}

/// When the first or last bucket of a level begins that begins in a stretch of time.
pub fn start(
    db: &Connection,
    level: Level,
    edge: Edge,
    since: i64,
    until: i64,
) -> Result<Option<i64>> {
    let (which, of) = match edge {
        Edge::First => ("min", level.suffix()),
        Edge::Last => ("max", level.suffix()),
    };
    let one = |table: &str| {
        let query =
            format!("SELECT {which}(time) FROM {table}_{of} WHERE time >= ?1 AND time < ?2");
        let mut statement = db.prepare_cached(&query)?;
        statement.query_row([since, until], |row| row.get::<_, Option<i64>>(0))
    };
    let found = [one("traffic")?, one("protocol")?].into_iter().flatten();
    Ok(match edge {
        Edge::First => found.min(),
        Edge::Last => found.max(),
    })
}

//! Which tables answer a question, and reading their rows.
//!
//! Owns the SQL over buckets. What is summed from the rows is the questions' business.

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension};

use super::answer::Moved;
use super::ask::{Whose, canonical};
use super::plan::{Level, Part};

/// What rows are told apart by: a column of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Process.
    Process,
    /// Remote address.
    Remote,
    /// Protocol.
    Protocol,
    /// Not at all.
    Nothing,
}

/// Tables that have the same bytes by different columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// All columns.
    Traffic,
    /// By process alone; the finest level has none of its own.
    Process,
    /// By remote address alone; the same.
    Remote,
    /// All rows of a bucket together.
    Total,
    /// The whole machine by protocol.
    Protocol,
}

/// More keys than this are read with all others, not one by one.
const MOST_SEEKS: usize = 64;

/// A question's rows, told apart by one column.
#[derive(Debug)]
pub struct Source<'a> {
    db: &'a Connection,
    family: Family,
    column: Column,
    whose: Filter<'a>,
    /// Only these of the column, where they are few.
    only: Option<String>,
}

/// Whose bytes, by the numbers that the tables have. A name or address that never
/// moved a byte has the number of nobody.
#[derive(Debug, Clone, Copy)]
struct Filter<'a> {
    name: Option<&'a str>,
    remote: Option<i64>,
    protocol: Option<i64>,
    pid: Option<u32>,
}

/// A number that no row has.
const NOBODY: i64 = -1;

impl<'a> Source<'a> {
    /// The source of rows by `column`. With `machine`, bytes of which only the
    /// protocol is asked are the whole machine's; else the sum of the other tables.
    pub fn new(
        db: &'a Connection,
        whose: &'a Whose,
        column: Column,
        machine: bool,
    ) -> Result<Source<'a>> {
        let number = |query: &str, text: &str| -> Result<i64> {
            let found = db.query_row(query, [text], |row| row.get(0)).optional()?;
            Ok(found.unwrap_or(NOBODY))
        };
        let remote = match &whose.remote {
            Some(address) => Some(number(
                "SELECT id FROM remote WHERE address = ?1",
                &canonical(address),
            )?),
            None => None,
        };
        let protocol = match whose.protocol {
            Some(protocol) => Some(number(
                "SELECT id FROM protocol WHERE name = ?1",
                protocol.name(),
            )?),
            None => None,
        };
        let whose = Filter {
            name: whose.name.as_deref(),
            remote,
            protocol,
            pid: whose.pid,
        };
        Ok(Source {
            db,
            family: family(&whose, column, machine),
            column,
            whose,
            only: None,
        })
    }

    /// The rows of these keys of the column alone, if they are few enough to be looked
    /// up one by one; else all rows are read as before.
    pub fn only(mut self, keys: &[i64]) -> Source<'a> {
        if keys.len() <= MOST_SEEKS {
            let keys: Vec<String> = keys.iter().map(i64::to_string).collect();
            self.only = Some(keys.join(","));
        }
        self
    }

    /// True where the sum of all rows is kept apart from them.
    pub fn has_totals(&self) -> bool {
        let Filter {
            name,
            remote,
            protocol,
            pid,
        } = self.whose;
        let all = name.is_none() && remote.is_none() && protocol.is_none() && pid.is_none();
        all && self.family != Family::Protocol
    }

    /// Calls `each` with start of the bucket, key and bytes of every row of a part.
    pub fn read(&self, part: &Part, mut each: impl FnMut(i64, i64, Moved)) -> Result<()> {
        let mut statement = self.db.prepare_cached(&self.query(part))?;
        let mut values: Vec<(&str, &dyn rusqlite::ToSql)> =
            vec![(":since", &part.since), (":until", &part.until)];
        let filter = &self.whose;
        for (name, value) in [(":remote", &filter.remote), (":protocol", &filter.protocol)] {
            if let Some(value) = value {
                values.push((name, value));
            }
        }
        if let Some(name) = &filter.name {
            values.push((":name", name));
        }
        if let Some(pid) = &filter.pid {
            values.push((":pid", pid));
        }
        let mut rows = statement.query(&*values)?;
        while let Some(row) = rows.next()? {
            // SQLite's integers are signed; the counts in them are not.
            let moved = Moved {
                tx_bytes: row.get::<_, i64>(2)?.max(0).cast_unsigned(),
                rx_bytes: row.get::<_, i64>(3)?.max(0).cast_unsigned(),
            };
            each(row.get(0)?, row.get(1)?, moved);
        }
        Ok(())
    }

    fn query(&self, part: &Part) -> String {
        let (table, family) = self.table(part.level);
        let column = match (self.column, family) {
            (_, Family::Total) | (Column::Nothing, _) => "0",
            (Column::Process, _) => "b.process",
            (Column::Remote, _) => "b.remote",
            (Column::Protocol, _) => "b.protocol",
        };
        let mut conditions = String::new();
        let filter = &self.whose;
        for (wanted, condition) in [
            (
                filter.name.is_some(),
                " AND b.process IN (SELECT id FROM process WHERE name = :name)",
            ),
            (filter.remote.is_some(), " AND b.remote = :remote"),
            (filter.protocol.is_some(), " AND b.protocol = :protocol"),
            (filter.pid.is_some(), " AND b.pid = :pid"),
        ] {
            if wanted {
                conditions += condition;
            }
        }
        if let Some(only) = &self.only {
            conditions += &format!(" AND {column} IN ({only})");
        }
        let length = part.level.seconds();
        let columns = format!("b.time, {column}, b.tx_bytes, b.rx_bytes");
        // An index has these by process; elsewhere they are looked up bucket by bucket,
        // which a range of times would not do.
        let by_process = filter.name.is_some() || (self.only.is_some() && column == "b.process");
        let by_remote = family == Family::Remote
            && (filter.remote.is_some() || (self.only.is_some() && column == "b.remote"));
        if (by_process && family == Family::Traffic) || by_remote {
            format!(
                "WITH RECURSIVE bucket (time) AS (
                   SELECT :since UNION ALL
                   SELECT time + {length} FROM bucket WHERE time + {length} < :until)
                 SELECT {columns} FROM bucket CROSS JOIN {table} b
                 WHERE b.time = bucket.time{conditions}"
            )
        } else {
            format!(
                "SELECT {columns} FROM {table} b
                 WHERE b.time >= :since AND b.time < :until{conditions}"
            )
        }
    }

    /// The table of a level, and the family that it is of.
    fn table(&self, level: Level) -> (String, Family) {
        let family = match (self.family, level) {
            (Family::Process | Family::Remote, Level::Finest) => Family::Traffic,
            (family, _) => family,
        };
        let name = match family {
            Family::Traffic => "traffic",
            Family::Process => "process",
            Family::Remote => "remote",
            Family::Total => "total",
            Family::Protocol => "protocol",
        };
        (format!("{name}_{}", level.suffix()), family)
    }
}

/// The smallest tables that can tell whose bytes by which column.
fn family(whose: &Filter, column: Column, machine: bool) -> Family {
    let name = whose.name.is_some();
    let remote = whose.remote.is_some() || column == Column::Remote;
    let protocol = whose.protocol.is_some() || column == Column::Protocol;
    let process = name || column == Column::Process;
    match (process, remote, protocol, whose.pid.is_some()) {
        (_, _, _, true) => Family::Traffic,
        (false, false, false, _) if !machine => Family::Total,
        (false, false, _, _) if machine => Family::Protocol,
        (true, false, false, _) => Family::Process,
        (false, true, false, _) => Family::Remote,
        _ => Family::Traffic,
    }
}

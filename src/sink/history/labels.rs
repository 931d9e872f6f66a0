//! What the numbers in the tables stand for.
//!
//! Owns the reading of names. Which numbers matter is the questions' business.

use std::collections::HashMap;

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension};

use super::answer::Who;
use super::ask::By;

/// Labels of rows by what they are told apart by.
#[derive(Debug)]
pub struct Labels<'a> {
    db: &'a Connection,
}

impl<'a> Labels<'a> {
    /// Those of a history.
    pub fn of(db: &'a Connection) -> Labels<'a> {
        Labels { db }
    }

    /// A process; one without a name if it is gone from the table.
    pub fn process(&self, id: i64) -> Result<Who> {
        let who = self
            .db
            .prepare_cached(
                "SELECT name, executable, user, unit, container FROM process WHERE id = ?1",
            )?
            .query_row([id], |row| {
                Ok(Who {
                    name: row.get(0)?,
                    executable: known(row.get(1)?),
                    user: row.get(2)?,
                    unit: known(row.get(3)?),
                    container: known(row.get(4)?),
                })
            })
            .optional()?;
        Ok(who.unwrap_or_else(|| Who {
            name: String::new(),
            executable: None,
            user: String::new(),
            unit: None,
            container: None,
        }))
    }

    /// An address; empty where nobody knows it.
    pub fn remote(&self, id: i64) -> Result<String> {
        self.one("SELECT address FROM remote WHERE id = ?1", id)
    }

    /// A protocol; empty where it is not known.
    pub fn protocol(&self, id: i64) -> Result<String> {
        self.one("SELECT name FROM protocol WHERE id = ?1", id)
    }

    fn one(&self, query: &str, id: i64) -> Result<String> {
        let mut statement = self.db.prepare_cached(query)?;
        let name = statement.query_row([id], |row| row.get(0)).optional()?;
        Ok(name.unwrap_or_default())
    }

    /// What each process counts to where rows are users, units or names; of all
    /// processes at once, since that is asked of all of them.
    pub fn groups(&self, by: By) -> Result<HashMap<i64, String>> {
        let group = match by {
            By::User => "user",
            By::Unit => "CASE WHEN unit <> '' THEN unit ELSE container END",
            _ => "name",
        };
        let mut statement = self
            .db
            .prepare_cached(&format!("SELECT id, {group} FROM process"))?;
        let groups = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(groups.collect::<rusqlite::Result<_>>()?)
    }
}

/// `None` for a text that says nothing.
pub fn known(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

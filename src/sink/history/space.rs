//! How much room a history takes on disk, and giving back what is free in it.
//!
//! Knows pages, not what is on them.

use rusqlite::{Connection, Result};

/// Pages given back in one step: a mebibyte of four kibibytes each.
const STEP: i64 = 256;
/// Fewer free pages than these are left for what comes next.
const SPARE: i64 = 1024;
/// The write-ahead log's share of the room, and its bounds, bytes.
const LOG_SHARE: u64 = 8;
const LOG: std::ops::RangeInclusive<u64> = 256 << 10..=4 << 20;

/// What the file was told; see the module's text.
#[derive(Debug, Default)]
pub struct Space {
    told: Option<u64>,
}

impl Space {
    /// Gives some free pages back if the file may not be that large, or if much of it is
    /// free. True if it did.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn give_back(&mut self, connection: &Connection, max_size: u64) -> Result<bool> {
        if self.told != Some(max_size) {
            limit_log(connection, max_size)?;
            self.told = Some(max_size);
        }
        let free = pragma(connection, "freelist_count")?;
        let much = free > SPARE && free > pragma(connection, "page_count")? / 4;
        if free == 0 || !(much || self.is_over(connection, max_size)?) {
            return Ok(false);
        }
        let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({STEP})"))?;
        let mut pages = vacuum.query([])?;
        // Each row without columns is a page.
        while pages.next()?.is_some() {}
        // Where nothing moves the file was made without room to give back.
        Ok(pragma(connection, "freelist_count")? < free)
    }

    /// True if the file, with room for its log, takes more than `max_size` bytes.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn is_over(&self, connection: &Connection, max_size: u64) -> Result<bool> {
        let pages = pragma(connection, "page_count")?;
        let bytes = pages.saturating_mul(pragma(connection, "page_size")?);
        Ok(bytes.unsigned_abs().saturating_add(log(max_size)) > max_size)
    }
}

/// Bytes of the write-ahead log at which it is written back and begun anew. One
/// transaction, and a reader that stays, may take it beyond.
fn log(max_size: u64) -> u64 {
    (max_size / LOG_SHARE).clamp(*LOG.start(), *LOG.end())
}

fn limit_log(connection: &Connection, max_size: u64) -> Result<()> {
    let bytes = log(max_size);
    let pages = bytes / pragma(connection, "page_size")?.unsigned_abs().max(1);
    connection.execute_batch(&format!(
        "PRAGMA wal_autocheckpoint = {pages}; PRAGMA journal_size_limit = {bytes};"
    ))
}

fn pragma(connection: &Connection, name: &str) -> Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

//! Reports of `netmon capture` on a writer: text for a person, JSON Lines and CSV for
//! programs.
//!
//! Owns which format is written. Counts nothing and does not decide when to write.

mod csv;
mod json;
mod text;

use std::io::{self, Write};

use crate::model::census::report::Report;

/// What a report looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// One row per total, address, flow and worker, below a header line.
    Csv,
    /// Tables for reading.
    Text {
        /// Each worker's line, too.
        workers: bool,
    },
}

/// Writes reports to `to`, flushed one by one.
#[derive(Debug)]
pub struct Reports<W: Write> {
    to: W,
    format: Format,
    started: bool,
}

impl<W: Write> Reports<W> {
    /// A writer that has written nothing yet.
    pub fn new(to: W, format: Format) -> Reports<W> {
        Reports {
            to,
            format,
            started: false,
        }
    }

    /// Writes one report.
    ///
    /// # Errors
    /// Those of the writer; `BrokenPipe` means the reader has seen enough.
    pub fn write(&mut self, report: &Report) -> io::Result<()> {
        match self.format {
            Format::Json => json::write(&mut self.to, report)?,
            Format::Csv => {
                if !self.started {
                    writeln!(self.to, "{}", csv::HEADER)?;
                }
                csv::write(&mut self.to, report)?;
            }
            Format::Text { workers } => text::write(&mut self.to, report, workers)?,
        }
        self.started = true;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests;

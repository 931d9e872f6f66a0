//! `netmon iface`: reports of interfaces on a writer, as text, JSON Lines or CSV.
//!
//! Owns the three formats. Neither samples nor decides when to write.

mod csv;
mod json;
mod text;

use std::io::{self, Write};

use super::stream::Format;
use crate::model::interface::InterfaceReport;

/// Writes reports to `to`, flushed one by one.
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
    pub fn write(&mut self, report: &InterfaceReport) -> io::Result<()> {
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut self.to, &json::Report::new(report))?;
                writeln!(self.to)?;
            }
            Format::Csv => {
                if !self.started {
                    csv::header(&mut self.to)?;
                }
                csv::write(&mut self.to, report)?;
            }
            Format::Text => text::write(&mut self.to, report)?,
        }
        self.started = true;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests;

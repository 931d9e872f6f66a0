//! The far end of a generator's pipes: starts it, reads its reports, ends it.
//!
//! Owns the child process, which never outlives its handle. Knows nothing of
//! what the reports mean.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::Context;

use super::generator::{self, ledger::Report};

/// The error of a generator that did not do its part.
#[derive(Debug)]
pub struct NotMoved;

impl fmt::Display for NotMoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no bytes to compare")
    }
}

/// A running generator.
pub struct Generator {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Generator {
    /// Starts this very program as the generator `name`.
    ///
    /// # Errors
    /// [`NotMoved`] if that is refused.
    pub fn start(name: &str, arguments: &[String]) -> anyhow::Result<Generator> {
        let mut child = generator::command(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the generator")
            .context(NotMoved)?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("no output")?;
        Ok(Generator {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it says up to its next pause.
    ///
    /// # Errors
    /// [`NotMoved`] if it failed or ended.
    pub fn report(&mut self) -> anyhow::Result<Report> {
        self.read_report().context(NotMoved)
    }

    fn read_report(&mut self) -> anyhow::Result<Report> {
        let mut report = Report::default();
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line)? == 0 {
                anyhow::bail!("the generator ended without a report");
            }
            if report.add_line(line.trim_end())? {
                return Ok(report);
            }
        }
    }

    /// Lets it go on after a pause.
    ///
    /// # Errors
    /// [`NotMoved`] if it has ended.
    pub fn go_on(&mut self, word: &str) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("no input")?;
        writeln!(input, "{word}").context(NotMoved)
    }

    /// Kills and reaps it.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends its input, on which it ends itself, and reaps it.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.input = None;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // Both fail only for a child that was reaped before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

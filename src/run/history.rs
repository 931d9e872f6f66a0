//! `netmon history`: a question to the stored past, and its answer as table, JSON or CSV.
//!
//! Owns which question is asked. What an answer looks like stands in the modules below.

mod chart;
mod csv;
mod interfaces;
mod page;
mod table;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{CommandFactory, Error};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use self::page::Page;
use super::written;
use crate::cli::{self, Cli, History, Question, Shape};
use crate::sink::history::ask::{By, Whose, Window};
use crate::sink::history::reader::Reader;
use crate::sink::history::when;

/// Bars of a timeline when nobody says how long one is.
const BARS: i64 = 60;

/// Answers the question.
pub fn run(options: &History) -> Result<ExitCode> {
    let zone = TimeZone::system();
    let asked = options.question.window();
    let window = when::window(
        &asked.since,
        asked.until.as_deref(),
        Timestamp::now(),
        &zone,
    )
    // As the parser ends that knows no clock.
    .unwrap_or_else(|error| usage(&error));
    let reader = Reader::open(&asked.db)?;
    let page = Page::from_environment(zone);
    let to = BufWriter::new(io::stdout().lock());
    answer(&options.question, window, &reader, &page, to)
}

/// Ends with a usage error, as any other wrong option does.
pub(super) fn usage(error: &str) -> ! {
    let mut command = Cli::command();
    // Names the options' values as the parser has them.
    command.build();
    Error::raw(ErrorKind::ValueValidation, format!("--{error}\n"))
        .with_cmd(&command)
        .exit()
}

/// What an answer is written as.
fn answer(
    question: &Question,
    window: Window,
    reader: &Reader,
    page: &Page,
    mut to: impl Write,
) -> Result<ExitCode> {
    let shape = question.window().shape();
    let mut write = |json: &dyn Fn(&mut dyn Write) -> io::Result<()>,
                     csv: &dyn Fn(&mut dyn Write) -> io::Result<()>,
                     table: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        let shape = match shape {
            Shape::Json => json,
            Shape::Csv => csv,
            Shape::Table => table,
        };
        written(
            shape(&mut to)
                .and_then(|()| to.flush())
                .map(|()| ExitCode::SUCCESS),
        )
    };
    match question {
        Question::Top {
            by, limit, whose, ..
        } => {
            let top = reader.top(window, by_of(*by), &whose_of(whose), *limit)?;
            write(&|to| json(to, &top), &|to| csv::top(to, &top), &|to| {
                table::top(to, page, &top)
            })
        }
        Question::Timeline {
            step,
            by,
            limit,
            interface,
            whose,
            ..
        } => {
            let by = by.map(|by| (by_of(by), *limit));
            let step = step.unwrap_or_else(|| step_of(window));
            let timeline = match interface {
                Some(name) => reader.interface_timeline(window, step, name)?,
                None => reader.timeline(window, step, &whose_of(whose), by)?,
            };
            write(
                &|to| json(to, &timeline),
                &|to| csv::timeline(to, &timeline),
                &|to| chart::timeline(to, page, &timeline, interface.as_deref()),
            )
        }
        Question::Protocols { whose, .. } => {
            let protocols = reader.protocols(window, &whose_of(whose))?;
            write(
                &|to| json(to, &protocols),
                &|to| csv::protocols(to, &protocols),
                &|to| table::protocols(to, page, &protocols),
            )
        }
        Question::Remotes { limit, whose, .. } => {
            let remotes = reader.remotes(window, &whose_of(whose), *limit)?;
            write(
                &|to| json(to, &remotes),
                &|to| csv::remotes(to, &remotes),
                &|to| table::remotes(to, page, &remotes),
            )
        }
        Question::Interfaces {
            interface, limit, ..
        } => {
            let interfaces = reader.interfaces(window, interface.as_deref(), *limit)?;
            write(
                &|to| json(to, &interfaces),
                &|to| csv::interfaces(to, &interfaces),
                &|to| interfaces::interfaces(to, page, &interfaces),
            )
        }
        Question::Alerts { limit, whose, .. } => {
            let alerts = reader.alerts(window, &whose_of(whose), *limit)?;
            write(
                &|to| json(to, &alerts),
                &|to| csv::alerts(to, &alerts),
                &|to| table::alerts(to, page, &alerts),
            )
        }
    }
}

fn json(mut to: &mut dyn Write, answer: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut to, answer).map_err(io::Error::from)?;
    writeln!(to)
}

fn whose_of(options: &cli::Whose) -> Whose {
    Whose {
        name: options.name.clone(),
        pid: options.pid,
        remote: options.remote.clone(),
        protocol: options.protocol,
    }
}

fn by_of(by: cli::By) -> By {
    match by {
        cli::By::Process => By::Process,
        cli::By::Remote => By::Remote,
        cli::By::Protocol => By::Protocol,
        cli::By::User => By::User,
        cli::By::Unit => By::Unit,
    }
}

/// A step that gives about [`BARS`] bars.
fn step_of(window: Window) -> Duration {
    let seconds = (window.until - window.since) / BARS;
    Duration::from_secs(u64::try_from(seconds).unwrap_or(1).max(1))
}

//! `netmon top`: the sampler on its own thread, the screen on the main one; the stored
//! past beside them, and its writer if it is to go on.

use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::past::StoredPast;
use super::sampling::{Sampling, Tap};
use super::{connect, record, sampler_settings};
use crate::cli::{DEFAULT_DB, Top};
use crate::feed::Feed;
use crate::model::snapshot::Snapshot;
use crate::sampler::{Sampler, Settings};
use crate::sink::health::Health;
use crate::sink::history::retention::Retention;
use crate::sink::history::writer::{self, Writer};
use crate::tui::past::Past;
use crate::tui::{self, Sources, Trouble};

/// How long a person can see a process or flow that has ended.
const LINGER: Duration = Duration::from_secs(3);
/// Most ended rows on the screen.
const MAX_LISTED_ENDED: usize = 1024;

/// Shows the screen until a person quits, a signal comes or the sampler fails.
pub fn run(options: &Top) -> Result<ExitCode> {
    if !stdout().is_terminal() {
        bail!(
            "standard output is not a terminal; use `netmon stream` for output that a program or \
             a file takes"
        );
    }
    if let Some(url) = &options.connect {
        return connect::run(url, options);
    }
    // What can be refused is refused before anything counts.
    let mut sources = Sources::default();
    let mut taps: Vec<Tap> = Vec::new();
    let mut writer = None;
    let file = options.db.as_deref();
    let file = file.or(options.record.then_some(Path::new(DEFAULT_DB)));
    if let (Some(file), true) = (file, options.record) {
        let health = Arc::new(Health::default());
        let (writes, tap) = record::start(kept(file), Arc::clone(&health))?;
        writer = Some(writes);
        taps.push(tap);
        sources.trouble = Some(trouble(health));
    }
    if let Some(file) = file {
        let past = StoredPast::open(file).with_context(|| format!("--db {}", file.display()))?;
        sources.past = Some(Box::new(Kept(past)));
    }

    let common = &options.common;
    let sampler = Sampler::start(Settings {
        linger: LINGER,
        max_listed_ended: MAX_LISTED_ENDED,
        ..sampler_settings(&common.monitor)
    })?;
    let feed = Arc::new(Feed::new(common.monitor.interval));
    let sampling = Sampling::start(sampler, Arc::clone(&feed), taps)?;
    let shown = tui::run(
        &feed,
        tui::Options::from_environment(common.filter.filter()),
        sources,
    );
    let sampled = sampling.end();
    // Writes what the last reading brought, too.
    let written = writer.map_or(Ok(()), Writer::end);
    sampled?;
    written?;
    shown?;
    Ok(ExitCode::SUCCESS)
}

/// What is usual, in that file.
fn kept(file: &Path) -> writer::Settings {
    writer::Settings {
        file: file.to_owned(),
        retention: Retention::default(),
    }
}

/// What hinders the writer, for the screen: the part's name is of no use there.
fn trouble(health: Arc<Health>) -> Trouble {
    Box::new(move || {
        let text = health.text();
        let line = text.lines().next()?;
        line.strip_prefix("DEGRADED ").map(str::to_owned)
    })
}

/// The stored past, as the screen steps through it.
struct Kept(StoredPast);

impl Past for Kept {
    fn before(&mut self, wall: Duration) -> Result<Option<Arc<Snapshot>>> {
        self.0.before(wall)
    }

    fn after(&mut self, wall: Duration) -> Result<Option<Arc<Snapshot>>> {
        self.0.after(wall)
    }
}

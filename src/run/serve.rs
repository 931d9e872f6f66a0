//! `netmon serve`: the sampler and everything that keeps, serves and pushes what it
//! sees, until a signal comes.

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use super::config::ByName;
use super::metering::Metering;
use super::notify::Notifier;
use super::reload::{Live, Reload};
use super::sampling::{Sampling, Tap};
use super::{USAGE, config, log, record, sampler_settings};
use crate::cli::Serve;
use crate::feed::{Feed, News};
use crate::sampler::Sampler;
use crate::sink::health::Health;
use crate::sink::history::writer::Writer;
use crate::sink::http::Settings;
use crate::sink::http::guard::Guard;
use crate::sink::http::server::{self, Server};
use crate::sink::http::token::Token;

/// Longest time between two looks at whether all parts still run.
const LOOK: Duration = Duration::from_secs(1);

/// What `/health` calls the sampler.
const SAMPLER: &str = "sampler";

/// Steps, and time on top, that may be late before the health tells.
const LATE_STEPS: u32 = 3;
const LATE: Duration = Duration::from_secs(5);

/// Serves until SIGINT or SIGTERM, or until a part of it fails; SIGHUP has it read its
/// configuration again.
/// `held` is what the options say by name.
pub fn run(options: &Serve, held: ByName) -> Result<ExitCode> {
    if let Err(refused) = options.check() {
        eprintln!("netmon: {refused}");
        return Ok(ExitCode::from(USAGE));
    }
    let filter = log::start(options.log.as_deref())?;
    // Before loading, so that a signal at any time ends in order.
    let signals = watch_signals()?;
    let feed = Arc::new(Feed::new(options.monitor.interval));
    // What can be refused is refused before anything counts.
    let guard = Arc::new(guard(options)?);
    let listener = server::bind(options.listen)?;
    let health = Arc::new(Health::default());
    let mut metering = Metering::new(options, &health)?;
    let notifier = Notifier::from_environment();
    let mut taps: Vec<Tap> = vec![notifier.tap()?, metering.tap()];
    let writer = if options.no_history {
        None
    } else {
        let (writer, tap) = record::start(record::settings(&options.store), Arc::clone(&health))?;
        taps.push(tap);
        Some(writer)
    };

    let sampler = Sampler::start(sampler_settings(&options.monitor))?;
    let server = Server::start(
        listener,
        Arc::clone(&feed),
        Settings {
            host: host(),
            health: Arc::clone(&health),
            history: (!options.no_history).then(|| options.store.db.clone()),
            metrics: Arc::new(metering.text()),
            guard: Arc::clone(&guard),
        },
    )?;
    let sampling = Sampling::start(sampler, Arc::clone(&feed), taps)?;
    metering.push()?;
    let live = Live {
        filter: &filter,
        feed: &feed,
        notifier: &notifier,
        guard: &guard,
        writer: writer.as_ref(),
    };
    let mut reload = Reload::new(held, &live);
    notifier.ready(options.monitor.interval);
    let mut steps = Steps::new(&feed, &health);
    let failure = wait(&signals, &mut steps, &server, || {
        notifier.reloading();
        reload.again(config::serve_again);
        notifier.reloaded();
    });
    drop(reload);
    notifier.stopping();
    // Nobody is answered any longer before the last reading, which all taps see.
    let served = server.end();
    let sampled = sampling.end();
    // Keeps and pushes what the last reading brought, too.
    let written = writer.map_or(Ok(()), Writer::end);
    metering.stop();
    served.and(sampled).and(written)?;
    match failure {
        Some(reason) => bail!(reason),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Who may ask.
fn guard(options: &Serve) -> Result<Guard> {
    let token = options.token_file.as_deref().map(Token::read).transpose()?;
    Ok(Guard::new(token, options.allow_host.clone()))
}

/// The machine's name.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "-".to_owned(),
        name => name.to_owned(),
    }
}

/// What a signal asks for.
enum Asked {
    End,
    Reload,
}

/// Waits for a signal that ends it or the end of a part; why that ended.
fn wait(
    signals: &Receiver<Asked>,
    steps: &mut Steps<'_>,
    server: &Server,
    mut reload: impl FnMut(),
) -> Option<String> {
    loop {
        match signals.recv_timeout(LOOK) {
            Ok(Asked::End) => return None,
            Ok(Asked::Reload) => reload(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Some("no thread watches for signals any longer".to_owned());
            }
        }
        if let Some(reason) = steps.look(Instant::now()) {
            return Some(reason);
        }
        if server.has_ended() {
            return Some("the HTTP server ended by itself".to_owned());
        }
    }
}

/// Watches whether the sampler still steps, and tells the health.
struct Steps<'a> {
    feed: &'a Feed,
    health: &'a Health,
    /// The last snapshot, and when it was seen.
    last: (u64, Instant),
}

impl<'a> Steps<'a> {
    fn new(feed: &'a Feed, health: &'a Health) -> Steps<'a> {
        Steps {
            feed,
            health,
            last: (0, Instant::now()),
        }
    }

    /// Why there will be no further step, if so.
    fn look(&mut self, now: Instant) -> Option<String> {
        let (mut seen, mut at) = self.last;
        if let News::Snapshot(snapshot) = self.feed.newer_than(seen) {
            (seen, at) = (snapshot.sequence, now);
            self.last = (seen, at);
            if self.health.well(SAMPLER) {
                tracing::info!("the sampler steps again");
            }
        }
        if let News::Ended(reason) = self.feed.newer_than(seen) {
            return Some(reason.unwrap_or_else(|| "the sampler ended by itself".to_owned()));
        }
        let silence = now.saturating_duration_since(at);
        if silence > self.feed.interval() * LATE_STEPS + LATE {
            let what = format!("no reading for {} s; restart netmon", silence.as_secs());
            if self.health.trouble(SAMPLER, what.clone()) {
                tracing::warn!("{what}");
            }
        }
        None
    }
}

/// Tells of each signal; the second one that asks for an end ends at once.
fn watch_signals() -> Result<Receiver<Asked>> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).context("could not watch for signals")?;
    let (tell, told) = mpsc::channel();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut is_ending = false;
            for signal in signals.forever() {
                let asked = if signal == SIGHUP {
                    Asked::Reload
                } else if is_ending {
                    let _ = emulate_default_handler(signal);
                    return;
                } else {
                    is_ending = true;
                    Asked::End
                };
                // Once nobody waits any longer, only a further end is of use.
                let _ = tell.send(asked);
            }
        })
        .context("could not start a thread")?;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampler_that_does_not_step_is_told_until_it_ends() {
        let (feed, health) = (Feed::new(Duration::from_secs(1)), Health::default());
        let mut steps = Steps::new(&feed, &health);
        let start = steps.last.1;
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(steps.look(after(8)), None);
        assert_eq!(health.text(), "OK");
        assert_eq!(steps.look(after(9)), None);
        let told = "DEGRADED sampler: no reading for 9 s; restart netmon";
        assert_eq!(health.text(), told);
        // More time between two steps is no trouble in itself.
        let (slow, well) = (Feed::new(Duration::from_secs(60)), Health::default());
        let mut patient = Steps::new(&slow, &well);
        assert_eq!(patient.look(after(180)), None);
        assert_eq!(well.text(), "OK");
        feed.end(Some("why".to_owned()));
        assert_eq!(steps.look(after(10)).as_deref(), Some("why"));
    }
}

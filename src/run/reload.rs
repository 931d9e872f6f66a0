//! SIGHUP while serving: the configuration file once more, without a restart.
//!
//! All or nothing: the file must be right, and every part must be ready to change
//! before one does. What no part can change is named in the log as in need of a
//! restart. Owns which option belongs to which part, and no
//! part itself.

use std::collections::BTreeSet;

use anyhow::{Context, Error, Result};

use super::config::{ByName, Effective};
use super::log::Filter;
use super::notify::Notifier;
use super::record;
use crate::cli::Serve;
use crate::feed::Feed;
use crate::model::anomaly::Judgement;
use crate::sink::history::writer::Writer;
use crate::sink::http::guard::Guard;
use crate::sink::http::token::Token;

/// The parts that can change while they run.
pub struct Live<'a> {
    /// What is logged.
    pub filter: &'a Filter,
    /// The way to the sampler.
    pub feed: &'a Feed,
    /// The watchdog must bear the interval.
    pub notifier: &'a Notifier,
    /// Who may ask.
    pub guard: &'a Guard,
    /// Keeps the history, if one is kept.
    pub writer: Option<&'a Writer>,
}

/// A change that cannot fail any more.
type Change<'a> = Box<dyn FnOnce() + 'a>;

/// Looks at the new options, may refuse them, and says how its part changes.
type Part<'a> = Box<dyn Fn(&Serve) -> Result<Change<'a>> + 'a>;

/// Everything that can change, and what holds now.
pub struct Reload<'a> {
    held: ByName,
    parts: Vec<(&'static [&'static str], Part<'a>)>,
}

impl<'a> Reload<'a> {
    /// Lets these parts change; `held` is what the program runs with.
    pub fn new(held: ByName, live: &Live<'a>) -> Reload<'a> {
        let Live {
            filter,
            feed,
            notifier,
            guard,
            writer,
        } = *live;
        let mut reload = Reload {
            held,
            parts: Vec::new(),
        };
        reload.on_change(&["log"], move |new| {
            let log = new.log.clone();
            Ok(Box::new(move || filter.set(log.as_deref())))
        });
        reload.on_change(&["interval", "alpha", "threshold"], move |new| {
            let (interval, alpha) = (new.monitor.interval, new.monitor.alpha);
            let threshold = new.monitor.threshold;
            Ok(Box::new(move || {
                feed.set_judgement(Judgement { alpha, threshold });
                feed.set_interval(interval);
                notifier.set_interval(interval);
            }))
        });
        // Another token can be asked for; whether one is asked for at all stays.
        if guard.asks_for_token() {
            reload.on_change(&["token-file"], move |new| {
                let file = new.token_file.as_deref().context(
                    "without token-file anybody could ask from now on; restart, if that is meant",
                )?;
                let token = Token::read(file)?;
                Ok(Box::new(move || {
                    guard.set_token(token);
                }))
            });
        }
        if let Some(writer) = writer {
            let names = &["keep-10s", "keep-1m", "keep-1h", "max-size"];
            reload.on_change(names, move |new| {
                let retention = record::retention(&new.store);
                Ok(Box::new(move || writer.set_retention(retention)))
            });
        }
        reload
    }

    /// Lets a part change, to which the options of these names belong.
    pub fn on_change(
        &mut self,
        names: &'static [&'static str],
        part: impl Fn(&Serve) -> Result<Change<'a>> + 'a,
    ) {
        self.parts.push((names, Box::new(part)));
    }

    /// Takes over what `read` brings, or logs why all stays as it is.
    pub fn again(&mut self, read: impl FnOnce() -> Result<Effective>) {
        match read().and_then(|new| self.take_over(new)) {
            Ok(changed) if changed.is_empty() => tracing::info!("reloaded; no option has changed"),
            Ok(changed) => tracing::info!(changed = changed.join(","), "reloaded"),
            Err(error) => {
                tracing::error!("not reloaded, all settings stay: {error:#}");
            }
        }
    }

    /// The names of the options that have changed.
    fn take_over(&mut self, new: Effective) -> Result<Vec<String>> {
        new.options.check().map_err(Error::msg)?;
        let changes = self
            .parts
            .iter()
            .map(|(_, part)| part(&new.options))
            .collect::<Result<Vec<Change<'_>>>>()?;
        changes.into_iter().for_each(|change| change());

        let names = self.held.keys().chain(new.by_name.keys());
        let names: BTreeSet<String> = names.cloned().collect();
        let mut changed = Vec::new();
        for name in names {
            let (old, new) = (self.held.get(&name), new.by_name.get(&name));
            if old == new {
                continue;
            }
            let can_change = self.parts.iter().any(|(names, _)| names.contains(&&*name));
            if !can_change {
                tracing::warn!(option = name, "changed in the file, but needs a restart");
                continue;
            }
            match new.cloned() {
                Some(said) => self.held.insert(name.clone(), said),
                None => self.held.remove(&name),
            };
            changed.push(name);
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};

    use anyhow::bail;

    use super::super::config::serve;
    use super::*;

    #[test]
    fn no_part_changes_unless_all_can() {
        let changes = Arc::new(AtomicU32::new(0));
        let refuses = Arc::new(Mutex::new(true));
        let first = serve(&["--log", "info", "--threshold", "1MiB"]).unwrap();
        let mut reload = Reload {
            held: first.by_name,
            parts: Vec::new(),
        };
        reload.on_change(&["threshold"], {
            let changes = Arc::clone(&changes);
            move |new| {
                assert_eq!(new.monitor.threshold, 2_097_152.0);
                let changes = Arc::clone(&changes);
                Ok(Box::new(move || {
                    changes.fetch_add(1, Ordering::Relaxed);
                }))
            }
        });
        reload.on_change(&["token-file"], {
            let refuses = Arc::clone(&refuses);
            move |_| {
                if *refuses.lock().unwrap() {
                    bail!("no such token");
                }
                Ok(Box::new(|| {}))
            }
        });
        let new = || serve(&["--log", "debug", "--threshold", "2MiB"]);
        assert!(reload.take_over(new().unwrap()).is_err());
        assert_eq!(changes.load(Ordering::Relaxed), 0);

        *refuses.lock().unwrap() = false;
        // No part has `log`, so it needs a restart and has not changed.
        assert_eq!(reload.take_over(new().unwrap()).unwrap(), ["threshold"]);
        assert_eq!(reload.take_over(new().unwrap()).unwrap(), [""; 0]);
        assert_eq!(changes.load(Ordering::Relaxed), 2);
    }
}

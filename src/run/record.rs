//! Keeping the history of a run: the ledger in the sampler's thread, the writer in one
//! of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::sampling::Tap;
use crate::cli::Store;
use crate::model::ledger::Ledger;
use crate::sink::health::Health;
use crate::sink::history::retention::Retention;
use crate::sink::history::store::BUCKET;
use crate::sink::history::writer::{Sender, Settings, Writer};

/// Opens the history and starts its writer. The tap hands over what it has seen when it
/// is dropped, at the end of the sampler's thread; after that the writer may
/// [`end`](Writer::end).
///
/// # Errors
/// If the history cannot be written, or another process writes it.
pub fn start(settings: Settings, health: Arc<Health>) -> Result<(Writer, Tap)> {
    let writer = Writer::start(settings, health)?;
    let mut recording = Recording {
        ledger: Ledger::new(Duration::from_secs(BUCKET.unsigned_abs())),
        sender: writer.sender(),
    };
    let tap: Tap = Box::new(move |snapshot, _| {
        if let Some(bucket) = recording.ledger.absorb(snapshot) {
            recording.sender.push(bucket);
        }
    });
    Ok((writer, tap))
}

/// What the options say.
pub fn settings(store: &Store) -> Settings {
    Settings {
        file: store.db.clone(),
        retention: retention(store),
    }
}

/// What the options keep; for [`Writer::set_retention`], too.
pub fn retention(store: &Store) -> Retention {
    Retention {
        keep_10s: store.keep_10s,
        keep_1m: store.keep_1m,
        keep_1h: store.keep_1h,
        max_size: store.max_size,
    }
}

/// What the tap holds.
struct Recording {
    ledger: Ledger,
    sender: Sender,
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(bucket) = self.ledger.finish() {
            self.sender.push(bucket);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn without_options_the_usual_is_kept() {
        let cli = Cli::parse_from(["netmon", "serve"]);
        let Some(Command::Serve(options)) = cli.command else {
            panic!("{cli:?}");
        };
        assert_eq!(retention(&options.store), Retention::default());
    }
}

//! A panic while the screen is up: the terminal is given back, and the message
//! is on the ordinary screen.
//!
//! The product has no way to make it panic, so the test program runs the same
//! public function that `netmon top` runs, with a thread that panics in the place
//! of the sampler.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::feed::Feed;
use netmon::model::filter::Filter;
use netmon::tui;

use crate::session::{Session, WIDE, ordinary};
use crate::trial::trial;

/// The first argument that makes the test program a screen whose sampler panics.
pub const OPTION: &str = "--panic";

const WORDS: &str = "the sampler of a test panics";

pub fn trials() -> Vec<Trial> {
    vec![trial("panics::of_another_thread", of_another_thread)]
}

/// The screen; its sampler panics when a person changes the interval.
pub fn main() -> anyhow::Result<()> {
    let interval = Duration::from_millis(500);
    let feed = Arc::new(Feed::new(interval));
    let sampler = std::thread::spawn({
        let feed = Arc::clone(&feed);
        move || {
            while feed.interval() == interval {
                std::thread::sleep(Duration::from_millis(5));
            }
            panic!("{WORDS}");
        }
    });
    let result = tui::run(
        &feed,
        tui::Options::from_environment(Filter::default()),
        tui::Sources::default(),
    );
    ensure!(sampler.join().is_err(), "no panic");
    result
}

fn of_another_thread() -> anyhow::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(OPTION);
    ordinary(&mut command);
    let mut session = Session::run(WIDE, command)?;
    session.wait_text("Waiting for the first reading")?;
    session.send("+")?;
    let status = session.end()?;
    ensure!(status.code() == Some(1), "{status}\n{}", session.text());
    session.check_given_back()?;
    session.wait_text(WORDS)?;
    session.wait_text("panicked at")?;
    session.wait_text("netmon failed unexpectedly")?;
    Ok(())
}

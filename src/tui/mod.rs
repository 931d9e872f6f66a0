//! The terminal screen of `netmon top`.
//!
//! Owns everything between a [`Feed`] and a terminal: the loop that ticks 100
//! times a second, the terminal's state, keys, and drawing. Computes no rate
//! and reads nothing but the feed and the terminal.

mod badges;
mod block;
mod blocks;
mod columns;
mod coverage;
mod detail;
pub mod elsewhere;
mod footer;
mod graph;
mod header;
mod help;
pub mod history;
mod inspect;
mod interface;
mod interface_detail;
mod interfaces;
pub mod keys;
mod layout;
mod notices;
mod order;
mod paint;
pub mod past;
mod pen;
mod plot;
mod render;
pub mod screen;
pub mod state;
mod table;
mod terminal;
mod theme;
pub mod view;
mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crossterm::event;
use jiff::tz::TimeZone;

use crate::feed::Feed;
use crate::model::filter::Filter;
use elsewhere::Elsewhere;
use past::Past;
use screen::{Effect, Screen};
use terminal::{Input, Signals, Terminal};

/// Time between two looks at the feed.
const TICK: Duration = Duration::from_millis(10);

/// How the screen shall look, and which rows it shall have.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Rows to show; its text is where the live filter starts.
    pub filter: Filter,
    /// Draw nothing but ASCII.
    pub ascii: bool,
    /// Use colours.
    pub color: bool,
}

impl Options {
    /// What the environment says of the terminal.
    pub fn from_environment(filter: Filter) -> Options {
        Options::from_variables(filter, |name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
    }

    /// The same with any source of variables. `NO_COLOR` counts unless empty;
    /// of the locale variables the first that is not empty decides whether the
    /// terminal takes UTF-8; a dumb terminal has neither, and the kernel's own
    /// console has no glyphs for graphs.
    pub fn from_variables(filter: Filter, variable: impl Fn(&str) -> Option<String>) -> Options {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let terminal = set("TERM").unwrap_or_default();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let utf8 = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        Options {
            filter,
            ascii: !utf8 || matches!(terminal.as_str(), "dumb" | "linux"),
            color: set("NO_COLOR").is_none() && terminal != "dumb",
        }
    }
}

/// Says what is wrong, in a few words.
pub type Trouble = Box<dyn Fn() -> Option<String>>;

/// What the screen shows beside what the feed brings.
#[derive(Default)]
pub struct Sources {
    /// A past to step into.
    pub past: Option<Box<dyn Past>>,
    /// The machine that the feed is of, where it is not this one.
    pub elsewhere: Option<Arc<Elsewhere>>,
    /// Asked with each snapshot: what is wrong beside the screen, if anything is.
    pub trouble: Option<Trouble>,
}

/// Shows the feed until a person quits, a signal says so, or the feed ends.
///
/// # Errors
///
/// The terminal cannot be set up, or the feed ended with a reason.
pub fn run(feed: &Feed, options: Options, sources: Sources) -> anyhow::Result<()> {
    let signals = Signals::watch().context("cannot watch for signals")?;
    let mut terminal = Terminal::enter().context("cannot set up the terminal")?;
    let mut screen = Screen::new(options, feed.interval()).in_zone(TimeZone::system());
    if let Some(past) = sources.past {
        screen = screen.with_past(past);
    }
    if let Some(elsewhere) = sources.elsewhere {
        screen = screen.with_elsewhere(elsewhere);
    }
    if let Some(trouble) = sources.trouble {
        screen = screen.with_trouble(trouble);
    }
    let mut next_tick = Instant::now() + TICK;
    loop {
        if signals.quit() {
            return Ok(());
        }
        if signals.resized() {
            screen.touch();
            // Crossterm was told as well. Left with it, its note of the new
            // size would be in the way of the next key.
            if obey(&mut screen, &mut terminal, &signals, feed) == Obeyed::Quit {
                return Ok(());
            }
        }
        // An error of the terminal from here on means that it is gone, and
        // with it whoever could be told.
        if signals.stop_asked() && terminal.suspend(&signals).is_err() {
            return Ok(());
        }
        if signals.continued() {
            if terminal.reenter().is_err() {
                return Ok(());
            }
            screen.touch();
        }
        if !terminal.is_active() {
            bail!("netmon failed unexpectedly; the message above says where");
        }
        match screen.tick(feed) {
            None => {}
            Some(None) => return Ok(()),
            Some(Some(reason)) => bail!(reason),
        }
        if screen.is_dirty() && terminal.draw(|buffer| screen.draw(buffer)).is_err() {
            return Ok(());
        }
        match terminal.wait(next_tick) {
            Input::None => {}
            Input::Gone => return Ok(()),
            Input::Ready => match obey(&mut screen, &mut terminal, &signals, feed) {
                Obeyed::Quit => return Ok(()),
                Obeyed::Something => {}
                Obeyed::Nothing => terminal.announce_input(),
            },
        }
        let now = Instant::now();
        if now >= next_tick {
            next_tick = now + TICK;
        }
    }
}

/// What came of looking for input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obeyed {
    Nothing,
    Something,
    Quit,
}

/// Carries out everything that was typed.
fn obey(screen: &mut Screen, terminal: &mut Terminal, signals: &Signals, feed: &Feed) -> Obeyed {
    let mut obeyed = Obeyed::Nothing;
    while event::poll(Duration::ZERO).unwrap_or(false) {
        obeyed = Obeyed::Something;
        let Ok(event) = event::read() else {
            return Obeyed::Quit;
        };
        let Some(action) = keys::action(&event, screen.state()) else {
            continue;
        };
        match screen.act(action) {
            Effect::None => {}
            Effect::Quit => return Obeyed::Quit,
            Effect::Suspend => signals.ask_stop(),
            Effect::Redraw => {
                if terminal.reenter().is_err() {
                    return Obeyed::Quit;
                }
            }
            Effect::SetInterval(interval) => feed.set_interval(interval),
        }
    }
    obeyed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> (bool, bool) {
        let options = Options::from_variables(Filter::default(), |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_string())
        });
        (options.ascii, options.color)
    }

    #[test]
    fn the_first_locale_that_is_not_empty_decides() {
        assert!(options(&[]).0);
        assert!(!options(&[("LANG", "de_DE.UTF-8")]).0);
        assert!(!options(&[("LC_ALL", ""), ("LANG", "C.utf8")]).0);
        assert!(options(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]).0);
    }

    #[test]
    fn no_color_counts_unless_empty() {
        assert!(options(&[("NO_COLOR", "")]).1);
        assert!(!options(&[("NO_COLOR", "0")]).1);
        assert!(!options(&[("TERM", "dumb")]).1);
    }
}

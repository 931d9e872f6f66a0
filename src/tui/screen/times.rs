//! Which time the screen shows: the present, held or not, or the past; and of which
//! machine.
//!
//! A part of [`Screen`] in a file of its own. What is drawn of it is `badges`' business.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::Screen;
use crate::model::snapshot::Snapshot;
use crate::tui::Trouble;
use crate::tui::elsewhere::Elsewhere;
use crate::tui::history::History;
use crate::tui::past::{self, Destination, Past, Step};

impl Screen {
    /// The same with a past to step into.
    #[must_use]
    pub fn with_past(mut self, past: Box<dyn Past>) -> Screen {
        self.past = Some(past);
        self.state.has_past = true;
        self
    }

    /// The same for the snapshots of another machine.
    #[must_use]
    pub fn with_elsewhere(mut self, elsewhere: Arc<Elsewhere>) -> Screen {
        self.elsewhere = Some(elsewhere);
        self.look_elsewhere();
        self
    }

    /// The same with somebody to ask for what is wrong.
    #[must_use]
    pub fn with_trouble(mut self, trouble: Trouble) -> Screen {
        self.trouble = Some(trouble);
        self
    }

    pub(super) fn look_for_trouble(&mut self) {
        let trouble = self.trouble.as_ref().and_then(|trouble| trouble());
        if trouble != self.state.trouble {
            self.state.trouble = trouble;
            self.dirty = true;
        }
    }

    /// The same with the times of this zone.
    #[must_use]
    pub fn in_zone(mut self, zone: TimeZone) -> Screen {
        self.zone = zone;
        self
    }

    /// Takes in what has become of the connection. While nothing has, this costs one
    /// atomic load.
    pub(super) fn look_elsewhere(&mut self) {
        let Some(elsewhere) = &self.elsewhere else {
            return;
        };
        let seen = self.place.as_ref().map_or(0, |(revision, _)| *revision);
        if let Some(place) = elsewhere.newer_than(seen) {
            self.place = Some(place);
            self.dirty = true;
        }
    }

    /// True while what is shown does not follow what is counted.
    pub(super) fn is_held(&self) -> bool {
        self.frozen.is_some() || self.then.is_some()
    }

    /// The minutes of the time that is shown; empty ones in the past, of which only
    /// sums are known.
    pub(super) fn minutes(&self) -> &History {
        if self.then.is_some() {
            return &self.no_minutes;
        }
        self.frozen.as_ref().unwrap_or(&self.history)
    }

    pub(super) fn toggle_freeze(&mut self) {
        if self.then.is_some() {
            self.state.notice = Some("the past stands still; . goes back to now".to_owned());
        } else if self.frozen.take().is_none() {
            self.frozen = self.view.is_some().then(|| self.history.clone());
        } else {
            self.show_latest();
        }
    }

    /// Goes through time. What is counted meanwhile is taken in all the same.
    pub(super) fn travel(&mut self, step: Step) {
        if let Some((_, place)) = &self.place {
            let what = format!("no history here; ask `netmon history` on {}", place.name);
            self.state.notice = Some(what);
            return;
        }
        // Before the first reading there is no present to start from.
        let Some(now) = self.view.as_ref().map(|view| view.snapshot.at.wall) else {
            return;
        };
        let shown = self.then.as_ref().map(|then| then.at.wall);
        match past::step(self.past.as_mut(), step, shown, now) {
            Destination::Then(snapshot) => self.show_then(snapshot),
            Destination::Now => self.show_now(),
            Destination::Nowhere(why) => self.state.notice = Some(why),
        }
    }

    fn show_then(&mut self, snapshot: Arc<Snapshot>) {
        let snapshot = match &self.latest {
            Some(latest) => past::recognize(snapshot, latest),
            None => snapshot,
        };
        self.frozen = None;
        self.then = Some(Arc::clone(&snapshot));
        self.rebuild(snapshot);
    }

    fn show_now(&mut self) {
        if self.then.take().is_some() {
            self.show_latest();
        }
    }
}

//! Where snapshots come from when they are another machine's, and whether they do.
//!
//! Shared by the thread that fetches them and the screen. Fetches nothing itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The connection is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Wall-clock time of the last that came, since the Unix epoch.
    pub since: Duration,
    /// Why, in a few words.
    pub why: String,
}

/// What the screen says of the other machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What it is called, and its port.
    pub name: String,
    /// Set while nothing comes from there.
    pub lost: Option<Lost>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Elsewhere {
    port: u16,
    place: Mutex<Place>,
    /// Grows with every change, so that a 100 Hz reader can look without locking.
    revision: AtomicU64,
}

impl Elsewhere {
    /// A machine that goes by the name in its address until it tells its own.
    pub fn new(host: &str, port: u16) -> Elsewhere {
        Elsewhere {
            port,
            place: Mutex::new(Place {
                name: format!("{host}:{port}"),
                lost: None,
            }),
            revision: AtomicU64::new(1),
        }
    }

    /// A panicking holder leaves the place whole: every write to it is one assignment.
    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, place: Place) {
        let mut known = self.place();
        if *known != place {
            *known = place;
            self.revision.fetch_add(1, Ordering::Release);
        }
    }

    /// A record came from the machine of this name (empty if it told none).
    pub fn arrived(&self, host: &str) {
        let name = if host.is_empty() {
            self.place().name.clone()
        } else {
            format!("{host}:{}", self.port)
        };
        self.change(Place { name, lost: None });
    }

    /// Nothing comes from there any more.
    pub fn lose(&self, lost: Lost) {
        let name = self.place().name.clone();
        self.change(Place {
            name,
            lost: Some(lost),
        });
    }

    /// What there is beyond revision `seen` (0 for none), with its revision.
    pub fn newer_than(&self, seen: u64) -> Option<(u64, Place)> {
        let revision = self.revision.load(Ordering::Acquire);
        (revision != seen).then(|| (revision, self.place().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_news() {
        let elsewhere = Elsewhere::new("127.0.0.1", 9600);
        let (seen, place) = elsewhere.newer_than(0).unwrap();
        assert_eq!(place.name, "127.0.0.1:9600");
        assert_eq!(elsewhere.newer_than(seen), None);
        elsewhere.arrived("web1");
        let (seen, place) = elsewhere.newer_than(seen).unwrap();
        assert_eq!(place.name, "web1:9600");
        elsewhere.arrived("web1");
        assert_eq!(elsewhere.newer_than(seen), None);
        let lost = Lost {
            since: Duration::from_secs(1),
            why: "it closed the connection".to_owned(),
        };
        elsewhere.lose(lost.clone());
        let (seen, place) = elsewhere.newer_than(seen).unwrap();
        assert_eq!((place.name.as_str(), place.lost), ("web1:9600", Some(lost)));
        elsewhere.arrived("");
        let (_, place) = elsewhere.newer_than(seen).unwrap();
        assert_eq!((place.name.as_str(), place.lost), ("web1:9600", None));
    }
}

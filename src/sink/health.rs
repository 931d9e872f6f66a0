//! What is wrong with the parts of a running daemon, for whoever asks.
//!
//! A part sets its trouble and takes it back; `/health`, the metrics and the log
//! read it. Knows no part by itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Troubles by part; see the module's text.
#[derive(Debug, Default)]
pub struct Health {
    troubles: Mutex<BTreeMap<&'static str, String>>,
}

impl Health {
    /// A panicking holder leaves the map whole: every write to it is one insertion.
    fn troubles(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is wrong with a part. True if nothing was wrong with it before, so
    /// that a caller logs it once.
    pub fn trouble(&self, part: &'static str, what: String) -> bool {
        self.troubles().insert(part, what).is_none()
    }

    /// The part works. True if something was wrong with it before.
    pub fn well(&self, part: &'static str) -> bool {
        self.troubles().remove(part).is_some()
    }

    /// `OK`, or `DEGRADED` and what is wrong, one line for each part.
    pub fn text(&self) -> String {
        self.told(|part, what| format!("DEGRADED {part}: {what}"))
    }

    /// The same without what is wrong, for strangers.
    pub fn brief(&self) -> String {
        self.told(|part, _| format!("DEGRADED {part}"))
    }

    fn told(&self, line: impl Fn(&str, &str) -> String) -> String {
        let troubles = self.troubles();
        if troubles.is_empty() {
            return "OK".to_owned();
        }
        let lines: Vec<_> = troubles
            .iter()
            .map(|(part, what)| line(part, what))
            .collect();
        lines.join("\n")
    }

    /// Whether a part works.
    pub fn is_well(&self, part: &'static str) -> bool {
        !self.troubles().contains_key(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_and_taken_back() {
        let health = Health::default();
        assert_eq!(health.text(), "OK");
        assert!(health.trouble("history", "disk full".to_owned()));
        assert!(!health.trouble("history", "disk still full".to_owned()));
        assert_eq!(health.text(), "DEGRADED history: disk still full");
        assert_eq!(health.brief(), "DEGRADED history");
        assert!(!health.is_well("history"));
        assert!(health.well("history"));
        assert!(!health.well("history"));
        assert_eq!(health.text(), "OK");
    }
}

//! The labels of a process's series: what it is called, borrowed and kept.
//!
//! Owns when two are the same. Which of them are counted is `top`'s.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// The labels of a process, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who<'a> {
    /// Short name.
    pub process: &'a str,
    /// User name.
    pub user: &'a str,
    /// Container or systemd unit, empty if there is none.
    pub unit: &'a str,
}

/// The labels of a process, kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// Short name.
    pub process: Box<str>,
    /// User name.
    pub user: Box<str>,
    /// Container or systemd unit, empty if there is none.
    pub unit: Box<str>,
}

impl From<Who<'_>> for Labels {
    fn from(who: Who<'_>) -> Labels {
        Labels {
            process: who.process.into(),
            user: who.user.into(),
            unit: who.unit.into(),
        }
    }
}

/// What both kinds of labels are, so that a table of the kept ones can be asked with the
/// borrowed ones: one question per process and reading must not allocate.
pub trait Parts {
    /// Process, user, unit.
    fn parts(&self) -> [&str; 3];
}

impl Parts for Who<'_> {
    fn parts(&self) -> [&str; 3] {
        [self.process, self.user, self.unit]
    }
}

impl Parts for Labels {
    fn parts(&self) -> [&str; 3] {
        [&self.process, &self.user, &self.unit]
    }
}

impl Hash for dyn Parts + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for dyn Parts + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Parts + '_ {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl<'a> Borrow<dyn Parts + 'a> for Labels {
    fn borrow(&self) -> &(dyn Parts + 'a) {
        self
    }
}

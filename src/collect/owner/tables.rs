//! The socket tables of one network namespace, asked by netlink, else read in files.
//!
//! Owns which of the two answers for a protocol. Which namespaces there are is the business
//! of `namespaces`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::files::{Files, TooEarly};
use crate::collect::sock_diag::{self, Question, Socket};

/// The socket tables of one namespace.
#[derive(Debug)]
pub struct Tables {
    diag: Option<sock_diag::Tables>,
    /// The protocols that were asked for, and whether netlink knows them.
    known: HashMap<u8, bool>,
    /// For those that it does not know; `None` where no process is.
    pub(super) files: Option<Files>,
}

impl Tables {
    /// Those of the calling thread's namespace if it may ask netlink there, whose files are
    /// in `directory`.
    pub fn open(may_ask: bool, directory: Option<PathBuf>) -> Tables {
        Tables {
            diag: may_ask.then(|| sock_diag::Tables::open().ok()).flatten(),
            known: HashMap::new(),
            files: directory.map(Files::new),
        }
    }

    /// Whether netlink answers for this protocol.
    fn answers(&mut self, protocol: u8) -> Option<&mut sock_diag::Tables> {
        let diag = self.diag.as_mut()?;
        let known = self.known.entry(protocol);
        known
            .or_insert_with(|| diag.knows(protocol))
            .then_some(diag)
    }

    /// The socket that a packet to `local` from `remote` would come to.
    ///
    /// # Errors
    /// If that is in files, and it is too early to read them again.
    pub fn find(&mut self, question: &Question, now: Duration) -> Result<Option<Socket>, TooEarly> {
        if let Some(diag) = self.answers(question.protocol) {
            // What it refuses it does not know.
            return Ok(diag.find(question).ok().flatten());
        }
        match &mut self.files {
            Some(files) => files.find(question, now),
            None => Ok(None),
        }
    }

    /// The process that showed the files may end before this one does.
    pub fn move_to(&mut self, directory: Option<PathBuf>) {
        match (&mut self.files, directory) {
            (Some(files), Some(directory)) => files.move_to(directory),
            (files, directory) => *files = directory.map(Files::new),
        }
    }

    /// Lets files be read again at the next question, however early that is.
    pub fn hurry(&mut self) {
        if let Some(files) = &mut self.files {
            files.hurry();
        }
    }
}

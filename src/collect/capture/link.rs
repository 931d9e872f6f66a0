//! The interface that is captured on: whether it is there, up, or gone since, and what it
//! is called now.
//!
//! Owns what is said when it cannot be captured on. Captures nothing.

use std::sync::Arc;

use anyhow::{Result, bail};
use nix::net::if_::if_nametoindex;

use crate::collect::rtnetlink::{self, Changes};

/// What an interface is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Packets may come.
    Up,
    /// It is there and switched off; packets come when it is switched on again.
    Down,
    /// It is gone, and what may have its name now is another one.
    Gone,
}

/// What has become of an interface since it was last looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Its name until now, if it has another one.
    pub renamed: Option<Arc<str>>,
    /// What it does now, if that is something else.
    pub state: Option<State>,
}

/// One interface, watched.
#[derive(Debug)]
pub struct Link {
    name: Arc<str>,
    index: u32,
    changes: Changes,
    state: State,
}

impl Link {
    /// Looks for the interface and watches it from now on.
    ///
    /// # Errors
    /// If there is none of that name, which names those that there are, or it is down.
    pub fn find(name: &str) -> Result<Link> {
        // Listening comes first, so that no change falls between.
        let changes = Changes::open()?;
        // The kernel's own look-up knows alternative names, too.
        let index = if_nametoindex(name).ok();
        let links = rtnetlink::links()?;
        let found = links.iter().find(|(link, _)| Some(link.index) == index);
        match found {
            Some((link, true)) => Ok(Link {
                name: Arc::clone(&link.name),
                index: link.index,
                changes,
                state: State::Up,
            }),
            Some(_) => bail!("interface {name} is down; `ip link set {name} up` starts it"),
            None => {
                let mut names: Vec<&str> = links.iter().map(|(link, _)| &*link.name).collect();
                names.sort_unstable();
                bail!(
                    "there is no interface {name}; there are {}",
                    names.join(", ")
                );
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its `ifindex`.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// What is different now.
    ///
    /// # Errors
    /// If the interfaces cannot be read.
    pub fn changed(&mut self) -> Result<Change> {
        let mut change = Change::default();
        if !self.changes.any() {
            return Ok(change);
        }
        let links = rtnetlink::links()?;
        let found = links.iter().find(|(link, _)| link.index == self.index);
        let state = match found {
            Some((_, true)) => State::Up,
            Some((_, false)) => State::Down,
            None => State::Gone,
        };
        if state != self.state {
            self.state = state;
            change.state = Some(state);
        }
        if let Some((link, _)) = found
            && link.name != self.name
        {
            let before = std::mem::replace(&mut self.name, Arc::clone(&link.name));
            change.renamed = Some(before);
        }
        Ok(change)
    }
}

//! The latest picture, and who waits for the next: the way from the sampler's slot to
//! any number of event streams.
//!
//! A thread of its own waits for snapshots and encodes what somebody listens to. Only
//! the latest picture is kept: a slow listener skips to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;

use super::picture::{Machine, Picture, View};
use super::priority;
use crate::feed::{Feed, News};
use crate::sink::books::Books;

/// Longest time between two looks at whether anybody still wants pictures.
const LOOK: Duration = Duration::from_secs(1);

/// What there is to see.
#[derive(Debug, Clone)]
pub enum Now {
    /// Nothing yet.
    Nothing,
    /// The latest picture.
    Picture(Arc<Picture>),
    /// There will be no further one.
    Over,
}

/// The latest picture; see the module's text.
#[derive(Debug)]
pub struct Live {
    now: watch::Sender<Now>,
    listeners: [AtomicUsize; View::ALL.len()],
}

impl Default for Live {
    fn default() -> Live {
        Live {
            now: watch::Sender::new(Now::Nothing),
            listeners: Default::default(),
        }
    }
}

impl Live {
    /// The latest picture, if there is one.
    pub fn latest(&self) -> Option<Arc<Picture>> {
        match &*self.now.borrow() {
            Now::Picture(picture) => Some(Arc::clone(picture)),
            Now::Nothing | Now::Over => None,
        }
    }

    /// Listens to a view, from the latest picture on.
    pub fn listen(self: &Arc<Self>, view: View) -> Listener {
        self.listeners[view as usize].fetch_add(1, Ordering::Relaxed);
        Listener {
            live: Arc::clone(self),
            view,
        }
    }

    /// Shows a picture, unless all is over.
    fn show(&self, picture: Arc<Picture>) {
        self.now.send_if_modified(|now| {
            let on = !matches!(now, Now::Over);
            if on {
                *now = Now::Picture(picture);
            }
            on
        });
    }

    /// Ends every stream.
    pub fn end(&self) {
        self.now.send_replace(Now::Over);
    }

    fn is_over(&self) -> bool {
        matches!(*self.now.borrow(), Now::Over)
    }

    /// Starts the thread that turns what `feed` brings into pictures. It ends with the
    /// feed, or soon after [`Live::end`].
    ///
    /// # Errors
    /// If there can be no further thread.
    pub fn follow(self: &Arc<Self>, feed: Arc<Feed>, machine: Machine) -> Result<JoinHandle<()>> {
        let live = Arc::clone(self);
        thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || live.paint(&feed, &Arc::new(machine)))
            .context("could not start a thread")
    }

    fn paint(&self, feed: &Feed, machine: &Arc<Machine>) {
        priority::lower();
        let mut books = Books::default();
        let mut seen = 0;
        while !self.is_over() {
            match feed.wait_newer(seen, LOOK) {
                News::Snapshot(snapshot) => {
                    seen = snapshot.sequence;
                    let protocols = books.protocols(&snapshot);
                    let picture = Picture::new(snapshot, protocols, Arc::clone(machine));
                    // Here rather than in the server's thread, which others wait for.
                    for view in View::ALL {
                        if self.listeners[view as usize].load(Ordering::Relaxed) > 0 {
                            picture.event(view);
                        }
                    }
                    self.show(Arc::new(picture));
                }
                News::Nothing => {}
                News::Ended(_) => self.end(),
            }
        }
    }
}

/// Somebody who wants the events of a view, until it is dropped.
#[derive(Debug)]
pub struct Listener {
    live: Arc<Live>,
    view: View,
}

impl Listener {
    /// What it listens to.
    pub fn view(&self) -> View {
        self.view
    }

    /// All that there is to see from now on.
    pub fn subscribe(&self) -> watch::Receiver<Now> {
        self.live.now.subscribe()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.live.listeners[self.view as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

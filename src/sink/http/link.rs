//! One connection as its answers see it: how long it may go on, and its place.
//!
//! The server ends a connection that is overdue. Owns no socket.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};

/// Longest time in which an answer, or an event, is taken.
const TAKEN: Duration = Duration::from_secs(30);

/// Longest life of a connection that never brought the token, where one is asked for.
const STRANGER: Duration = Duration::from_secs(60);

/// Time for the last bytes of an event stream that is over.
const LAST: Duration = Duration::from_secs(5);

/// Time between two looks at whether a connection is overdue.
const LOOK: Duration = Duration::from_secs(1);

/// See the module's text.
#[derive(Debug, Default)]
pub struct Link(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When what is being sent must have been taken.
    taken: Option<Instant>,
    /// When all must be over.
    over: Option<Instant>,
    is_stream: bool,
    place: Option<OwnedSemaphorePermit>,
}

impl Link {
    /// A new connection that holds `place`, until it turns out to be an event stream,
    /// which has places of its own. A `stranger` has yet to bring the token.
    pub fn new(place: OwnedSemaphorePermit, stranger: bool) -> Link {
        Link(Mutex::new(State {
            over: stranger.then(|| Instant::now() + STRANGER),
            place: Some(place),
            ..State::default()
        }))
    }

    /// A panicking holder leaves the state whole: its members are set one by one.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It brought the token.
    pub fn is_known(&self) {
        self.state().over = None;
    }

    /// An answer, or an event, goes out.
    pub fn sends(&self) {
        self.state().taken = Some(Instant::now() + TAKEN);
    }

    /// The event before is taken, and it waits for the next: it is a stream.
    pub fn waits(&self) {
        let mut state = self.state();
        state.taken = None;
        state.is_stream = true;
        // Another connection may have it.
        drop(mem::take(&mut state.place));
    }

    /// Its stream is over, if it was one: without a place it must not go on.
    pub fn ends(&self) {
        let mut state = self.state();
        if state.is_stream {
            state.over = Some(Instant::now() + LAST);
        }
    }

    /// Comes back when it is overdue.
    pub async fn overdue(&self) {
        while !self.is_overdue(Instant::now()) {
            sleep(LOOK).await;
        }
    }

    fn is_overdue(&self, now: Instant) -> bool {
        let state = self.state();
        let mut ends = [state.taken, state.over].into_iter().flatten();
        ends.any(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn link(stranger: bool) -> (Arc<Semaphore>, Link) {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().expect("a place");
        (places, Link::new(place, stranger))
    }

    fn after(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn an_answer_must_be_taken_in_time() {
        let (places, link) = link(false);
        assert!(!link.is_overdue(after(3600)));
        link.sends();
        assert!(!link.is_overdue(after(29)));
        assert!(link.is_overdue(after(31)));
        link.ends();
        assert_eq!(places.available_permits(), 0);
        drop(link);
        assert_eq!(places.available_permits(), 1);
    }

    #[test]
    fn a_stream_gives_its_place_back_and_ends_when_it_is_over() {
        let (places, link) = link(false);
        link.waits();
        assert_eq!(places.available_permits(), 1);
        link.sends();
        assert!(link.is_overdue(after(31)));
        link.waits();
        assert!(!link.is_overdue(after(3600)));
        link.ends();
        assert!(link.is_overdue(after(6)));
    }

    #[test]
    fn who_never_brings_the_token_goes_after_a_while() {
        let (_places, link) = link(true);
        assert!(!link.is_overdue(after(59)));
        assert!(link.is_overdue(after(61)));
        link.is_known();
        assert!(!link.is_overdue(after(61)));
    }
}

//! What would hold the server's only thread, done in others, and only so much of it
//! at a time. An answer that is made keeps its place until there is room to hold it.

use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task;

use super::refusal::Refusal;
use super::room::Room;

/// Requests that may wait for a place; all beyond are refused at once.
const WAITING: usize = 32;

/// A bounded number of places to work in, and of requests that wait for one.
#[derive(Debug)]
pub struct Work {
    places: Arc<Semaphore>,
    waiting: Semaphore,
    room: Room,
}

impl Work {
    /// Room for `places` pieces of work at a time, whose answers are held in `room`.
    pub fn new(places: usize, room: Room) -> Work {
        Work {
            places: Arc::new(Semaphore::new(places)),
            waiting: Semaphore::new(WAITING),
            room,
        }
    }

    /// Makes an answer in a thread that may wait. It keeps its place until it has ended,
    /// even if nobody waits for it any longer: unwanted work cannot pile up. The answer
    /// has a place or room wherever it is, too.
    ///
    /// # Errors
    /// The refusal to answer with when too many wait already or it panicked; inside,
    /// those of the work.
    pub async fn answer<E: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<Bytes, E> + Send + 'static,
    ) -> Result<Result<Bytes, E>, Refusal> {
        let (made, _place) = self.run(work).await?;
        match made {
            Ok(bytes) => self.room.hold(bytes).await.map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, OwnedSemaphorePermit), Refusal> {
        let waiting = self
            .waiting
            .try_acquire()
            .map_err(|_| Refusal::busy("too many questions at a time"))?;
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(Refusal::broken)?;
        drop(waiting);
        let done = task::spawn_blocking(move || (work(), place));
        done.await.map_err(Refusal::broken)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn work_nobody_waits_for_keeps_its_place() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let work = Arc::new(Work::new(1, Room::default()));
            let (end, ended) = mpsc::channel::<()>();
            let long = task::spawn({
                let work = Arc::clone(&work);
                async move { work.run(move || ended.recv()).await.map(|_| ()) }
            });
            while work.places.available_permits() > 0 {
                task::yield_now().await;
            }
            long.abort();
            assert!(long.await.is_err_and(|error| error.is_cancelled()));
            assert_eq!(work.places.available_permits(), 0);
            drop(end);
            assert_eq!(work.run(|| 7).await.ok().map(|(made, _)| made), Some(7));
        });
    }

    #[test]
    fn beyond_those_that_may_wait_all_are_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let work = Work::new(1, Room::default());
            let _all = work.waiting.acquire_many(32).await.expect("all");
            let refusal = work.run(|| 7).await.expect_err("a refusal");
            assert_eq!(refusal.status().as_u16(), 503);
        });
    }

    #[test]
    fn a_panic_is_an_answer_without_its_words() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let work = Work::new(1, Room::default());
        let refusal = runtime
            .block_on(work.run(|| panic!("secret")))
            .expect_err("a refusal");
        assert_eq!(refusal.status().as_u16(), 500);
        assert!(!refusal.reason().contains("secret"));
    }
}

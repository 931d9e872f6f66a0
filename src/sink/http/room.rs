//! How many bytes of answers wait at a time to be sent.
//!
//! An answer is made for one who asks, who may then read it slowly or not at all. Its
//! room is given back with its last byte, sent or dropped.

use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;

/// Room for all, KiB.
const ALL: u32 = 64 * 1024;

/// Answers up to this size are not counted, bytes: as many as there are connections
/// are a few MiB, and nobody's large ones shall hold them.
const SMALL: usize = 64 * 1024;

/// The room of one server; clones share it.
#[derive(Debug, Clone)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Room {
        Room(Arc::new(Semaphore::new(ALL as usize)))
    }
}

/// Bytes in a room.
struct Held {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Room {
    /// The same bytes, once there is room for them. What is larger than all of it gets
    /// all of it.
    ///
    /// # Errors
    /// None while the server runs.
    pub async fn hold(&self, bytes: Bytes) -> Result<Bytes, Refusal> {
        if bytes.len() <= SMALL {
            return Ok(bytes);
        }
        let size = u32::try_from(bytes.len().div_ceil(1024)).map_or(ALL, |size| size.min(ALL));
        let room = Arc::clone(&self.0).acquire_many_owned(size).await;
        Ok(Bytes::from_owner(Held {
            bytes,
            _room: room.map_err(Refusal::broken)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn large_answers_wait_for_those_before_and_small_ones_do_not() {
        let room = Room::default();
        let ask = |bytes| Box::pin(room.hold(Bytes::from(vec![7; bytes])));
        let context = &mut Context::from_waker(Waker::noop());
        let mut first = ask(ALL as usize * 2048);
        let Poll::Ready(Ok(mut first)) = first.as_mut().poll(context) else {
            panic!("no room in an empty one");
        };
        let mut next = ask(SMALL + 1);
        assert!(next.as_mut().poll(context).is_pending());
        assert!(ask(SMALL).as_mut().poll(context).is_ready());
        // Part of it is sent: the rest is still there.
        let rest = first.split_off(1);
        drop(first);
        assert!(next.as_mut().poll(context).is_pending());
        drop(rest);
        assert!(next.as_mut().poll(context).is_ready());
    }
}

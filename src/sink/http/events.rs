//! `/api/events`: a picture's event to everybody who listens, as soon as there is one.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderName, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;

use super::Sources;
use super::link::Link;
use super::live::{Listener, Now};
use super::parameters::Parameters;
use super::picture::View;
use super::refusal::Refusal;

/// Most event streams at a time.
pub const MOST: usize = 512;

/// Rest after which a comment says that the stream lives.
const ALIVE: Duration = Duration::from_secs(15);

/// Keeps a proxy from holding events back.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Opens a stream.
pub async fn events(
    State(sources): State<Arc<Sources>>,
    Extension(link): Extension<Arc<Link>>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let parameters = Parameters::of(&uri, &["view"])?;
    let view = parameters.one_of("view", View::ALL, View::name)?;
    let place = Arc::clone(&sources.streams)
        .try_acquire_owned()
        .map_err(|_| Refusal::busy(format!("all {MOST} event streams are taken")))?;
    let listener = sources.live.listen(view.unwrap_or(View::Record));
    let body = Body::from_stream(Events::new(listener, link, place));
    let head = [(header::CONTENT_TYPE, "text/event-stream"), UNBUFFERED];
    Ok((head, body).into_response())
}

/// The events of one listener; they end when all is over.
struct Events {
    pictures: WatchStream<Now>,
    alive: Interval,
    listener: Listener,
    link: Arc<Link>,
    _place: OwnedSemaphorePermit,
}

impl Events {
    fn new(listener: Listener, link: Arc<Link>, place: OwnedSemaphorePermit) -> Events {
        let mut alive = interval_at(Instant::now() + ALIVE, ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Events {
            pictures: WatchStream::new(listener.subscribe()),
            alive,
            listener,
            link,
            _place: place,
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.link.ends();
    }
}

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Asked only when there is room for more: what was sent is taken.
        self.link.waits();
        loop {
            match Pin::new(&mut self.pictures).poll_next(context) {
                Poll::Ready(Some(Now::Picture(picture))) => {
                    self.alive.reset();
                    self.link.sends();
                    return Poll::Ready(Some(Ok(picture.event(self.listener.view()))));
                }
                Poll::Ready(Some(Now::Nothing)) => {}
                Poll::Ready(Some(Now::Over) | None) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        let comment = || Some(Ok(Bytes::from_static(b": alive\n\n")));
        self.alive.poll_tick(context).map(|_| comment())
    }
}

//! The server: the latest snapshot, the past, metrics and a page, over HTTP.
//!
//! ```text
//!  Feed ──► live (thread "events") ──► Arc<Picture> ──► events, plain ─┐
//!  history::reader ◄── history                                        ├─► router ─► server (thread "http")
//!  metrics, health, dashboard ──► plain, files                        ─┘
//! ```
//!
//! `limits`, `guard` and `host` decide who is answered. Only reads: nothing that is
//! asked changes what is counted.

mod events;
mod files;
pub mod guard;
mod history;
mod host;
mod interfaces;
mod limits;
mod link;
mod live;
mod parameters;
mod peers;
mod picture;
mod plain;
mod priority;
mod refusal;
mod room;
pub mod server;
mod summary;
pub mod token;
mod work;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use self::guard::Guard;
use self::live::Live;
use self::refusal::Refusal;
use self::room::Room;
use self::work::Work;
use super::dashboard;
use super::health::Health;

/// Questions to the past that are answered at a time.
const QUESTIONS: usize = 3;

/// Other answers that are made at a time.
const ANSWERS: usize = 2;

/// Longest time to the head of an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The metrics as text, made anew each time.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What the server tells of, besides snapshots.
#[derive(Clone)]
pub struct Settings {
    /// The machine's name.
    pub host: String,
    /// What is wrong with the daemon's parts.
    pub health: Arc<Health>,
    /// The file of the history, if one is kept.
    pub history: Option<PathBuf>,
    /// The metrics in OpenMetrics text.
    pub metrics: Metrics,
    /// Who may ask.
    pub guard: Arc<Guard>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Settings");
        shown.field("host", &self.host).field("guard", &self.guard);
        shown
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

/// Where answers come from.
struct Sources {
    live: Arc<Live>,
    health: Arc<Health>,
    history: Option<PathBuf>,
    metrics: Metrics,
    guard: Arc<Guard>,
    /// Places for event streams.
    streams: Arc<Semaphore>,
    questions: Work,
    /// Whether the last question to the past failed.
    past_fails: AtomicBool,
    answers: Work,
    /// Longest time to the head of an answer.
    patience: Duration,
}

impl Sources {
    fn new(settings: Settings, live: Arc<Live>) -> Sources {
        let room = Room::default();
        Sources {
            live,
            health: settings.health,
            history: settings.history,
            metrics: settings.metrics,
            guard: settings.guard,
            streams: Arc::new(Semaphore::new(events::MOST)),
            questions: Work::new(QUESTIONS, room.clone()),
            past_fails: AtomicBool::new(false),
            answers: Work::new(ANSWERS, room),
            patience: PATIENCE,
        }
    }
}

/// Every path but those of the page's files.
fn routes() -> [(&'static str, MethodRouter<Arc<Sources>>); 14] {
    [
        ("/health", get(plain::health)),
        ("/metrics", get(plain::metrics)),
        ("/api/openapi.json", get(plain::openapi)),
        ("/api/current", get(plain::current)),
        ("/api/events", get(events::events)),
        ("/api/history/top", get(history::top)),
        ("/api/history/interfaces", get(history::interfaces)),
        ("/api/timeseries", get(history::timeseries)),
        ("/api/protocol", get(history::protocol)),
        ("/api/remotes", get(history::remotes)),
        ("/api/alerts", get(history::alerts)),
        ("/api/interfaces", get(interfaces::interfaces)),
        ("/api/metrics/realtime", get(interfaces::realtime)),
        ("/api/stats/summary", get(interfaces::stats)),
    ]
}

/// Headers of every answer: a page of ours runs what came with it and nothing else,
/// and no other page may use it. The digest is that of the one script in `index.html`, which
/// loads the page again if a file of it is missing: a browser says the right one if it changes.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; \
             script-src 'self' 'sha256-aNk5DAeU0VCrEMaBgaLMsE2W7fBjRrW7a5e+m6L4BaQ='; \
             style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// All that is answered.
fn router(sources: Arc<Sources>) -> Router {
    let mut router = Router::new();
    for (path, route) in routes() {
        router = router.route(path, route);
    }
    for file in dashboard::FILES {
        router = router.route(file.path, files::route(file));
    }
    let no_store = HeaderValue::from_static("no-store");
    router = router
        .fallback(plain::nothing)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&sources),
            limits::keep,
        ))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            no_store,
        ));
    for (name, value) in HEADERS {
        router = router.layer(SetResponseHeaderLayer::overriding(name, value));
    }
    router.with_state(sources)
}

/// What it said is on stderr; the one who asked learns that there was something.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    Refusal::broken("a panic, told above").into_response()
}

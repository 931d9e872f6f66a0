//! The whole router without a socket: what it answers to whom.
//!
//! Real snapshots over real sockets are the business of `tests/web`.

mod description;
mod interfaces;
mod streams;

use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt;

use super::picture::Machine;
use super::token::Token;
use super::*;
use crate::feed::Feed;
use crate::model::snapshot::{AggregateRow, Balance, Engine, Loss, Rates, Snapshot};

/// Longest wait for another thread.
const PATIENCE: Duration = Duration::from_secs(60);

fn snapshot(sequence: u64) -> Arc<Snapshot> {
    Arc::new(Snapshot {
        sequence,
        at: Default::default(),
        boot: Default::default(),
        interval: Duration::from_millis(500),
        nominal_interval: Duration::from_millis(500),
        engine: Arc::new(Engine {
            name: "syscall".to_owned(),
            method: "a way".to_owned(),
            blind_spots: vec!["a spot".to_owned()],
        }),
        threshold: 1.0,
        protocols: Vec::new(),
        processes: Vec::new(),
        flows: Vec::new(),
        aggregates: vec![AggregateRow {
            name: "[kernel]",
            kernel_thread: true,
            totals: Default::default(),
            rates: Rates::default(),
        }],
        anomalies: Vec::new(),
        loss: Loss::default(),
        balance: Balance::default(),
        coverage: None,
        interfaces: Vec::new(),
    })
}

/// A server without a socket.
struct Scene {
    feed: Arc<Feed>,
    sources: Arc<Sources>,
}

impl Scene {
    fn new(guard: Guard) -> Scene {
        Scene::with(guard, Arc::new(|| "# EOF\n".to_owned()), super::PATIENCE)
    }

    fn with(guard: Guard, metrics: Metrics, patience: Duration) -> Scene {
        let live = Arc::new(Live::default());
        let health = Arc::new(Health::default());
        let machine = Machine {
            host: "a host".to_owned(),
            version: "0",
            health: Arc::clone(&health),
        };
        let feed = Arc::new(Feed::new(Duration::from_millis(500)));
        live.follow(Arc::clone(&feed), machine).expect("a thread");
        let settings = Settings {
            host: "a host".to_owned(),
            health,
            history: None,
            metrics,
            guard: Arc::new(guard),
        };
        let sources = Sources {
            patience,
            ..Sources::new(settings, live)
        };
        Scene {
            feed,
            sources: Arc::new(sources),
        }
    }

    fn open() -> Scene {
        Scene::new(Guard::new(None, Vec::new()))
    }

    /// Publishes a snapshot and waits until it can be seen.
    fn publish(&self, sequence: u64) {
        self.publish_one((*snapshot(sequence)).clone());
    }

    fn publish_one(&self, snapshot: Snapshot) {
        let sequence = snapshot.sequence;
        self.feed.publish(Arc::new(snapshot));
        let deadline = Instant::now() + PATIENCE;
        let shown = || self.sources.live.latest().map(|picture| picture.record());
        let wanted = format!("\"sequence\":{sequence},");
        while !shown().is_some_and(|it| String::from_utf8_lossy(&it).contains(&wanted)) {
            assert!(Instant::now() < deadline, "not shown");
            thread::sleep(Duration::from_millis(1));
        }
    }

    async fn answer(&self, method: &str, uri: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let router = router(Arc::clone(&self.sources));
        router.oneshot(request).await.expect("an answer")
    }

    /// Status, headers and body.
    async fn asked(&self, method: &str, uri: &str) -> (u16, HeaderMap, String) {
        let response = self.answer(method, uri, &[("host", "127.0.0.1")]).await;
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        let text = String::from_utf8(body.to_vec()).expect("text");
        (parts.status.as_u16(), parts.headers, text)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.feed.end(None);
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn every_answer_has_the_strict_headers() {
    run(async {
        let scene = Scene::open();
        let files = dashboard::FILES.iter().map(|file| file.path);
        let paths = routes().into_iter().map(|(path, _)| path);
        for path in files.chain(paths).chain(["/nowhere", "/api/current?x=1"]) {
            for method in ["GET", "HEAD", "POST"] {
                let response = scene.answer(method, path, &[("host", "[::1]:1")]).await;
                let headers = response.headers();
                for (name, value) in HEADERS {
                    assert_eq!(headers.get(&name), Some(&value), "{method} {path}");
                }
                let cache = headers.get("cache-control").expect("cache-control");
                let is_file = files::is_file(path) && method != "POST";
                let expected = if is_file { "no-cache" } else { "no-store" };
                assert_eq!(cache, expected, "{method} {path}");
                let is_cors = |name: &HeaderName| name.as_str().starts_with("access-control");
                assert!(!headers.keys().any(is_cors), "{method} {path}");
                if method == "POST" {
                    assert_eq!(response.status(), 405, "{path}");
                    assert_eq!(headers["allow"], "GET, HEAD", "{path}");
                }
            }
        }
    });
}

#[test]
fn the_latest_record_comes_whole_or_filtered() {
    run(async {
        let scene = Scene::open();
        let (status, headers, body) = scene.asked("GET", "/api/current").await;
        assert_eq!(status, 503, "{body}");
        assert_eq!(headers["retry-after"], "1");
        scene.publish(7);
        let (status, headers, body) = scene.asked("GET", "/api/current").await;
        assert_eq!(
            (status, &headers["content-type"]),
            (200, &HeaderValue::from_static("application/json"))
        );
        assert!(body.starts_with("{\"schema\":1,\"sequence\":7,"), "{body}");
        assert!(body.contains("[kernel]"), "{body}");
        let (status, _, body) = scene.asked("GET", "/api/current?pid=1&name=x").await;
        assert_eq!(status, 200);
        assert!(!body.contains("[kernel]"), "{body}");
        let (status, headers, body) = scene.asked("HEAD", "/api/current").await;
        assert_eq!((status, body.as_str()), (200, ""));
        assert!(
            headers["content-length"]
                .to_str()
                .is_ok_and(|length| length != "0")
        );
    });
}

#[test]
fn what_breaks_inside_stays_inside() {
    run(async {
        let metrics: Metrics = Arc::new(|| panic!("a secret"));
        let scene = Scene::with(Guard::new(None, Vec::new()), metrics, super::PATIENCE);
        let (status, _, body) = scene.asked("GET", "/metrics").await;
        assert_eq!(status, 500);
        assert_eq!(
            body,
            r#"{"error":"something failed inside netmon; its log says what"}"#
        );
        let response = panicked(Box::new("a secret"));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    });
}

#[test]
fn what_takes_too_long_is_told_so() {
    run(async {
        let (release, held): (Sender<()>, _) = mpsc::channel();
        let held = std::sync::Mutex::new(held);
        let metrics: Metrics = Arc::new(move || {
            // Until the test lets go.
            let _ = held.lock().expect("a lock").recv();
            String::new()
        });
        let patience = Duration::from_millis(10);
        let scene = Scene::with(Guard::new(None, Vec::new()), metrics, patience);
        let (status, headers, body) = scene.asked("GET", "/metrics").await;
        assert_eq!(
            (status, &headers["retry-after"]),
            (503, &HeaderValue::from_static("1"))
        );
        assert!(body.contains("took longer than"), "{body}");
        drop(release);
    });
}

#[test]
fn without_a_history_questions_to_it_are_refused() {
    run(async {
        let scene = Scene::open();
        let wrong = "/api/timeseries?limit=3";
        let (status, _, body) = scene.asked("GET", wrong).await;
        assert_eq!(
            (status, body.contains("say `by` too")),
            (400, true),
            "{body}"
        );
        let (status, _, body) = scene.asked("GET", "/api/history/top?since=1h").await;
        assert_eq!(
            (status, body.contains("--no-history")),
            (503, true),
            "{body}"
        );
    });
}

#[test]
fn the_page_and_health_are_for_everybody_and_nothing_else_is() {
    run(async {
        let token = Token::new("0123456789abcdef").expect("a token");
        let scene = Scene::new(Guard::new(Some(token), Vec::new()));
        let files = dashboard::FILES.iter().map(|file| file.path);
        for path in files.chain(["/health"]) {
            let (status, _, _) = scene.asked("GET", path).await;
            assert_eq!(status, 200, "{path}");
        }
        let paths = routes().into_iter().map(|(path, _)| path);
        let guarded = paths.filter(|path| *path != "/health");
        for path in guarded.chain(["/nowhere", "/health/", "//"]) {
            let (status, headers, _) = scene.asked("GET", path).await;
            assert_eq!(
                (status, &headers["www-authenticate"]),
                (401, &HeaderValue::from_static("Bearer")),
                "{path}"
            );
        }
        let right = [("authorization", "Bearer 0123456789abcdef")];
        let response = scene.answer("GET", "/api/openapi.json", &right).await;
        assert_eq!(response.status(), 200);
        let response = scene.answer("GET", "/nowhere", &right).await;
        assert_eq!(response.status(), 404);
        let secret = "disk /dev/secret is full".to_owned();
        scene.sources.health.trouble("history", secret);
        let (_, _, body) = scene.asked("GET", "/health").await;
        assert_eq!(body, "DEGRADED history");
        let response = scene.answer("GET", "/health", &right).await;
        let body = to_bytes(response.into_body(), usize::MAX).await;
        let told = "DEGRADED history: disk /dev/secret is full";
        assert_eq!(body.expect("a body"), told);
    });
}

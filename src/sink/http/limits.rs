//! What every request must keep to, before anybody reads it, and how long it may take.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::Sources;
use super::files::is_file;
use super::link::Link;
use super::refusal::Refusal;

/// Longest path with its parameters, bytes.
const MOST_URI: usize = 4096;

/// All headers of a request, bytes.
const MOST_HEADERS: usize = 16 * 1024;

/// Lets through what keeps to the limits and to the rules of the guard.
pub async fn keep(State(sources): State<Arc<Sources>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    // Without a socket there is none.
    let link = parts.extensions.get_or_insert_default::<Arc<Link>>();
    let link = Arc::clone(link);
    let path = parts.uri.path();
    let public = path == "/health" || is_file(path);
    if let Err(refusal) = check(&parts).and_then(|()| sources.guard.judge(&parts, public)) {
        link.sends();
        return refusal.into_response();
    }
    if sources.guard.knows(&parts.headers) {
        link.is_known();
    }
    let answered = next.run(Request::from_parts(parts, body));
    let response = match timeout(sources.patience, answered).await {
        Ok(response) => response,
        Err(_) => too_long(sources.patience).into_response(),
    };
    // What is idle afterwards is closed earlier; an event stream counts by its events.
    link.sends();
    response
}

fn too_long(patience: Duration) -> Refusal {
    Refusal::busy(format!(
        "this took longer than {} s; ask for less, or later",
        patience.as_secs()
    ))
}

/// Judges a request by the size of its parts. None has a body.
fn check(request: &Parts) -> Result<(), Refusal> {
    let headers = &request.headers;
    if request.method != Method::GET && request.method != Method::HEAD {
        let refusal = Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "accepted methods are GET and HEAD",
        );
        return Err(refusal.with(header::ALLOW, "GET, HEAD"));
    }
    if request.uri.path().len() + request.uri.query().map_or(0, str::len) > MOST_URI {
        return Err(Refusal::new(
            StatusCode::URI_TOO_LONG,
            format!("the path and its parameters are too long; accepted are {MOST_URI} bytes"),
        ));
    }
    let size =
        |(name, value): (&header::HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    if headers.iter().map(size).sum::<usize>() > MOST_HEADERS {
        return Err(Refusal::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!("the headers are too long; accepted are {MOST_HEADERS} bytes"),
        ));
    }
    let length = headers.get(header::CONTENT_LENGTH);
    if length.is_some_and(|length| length != "0") || headers.contains_key(header::TRANSFER_ENCODING)
    {
        return Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "no request has a body here",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        check(&parts).map_or_else(|refusal| refusal.status().as_u16(), |()| 200)
    }

    #[test]
    fn only_short_requests_to_read_are_let_through() {
        assert_eq!(status("GET", "/", &[]), 200);
        assert_eq!(status("HEAD", "/", &[("content-length", "0")]), 200);
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"] {
            assert_eq!(status(method, "/", &[]), 405, "{method}");
        }
        let path = |length: usize| format!("/?{}", "x".repeat(length - 1));
        assert_eq!(status("GET", &path(MOST_URI), &[]), 200);
        assert_eq!(status("GET", &path(MOST_URI + 1), &[]), 414);
        let value = "x".repeat(MOST_HEADERS - 3);
        assert_eq!(status("GET", "/", &[("x-y", &value)]), 200);
        assert_eq!(status("GET", "/", &[("x-yz", &value)]), 431);
        assert_eq!(status("GET", "/", &[("content-length", "1")]), 413);
        assert_eq!(status("GET", "/", &[("transfer-encoding", "chunked")]), 413);
    }
}

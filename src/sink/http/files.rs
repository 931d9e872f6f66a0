//! The page and what belongs to it, from the binary.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use crate::sink::dashboard::{FILES, File};

/// Whether a path is one of the page's files.
pub fn is_file(path: &str) -> bool {
    FILES.iter().any(|file| file.path == path)
}

/// Answers with a file, or with its name alone where the browser has it already.
pub fn route<S: Clone + Send + Sync + 'static>(file: &'static File) -> MethodRouter<S> {
    let tag = tag(file.body);
    get(async move |headers: HeaderMap| answer(file, &tag, &headers))
}

fn answer(file: &'static File, tag: &str, headers: &HeaderMap) -> Response {
    let head = [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_TYPE, file.content_type),
    ];
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|value| value.to_str().ok());
    // A proxy that packs a body calls its name weak.
    let is_this = |value: &str| value.trim().trim_start_matches("W/") == tag;
    if known.flat_map(|value| value.split(',')).any(is_this) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, file.body).into_response()
}

/// A name that another content does not have. Nobody gains by making one the same.
fn tag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: File = File {
        path: "/x.js",
        content_type: "text/javascript; charset=utf-8",
        body: b"1;",
    };

    fn status(known: &str) -> u16 {
        let mut headers = HeaderMap::new();
        let known = known.parse().expect("a value");
        headers.insert(header::IF_NONE_MATCH, known);
        answer(&FILE, &tag(FILE.body), &headers).status().as_u16()
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        let name = tag(FILE.body);
        assert_ne!(name, tag(b"2;"));
        assert_eq!(status(&name), 304);
        assert_eq!(status(&format!("\"other\", W/{name}")), 304);
        assert_eq!(status("\"other\""), 200);
    }

    #[test]
    fn there_is_a_page() {
        assert!(is_file("/"));
        assert!(FILES.iter().all(|file| file.path.starts_with('/')));
        assert!(!is_file("/api/current"));
    }
}

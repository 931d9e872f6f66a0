//! Answers that say no: a status, and a JSON object with the reason.
//!
//! A reason is for the one who asked and names what would be accepted. What went
//! wrong inside goes to the log, never into an answer.

use std::fmt::Display;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why there is no answer; see the module's text.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    reason: String,
    header: Option<(HeaderName, &'static str)>,
}

/// Every refusal's body.
#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
}

impl Refusal {
    /// A refusal with this status and reason.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Refusal {
        Refusal {
            status,
            reason: reason.into(),
            header: None,
        }
    }

    /// The question is wrong: 400.
    pub fn question(reason: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, reason)
    }

    /// What would answer it is off or not there yet: 503.
    pub fn off(reason: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason)
    }

    /// Too much is asked at a time: 503, and to be asked again.
    pub fn busy(reason: impl Into<String>) -> Refusal {
        Refusal::off(reason).with(header::RETRY_AFTER, "1")
    }

    /// Something broke: 500, and its cause in the log.
    pub fn broken(cause: impl Display) -> Refusal {
        tracing::error!("a request failed: {cause:#}");
        let reason = "something failed inside netmon; its log says what";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, reason)
    }

    /// The same with a header.
    #[must_use]
    pub fn with(self, name: HeaderName, value: &'static str) -> Refusal {
        Refusal {
            header: Some((name, value)),
            ..self
        }
    }

    /// Its status.
    #[cfg(test)]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its reason.
    #[cfg(test)]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(Body {
            error: &self.reason,
        });
        let mut response = (self.status, body).into_response();
        if let Some((name, value)) = self.header {
            let headers = response.headers_mut();
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

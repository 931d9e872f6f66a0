//! The short answers: the latest record, health, metrics, the API's description, and
//! what there is not.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::Sources;
use super::parameters::Parameters;
use super::refusal::Refusal;
use crate::model::filter::Filter;

/// The content type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The API, described for programs.
pub const OPENAPI: &str = include_str!("openapi.json");

/// What the description says of the token, and where there is none.
const TOKEN: [&str; 2] = ["\"security\": [{ \"token\": [] }]", "\"security\": []"];

type Answer = Result<Response, Refusal>;

/// JSON that is already written.
pub(super) fn json(body: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// `/api/current`
pub async fn current(State(sources): State<Arc<Sources>>, uri: Uri) -> Answer {
    let asked = Parameters::of(&uri, &["pid", "name"])?;
    let filter = Filter {
        pids: asked.number("pid", 0..=u32::MAX)?.into_iter().collect(),
        names: asked.text("name").map(str::to_owned).into_iter().collect(),
        ..Filter::default()
    };
    let picture = sources
        .live
        .latest()
        .ok_or_else(|| Refusal::busy("nothing is counted yet"))?;
    let encode = move || match filter.is_empty() {
        true => Ok::<_, Refusal>(picture.record()),
        false => Ok(picture.filtered(&filter)),
    };
    Ok(json(sources.answers.answer(encode).await??))
}

/// `/health`
pub async fn health(State(sources): State<Arc<Sources>>, headers: HeaderMap) -> String {
    // Everybody may know that something is wrong; what it is may hold names and paths.
    match sources.guard.knows(&headers) {
        true => sources.health.text(),
        false => sources.health.brief(),
    }
}

/// `/metrics`
pub async fn metrics(State(sources): State<Arc<Sources>>, uri: Uri) -> Answer {
    Parameters::of(&uri, &[])?;
    let render = Arc::clone(&sources.metrics);
    let text = sources
        .answers
        .answer(move || Ok::<_, Refusal>(render().into()))
        .await??;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

/// `/api/openapi.json`
pub async fn openapi(State(sources): State<Arc<Sources>>, uri: Uri) -> Answer {
    Parameters::of(&uri, &[])?;
    if sources.guard.asks_for_token() {
        return Ok(json(OPENAPI));
    }
    let [token, none] = TOKEN;
    Ok(json(OPENAPI.replace(token, none)))
}

/// Any other path.
pub async fn nothing() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "there is nothing here; /api/openapi.json says what there is",
    )
}

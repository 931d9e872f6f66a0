//! Where pushes go: what of `--otlp URL` is accepted, and what it means.
//!
//! Opens no connection.

use anyhow::{Context, Result, bail};
use reqwest::Url;

/// Where a collector takes metrics by HTTP, if the URL does not say.
const PATH: &str = "/v1/metrics";

/// The address to push to: a URL without a path is a collector's, which takes metrics at
/// `/v1/metrics`; one with a path is taken as it is.
///
/// # Errors
/// If it is no URL that this build can push to; the text says what to do.
pub fn endpoint(text: &str) -> Result<Url> {
    let mut url = Url::parse(text).with_context(|| {
        let text = without_secrets(text);
        format!("--otlp `{text}` is not a URL; give one such as http://127.0.0.1:4318")
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        // A URL is shown in process lists.
        bail!(
            "--otlp takes no user or password in the URL; set OTEL_EXPORTER_OTLP_HEADERS \
             (authorization=...) in the environment"
        );
    }
    let text = without_secrets(text);
    match url.scheme() {
        "http" => {}
        "https" => bail!(
            "--otlp `{text}`: netmon does not speak TLS; push to a collector on this machine \
             or network by http://, which can pass the metrics on by https"
        ),
        other => bail!(
            "--otlp `{text}`: `{other}` is not how metrics are pushed; give a URL such as \
             http://127.0.0.1:4318 (OTLP over HTTP)"
        ),
    }
    if url.path() == "/" {
        url.set_path(PATH);
    }
    Ok(url)
}

/// Scheme, host and port of `url`: paths and parameters can hold keys, and anybody may
/// read what is wrong with the push.
pub fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// What was typed, as far as it can be told.
fn without_secrets(text: &str) -> &str {
    text.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_added_only_where_there_is_none() {
        for (given, meant) in [
            ("http://collector:4318", "http://collector:4318/v1/metrics"),
            ("http://[::1]:4318/", "http://[::1]:4318/v1/metrics"),
            (
                "http://127.0.0.1:9090/api/v1/otlp/v1/metrics",
                "http://127.0.0.1:9090/api/v1/otlp/v1/metrics",
            ),
            ("http://h/x?tenant=a", "http://h/x?tenant=a"),
        ] {
            assert_eq!(endpoint(given).expect(given).as_str(), meant);
        }
    }

    #[test]
    fn keys_in_an_address_are_not_shown() {
        for (given, told) in [
            (
                "http://collector:4318/x?api_key=secret",
                "http://collector:4318",
            ),
            ("http://[::1]:4318/secret", "http://[::1]:4318"),
            ("http://collector", "http://collector"),
        ] {
            assert_eq!(shown(&endpoint(given).expect(given)), told);
        }
    }

    #[test]
    fn what_cannot_be_pushed_to_is_refused_with_the_reason() {
        for (given, word) in [
            ("https://collector:4318", "TLS"),
            ("grpc://collector:4317", "OTLP over HTTP"),
            ("collector:4318", "http://127.0.0.1:4318"),
            ("collector", "not a URL"),
            ("http://", "not a URL"),
            (
                "http://me:secret@collector:4318",
                "OTEL_EXPORTER_OTLP_HEADERS",
            ),
            (
                "https://me:secret@collector:4318",
                "OTEL_EXPORTER_OTLP_HEADERS",
            ),
            ("https://collector:4318?key=secret", "TLS"),
            ("collector/v1?key=secret", "not a URL"),
        ] {
            let error = format!("{:#}", endpoint(given).expect_err(given));
            assert!(error.contains(word), "{given}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}

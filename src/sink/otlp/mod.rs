//! Pushes the metrics to an OpenTelemetry collector (OTLP over HTTP, protobuf).
//!
//! Owns the thread that pushes and what becomes of a push that fails: the next one
//! carries all numbers again, as they are cumulative. The numbers are those of
//! [`Metrics`]; whatever happens here, the sampler does not notice.

mod address;
mod instruments;

use std::fmt::Display;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_otlp::{MetricExporter, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{
    Instrument, PeriodicReader, SdkMeterProvider, Stream, Temporality,
};
use reqwest::Url;

pub use self::address::endpoint;
use super::health::Health;
use super::metrics::{MOST_INTERFACES, Metrics, Reading};
use crate::model::interface::Class;

/// What `/health` calls this part.
pub const PART: &str = "otlp";

/// Longest time that one push may take, the last one too.
const PATIENCE: Duration = Duration::from_secs(3);

/// Series besides those of the top: sums, protocols, single numbers.
const OTHERS: usize = 64;

/// Series of all interfaces and of `other`: each class, sent and received.
const INTERFACES: usize = (MOST_INTERFACES + 1) * Class::COUNT * 2;

/// How to push.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to, as [`endpoint`] takes it.
    pub url: String,
    /// Time between two pushes.
    pub interval: Duration,
    /// Most label sets of processes in the metrics.
    pub top: usize,
    /// netmon's version.
    pub version: &'static str,
}

/// The pushing thread; see the module's text.
#[derive(Debug)]
pub struct Push {
    provider: SdkMeterProvider,
}

impl Push {
    /// Starts to push `metrics`. A collector that is not there yet is no error: it is in
    /// `health` until a push succeeds.
    ///
    /// # Errors
    /// If the URL is not one to push to.
    pub fn start(settings: &Settings, metrics: Arc<Metrics>, health: Arc<Health>) -> Result<Push> {
        let url = endpoint(&settings.url)?;
        let exporter = MetricExporter::builder()
            .with_http()
            .with_endpoint(url.as_str())
            .with_timeout(PATIENCE)
            // The next push carries the same numbers and later ones.
            .with_retry_policy(RetryPolicy::disabled())
            // Series come and go, which only sums since the start survive.
            .with_temporality(Temporality::Cumulative)
            .build()
            .context("could not set up the push of metrics (--otlp)")?;
        let moment = Arc::new(Moment {
            metrics,
            reading: Mutex::default(),
        });
        let exporter = Watched {
            exporter,
            health,
            moment: Arc::clone(&moment),
            shown: address::shown(&url),
            url,
        };
        let reader = PeriodicReader::builder(exporter)
            .with_interval(settings.interval)
            .build();
        let limit = settings.top.saturating_mul(2).saturating_add(OTHERS);
        let limit = limit.max(INTERFACES);
        let provider = SdkMeterProvider::builder()
            .with_reader(reader)
            .with_resource(resource(settings.version))
            .with_view(move |_: &Instrument| {
                Stream::builder().with_cardinality_limit(limit).build().ok()
            })
            .build();
        instruments::register(&provider.meter("netmon"), &moment);
        Ok(Push { provider })
    }

    /// Pushes a last time, for some seconds at the most, and ends. What became of it is
    /// in the log.
    pub fn stop(self) {
        let _ = self.provider.shutdown();
    }
}

/// Who pushes. What OTEL_RESOURCE_ATTRIBUTES says comes on top.
fn resource(version: &'static str) -> Resource {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Resource::builder()
        .with_service_name("netmon")
        .with_attributes([
            KeyValue::new("service.version", version),
            KeyValue::new("host.name", host.trim().to_owned()),
            KeyValue::new("os.type", "linux"),
        ])
        .build()
}

/// The numbers of one push: every instrument is asked by itself, and all must tell of the
/// same moment, else sums would not agree.
#[derive(Debug)]
struct Moment {
    metrics: Arc<Metrics>,
    reading: Mutex<Option<Arc<Reading>>>,
}

impl Moment {
    fn reading(&self) -> Arc<Reading> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(reading.get_or_insert_with(|| Arc::new(self.metrics.reading())))
    }

    /// All instruments were asked.
    fn is_over(&self) {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// An exporter of which it is told whether it works.
#[derive(Debug)]
struct Watched {
    exporter: MetricExporter,
    health: Arc<Health>,
    moment: Arc<Moment>,
    url: Url,
    /// As much of it as anybody may know.
    shown: String,
}

impl Watched {
    /// What a client's error says, which tells its URL otherwise.
    fn told(&self, error: &impl Display) -> String {
        let text = error.to_string().replace(self.url.as_str(), &self.shown);
        match self.url.query().filter(|query| !query.is_empty()) {
            Some(query) => text.replace(query, "..."),
            None => text,
        }
    }
}

impl PushMetricExporter for Watched {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.moment.is_over();
        let result = self.exporter.export(metrics).await;
        match &result {
            Ok(()) => {
                if self.health.well(PART) {
                    tracing::info!("metrics are pushed to {} again", self.shown);
                }
            }
            Err(error) => {
                let what = format!(
                    "could not push metrics to {}: {}",
                    self.shown,
                    self.told(error)
                );
                if self.health.trouble(PART, what.clone()) {
                    tracing::warn!("{what}; netmon goes on and tries again at each interval");
                }
            }
        }
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

//! The metrics of `serve`, wired: what fills them, who reads them, who pushes them.

use std::sync::Arc;

use anyhow::Result;

use super::sampling::Tap;
use crate::cli::Serve;
use crate::sink::health::Health;
use crate::sink::metrics::{Metrics, Settings};
use crate::sink::otlp::{self, Push};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// See the module's text.
pub struct Metering {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    otlp: Option<otlp::Settings>,
    push: Option<Push>,
}

impl Metering {
    /// Metrics of a run that begins. Pushes nothing yet.
    ///
    /// # Errors
    /// If `--otlp` names nothing that can be pushed to.
    pub fn new(options: &Serve, health: &Arc<Health>) -> Result<Metering> {
        let settings = options.otlp.as_ref().map(|url| otlp::Settings {
            url: url.clone(),
            interval: options.otlp_interval,
            top: options.metrics_top,
            version: VERSION,
        });
        let mut parts = Vec::new();
        if !options.no_history {
            parts.push("history");
        }
        if let Some(settings) = &settings {
            otlp::endpoint(&settings.url)?;
            parts.push(otlp::PART);
        }
        let metrics = Metrics::new(Settings {
            top: options.metrics_top,
            version: VERSION,
            health: Arc::clone(health),
            parts,
        });
        Ok(Metering {
            metrics: Arc::new(metrics),
            health: Arc::clone(health),
            otlp: settings,
            push: None,
        })
    }

    /// What the sampler hands every snapshot to.
    pub fn tap(&self) -> Tap {
        let metrics = Arc::clone(&self.metrics);
        Box::new(move |snapshot, took| metrics.absorb(snapshot, took))
    }

    /// What answers a scrape: OpenMetrics text.
    pub fn text(&self) -> impl Fn() -> String + Send + Sync + use<> {
        let metrics = Arc::clone(&self.metrics);
        move || metrics.text()
    }

    /// Begins to push, where that is wanted.
    ///
    /// # Errors
    /// If it cannot be set up; a collector that is not there is no error.
    pub fn push(&mut self) -> Result<()> {
        if let Some(settings) = &self.otlp {
            let (metrics, health) = (Arc::clone(&self.metrics), Arc::clone(&self.health));
            self.push = Some(Push::start(settings, metrics, health)?);
        }
        Ok(())
    }

    /// Pushes the final numbers, if it pushes, and ends; for some seconds at the most.
    /// Comes after the sampler's end.
    pub fn stop(self) {
        if let Some(push) = self.push {
            push.stop();
        }
    }
}

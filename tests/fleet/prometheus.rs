//! The real Prometheus with the shipped configuration, but for its pace, the targets and
//! the token.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::blocking::Client;
use serde_json::Value;

use crate::listens;
use crate::netmon::{PATIENCE, Scratch};
use crate::serve::TOKEN;
use crate::tools::{ROOT, Tools};

/// A copy of what is shipped in packaging/fleet, with a token beside it.
pub fn shipped() -> anyhow::Result<Scratch> {
    let scratch = Scratch::new()?;
    let from = Path::new(ROOT).join("packaging/fleet");
    copy(&from, &scratch.path)?;
    fs::write(scratch.path.join("netmon.token"), TOKEN)?;
    Ok(scratch)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// One series of an answer: its labels and its value.
pub type Sample = (BTreeMap<String, String>, f64);

/// A running Prometheus; killed when dropped.
pub struct Prometheus {
    child: Child,
    client: Client,
    port: u16,
    log: PathBuf,
    _scratch: Scratch,
}

impl Prometheus {
    /// Scrapes `targets`, a name and a port each, once a second.
    pub fn start(tools: &Tools, targets: &[(&str, u16)]) -> anyhow::Result<Prometheus> {
        let scratch = shipped()?;
        let config = scratch.path.join("prometheus.yml");
        let text = fs::read_to_string(&config)?;
        ensure!(text.contains("_interval: 15s"), "the pace is elsewhere");
        fs::write(&config, text.replace("_interval: 15s", "_interval: 1s"))?;
        let targets: String = targets
            .iter()
            .map(|(host, port)| {
                format!("- targets: [\"127.0.0.1:{port}\"]\n  labels: {{host: {host}}}\n")
            })
            .collect();
        fs::write(scratch.path.join("targets/netmon.yml"), targets)?;

        let log = scratch.path.join("log");
        let mut child = Command::new(&tools.prometheus)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                scratch.path.join("data").display()
            ))
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("starting Prometheus")?;
        let port = listens::port(child.id(), || {
            let ended = child.try_wait()?;
            let said = || fs::read_to_string(&log).unwrap_or_default();
            ensure!(ended.is_none(), "Prometheus ended: {}", said());
            Ok(())
        })?;
        Ok(Prometheus {
            child,
            client: Client::builder().no_proxy().timeout(PATIENCE).build()?,
            port,
            log,
            _scratch: scratch,
        })
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.port);
        let url = reqwest::Url::parse_with_params(&url, query)?;
        let text = self.client.get(url).send()?.text()?;
        let mut answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        ensure!(answer["status"] == "success", "{query:?}: {text}");
        Ok(answer["data"].take())
    }

    /// What an expression gives now.
    pub fn query(&self, expression: &str) -> anyhow::Result<Vec<Sample>> {
        let data = self.get("query", &[("query", expression)])?;
        let rows = data["result"].as_array().context("no result")?;
        rows.iter()
            .map(|row| {
                let labels = row["metric"].as_object().context("no labels")?;
                let labels = labels.iter().map(|(name, value)| {
                    let value = value.as_str().unwrap_or_default();
                    (name.clone(), value.to_owned())
                });
                let value = row["value"][1].as_str().context("no value")?;
                Ok((labels.collect(), value.parse()?))
            })
            .collect()
    }

    /// Waits until an expression gives what is `right`.
    pub fn wait_for(
        &self,
        expression: &str,
        right: impl Fn(&[Sample]) -> bool,
    ) -> anyhow::Result<Vec<Sample>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // It answers with an error until it is ready.
            let found = match self.query(expression) {
                Ok(samples) if right(&samples) => return Ok(samples),
                Ok(samples) => format!("{samples:?}"),
                Err(error) => format!("{error:#}"),
            };
            ensure!(
                Instant::now() < deadline,
                "{expression} is to the end {found}; log: {}",
                fs::read_to_string(&self.log).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Alerts that fire or are about to.
    pub fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        let mut data = self.get("alerts", &[])?;
        let alerts = data["alerts"].take();
        Ok(alerts.as_array().context("no alerts")?.clone())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail only for a child that was reaped before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

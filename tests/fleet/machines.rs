//! Two real netmons and the real Prometheus with the shipped configuration: sums across
//! both, recording rules, an alert, and every question of the dashboard.
//!
//! Both count the same machine, so that what a generator moved is in each of them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::prometheus::{Prometheus, Sample};
use crate::serve::Serve;
use crate::tools::{ROOT, tools};
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("machines::sums_and_rules", sums_and_rules),
        root("machines::an_anomaly_is_an_alert", anomaly),
        root("machines::the_dashboard_has_answers", dashboard),
    ]
}

/// So many that nobody is outside the top, whatever else runs here.
const ALL: &[&str] = &["--metrics-top", "5000"];

fn two(more: &[&str]) -> anyhow::Result<(Serve, Serve, Prometheus)> {
    let tools = tools()?;
    let arguments = [ALL, more].concat();
    let (one, other) = (Serve::start(&arguments)?, Serve::start(&arguments)?);
    let targets = [("web-1", one.port), ("db-1", other.port)];
    let prometheus = Prometheus::start(&tools, &targets)?;
    prometheus.wait_for("sum(up{job=\"netmon\"})", |it| value(it) == Some(2.0))?;
    Ok((one, other, prometheus))
}

/// The value of the only series.
fn value(samples: &[Sample]) -> Option<f64> {
    match samples {
        [(_, value)] => Some(*value),
        _ => None,
    }
}

fn sums_and_rules() -> anyhow::Result<()> {
    let (one, other, prometheus) = two(&[])?;
    let name = format!("fleet{}", std::process::id());
    let traffic = Traffic::start(&Plan::endless(&name, 1000, Duration::from_millis(2)))?;

    // A rate needs two scrapes while it moves, of both machines.
    let rate = format!("host_process_unit:netmon_process_bytes:rate5m{{process=\"{name}\"}}");
    let both = |samples: &[Sample]| samples.iter().filter(|(_, value)| *value > 0.0).count() == 2;
    prometheus.wait_for(&rate, both)?;
    let all = format!("process:netmon_process_bytes:rate5m{{process=\"{name}\"}}");
    prometheus.wait_for(&all, |it| value(it) > Some(0.0))?;
    prometheus.wait_for("host_direction:netmon_bytes:rate5m > 0", |it| it.len() == 4)?;

    let [sent, received, ..] = traffic.end()?;
    for (direction, moved) in [("transmit", sent), ("receive", received)] {
        let sum = format!(
            "sum(netmon_process_bytes_total{{process=\"{name}\",direction=\"{direction}\"}})"
        );
        // Each of the two has counted all of it.
        let expected = 2.0 * moved as f64;
        prometheus.wait_for(&sum, |it| value(it) == Some(expected))?;
    }
    // What the processes moved is what the protocols moved, scrape by scrape.
    let apart = "sum by (host, direction) (netmon_process_bytes_total) \
                 - sum by (host, direction) (netmon_protocol_bytes_total)";
    let apart = prometheus.query(apart)?;
    ensure!(
        apart.len() == 4 && apart.iter().all(|(_, value)| *value == 0.0),
        "{apart:?}"
    );
    one.end()?;
    other.end()?;
    Ok(())
}

fn anomaly() -> anyhow::Result<()> {
    let (_one, _other, prometheus) = two(&["--threshold", "20MiB"])?;
    let name = format!("anomaly{}", std::process::id());
    // 64 KiB, sent and received, again and again.
    let plan = Plan::endless(&name, 60_000, Duration::from_micros(100)).over_tcp();
    let traffic = Traffic::start(&plan)?;
    let firing = "ALERTS{alertname=\"NetmonAnomaly\",alertstate=\"firing\"}";
    prometheus.wait_for(&format!("count by (host) ({firing})"), |it| it.len() == 2)?;
    let alerts = prometheus.alerts()?;
    let anomalies = alerts
        .iter()
        .filter(|it| it["labels"]["alertname"] == "NetmonAnomaly");
    for alert in anomalies {
        let told = alert["annotations"]["description"].as_str();
        let told = told.context("no description")?;
        ensure!(
            told.contains("netmon history alerts") && !told.contains("error"),
            "{told}"
        );
    }
    traffic.end()?;
    Ok(())
}

/// Panels whose question may have no answer here: no wire or too little on it, no systemd,
/// no sampler.
const MAYBE_EMPTY: [&str; 4] = [
    "Explained share of the wire",
    "Wire",
    "Units and containers",
    "What sampled interfaces carry",
];

fn dashboard() -> anyhow::Result<()> {
    let (_one, _other, prometheus) = two(&[])?;
    let name = format!("dash{}", std::process::id());
    let _traffic = Traffic::start(&Plan::endless(&name, 1000, Duration::from_millis(5)))?;
    let rate = "sum(rate(netmon_process_bytes_total[5m]))";
    prometheus.wait_for(rate, |it| value(it) > Some(0.0))?;

    let text = fs::read_to_string(Path::new(ROOT).join("packaging/fleet/grafana.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let mut asked = 0;
    for panel in panels {
        let title = panel["title"].as_str().context("no title")?;
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().context("no expression")?;
            // As Grafana fills its variables in, with all machines chosen.
            let expression = expression
                .replace("$__rate_interval", "1m")
                .replace("$__range", "1h")
                .replace("$host", ".*");
            ensure!(!expression.contains('$'), "{title}: {expression}");
            let samples = prometheus.query(&expression).context(title.to_owned())?;
            let empty = samples.is_empty() && !MAYBE_EMPTY.contains(&title);
            ensure!(!empty, "{title}: {expression} gives nothing");
            asked += 1;
        }
    }
    ensure!(asked >= 20, "only {asked} questions");
    let hosts = prometheus.query("count by (host) (netmon_build_info)")?;
    ensure!(hosts.len() == 2, "{hosts:?}");
    Ok(())
}

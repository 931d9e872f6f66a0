//! What packaging/fleet holds and what /metrics says, judged by promtool.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::model::interface::Class;
use netmon::sink::metrics::{Metrics, Settings};

use crate::links;
use crate::prometheus::shipped;
use crate::serve::Serve;
use crate::tools::{Tools, tools};
use crate::trial::{Impossible, root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("shipped::config", || check_config("prometheus.yml")),
        trial("shipped::config_in_a_cluster", || {
            check_config("prometheus-kubernetes.yml")
        }),
        trial("shipped::rules_do_what_they_say", rules),
        root("shipped::metrics_are_well_formed", metrics),
        trial("shipped::metrics_of_many_interfaces", many_interfaces),
    ]
}

fn check_config(file: &str) -> anyhow::Result<()> {
    let (tools, shipped) = (tools()?, shipped()?);
    let path = shipped.path.join(file);
    let path = path.to_str().context("not a path of text")?;
    let done = tools.promtool(&["check", "config", "--lint-fatal", path])?;
    if done
        .stderr
        .contains("field kubernetes_sd_configs not found")
    {
        // Debian leaves it out.
        let why = "this promtool was built without Kubernetes";
        return Err(Impossible(why.to_owned()).into());
    }
    done.check_code(0)?;
    ensure!(
        done.stdout.contains("2 rule files found"),
        "{}",
        done.stdout
    );
    Ok(())
}

fn rules() -> anyhow::Result<()> {
    let (tools, shipped) = (tools()?, shipped()?);
    let mut checked = 0;
    for entry in fs::read_dir(shipped.path.join("rules"))? {
        let path = entry?.path();
        let path = path.to_str().context("not a path of text")?;
        let done = tools.promtool(&["check", "rules", "--lint-fatal", path])?;
        done.check_code(0)?;
        checked += 1;
    }
    ensure!(checked == 2, "{checked} files of rules");
    let test = shipped.path.join("tests/netmon.test.yml");
    let test = test.to_str().context("not a path of text")?;
    tools.promtool(&["test", "rules", test])?.check_code(0)?;

    // And the test sees it when a rule is another.
    let records = shipped.path.join("rules/netmon.records.yml");
    let text = fs::read_to_string(&records)?;
    ensure!(text.contains("[5m]"), "no window");
    fs::write(&records, text.replace("[5m]", "[10m:1m] offset 1h"))?;
    let done = tools.promtool(&["test", "rules", test])?;
    ensure!(!done.status.success(), "wrong rules pass: {}", done.stdout);
    Ok(())
}

fn metrics() -> anyhow::Result<()> {
    let tools = tools()?;
    let serve = Serve::start(&[])?;
    let (text, kind) = serve.get("/metrics")?;
    ensure!(
        kind == "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "{kind}"
    );
    ensure!(text.ends_with("\n# EOF\n"), "{text}");
    let (said, clean) = lint(&tools, &older(&text))?;
    ensure!(clean, "promtool: {said}");
    // And it would have said something.
    let (_, clean) = lint(&tools, &older(&text).replace("_total", ""))?;
    ensure!(
        !clean,
        "promtool finds nothing wrong with counters without _total"
    );
    serve.end()?;
    Ok(())
}

/// More of them than have series, all sampled, with the longest and the worst of names.
fn many_interfaces() -> anyhow::Result<()> {
    let tools = tools()?;
    let metrics = Metrics::new(Settings {
        top: 50,
        version: "1.2.3",
        health: Arc::default(),
        parts: Vec::new(),
    });
    let mut snapshot = crate::fixture::quiet(1);
    let named = |n| match n {
        1 => "lo".to_owned(),
        2 => "a\"b\\c{}=,漢".to_owned(),
        3 => "other".to_owned(),
        n => format!("veth-longest{n:03}"),
    };
    snapshot.interfaces = (1..=200).map(|n| links::sampled(n, &named(n), 7)).collect();
    metrics.absorb(&snapshot, Duration::from_millis(1));
    let text = metrics.text();
    let (said, clean) = lint(&tools, &older(&text))?;
    ensure!(clean, "promtool: {said}");
    let series = text
        .lines()
        .filter(|it| it.starts_with("netmon_interface_"));
    // Bytes and packets, sent and received, of all and of each class.
    let expected = 129 * 2 * 2 * (1 + Class::COUNT);
    ensure!(series.count() == expected, "{text}");
    Ok(())
}

/// OpenMetrics in the older text format, which is what `promtool check metrics` reads: a
/// family is called as its series are, and `info` is a gauge.
fn older(text: &str) -> String {
    let counters: Vec<&str> = families(text, "counter");
    let infos: Vec<&str> = families(text, "info");
    let mut older = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "UNIT", ..] | ["#", "EOF"] => continue,
            ["#", what, family, rest] => {
                let suffix = match () {
                    () if counters.contains(&family) => "_total",
                    () if infos.contains(&family) => "_info",
                    () => "",
                };
                let rest = if rest == "info" { "gauge" } else { rest };
                older.push_str(&format!("# {what} {family}{suffix} {rest}\n"));
            }
            _ => older.push_str(&format!("{line}\n")),
        }
    }
    older
}

fn families<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .filter(|(_, its)| *its == kind)
        .map(|(family, _)| family)
        .collect()
}

/// What `promtool check metrics` says, and whether it is content.
fn lint(tools: &Tools, text: &str) -> anyhow::Result<(String, bool)> {
    let scratch = crate::netmon::Scratch::new()?;
    let file = scratch.path.join("metrics");
    fs::write(&file, text)?;
    let output = Command::new(Path::new(&tools.promtool))
        .args(["check", "metrics"])
        .stdin(Stdio::from(fs::File::open(&file)?))
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok((said, output.status.success()))
}

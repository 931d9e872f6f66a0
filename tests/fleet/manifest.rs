//! The manifest for a cluster: netmon runs with the capabilities that it grants, and no
//! others, and keeps a history with them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;

use crate::netmon::BINARY;
use crate::serve::Serve;
use crate::tools::ROOT;
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![root("manifest::capabilities_are_enough", capabilities)]
}

fn capabilities() -> anyhow::Result<()> {
    let path = Path::new(ROOT).join("packaging/fleet/daemonset.yaml");
    let manifest = fs::read_to_string(path)?;
    let granted = manifest
        .lines()
        .find_map(|line| line.trim().strip_prefix("add: [")?.strip_suffix(']'))
        .context("the manifest grants no capabilities")?;
    let set = granted
        .split(", ")
        .fold("-all".to_owned(), |set, it| set + ",+" + &it.to_lowercase());
    let mut command = Command::new("setpriv");
    command
        .args(["--no-new-privs", &format!("--inh-caps={set}")])
        .arg(format!("--bounding-set={set}"))
        .arg(BINARY);
    let serve = Serve::start_by(command, &[])?;
    let text = serve.metrics_with(|text| text.contains("\nnetmon_flows "))?;
    for right in ["\nnetmon_healthy 1\n", "\nnetmon_history_up 1\n"] {
        ensure!(text.contains(right), "{}", serve.get("/health")?.0);
    }
    serve.end()?;
    Ok(())
}

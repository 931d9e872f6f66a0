//! The sample file against the command line's definition: every option is in it, with
//! its default, and all of it can be used.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::builder::Command;
use clap::{Arg, CommandFactory};
use libtest_mimic::Trial;
use netmon::cli::Cli;
use toml::{Table, Value};

use crate::netmon::{Scratch, run};
use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("sample::can_be_used_as_it_is_and_uncommented", usable),
        trial("sample::has_every_option_with_its_default", complete),
    ]
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/netmon.toml")
}

/// The sample with every option in force: `#name = value` is one, `# Text` is none.
fn uncommented() -> anyhow::Result<String> {
    let text = fs::read_to_string(path())?;
    let option = |line: &str| {
        let name = line.strip_prefix('#')?.split_once(" = ")?.0;
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        name.chars().all(is_name).then(|| line[1..].to_owned())
    };
    let lines: Vec<String> = text
        .lines()
        .map(|line| option(line).unwrap_or_else(|| line.to_owned()))
        .collect();
    Ok(lines.join("\n"))
}

fn usable() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let whole = scratch.path.join("whole.toml");
    fs::write(&whole, uncommented()?)?;
    for file in [&path(), &whole] {
        let mut command = crate::netmon::netmon(["config", "check"]);
        let done = run(command.arg(file))?;
        ensure!(done.stdout.ends_with(": OK\n"), "{}", done.stdout);
        done.check_quiet()?;
    }
    Ok(())
}

fn complete() -> anyhow::Result<()> {
    let sample: Table = uncommented()?.parse()?;
    let mut root = Cli::command();
    root.build();
    for table in ["top", "stream", "serve", "history"] {
        let command = root.find_subcommand(table).context(table)?;
        let questions = command
            .get_subcommands()
            .filter(|it| it.get_name() != "help");
        for command in questions.chain([command]) {
            check_command(&sample, table, command)?;
        }
    }
    Ok(())
}

fn check_command(sample: &Table, table: &str, command: &Command) -> anyhow::Result<()> {
    for arg in command.get_arguments() {
        let Some(name) = arg.get_long() else { continue };
        if ["help", "version", "config", "interface"].contains(&name) {
            continue;
        }
        let own = sample.get(table).and_then(|it| it.get(name));
        let value = own.or_else(|| sample.get(name));
        let value = value.with_context(|| format!("[{table}] {name} is not in the sample"))?;
        check_default(arg, value).with_context(|| format!("[{table}] {name}"))?;
    }
    Ok(())
}

fn check_default(arg: &Arg, value: &Value) -> anyhow::Result<()> {
    let said = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let defaults = arg.get_default_values();
    // The alerts' own default is told in words.
    if defaults.is_empty() || arg.get_id() == "limit" {
        return Ok(());
    }
    ensure!(defaults == [said.as_str()], "{defaults:?}, not {said}");
    Ok(())
}

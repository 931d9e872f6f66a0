//! The API against its description, by a tool that asks what the description allows and
//! what it does not.

use std::process::Command;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::guards::{TOKEN, with_token};
use crate::served::Served;
use crate::space::two;
use crate::traffic::{Plan, Traffic};
use crate::trial::{Impossible, root};

/// What asks.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/web/schemathesis");

/// Exit code of the script where the tool cannot be had.
const IMPOSSIBLE: i32 = 77;

pub fn trials() -> Vec<Trial> {
    vec![
        root("description::schemathesis", || described("")),
        root("description::schemathesis_with_token", || described(TOKEN)),
        root("description::schemathesis_with_a_sampler", with_a_sampler),
    ]
}

/// In a namespace of its own, where the sampler is nobody else's.
fn with_a_sampler() -> anyhow::Result<()> {
    // There is no network from which it could be had.
    run(Command::new(SCRIPT).arg("install"))?;
    let (a, _b) = two()?;
    a.inside(|| {
        let options = ["--interval", "100ms", "--iface", "a0"];
        let served = Served::start(&options)?;
        let url = format!("http://{}", served.address);
        run(Command::new(SCRIPT).args([&url, ""]))?;
        served.end()?;
        Ok(())
    })
}

fn described(token: &str) -> anyhow::Result<()> {
    let (scratch, path) = with_token(TOKEN, 0o600)?;
    let path = path.display().to_string();
    let options = ["--interval", "100ms", "--token-file", &path];
    let given = if token.is_empty() { 2 } else { 4 };
    let served = Served::start_in(scratch, &options[..given])?;
    // So that there is something to tell.
    let pause = std::time::Duration::from_millis(5);
    let traffic = Traffic::start(&Plan::endless("nmw-described", 100, pause))?;
    let url = format!("http://{}", served.address);
    run(Command::new(SCRIPT).args([&url, token]))?;
    traffic.end()?;
    served.end()?;
    Ok(())
}

/// Runs the script, whose last line is said.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    if output.status.code() == Some(IMPOSSIBLE) {
        return Err(Impossible(last.to_owned()).into());
    }
    ensure!(
        output.status.success(),
        "{}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{last}");
    Ok(())
}

//! The API against its description, by a tool that asks what the description allows and
//! what it does not.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::guards::{TOKEN, with_token};
use crate::served::Served;
use crate::traffic::{Plan, Traffic};
use crate::trial::{Impossible, root};

/// Exit code of the script where the tool cannot be had.
const IMPOSSIBLE: i32 = 77;

pub fn trials() -> Vec<Trial> {
    vec![
        root("description::schemathesis", || described("")),
        root("description::schemathesis_with_token", || described(TOKEN)),
    ]
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
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web/schemathesis");
    let url = format!("http://{}", served.address);
    let output = Command::new(script).args([&url, token]).output()?;
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
    traffic.end()?;
    served.end()?;
    Ok(())
}

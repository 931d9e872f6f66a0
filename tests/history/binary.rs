//! The real binary's answers for programs, and its endings.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::sink::history::ask::{By, Whose, Window};
use netmon::sink::history::reader::Reader;
use serde_json::Value;

use crate::answers::{NOON, world};
use crate::netmon::{Done, Scratch, netmon, run, shell};
use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("binary::json_is_the_answer", json),
        trial("binary::csv_has_a_header_and_quotes", csv),
        trial("binary::wrong_options", usage),
        trial("binary::a_window_without_bytes", nothing),
        trial("binary::a_reader_that_has_seen_enough", broken_pipe),
    ]
}

struct Stored {
    file: PathBuf,
    _scratch: Scratch,
}

fn stored() -> anyhow::Result<Stored> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    drop(world(3).write(&file)?);
    Ok(Stored {
        file,
        _scratch: scratch,
    })
}

fn ask(file: &Path, arguments: &[&str]) -> anyhow::Result<Done> {
    let mut command = netmon(["history"]);
    command.args(arguments).arg("--db").arg(file);
    run(&mut command)
}

/// A day, in every form of a time that does not need the clock.
const DAY: [&str; 4] = ["--since", "2026-11-19T12:00:00Z", "--until", "@1795176000"];

fn json() -> anyhow::Result<()> {
    let stored = stored()?;
    let reader = Reader::open(&stored.file)?;
    let window = Window {
        since: NOON - 86_400,
        until: NOON,
    };
    let ask = |arguments: &[&str]| -> anyhow::Result<Value> {
        let done = ask(&stored.file, &[arguments, &DAY, &["--json"]].concat())?;
        done.check_quiet()?;
        ensure!(done.stdout.ends_with("}\n"), "{}", done.stdout);
        Ok(serde_json::from_str(&done.stdout)?)
    };
    let all = Whose::default();
    for by in By::ALL {
        let found = ask(&["top", "--by", by.name(), "--limit", "3"])?;
        let wanted = serde_json::to_value(reader.top(window, by, &all, 3)?)?;
        ensure!(found == wanted, "{found} is not {wanted}");
        ensure!(
            found["rows"]
                .as_array()
                .is_some_and(|rows| !rows.is_empty())
        );
    }
    let step = std::time::Duration::from_secs(3600);
    let by = Some((By::Unit, 2));
    let found = ask(&["timeline", "--step", "1h", "--by", "unit", "--limit", "2"])?;
    let wanted = serde_json::to_value(reader.timeline(window, step, &all, by)?)?;
    ensure!(found == wanted, "{found} is not {wanted}");
    // Without a step there are about sixty.
    let points = ask(&["timeline"])?["points"].as_array().map_or(0, Vec::len);
    ensure!((30..=90).contains(&points), "{points} points");

    let curl = Whose {
        name: Some("curl".to_owned()),
        ..Whose::default()
    };
    let found = ask(&["remotes", "--name", "curl", "--limit", "4"])?;
    let wanted = serde_json::to_value(reader.remotes(window, &curl, 4)?)?;
    ensure!(found == wanted, "{found} is not {wanted}");
    let found = ask(&["protocols", "--name", "curl"])?;
    let wanted = serde_json::to_value(reader.protocols(window, &curl)?)?;
    ensure!(found == wanted, "{found} is not {wanted}");
    let found = ask(&["alerts"])?;
    let wanted = serde_json::to_value(reader.alerts(window, &all, 100)?)?;
    ensure!(found == wanted, "{found} is not {wanted}");
    Ok(())
}

fn csv() -> anyhow::Result<()> {
    let stored = stored()?;
    let ask = |arguments: &[&str]| -> anyhow::Result<Vec<String>> {
        let done = ask(&stored.file, &[arguments, &DAY, &["--csv"]].concat())?;
        done.check_quiet()?;
        Ok(done.stdout.lines().map(ToOwned::to_owned).collect())
    };
    let top = ask(&["top"])?;
    let header = "process,executable,user,unit,container,tx_bytes,rx_bytes,percentage";
    ensure!(top.first().is_some_and(|line| line == header), "{top:?}");
    let quoted = "\"a,b \"\"c\"\"\",,alice,user@1000.service,,";
    ensure!(top.iter().any(|line| line.starts_with(quoted)), "{top:?}");
    ensure!(top.len() == 9, "{top:?}");
    for (arguments, header) in [
        (
            &["top", "--by", "user"][..],
            "user,tx_bytes,rx_bytes,percentage",
        ),
        (&["timeline"], "time,tx_bytes,rx_bytes"),
        (
            &["timeline", "--by", "remote"],
            "time,key,tx_bytes,rx_bytes",
        ),
        (&["protocols"], "protocol,tx_bytes,rx_bytes,percentage"),
        (&["remotes"], "remote_address,tx_bytes,rx_bytes,percentage"),
        (
            &["alerts"],
            "kind,started,ended,pid,name,user,protocol,remote_address,remote_port,peak,threshold",
        ),
    ] {
        let lines = ask(arguments)?;
        ensure!(
            lines.first().is_some_and(|line| line == header),
            "{lines:?}"
        );
        ensure!(lines.len() > 1, "{arguments:?}: no rows");
        let columns = header.split(',').count();
        let plain = lines.iter().find(|line| !line.contains('"'));
        ensure!(plain.is_some_and(|line| line.split(',').count() == columns));
    }
    Ok(())
}

fn usage() -> anyhow::Result<()> {
    let stored = stored()?;
    for (arguments, words) in [
        (
            &["top", "--since", "soon"][..],
            &["--since", "`soon`", "yesterday", "1h"][..],
        ),
        (
            &["top", "--until", "later"],
            &["--until", "`later`", "yesterday"],
        ),
        (
            &["alerts", "--since", "1h", "--until", "2h"],
            &["--since", "`2h`", "before"],
        ),
        (&["top", "--by", "moon"], &["moon", "process", "remote"]),
        (&["top", "--limit", "0"], &["`0`", "1 to 10000"]),
        (&["timeline", "--step", "0s"], &["`0s`", "1h"]),
        (&["timeline", "--limit", "3"], &["--by"]),
        (&["remotes", "--protocol", "tpc"], &["`tpc`", "tcp"]),
        (&["top", "--json", "--csv"], &["--json", "--csv"]),
        (&[], &["top", "timeline", "protocols", "remotes", "alerts"]),
    ] {
        let mut command = netmon(["history"]);
        command.args(arguments);
        if !arguments.is_empty() {
            command.arg("--db").arg(&stored.file);
        }
        let done = run(&mut command)?;
        done.check_code(2)
            .with_context(|| format!("{arguments:?}"))?;
        done.check_says(words)?;
        ensure!(done.stdout.is_empty(), "{}", done.stdout);
    }
    Ok(())
}

fn nothing() -> anyhow::Result<()> {
    let stored = stored()?;
    for (question, words) in [
        ("top", "Nothing was counted"),
        ("timeline", "Nothing was counted"),
        ("protocols", "Nothing was counted"),
        ("remotes", "Nothing was counted"),
        ("alerts", "No flow was above"),
    ] {
        let done = ask(
            &stored.file,
            &[question, "--since", "@1000", "--until", "@2000"],
        )?;
        done.check_quiet()?;
        ensure!(done.stdout.contains(words), "{}", done.stdout);
        let day = "1970-01-01";
        ensure!(done.stdout.contains(day), "{}", done.stdout);
    }
    Ok(())
}

fn broken_pipe() -> anyhow::Result<()> {
    let stored = stored()?;
    let db = stored.file.to_str().context("a name")?;
    let day = DAY.join(" ");
    let line = format!(
        "{{ \"$NETMON\" history timeline --csv --step 1m {day} --db '{db}'; echo \"code $?\" >&2; }} \
         | head -n 1"
    );
    let done = run(&mut shell(&line))?;
    done.check_code(0)?;
    ensure!(done.stderr == "code 0\n", "{}", done.stderr);
    ensure!(done.stdout == "time,tx_bytes,rx_bytes\n", "{}", done.stdout);
    Ok(())
}

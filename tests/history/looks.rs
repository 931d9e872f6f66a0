//! What a person sees, as text: every question, wide and narrow, with and without glyphs.
//!
//! The real binary on a real pseudo terminal.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use unicode_width::UnicodeWidthStr;

use crate::answers::{NOON, PROCESSES};
use crate::netmon::{PATIENCE, Scratch, shell};
use crate::pty::Pty;
use crate::stored::{Alert, Fact, World};
use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("looks::every_question", every_question),
        trial("looks::ascii", ascii),
        trial("looks::without_a_terminal", no_terminal),
    ]
}

/// An hour of a machine that downloads, serves and answers.
fn world() -> World {
    let mut facts = Vec::new();
    let mut add = |time: i64, process, remote, protocol, tx, rx| {
        facts.push(Fact {
            time,
            process,
            remote,
            protocol,
            pid: 4000 + process as u32,
            tx,
            rx,
        });
    };
    for at in 0..360 {
        let time = NOON - 3600 + at * 10;
        add(time, 2, 2, 1, 300, 90);
        if at % 6 < 3 {
            add(time, 3, 3, 1, 40_000 + 500 * at as u64, 9000);
            add(time, 4, 4, 1, 20_000, 4000);
        }
        if (120..180).contains(&at) {
            add(time, 0, 5, 1, 2000, 6_000_000 + 90_000 * at as u64);
            add(time, 0, 6, 2, 70, 130);
        }
        if at % 30 == 0 {
            add(time, 6, 0, 0, 10, 5);
            add(time, 5, 1, 3, 84, 84);
            add(time, 8, 7, 2, 1, 1);
        }
    }
    let alert = |started: i64, ended: Option<i64>, process, remote, port| Alert {
        started: (NOON - started) as f64,
        ended: ended.map(|ended| (NOON - ended) as f64),
        process,
        pid: 4000 + process as u32,
        protocol: 1,
        remote,
        port,
        peak: 23_456_789.0,
    };
    let mut processes = PROCESSES.to_vec();
    processes.push([
        "日本\x1b[2J",
        "",
        "carol",
        "a-unit-with-a-name-that-is-far-too-long.service",
        "",
    ]);
    World {
        processes,
        remotes: [
            "",
            "eth0",
            "192.0.2.7",
            "198.51.100.200",
            "203.0.113.9",
            "2001:db8:85a3:8d3:1319:8a2e:370:7348",
            "192.0.2.53",
            "192.0.2.1",
        ]
        .map(ToOwned::to_owned)
        .to_vec(),
        facts,
        unlisted: Vec::new(),
        alerts: vec![
            alert(2400, Some(1790), 0, 5, Some(443)),
            alert(600, None, 3, 3, Some(51_234)),
            alert(60, Some(30), 8, 0, None),
        ],
        cut_10s: i64::MIN,
        cut_1m: i64::MIN,
        rolled_up: NOON - 60,
    }
}

fn stored() -> anyhow::Result<Scratch> {
    let scratch = Scratch::new()?;
    drop(world().write(&scratch.path.join("history.db"))?);
    Ok(scratch)
}

/// The hour, in a zone five hours behind: times are shown as they are there.
const HOUR: &str = "--since 2026-11-20T06:00 --until 2026-11-20T07:00";

/// What a terminal of so many columns gets.
fn shown(db: &Path, columns: u16, locale: &str, question: &str) -> anyhow::Result<String> {
    let pty = Pty::open((columns, 24))?;
    let line = format!("\"$NETMON\" history {question} --db history.db; echo \"code $?\"");
    let mut command = shell(&line);
    command
        .current_dir(db)
        .env("TZ", "EST5")
        .env("TERM", "xterm")
        .env("LC_ALL", locale)
        .env_remove("NO_COLOR");
    pty.attach(&mut command)?;
    let mut child = command.spawn().context("starting it")?;
    let deadline = Instant::now() + PATIENCE;
    let text = loop {
        let text = String::from_utf8_lossy(&pty.shown().bytes).replace("\r\n", "\n");
        if text.contains("code ") && text.ends_with('\n') {
            break text;
        }
        ensure!(Instant::now() < deadline, "no end of: {text}");
        thread::sleep(Duration::from_millis(10));
    };
    child.wait()?;
    let text = text
        .strip_suffix("code 0\n")
        .with_context(|| text.clone())?;
    for line in text.lines() {
        ensure!(line.width() <= usize::from(columns), "too wide: {line}");
        ensure!(
            !line.contains(char::is_control),
            "control characters: {line:?}"
        );
    }
    Ok(text.to_owned())
}

const QUESTIONS: [(&str, &str); 8] = [
    ("top", "top"),
    ("top_remote", "top --by remote --limit 3"),
    ("top_unit", "top --by unit"),
    ("timeline", "timeline --step 5m"),
    ("timeline_by", "timeline --by process --limit 4"),
    ("protocols", "protocols"),
    ("remotes", "remotes --name nginx"),
    ("alerts", "alerts"),
];

fn every_question() -> anyhow::Result<()> {
    let scratch = stored()?;
    for columns in [120, 80, 40] {
        for (name, question) in QUESTIONS {
            let question = format!("{question} {HOUR}");
            let text = shown(&scratch.path, columns, "C.UTF-8", &question)?;
            insta::assert_snapshot!(format!("{name}_{columns}"), text);
        }
    }
    Ok(())
}

fn ascii() -> anyhow::Result<()> {
    let scratch = stored()?;
    for (name, question) in QUESTIONS {
        let question = format!("{question} {HOUR}");
        let text = shown(&scratch.path, 80, "C", &question)?;
        ensure!(text.is_ascii(), "{name}: {text}");
        if name.starts_with("t") && name.len() < 12 {
            insta::assert_snapshot!(format!("{name}_ascii"), text);
        }
    }
    Ok(())
}

/// Into a pipe it is as into a terminal of 80 columns.
fn no_terminal() -> anyhow::Result<()> {
    let scratch = stored()?;
    let question = format!("top {HOUR}");
    let wanted = shown(&scratch.path, 80, "C.UTF-8", &question)?;
    let line = format!("\"$NETMON\" history {question} --db history.db | cat");
    let mut command = shell(&line);
    command.current_dir(&scratch.path).envs([
        ("TZ", "EST5"),
        ("TERM", "xterm"),
        ("LC_ALL", "C.UTF-8"),
    ]);
    let done = crate::netmon::run(&mut command)?;
    done.check_quiet()?;
    ensure!(done.stdout == wanted, "{} is not {wanted}", done.stdout);
    Ok(())
}

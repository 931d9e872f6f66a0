//! Wrong options: each names the value and what is accepted, and ends with 2.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;

use crate::netmon::{netmon, run};
use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("usage::wrong_values_of_common_options", common),
        trial("usage::wrong_values_of_stream", stream),
        trial("usage::unknown_words", unknown),
        trial("usage::help_and_version", help_and_version),
    ]
}

/// Option, wrong value, words of what is accepted.
type Wrong = (&'static str, &'static str, &'static [&'static str]);

const COMMON: &[Wrong] = &[
    ("--interval", "fast", &["500ms", "2s"]),
    ("--interval", "5", &["500ms", "2s"]),
    ("--interval", "1ms", &["50ms to 1m"]),
    ("--interval", "2h", &["50ms to 1m"]),
    ("--alpha", "0", &["above 0 and at most 1"]),
    ("--alpha", "1.5", &["above 0 and at most 1"]),
    ("--alpha", "NaN", &["above 0 and at most 1"]),
    ("--threshold", "lots", &["10MiB", "10MB", "80Mbit"]),
    ("--threshold", "-1", &["10MiB", "10MB", "80Mbit"]),
    ("--max-flows", "63", &["64 to 16777216"]),
    ("--max-flows", "16777217", &["64 to 16777216"]),
    ("--max-flows", "many", &["64 to 16777216"]),
    ("--engine", "turbo", &["syscall", "socket"]),
    ("--pid", "init", &["numbers"]),
    ("--pid", "1,x", &["numbers"]),
    ("--port", "http", &["numbers up to 65535"]),
    ("--port", "65536", &["numbers up to 65535"]),
    ("--protocol", "tpc", &["tcp, udp, icmp"]),
];

const STREAM: &[Wrong] = &[
    ("--format", "xml", &["json", "csv", "text"]),
    ("--count", "0", &["1 and above"]),
    ("--count", "-3", &["1 and above"]),
    ("--count", "few", &["1 and above"]),
    ("--duration", "0s", &["10m", "500ms"]),
    ("--duration", "soon", &["10m", "500ms"]),
];

fn check(command: &[&str], (option, value, accepted): &Wrong) -> anyhow::Result<()> {
    let assigned = format!("{option}={value}");
    let done = run(&mut netmon(
        command.iter().copied().chain([assigned.as_str()]),
    ))?;
    done.check_code(2).with_context(|| assigned.clone())?;
    // Of a list, the wrong part.
    let wrong = value.rsplit(',').next().unwrap_or(value);
    done.check_says(&[option, wrong])?;
    done.check_says(accepted)
        .with_context(|| assigned.clone())?;
    ensure!(done.stdout.is_empty(), "{assigned}: {}", done.stdout);
    let first = done.stderr.lines().next().unwrap_or("");
    ensure!(first.contains(wrong), "not in the first line: {first}");
    Ok(())
}

fn common() -> anyhow::Result<()> {
    for command in [&[][..], &["top"], &["stream"]] {
        for wrong in COMMON {
            check(command, wrong)?;
        }
    }
    Ok(())
}

fn stream() -> anyhow::Result<()> {
    STREAM
        .iter()
        .try_for_each(|wrong| check(&["stream"], wrong))
}

fn unknown() -> anyhow::Result<()> {
    for (arguments, word) in [
        (&["watch"][..], "watch"),
        (&["--colour"], "--colour"),
        (&["stream", "now"], "now"),
        (&["stream", "--format"], "--format"),
        (&["doctor", "--interval", "1s"], "--interval"),
        (&["selftest", "--engine", "turbo"], "turbo"),
        (
            &["selftest", "--json", "--generator", "list"],
            "--generator",
        ),
    ] {
        let done = run(&mut netmon(arguments))?;
        done.check_code(2)?;
        done.check_says(&[word])?;
        ensure!(done.stdout.is_empty(), "{}", done.stdout);
    }
    Ok(())
}

fn help_and_version() -> anyhow::Result<()> {
    let done = run(&mut netmon(["--version"]))?;
    done.check_quiet()?;
    let version = format!("netmon {}\n", env!("CARGO_PKG_VERSION"));
    ensure!(done.stdout == version, "{}", done.stdout);
    for command in [&["--help"][..], &["top", "--help"], &["stream", "--help"]] {
        let done = run(&mut netmon(command))?;
        done.check_quiet()?;
        for (option, ..) in COMMON {
            ensure!(done.stdout.contains(option), "{option}: {}", done.stdout);
        }
    }
    Ok(())
}

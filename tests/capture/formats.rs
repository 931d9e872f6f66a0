//! What reports look like in each format.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::model::packet::{IPV4, IPV6};
use nix::sys::signal::Signal;

use crate::netmon::{Done, Live};
use crate::running::{capture, last, number};
use crate::space::{Sender, ethernet, inside, ipv4, ipv6, wire};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("formats::text", || inside(text)),
        root("formats::text_of_long_addresses", || inside(long)),
        root("formats::json", || inside(json)),
        root("formats::csv", || inside(csv)),
    ]
}

/// A run that sees 20 packets of 138 bytes from 10.0.0.1, and of IPv6 if `six`.
fn seen(words: &[&str], six: bool) -> anyhow::Result<Done> {
    wire()?;
    let mut live = Live::start(&mut capture("far", words))?;
    live.line()?;
    let sender = Sender::new("near")?;
    for _ in 0..20 {
        sender.send(&ethernet(&[], IPV4, &ipv4(1, 1234, 96)))?;
        if six {
            let mut packet = ipv6(1, 1234, 96);
            packet[8..40].fill(0xab);
            sender.send(&ethernet(&[], IPV6, &packet))?;
        }
    }
    live.signal(Signal::SIGTERM)?;
    let done = live.end()?;
    done.check_code(0)?;
    let verbose = words.contains(&"-v");
    ensure!(verbose != done.stderr.is_empty(), "{}", done.stderr);
    Ok(done)
}

/// The last report of the text format, whose lines fit into 80 columns.
fn last_text(done: &Done) -> anyhow::Result<String> {
    for line in done.stdout.lines() {
        ensure!(line.chars().count() <= 80, "{line}");
    }
    let last = done.stdout.trim_end().rsplit("\n\n").next();
    last.map(str::to_owned).context("no report")
}

/// The words of the line that begins with `name`.
fn words<'a>(text: &'a str, name: &str) -> anyhow::Result<Vec<&'a str>> {
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.with_context(|| format!("no line {name}: {text}"))?;
    Ok(line.split_whitespace().collect())
}

fn text() -> anyhow::Result<()> {
    let done = seen(&["--flows", "-v", "--workers", "2"], false)?;
    done.check_says(&["2 rings of 2.0 MiB, tables of at most "])?;
    let text = last_text(&done)?;
    ensure!(
        words(&text, "all ")? == ["all", "2.7", "KiB", "20", "0", "0", "0"],
        "{text}"
    );
    ensure!(
        words(&text, "2 addresses")?
            .join(" ")
            .contains("(room for 65536)"),
        "{text}"
    );
    let row = words(&text, "10.0.0.1 ")?;
    ensure!(row.ends_with(&["0", "B/s", "2.7", "KiB", "20"]), "{row:?}");
    let row = words(&text, "10.0.0.1:1234 > 10.0.1.1:9 ")?;
    ensure!(
        row.contains(&"udp") && row.ends_with(&["2.7", "KiB", "20"]),
        "{row:?}"
    );
    ensure!(words(&text, "WORKER")?.contains(&"FREEZES"), "{text}");
    for worker in ["0   interval ", "0   all ", "1   interval ", "1   all "] {
        ensure!(words(&text, worker)?.len() == 9, "{text}");
    }
    Ok(())
}

fn long() -> anyhow::Result<()> {
    let done = seen(&["--flows"], true)?;
    let text = last_text(&done)?;
    let address = "abab:abab:abab:abab:abab:abab:abab:abab";
    // The numbers are below, and those of the others beside them.
    let numbers = |name: &str| -> anyhow::Result<Vec<&str>> {
        let mut lines = text.lines().skip_while(|line| *line != name);
        lines.next().with_context(|| format!("no {name}: {text}"))?;
        Ok(lines
            .next()
            .context("no numbers")?
            .split_whitespace()
            .collect())
    };
    let row = numbers(address)?;
    ensure!(row.ends_with(&["6.2", "KiB", "40"]), "{row:?}");
    let row = words(&text, "10.0.0.1 ")?;
    ensure!(row.ends_with(&["2.7", "KiB", "20"]), "{row:?}");
    words(&text, &format!("[{address}]:1234"))?;
    let row = numbers(&format!("  > [{address}]:9"))?;
    ensure!(row.ends_with(&["3.1", "KiB", "20"]), "{row:?}");
    ensure!(!text.contains("WORKER"), "{text}");
    Ok(())
}

fn json() -> anyhow::Result<()> {
    let done = seen(&["--format", "json"], false)?;
    let report = last(&done)?;
    ensure!(
        report["interface"] == "far" && report["flows"].is_null(),
        "{report}"
    );
    let time = report["time"].as_str().context("no time")?;
    ensure!(time.len() == 24 && time.ends_with('Z'), "{time}");
    let seconds = report["interval_seconds"].as_f64().context("no interval")?;
    ensure!(seconds > 0.0, "{seconds}");
    let row = &report["addresses"][0];
    for name in ["tx_bytes", "rx_bytes", "tx_packets", "rx_packets"] {
        number(row, name)?;
    }
    for part in [row, &report["other"]] {
        ensure!(
            part["tx_rate"].is_f64() && part["rx_rate"].is_f64(),
            "{part}"
        );
    }
    Ok(())
}

/// Every row has every column, and rows say what the header says.
fn csv() -> anyhow::Result<()> {
    let done = seen(&["--format", "csv", "--flows", "--workers", "2"], false)?;
    let mut lines = done.stdout.lines();
    let header: Vec<&str> = lines.next().context("no header")?.split(',').collect();
    ensure!(header[..3] == ["time", "interface", "kind"], "{header:?}");
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    for row in &rows {
        ensure!(row.len() == header.len(), "{row:?}");
    }
    ensure!(!rows.iter().any(|row| row[0] == "time"), "a second header");
    let time = rows.last().context("no rows")?[0];
    let value = |kind: &str, key: (&str, &str), name: &str| -> anyhow::Result<String> {
        let at = |name: &str| header.iter().position(|column| *column == name);
        let (key_at, at) = (
            at(key.0).context("no column")?,
            at(name).context("no column")?,
        );
        let is = |row: &&Vec<&str>| row[0] == time && row[2] == kind && row[key_at] == key.1;
        let row = rows
            .iter()
            .find(is)
            .with_context(|| format!("{kind}: {}", done.stdout))?;
        Ok(row[at].to_owned())
    };
    for (kind, key, name, expected) in [
        ("total", ("kind", "total"), "tx_bytes", "2760"),
        ("total", ("kind", "total"), "rx_packets", "20"),
        ("total", ("kind", "total"), "dropped", "0"),
        ("total", ("kind", "total"), "entries", "2"),
        ("interval", ("kind", "interval"), "dropped", "0"),
        ("interval", ("kind", "interval"), "entries", ""),
        ("address", ("address", "10.0.0.1"), "tx_bytes", "2760"),
        ("address", ("address", "10.0.1.1"), "rx_packets", "20"),
        ("other", ("kind", "other"), "tx_bytes", "0"),
        ("flows", ("kind", "flows"), "entries", "1"),
        ("flow", ("address", "10.0.0.1"), "remote_port", "9"),
        ("flow", ("address", "10.0.0.1"), "rx_bytes", ""),
        ("worker", ("worker", "1"), "dropped", "0"),
        ("worker_interval", ("worker", "1"), "dropped", "0"),
    ] {
        let value = value(kind, key, name)?;
        ensure!(value == expected, "{kind} {name}: {value}");
    }
    Ok(())
}

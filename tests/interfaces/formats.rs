//! Text for a person, CSV for a sheet; what is said on stderr.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;

use crate::netmon::{Done, run};
use crate::space::{connection, stream, two};
use crate::station::{iface, interrupt, parsed, report, reporting};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("formats::text", text),
        root("formats::csv", csv),
        root("formats::count_and_duration", count_and_duration),
        root("formats::json", json),
    ]
}

/// Fails unless stderr says how `a0` is seen, and nothing else.
fn check_told(done: &Done) -> anyhow::Result<()> {
    done.check_code(0)?;
    let lines: Vec<&str> = done.stderr.lines().collect();
    ensure!(lines.len() == 1, "{}", done.stderr);
    let told = "netmon: a0: packets are seen by tc";
    ensure!(lines[0].starts_with(told), "{}", done.stderr);
    ensure!(lines[0].ends_with(')'), "no reason: {}", done.stderr);
    Ok(())
}

fn text() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    let words = ["--iface", "a0", "--count", "3", "--interval", "100ms"];
    let done = run(&mut iface(&a, &words))?;
    check_told(&done)?;
    let lines: Vec<&str> = done.stdout.lines().collect();
    ensure!(lines.len() == 3 * 6, "{}", done.stdout);
    for lines in lines.chunks(6) {
        let starts = ["20", "INTERFACE ", "a0 ", "    ", "  both: average ", ""];
        for (line, start) in lines.iter().zip(starts) {
            ensure!(line.starts_with(start), "`{start}` does not begin {line}");
            ensure!(line.chars().count() <= 80, "{line}");
        }
        for (line, way) in [(lines[2], "rx"), (lines[3], "tx")] {
            let mut words = line.split_whitespace().skip_while(|word| *word != way);
            ensure!(words.next() == Some(way), "{line}");
            ensure!(words.count() == 8, "{line}");
        }
        ensure!(lines[5].is_empty(), "{lines:?}");
    }
    Ok(())
}

fn csv() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let (mut near, mut far) = connection(&a, &b, "10.9.0.2")?;
    let mut command = iface(&a, &["--iface", "a0", "--format", "csv", "--flows"]);
    command.args(["--interval", "100ms"]);
    let mut live = crate::netmon::Live::start(&mut command)?;
    let header = live.line()?;
    live.line()?;
    stream(&mut near, &mut far, 10_000, 100)?;
    while !live.line()?.contains(",flow,a0,") {}
    let done = interrupt(live, &["a0"])?;
    let columns: Vec<&str> = header.trim_end().split(',').collect();
    ensure!(
        columns.starts_with(&["time", "sequence", "kind"]),
        "{header}"
    );
    let (mut interfaces, mut flows) = (0, 0);
    for line in done.stdout.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        ensure!(fields.len() == columns.len(), "{line}");
        let field = |name: &str| {
            let at = columns.iter().position(|column| *column == name);
            at.map(|at| fields[at]).context("no such column")
        };
        ensure!(field("interface")? == "a0", "{line}");
        let bytes: u64 = field("bytes")?.parse()?;
        match field("kind")? {
            "interface" => {
                let direction = ["rx", "tx"][interfaces % 2];
                ensure!(field("direction")? == direction, "{line}");
                let tcp: u64 = field("tcp_bytes")?.parse()?;
                ensure!(tcp <= bytes, "{line}");
                interfaces += 1;
            }
            "flow" => {
                ensure!(
                    field("direction")? == ["forth", "back"][flows % 2],
                    "{line}"
                );
                ensure!(field("tcp_bytes")?.is_empty(), "{line}");
                flows += 1;
            }
            other => anyhow::bail!("{other}: {line}"),
        }
    }
    ensure!(interfaces >= 4 && interfaces % 2 == 0, "{}", done.stdout);
    ensure!(flows >= 2 && flows % 2 == 0, "{}", done.stdout);
    Ok(())
}

fn count_and_duration() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    let words = ["--iface", "a0", "--format", "json"];
    let mut command = iface(&a, &words);
    let done = run(command.args(["--interval", "50ms", "--count", "2"]))?;
    check_told(&done)?;
    ensure!(done.stdout.lines().count() == 2, "{}", done.stdout);
    let mut command = iface(&a, &words);
    let done = run(command.args(["--interval", "1m", "--duration", "200ms"]))?;
    check_told(&done)?;
    ensure!(done.stdout.lines().count() == 1, "{}", done.stdout);
    let report = parsed(&done.stdout)?;
    let interval = report["interval_seconds"].as_f64();
    ensure!(interval >= Some(0.2), "{report}");
    Ok(())
}

fn json() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    let mut live = reporting(&a, &[])?;
    let mut before = report(&mut live)?;
    for _ in 0..3 {
        let now = report(&mut live)?;
        let follows = now["sequence"].as_u64() == before["sequence"].as_u64().map(|it| it + 1);
        ensure!(follows, "{before}, {now}");
        ensure!(now["flows"] == serde_json::json!([]), "{now}");
        before = now;
    }
    Ok(())
}

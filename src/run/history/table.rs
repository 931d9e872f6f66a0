//! Answers as tables with bars: who moved most, by protocol, by address; alerts.

use std::io::{self, Write};

use super::page::Page;
use crate::model::units::{AMOUNT_WIDTH, Unit, amount, rate};
use crate::sink::history::answer::{Alert, Alerts, Moved, Protocols, Remotes, Top, TopRow};

/// From this width on both directions have a column.
pub const WIDE: usize = 64;
/// From this width on a process's user and unit have one, and an interface's packets.
pub const WIDER: usize = 76;
/// Columns of the longest share: `100.0%`.
const SHARE_WIDTH: usize = 6;
/// Least columns of a bar, wide and narrow: there an address must fit beside it.
const LEAST_BAR: [usize; 2] = [8, 3];

/// What is said of a window in which nothing moved.
pub const NOTHING: &str = "Nothing was counted in this time.";

/// One row.
struct Line {
    label: String,
    user: String,
    unit: String,
    moved: Moved,
    /// In percent; `None` for sums below the rows.
    share: Option<f64>,
}

impl Line {
    fn sum(label: &str, moved: Moved) -> Line {
        Line {
            label: label.to_owned(),
            user: String::new(),
            unit: String::new(),
            moved,
            share: None,
        }
    }
}

/// Who moved most.
pub fn top(to: &mut dyn Write, page: &Page, top: &Top) -> io::Result<()> {
    let what = match top.by {
        "process" => "Top processes",
        "remote" => "Top remote addresses",
        "protocol" => "Top protocols",
        "user" => "Top users",
        _ => "Top units",
    };
    page.title(to, what, &top.since, &top.until)?;
    let line = |row: &TopRow| {
        let who = row.who.as_ref();
        let unit = who.and_then(|who| who.unit.as_ref().or(who.container.as_ref()));
        Line {
            label: named(&row.key),
            user: who.map(|who| who.user.clone()).unwrap_or_default(),
            unit: unit.cloned().unwrap_or_default(),
            moved: row.moved,
            share: Some(row.percentage),
        }
    };
    let lines: Vec<Line> = top.rows.iter().map(line).collect();
    table(to, page, top.by, lines, top.other, top.total)
}

/// Bytes by protocol.
pub fn protocols(to: &mut dyn Write, page: &Page, answer: &Protocols) -> io::Result<()> {
    page.title(to, "Protocols", &answer.since, &answer.until)?;
    let shares = answer.protocols.iter();
    let lines = shares.map(|row| (&row.protocol, row.moved, row.percentage));
    simple(to, page, "protocol", lines, Moved::default())
}

/// Bytes by remote address.
pub fn remotes(to: &mut dyn Write, page: &Page, answer: &Remotes) -> io::Result<()> {
    page.title(to, "Remote addresses", &answer.since, &answer.until)?;
    let unknown = String::new();
    let shares = answer.remotes.iter();
    let lines = shares.map(|row| {
        let address = row.remote_address.as_ref().unwrap_or(&unknown);
        (address, row.moved, row.percentage)
    });
    simple(to, page, "remote", lines, answer.other)
}

fn simple<'a>(
    to: &mut dyn Write,
    page: &Page,
    by: &str,
    rows: impl Iterator<Item = (&'a String, Moved, f64)>,
    other: Moved,
) -> io::Result<()> {
    let mut total = other;
    let line = |(label, moved, share): (&String, Moved, f64)| {
        total.add(moved);
        Line {
            share: Some(share),
            ..Line::sum(&named(label), moved)
        }
    };
    let lines: Vec<Line> = rows.map(line).collect();
    table(to, page, by, lines, other, total)
}

/// What is shown for a name that nobody knows.
fn named(key: &str) -> String {
    if key.is_empty() { "-" } else { key }.to_owned()
}

/// The rows, the rest and the sum. Columns that do not fit are left out, the least
/// needed first.
fn table(
    to: &mut dyn Write,
    page: &Page,
    by: &str,
    mut lines: Vec<Line>,
    other: Moved,
    total: Moved,
) -> io::Result<()> {
    if lines.is_empty() {
        return writeln!(to, "{NOTHING}");
    }
    let most = lines.iter().map(|line| line.moved.bytes()).max();
    let most = most.unwrap_or_default();
    if other.bytes() > 0 {
        lines.push(Line::sum("(others)", other));
    }
    lines.push(Line::sum("(all)", total));
    let wide = page.width >= WIDE;
    let widest = |text: fn(&Line) -> &str, title: usize, limit: usize| {
        let columns = lines.iter().map(|line| page.columns(text(line)));
        columns.max().unwrap_or_default().max(title).min(limit)
    };
    let numbers = if wide { 2 } else { 1 } * (AMOUNT_WIDTH + 1) + SHARE_WIDTH + 2;
    let mut room = page
        .width
        .saturating_sub(numbers + LEAST_BAR[usize::from(!wide)] + 1);
    let label = widest(|line| &line.label, by.len(), room.min(46));
    room -= label;
    let mut details = Vec::new();
    if by == "process" && page.width >= WIDER {
        let user = widest(|line| &line.user, "USER".len(), 12);
        details.push(("USER", user, (|line| &line.user) as fn(&Line) -> &str));
        room = room.saturating_sub(user + 1);
        let unit = widest(
            |line| &line.unit,
            "UNIT".len(),
            room.saturating_sub(10).min(40),
        );
        if unit >= 12 {
            details.push(("UNIT", unit, |line| &line.unit));
        }
    }
    let used: usize = details.iter().map(|(_, width, _)| width + 1).sum();
    let bar = page.width.saturating_sub(numbers + label + used + 1);

    write!(to, "{}", page.fit(&by.to_uppercase(), label))?;
    for (title, width, _) in &details {
        write!(to, " {}", page.fit(title, *width))?;
    }
    match wide {
        true => write!(
            to,
            " {:>AMOUNT_WIDTH$} {:>AMOUNT_WIDTH$}",
            "SENT", "RECEIVED"
        )?,
        false => write!(to, " {:>AMOUNT_WIDTH$}", "BYTES")?,
    }
    writeln!(to, " {:>SHARE_WIDTH$}", "SHARE")?;
    for line in &lines {
        let mut text = page.fit(&line.label, label);
        for (_, width, of) in &details {
            text += " ";
            text += &page.fit(of(line), *width);
        }
        let Moved { tx_bytes, rx_bytes } = line.moved;
        let cell = |bytes| format!(" {:>AMOUNT_WIDTH$}", amount(bytes, Unit::Bytes));
        match wide {
            true => text += &(cell(tx_bytes) + &cell(rx_bytes)),
            false => text += &cell(line.moved.bytes()),
        }
        if let Some(share) = line.share {
            let share = format!("{share:.1}%");
            text += &format!(" {share:>SHARE_WIDTH$} ");
            text += &page.bar(line.moved.bytes(), most, bar);
        }
        writeln!(to, "{}", text.trim_end())?;
    }
    Ok(())
}

/// Flows that were above the threshold: two lines each, so that they fit anywhere.
pub fn alerts(to: &mut dyn Write, page: &Page, answer: &Alerts) -> io::Result<()> {
    page.title(to, "Alerts", &answer.since, &answer.until)?;
    if answer.alerts.is_empty() {
        return page.say(to, "No flow was above the threshold in this time.");
    }
    for alert in &answer.alerts {
        for line in words(page, alert) {
            page.say(to, &line)?;
        }
    }
    Ok(())
}

fn words(page: &Page, alert: &Alert) -> [String; 2] {
    let started = page.time(&alert.started, "%Y-%m-%d %H:%M:%S");
    let ended = match &alert.ended {
        Some(ended) => format!("to {}", page.time(ended, "%H:%M:%S")),
        None => "and no end known".to_owned(),
    };
    let end = match (&alert.remote_address, alert.remote_port) {
        (None, _) => "an unknown address".to_owned(),
        (Some(address), None) => page.safe(address),
        (Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
        (Some(address), Some(port)) => format!("{}:{port}", page.safe(address)),
    };
    [
        format!(
            "{started} {ended}: {} ({}) of {}",
            page.safe(&named(&alert.name)),
            alert.pid,
            page.safe(&named(&alert.user)),
        ),
        format!(
            "    {} with {end}, at most {}, above {}",
            alert.protocol,
            rate(alert.peak, Unit::Bytes),
            rate(alert.threshold, Unit::Bytes),
        ),
    ]
}

//! A timeline as bars, one line per point; with keys as graphs, one line per key.

use std::io::{self, Write};

use super::page::Page;
use super::table::NOTHING;
use crate::model::units::{AMOUNT_WIDTH, Unit, amount, describe, rate};
use crate::sink::history::answer::{Moved, Point, Series, Timeline};

/// From this width on both directions have a column.
const WIDE: usize = 64;

/// How much moved when; on one interface, if one is named.
pub fn timeline(
    to: &mut dyn Write,
    page: &Page,
    timeline: &Timeline,
    interface: Option<&str>,
) -> io::Result<()> {
    let step = words(timeline.step_seconds);
    let of = interface.map_or_else(String::new, |name| format!(" of {}", page.safe(name)));
    let what = format!("Timeline{of} in steps of {step}");
    page.title(to, &what, &timeline.since, &timeline.until)?;
    let highest = timeline
        .points
        .iter()
        .max_by_key(|point| point.moved.bytes());
    let Some(highest) = highest.filter(|point| point.moved.bytes() > 0) else {
        return writeln!(to, "{NOTHING}");
    };
    match &timeline.series {
        None => bars(to, page, timeline, highest.moved.bytes())?,
        Some(series) => graphs(to, page, series)?,
    }
    let mut total = Moved::default();
    timeline
        .points
        .iter()
        .for_each(|point| total.add(point.moved));
    let most = highest.moved.bytes();
    let per_second = most as f64 / timeline.step_seconds.max(1) as f64;
    page.say(
        to,
        &format!(
            "Peak: {} in {step} ({}) at {}. Sent {}, received {}.",
            describe(most),
            rate(per_second, Unit::Bytes),
            page.time(&highest.t, "%Y-%m-%d %H:%M:%S"),
            describe(total.tx_bytes),
            describe(total.rx_bytes),
        ),
    )
}

/// One line per point.
fn bars(to: &mut dyn Write, page: &Page, timeline: &Timeline, most: u64) -> io::Result<()> {
    let format = time_format(page, timeline);
    let wide = page.width >= WIDE;
    let label = page.time(&timeline.since, format).len();
    let numbers = if wide { 2 } else { 1 } * (AMOUNT_WIDTH + 1);
    let room = page.width.saturating_sub(label + numbers + 1);
    match wide {
        true => writeln!(
            to,
            "{:label$} {:>AMOUNT_WIDTH$} {:>AMOUNT_WIDTH$}",
            "TIME", "SENT", "RECEIVED"
        )?,
        false => writeln!(to, "{:label$} {:>AMOUNT_WIDTH$}", "TIME", "BYTES")?,
    }
    for Point { t, moved } in &timeline.points {
        let cell = |bytes| format!(" {:>AMOUNT_WIDTH$}", amount(bytes, Unit::Bytes));
        let cells = match wide {
            true => cell(moved.tx_bytes) + &cell(moved.rx_bytes),
            false => cell(moved.bytes()),
        };
        let bar = page.bar(moved.bytes(), most, room);
        let line = format!("{}{cells} {bar}", page.time(t, format));
        writeln!(to, "{}", line.trim_end())?;
    }
    Ok(())
}

/// As much of a time as tells the points apart.
fn time_format(page: &Page, timeline: &Timeline) -> &'static str {
    let day = |text| page.time(text, "%Y-%m-%d");
    let last = timeline.points.last().map_or("", |point| &point.t);
    let one_day = day(&timeline.since) == day(last);
    match (one_day, timeline.step_seconds) {
        (true, ..60) => "%H:%M:%S",
        (true, _) => "%H:%M",
        (false, ..60) => "%m-%d %H:%M:%S",
        (false, ..86_400) => "%m-%d %H:%M",
        (false, _) => "%Y-%m-%d",
    }
}

/// One line per key, all to the same scale.
fn graphs(to: &mut dyn Write, page: &Page, series: &[Series]) -> io::Result<()> {
    let rows: Vec<(&str, u64, Vec<u64>)> = series.iter().map(row).collect();
    let longest = rows.iter().map(|(key, ..)| page.columns(key)).max();
    let label = longest.unwrap_or_default().clamp(3, page.width / 3);
    let room = page.width.saturating_sub(label + AMOUNT_WIDTH + 2);
    let graphs: Vec<Vec<u64>> = rows
        .iter()
        .map(|(.., line)| resample(line, room.min(line.len())))
        .collect();
    let most = graphs.iter().flatten().copied().max().unwrap_or_default();
    writeln!(to, "{} {:>AMOUNT_WIDTH$}", page.fit("KEY", label), "BYTES")?;
    for ((key, sum, _), graph) in rows.iter().zip(&graphs) {
        let key = if key.is_empty() { "-" } else { key };
        let graph: String = graph
            .iter()
            .map(|value| page.height(*value, most))
            .collect();
        let sum = amount(*sum, Unit::Bytes);
        let line = format!("{} {sum:>AMOUNT_WIDTH$} {graph}", page.fit(key, label));
        writeln!(to, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Key, sum and bytes by point of one series.
fn row(series: &Series) -> (&str, u64, Vec<u64>) {
    let pairs = series.tx_bytes.iter().zip(&series.rx_bytes);
    let line: Vec<u64> = pairs.map(|(tx, rx)| tx.saturating_add(*rx)).collect();
    let sum = line
        .iter()
        .fold(0, |sum: u64, value| sum.saturating_add(*value));
    (&series.key, sum, line)
}

/// A line in so many columns; of the points that share a column the largest stands,
/// so that no peak is lost.
fn resample(line: &[u64], columns: usize) -> Vec<u64> {
    let most = |column: usize| {
        let start = column * line.len() / columns;
        let end = ((column + 1) * line.len() / columns).max(start + 1);
        let points = line.get(start..end).unwrap_or_default();
        points.iter().copied().max().unwrap_or_default()
    };
    (0..columns).map(most).collect()
}

/// `10 s`, `5 min`, `6 h`, `2 d`: steps are whole ones.
fn words(seconds: u64) -> String {
    [(86_400, "d"), (3600, "h"), (60, "min")]
        .into_iter()
        .find(|(length, _)| seconds >= *length && seconds.is_multiple_of(*length))
        .map_or_else(
            || format!("{seconds} s"),
            |(length, unit)| format!("{} {unit}", seconds / length),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_named_by_their_largest_unit() {
        let cases = [
            (10, "10 s"),
            (60, "1 min"),
            (5400, "90 min"),
            (21_600, "6 h"),
            (172_800, "2 d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(words(seconds), text);
        }
    }

    #[test]
    fn no_peak_is_lost_in_few_columns() {
        let mut line = vec![1; 60];
        line[17] = 9;
        for columns in 1..60 {
            let graph = resample(&line, columns);
            assert_eq!((graph.len(), graph.iter().max()), (columns, Some(&9)));
        }
    }
}

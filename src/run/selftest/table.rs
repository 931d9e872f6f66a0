//! The self-test for a person: aligned rows as they come, failures and sums last.

use std::io::{self, Write};

use super::Report;
use crate::collect::capability;
use crate::model::flow::Totals;
use crate::model::snapshot::Engine;
use crate::selftest::outcome::Verdict;
use crate::selftest::rows::{Path, Row};

/// Columns of the widest name.
pub fn width(paths: &[Path]) -> usize {
    let names = paths.iter().map(|path| path.name.len());
    names.max().unwrap_or_default()
}

/// What runs where, and the names of the columns.
pub fn head(to: &mut impl Write, engine: &Engine, width: usize) -> io::Result<()> {
    writeln!(
        to,
        "netmon {} on Linux {}, engine {}: {}",
        env!("CARGO_PKG_VERSION"),
        capability::kernel_release(),
        engine.name,
        engine.method
    )?;
    let numbers = ["TRUE TX", "TRUE RX", "COUNTED TX", "COUNTED RX"];
    line(to, width, "PATH", &numbers.map(str::to_owned), "VERDICT")
}

/// One row.
pub fn row(to: &mut impl Write, row: &Row, width: usize) -> io::Result<()> {
    let mut verdict = words(&row.verdict);
    if let Some(note) = &row.note {
        verdict += &format!(" ({note})");
    }
    let both = |totals: &Totals| match row.verdict {
        Verdict::NotHere(_) | Verdict::NotMoved(_) => ["-".to_owned(), "-".to_owned()],
        _ => [grouped(totals.tx_bytes), grouped(totals.rx_bytes)],
    };
    let ([true_tx, true_rx], [tx, rx]) = (both(&row.truth), both(&row.counted));
    line(to, width, &row.path, &[true_tx, true_rx, tx, rx], &verdict)
}

fn line(
    to: &mut impl Write,
    width: usize,
    path: &str,
    numbers: &[String; 4],
    verdict: &str,
) -> io::Result<()> {
    let [true_tx, true_rx, tx, rx] = numbers;
    writeln!(
        to,
        "{path:<width$} {true_tx:>13} {true_rx:>13} {tx:>13} {rx:>13}  {verdict}"
    )
}

/// Failures in full, what is not counted by nature, and the sums.
pub fn end(to: &mut impl Write, report: &Report) -> io::Result<()> {
    for (case, text) in report.rows.iter().flat_map(|row| &row.failures) {
        writeln!(to, "\n{case}:")?;
        for line in text.lines() {
            writeln!(to, "  {line}")?;
        }
    }
    writeln!(to)?;
    for blind in &report.engine.blind_spots {
        writeln!(to, "not counted or not known: {blind}")?;
    }
    let noisy = report.noisy_readings;
    if noisy > 0 {
        writeln!(
            to,
            "other processes moved bytes in {noisy} readings, so that these compare the protocol \
             totals as bounds only"
        )?;
    }
    let missed = report.missed_events;
    if missed > 0 {
        writeln!(to, "events missed on the whole machine: {missed}")?;
    }
    if let Some(error) = &report.error {
        writeln!(to, "{error}")?;
    }
    let some = |words, is_such: fn(&Verdict) -> bool| match report.count(is_such) {
        0 => String::new(),
        some => format!("{some} {words}, "),
    };
    let not_seen = some("NOT SEEN", |verdict| matches!(verdict, Verdict::NotSeen(_)));
    let not_moved = some("NOT MOVED", |verdict| {
        matches!(verdict, Verdict::NotMoved(_))
    });
    writeln!(
        to,
        "{} paths: {} EXACT, {not_seen}{} NOT ON THIS KERNEL, {not_moved}{} OFF",
        report.rows.len(),
        report.count(|verdict| *verdict == Verdict::Exact),
        report.count(|verdict| matches!(verdict, Verdict::NotHere(_))),
        report.count(|verdict| matches!(verdict, Verdict::Off(_))),
    )
}

fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Exact => "EXACT".to_owned(),
        Verdict::NotSeen(what) => format!("NOT SEEN: {what}"),
        Verdict::NotHere(reason) => format!("NOT ON THIS KERNEL: {reason}"),
        Verdict::NotMoved(reason) => format!("NOT MOVED: {reason}"),
        Verdict::Off(off) if off.bytes == 0 => format!("OFF: {}", off.what),
        Verdict::Off(off) => format!("OFF by {} {}", grouped(off.bytes), off.what),
    }
}

/// A number with a comma between each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(report: &Report) -> String {
        let mut to = Vec::new();
        for of in &report.rows {
            row(&mut to, of, 16).unwrap();
        }
        end(&mut to, report).unwrap();
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (123_456, "123,456"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_run_in_words() {
        let text = printed(&super::super::tests::report(true));
        let lines: Vec<&str> = text.lines().collect();
        let expected = [
            "tcp send             1,234,567         1,000     1,234,567         1,000  EXACT (1 of 3 \
             cases not on this kernel: why)",
            "tcp splice_from      1,234,567         1,000     1,234,567             0  NOT SEEN: no \
             splice",
            "sctp stream send             -             -             -             -  NOT ON THIS \
             KERNEL: sctp: none",
            "udp send             1,234,567         1,000     1,233,490         1,000  OFF by 1,077 \
             bytes",
            "",
            "udp4::send::plain:",
            "  process 7 (it):",
            "  * true, counted",
            "",
        ];
        assert_eq!(lines[..expected.len()], expected);
        assert!(text.contains("\nnot counted or not known: AF_PACKET receive rings and AF_XDP\n"));
        let sums = "4 paths: 1 EXACT, 1 NOT SEEN, 1 NOT ON THIS KERNEL, 1 OFF";
        assert_eq!(lines.last(), Some(&sums));
    }

    #[test]
    fn a_difference_without_bytes_says_where_it_is() {
        let mut report = super::super::tests::report(true);
        let Some(Verdict::Off(difference)) = report.rows.last_mut().map(|row| &mut row.verdict)
        else {
            panic!("no row is off");
        };
        (difference.bytes, difference.what) = (0, "operations");
        assert!(printed(&report).contains("  OFF: operations\n"));
    }

    #[test]
    fn what_did_not_move_and_what_broke_is_said() {
        let mut report = super::super::tests::report(false);
        report.rows[0].verdict = Verdict::NotMoved("no answer".to_owned());
        report.rows[0].note = None;
        report.error = Some("gone".to_owned());
        let text = printed(&report);
        assert!(text.contains("-  NOT MOVED: no answer\n"), "{text}");
        let end =
            "\ngone\n3 paths: 0 EXACT, 1 NOT SEEN, 1 NOT ON THIS KERNEL, 1 NOT MOVED, 0 OFF\n";
        assert!(text.ends_with(end), "{text}");
    }
}

//! The self-test for a program: one JSON object, `schema` 1.

use std::io::{self, Write};

use serde::Serialize;

use super::Report;
use crate::collect::capability;
use crate::model::flow::Totals;
use crate::selftest::outcome::Verdict;
use crate::selftest::rows::Row;

#[derive(Serialize)]
struct Record<'a> {
    schema: u32,
    kernel: String,
    netmon: &'a str,
    engine: &'a str,
    method: &'a str,
    paths: Vec<PathRecord<'a>>,
    blind_spots: &'a [String],
    missed_events: u64,
    passed: bool,
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct PathRecord<'a> {
    path: &'a str,
    cases: usize,
    #[serde(rename = "true")]
    truth: Bytes,
    counted: Bytes,
    verdict: &'a str,
    off_by: u64,
    reason: Option<&'a str>,
    failures: Vec<Failure<'a>>,
}

#[derive(Serialize)]
struct Bytes {
    tx_bytes: u64,
    rx_bytes: u64,
}

#[derive(Serialize)]
struct Failure<'a> {
    case: &'a str,
    text: &'a str,
}

impl From<&Totals> for Bytes {
    fn from(totals: &Totals) -> Bytes {
        Bytes {
            tx_bytes: totals.tx_bytes,
            rx_bytes: totals.rx_bytes,
        }
    }
}

impl<'a> From<&'a Row> for PathRecord<'a> {
    fn from(row: &'a Row) -> PathRecord<'a> {
        let note = row.note.as_deref();
        let (verdict, off_by, reason) = match &row.verdict {
            Verdict::Exact => ("exact", 0, note),
            Verdict::NotSeen(what) => ("not_seen", 0, Some(what.as_str())),
            Verdict::NotHere(reason) => ("not_on_this_kernel", 0, Some(reason.as_str())),
            Verdict::NotMoved(reason) => ("not_moved", 0, Some(reason.as_str())),
            Verdict::Off(off) => ("off", off.bytes, Some(off.what)),
        };
        let failures = row.failures.iter();
        PathRecord {
            path: &row.path,
            cases: row.cases,
            truth: (&row.truth).into(),
            counted: (&row.counted).into(),
            verdict,
            off_by,
            reason,
            failures: failures
                .map(|(case, text)| Failure { case, text })
                .collect(),
        }
    }
}

/// Writes the object and ends the line.
pub fn write(to: &mut impl Write, report: &Report) -> io::Result<()> {
    let record = Record {
        schema: 1,
        kernel: capability::kernel_release(),
        netmon: env!("CARGO_PKG_VERSION"),
        engine: &report.engine.name,
        method: &report.engine.method,
        paths: report.rows.iter().map(PathRecord::from).collect(),
        blind_spots: &report.engine.blind_spots,
        missed_events: report.missed_events,
        passed: report.passed(),
        error: report.error.as_deref(),
    };
    serde_json::to_writer(&mut *to, &record)?;
    writeln!(to)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(is_off: bool) -> Value {
        written_of(&super::super::tests::report(is_off))
    }

    fn written_of(report: &Report) -> Value {
        let mut to = Vec::new();
        write(&mut to, report).unwrap();
        serde_json::from_slice(&to).unwrap()
    }

    #[test]
    fn what_is_off_has_not_passed() {
        let (good, bad) = (written(false), written(true));
        assert_eq!(good["passed"], json!(true));
        assert_eq!(bad["passed"], json!(false));
        assert_eq!(bad["error"], Value::Null);
        let off = json!({
            "path": "udp send", "cases": 3,
            "true": {"tx_bytes": 1_234_567, "rx_bytes": 1000},
            "counted": {"tx_bytes": 1_233_490, "rx_bytes": 1000},
            "verdict": "off", "off_by": 1077, "reason": "bytes",
            "failures": [{"case": "udp4::send::plain", "text": "process 7 (it):\n* true, counted"}],
        });
        assert_eq!(bad["paths"][3], off);
        let verdicts = ["exact", "not_seen", "not_on_this_kernel"];
        for (index, verdict) in verdicts.into_iter().enumerate() {
            assert_eq!(good["paths"][index]["verdict"], verdict);
        }
        assert_eq!(good["paths"][2]["reason"], "sctp: none");
    }

    #[test]
    fn a_run_that_broke_says_so() {
        let mut report = super::super::tests::report(false);
        report.error = Some("gone".to_owned());
        report.rows[0].verdict = Verdict::NotMoved("no answer".to_owned());
        let said = written_of(&report);
        assert_eq!(
            (&said["passed"], &said["error"]),
            (&json!(false), &json!("gone"))
        );
        let row = &said["paths"][0];
        assert_eq!(
            (&row["verdict"], &row["reason"]),
            (&json!("not_moved"), &json!("no answer"))
        );
    }
}

//! What came of one case: the true bytes, the counted ones, and the verdict.
//!
//! Owns the words for a result. The comparison itself is `expect`'s.

use std::collections::BTreeSet;
use std::fmt;

use super::expect::{self, Ends};
use super::generator::Unsupported;
use super::generator::ledger::Report;
use crate::collect::accounting::Plan;
use crate::model::flow::Totals;
use crate::model::snapshot::Snapshot;

/// What netmon made of bytes that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Process row, flow rows and protocol totals say what the calls returned.
    Exact,
    /// Counted as well as this way of counting can, which lacks what is named here.
    NotSeen(String),
    /// This kernel, or these privileges, cannot run it, for this reason.
    NotHere(String),
    /// Counted wrongly.
    Off(Difference),
}

/// How far off a count is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Bytes too many and too few, added up; 0 where something else is wrong.
    pub bytes: u64,
    /// What differs, in a word or two.
    pub what: &'static str,
    /// True and counted side by side, for a person, in lines.
    pub text: String,
}

/// One case that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the calls returned.
    pub truth: Totals,
    /// What the rows of its processes say.
    pub counted: Totals,
    /// What to think of that.
    pub verdict: Verdict,
}

/// A wrong count as an error, so that a case ends at the first one.
#[derive(Debug)]
struct Wrong(Outcome);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.verdict {
            Verdict::Off(difference) => f.write_str(&difference.text),
            verdict => write!(f, "{verdict:?}"),
        }
    }
}

impl std::error::Error for Wrong {}

impl Outcome {
    /// Compares `report` with what was counted from `before` to `after`.
    ///
    /// # Errors
    /// If it was counted wrongly; see [`Outcome::from_error`].
    pub fn of(
        plan: Plan,
        before: &Snapshot,
        after: &Snapshot,
        report: &Report,
    ) -> anyhow::Result<Outcome> {
        if let Some(reason) = &report.unsupported {
            return Err(Unsupported(reason.clone()).into());
        }
        let rows = report.who.iter();
        let rows = rows.filter_map(|who| expect::find_process(after, who));
        let mut outcome = Outcome {
            truth: expect::moved(report),
            counted: rows.map(|row| row.totals).sum(),
            verdict: expect::unseen(plan, report).map_or(Verdict::Exact, Verdict::NotSeen),
        };
        if let Err(error) = expect::check(plan, before, after, report) {
            let (bytes, what) = distance(plan, after, report);
            let text = format!("{error:#}");
            outcome.verdict = Verdict::Off(Difference { bytes, what, text });
            return Err(Wrong(outcome).into());
        }
        Ok(outcome)
    }

    /// What an error means that ended a case.
    pub fn from_error(error: anyhow::Error) -> Outcome {
        let (truth, counted) = (Totals::default(), Totals::default());
        let verdict = match error.downcast::<Wrong>() {
            Ok(Wrong(outcome)) => return outcome,
            Err(error) if error.is::<Unsupported>() => Verdict::NotHere(error.to_string()),
            Err(error) => Verdict::Off(Difference {
                bytes: 0,
                what: "never compared",
                text: format!("{error:#}"),
            }),
        };
        Outcome {
            truth,
            counted,
            verdict,
        }
    }
}

fn bytes_apart(one: &Totals, other: &Totals) -> u64 {
    one.tx_bytes.abs_diff(other.tx_bytes) + one.rx_bytes.abs_diff(other.rx_bytes)
}

/// By how many bytes the process rows are off, or else the flow rows, or else
/// what is wrong although all bytes are there.
fn distance(plan: Plan, after: &Snapshot, report: &Report) -> (u64, &'static str) {
    let (mut by_process, mut by_flow, mut all_met) = (0, 0, true);
    for who in &report.who {
        let expected = expect::flows_of(plan, report, who.pid);
        let sum = expect::sum(&expected);
        let row = expect::find_process(after, who);
        let counted = row.map(|row| row.totals).unwrap_or_default();
        by_process += bytes_apart(&sum.totals, &counted);
        all_met &= sum.is_met_by(&counted);
        let shown = row.map(|row| expect::counted_flows(after, row));
        let shown = shown.unwrap_or_default();
        let ends: BTreeSet<&Ends> = expected.keys().chain(shown.keys()).collect();
        for ends in ends {
            let truth = expected.get(ends).copied().unwrap_or_default();
            let counted = shown.get(ends).copied().unwrap_or_default();
            by_flow += bytes_apart(&truth.totals, &counted);
            all_met &= truth.is_met_by(&counted);
        }
    }
    match (by_process, by_flow, all_met) {
        (1.., _, _) => (by_process, "bytes"),
        (0, 1.., _) => (by_flow, "bytes of flows"),
        (0, 0, false) => (0, "operations"),
        (0, 0, true) => (0, "names or protocol totals"),
    }
}

//! What came of one case: the true bytes, the counted ones, and the verdict.
//!
//! Owns the words for a result. The comparison itself is `expect`'s.

use std::collections::BTreeSet;
use std::fmt;

use super::driver::NotMoved;
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
    /// Its bytes could not be moved, for this reason, so nothing was compared.
    NotMoved(String),
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
        Outcome::without_bytes(match error.downcast::<Wrong>() {
            Ok(Wrong(outcome)) => return outcome,
            Err(error) if error.is::<Unsupported>() => Verdict::NotHere(error.to_string()),
            Err(error) if error.is::<NotMoved>() => Verdict::NotMoved(reason_of(&error)),
            Err(error) => Verdict::Off(Difference {
                bytes: 0,
                what: "not as it must be",
                text: format!("{error:#}"),
            }),
        })
    }

    /// A verdict on a case that was not run to its end.
    pub fn without_bytes(verdict: Verdict) -> Outcome {
        Outcome {
            truth: Totals::default(),
            counted: Totals::default(),
            verdict,
        }
    }
}

/// Why nothing was moved, without [`NotMoved`]'s own words.
fn reason_of(error: &anyhow::Error) -> String {
    let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
    causes.join(": ")
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::time::Duration;

    use anyhow::anyhow;

    use super::super::generator::ledger::{Amount, Direction, How, Movement, Who};
    use super::*;
    use crate::model::flow::{Address, Endpoint, FlowKey, ProcessId, Protocol};
    use crate::model::sample::{Identity, Moment};
    use crate::model::snapshot::{Balance, FlowRow, Loss, ProcessRow, ProtocolRow, Rates};

    const ENDPOINT: Endpoint = Endpoint {
        address: Address::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: 7,
    };

    fn sent(tx_bytes: u64, tx_operations: u64) -> Totals {
        Totals {
            tx_bytes,
            tx_operations,
            ..Totals::default()
        }
    }

    /// A process that says it sent 100 bytes by one call.
    fn report(how: How) -> Report {
        let movement = Movement {
            pid: 42,
            protocol: Protocol::Tcp,
            local: Some(ENDPOINT),
            remote: Some(ENDPOINT),
            peer: Some(ENDPOINT),
            direction: Direction::Sent,
            how,
        };
        let amount = Amount {
            bytes: 100,
            operations: 1,
        };
        let who = Who {
            pid: 42,
            start_ticks: 0,
            network_namespace: 1,
            comm: "sender".to_owned(),
        };
        Report {
            who: vec![who],
            moved: vec![(movement, amount)],
            ..Report::default()
        }
    }

    /// A reading with these counts of that process; without any if they are zero.
    fn snapshot(process: Totals, flow: Totals, protocol: Totals) -> Snapshot {
        let id = ProcessId {
            pid: 42,
            start_ns: 0,
        };
        let identity = Arc::new(Identity {
            name: "sender".to_owned(),
            ..Identity::default()
        });
        let mut made = Snapshot {
            coverage: None,
            interfaces: Vec::new(),
            sequence: 1,
            at: Moment::default(),
            boot: Duration::ZERO,
            interval: Duration::ZERO,
            nominal_interval: Duration::ZERO,
            engine: Plan::Residual.engine().into(),
            threshold: 0.0,
            protocols: Vec::new(),
            processes: Vec::new(),
            flows: Vec::new(),
            aggregates: Vec::new(),
            anomalies: Vec::new(),
            loss: Loss::default(),
            balance: Balance::default(),
        };
        if process.is_zero() {
            return made;
        }
        let rates = Rates::default();
        made.protocols.push(ProtocolRow {
            protocol: Protocol::Tcp,
            totals: protocol,
            rates,
        });
        made.processes.push(ProcessRow {
            id,
            identity,
            totals: process,
            rates,
            by_protocol: Default::default(),
            kernel_thread: false,
            exited: false,
            anomalous: false,
        });
        made.flows.push(FlowRow {
            key: FlowKey {
                process: id,
                protocol: Protocol::Tcp,
                network_namespace: 1,
                local: Some(ENDPOINT),
                remote: Some(ENDPOINT),
            },
            process: 0,
            totals: flow,
            rates,
            tcp: None,
            closed: false,
            anomalous: false,
        });
        made
    }

    fn judged(plan: Plan, how: How, process: Totals, flow: Totals, protocol: Totals) -> Outcome {
        let none = Totals::default();
        let (before, after) = (
            snapshot(none, none, none),
            snapshot(process, flow, protocol),
        );
        Outcome::of(plan, &before, &after, &report(how)).unwrap_or_else(Outcome::from_error)
    }

    #[test]
    fn exact_only_if_process_flow_and_protocol_are() {
        let right = sent(100, 1);
        let exact = judged(Plan::Residual, How::Call, right, right, right);
        assert_eq!(exact.verdict, Verdict::Exact);
        assert_eq!((exact.truth, exact.counted), (right, right));

        for (process, flow, protocol, bytes, what) in [
            (sent(93, 1), sent(93, 1), right, 7, "bytes"),
            (Totals::default(), right, right, 100, "bytes"),
            (right, sent(112, 1), right, 12, "bytes of flows"),
            (sent(100, 2), sent(100, 2), right, 0, "operations"),
            (right, right, sent(101, 1), 0, "names or protocol totals"),
        ] {
            let off = judged(Plan::Residual, How::Call, process, flow, protocol);
            let Verdict::Off(difference) = off.verdict else {
                panic!("{off:?}");
            };
            assert_eq!((difference.bytes, difference.what), (bytes, what));
            assert!(difference.text.contains("100"), "{}", difference.text);
            assert_eq!((off.truth, off.counted), (right, process));
        }
    }

    #[test]
    fn what_a_plan_cannot_see_must_not_be_counted() {
        let none = Totals::default();
        let blind = judged(Plan::Socket, How::SpliceFromTcp, none, none, none);
        let Verdict::NotSeen(what) = &blind.verdict else {
            panic!("{blind:?}");
        };
        assert!(what.contains("splice from TCP"), "{what}");
        let right = sent(100, 1);
        let seen = judged(Plan::Socket, How::SpliceFromTcp, right, right, right);
        assert!(matches!(seen.verdict, Verdict::Off(_)), "{seen:?}");
    }

    #[test]
    fn errors_are_verdicts_too() {
        let missing = Report {
            unsupported: Some("no such socket".to_owned()),
            ..Report::default()
        };
        let none = Totals::default();
        let empty = snapshot(none, none, none);
        let error = Outcome::of(Plan::Residual, &empty, &empty, &missing).unwrap_err();
        let verdict = Outcome::from_error(error).verdict;
        assert_eq!(verdict, Verdict::NotHere("no such socket".to_owned()));
        let Verdict::Off(difference) = Outcome::from_error(anyhow!("gone").context("it")).verdict
        else {
            panic!("an error that is no verdict");
        };
        assert_eq!(
            (difference.bytes, difference.what),
            (0, "not as it must be")
        );
        assert_eq!(difference.text, "it: gone");
        let error = anyhow!("gone").context("it").context(NotMoved);
        let verdict = Outcome::from_error(error).verdict;
        assert_eq!(verdict, Verdict::NotMoved("it: gone".to_owned()));
    }
}

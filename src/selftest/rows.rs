//! Cases put together for a person: one row per transport and call.
//!
//! Owns the names and the verdict of a row. Derives both from the cases, so that
//! a new case finds its row by itself. Runs nothing.

use super::generator::{is_family, is_variant};
use super::outcome::{Difference, Outcome, Verdict};
use crate::model::flow::Totals;

/// A row to be filled: its name and the cases that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Protocol first: `tcp send`, `udp unconnected recvmsg`.
    pub name: String,
    /// Names of its cases.
    pub cases: Vec<String>,
}

/// The row of a case: without the family, and without the variant of a call.
/// `udp4_unconnected::recvmsg::peek` belongs to `udp unconnected recvmsg`.
pub fn path_of(case: &str) -> String {
    let mut parts = case.split("::");
    let transport = parts.next().unwrap_or_default();
    let (transport, unconnected) = match transport.strip_suffix("_unconnected") {
        Some(transport) => (transport, " unconnected"),
        None => (transport, ""),
    };
    let family = transport.char_indices().map(|(at, _)| at);
    let family = family.into_iter().find(|&at| is_family(&transport[at..]));
    let transport = &transport[..family.unwrap_or(transport.len())];
    let mut name = format!("{transport}{unconnected}");
    for part in parts.filter(|part| !is_variant(part)) {
        name = name + " " + part;
    }
    name
}

/// The rows of these cases, by protocol in the order in which those first appear.
/// With `one_by_one` each case is a row under its own name.
pub fn paths(cases: &[String], one_by_one: bool) -> Vec<Path> {
    let mut protocols: Vec<String> = Vec::new();
    let mut paths: Vec<(usize, Path)> = Vec::new();
    for case in cases {
        let path = path_of(case);
        let protocol = path.split(' ').next().unwrap_or_default();
        let known = protocols.iter().position(|of| of == protocol);
        let rank = known.unwrap_or_else(|| {
            protocols.push(protocol.to_owned());
            protocols.len() - 1
        });
        let name = if one_by_one { case.clone() } else { path };
        match paths.iter_mut().find(|(_, path)| path.name == name) {
            Some((_, path)) => path.cases.push(case.clone()),
            None => {
                let cases = vec![case.clone()];
                paths.push((rank, Path { name, cases }));
            }
        }
    }
    paths.sort_by_key(|(rank, _)| *rank);
    paths.into_iter().map(|(_, path)| path).collect()
}

/// A row with its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// As [`Path::name`].
    pub path: String,
    /// Number of cases, those that cannot run here included.
    pub cases: usize,
    /// What the calls of all its cases returned.
    pub truth: Totals,
    /// What was counted for them.
    pub counted: Totals,
    /// The worst of its cases'; not here only if that is true of all of them.
    pub verdict: Verdict,
    /// Cases that cannot run here, where others can.
    pub note: Option<String>,
    /// Each case that is off or moved nothing: its name, and true and counted side
    /// by side or the reason.
    pub failures: Vec<(String, String)>,
}

impl Row {
    /// Puts the outcomes of a row's cases together.
    pub fn of(path: &str, outcomes: &[(String, Outcome)]) -> Row {
        let mut row = Row {
            path: path.to_owned(),
            cases: outcomes.len(),
            truth: outcomes.iter().map(|(_, outcome)| outcome.truth).sum(),
            counted: outcomes.iter().map(|(_, outcome)| outcome.counted).sum(),
            verdict: Verdict::Exact,
            note: None,
            failures: Vec::new(),
        };
        let (mut off, mut unseen, mut missing) = (None, None, Vec::new());
        let mut unmoved = None;
        for (name, outcome) in outcomes {
            match &outcome.verdict {
                Verdict::Exact => {}
                Verdict::NotSeen(what) => {
                    unseen.get_or_insert(what.clone());
                }
                Verdict::NotHere(reason) => missing.push(reason.clone()),
                Verdict::NotMoved(reason) => {
                    row.failures.push((name.clone(), reason.clone()));
                    unmoved.get_or_insert(reason.clone());
                }
                Verdict::Off(difference) => {
                    row.failures.push((name.clone(), difference.text.clone()));
                    off = Some(worse(off, difference));
                }
            }
        }
        let reason = missing.first().cloned().unwrap_or_default();
        row.verdict = match (off, unseen) {
            (Some(difference), _) => Verdict::Off(difference),
            _ if let Some(reason) = unmoved => Verdict::NotMoved(reason),
            _ if missing.len() == row.cases => return row.with(Verdict::NotHere(reason)),
            (None, Some(what)) => Verdict::NotSeen(what),
            (None, None) => Verdict::Exact,
        };
        if !missing.is_empty() {
            let (some, all) = (missing.len(), row.cases);
            row.note = Some(format!(
                "{some} of {all} cases not on this kernel: {reason}"
            ));
        }
        row
    }

    fn with(self, verdict: Verdict) -> Row {
        Row { verdict, ..self }
    }

    /// True where something was counted wrongly, or could not be compared although
    /// this kernel can move it.
    pub fn has_failed(&self) -> bool {
        matches!(self.verdict, Verdict::Off(_) | Verdict::NotMoved(_))
    }
}

/// Two differences of one row: bytes add up, and say more than what is not bytes.
fn worse(earlier: Option<Difference>, later: &Difference) -> Difference {
    let Some(mut sum) = earlier else {
        return later.clone();
    };
    if sum.bytes == 0 {
        sum.what = later.what;
    }
    sum.bytes += later.bytes;
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn families_and_variants_of_a_call_are_one_row() {
        for (case, path) in [
            ("tcp4::send::plain", "tcp send"),
            ("tcp_mapped::send::partial", "tcp send"),
            ("udp6_unconnected::recvmsg::peek", "udp unconnected recvmsg"),
            (
                "udp_mapped_unconnected::recvmmsg_no_name::plain",
                "udp unconnected recvmmsg_no_name",
            ),
            ("tcp4::io_uring::send_recv", "tcp io_uring send_recv"),
            ("tcp4::compat32::write_read", "tcp compat32 write_read"),
            ("icmp6::ping::unconnected", "icmp ping unconnected"),
            ("packet::raw::sendto", "packet raw sendto"),
            ("uncounted::netlink::dump", "uncounted netlink dump"),
            ("process::four_threads", "process four_threads"),
        ] {
            assert_eq!(path_of(case), path);
        }
    }

    #[test]
    fn rows_stand_by_protocol_in_the_order_of_the_cases() {
        let cases = strings(&[
            "tcp4::send::plain",
            "tcp6::send::plain",
            "udp4::send::plain",
            "udp4_unconnected::sendto::plain",
            "tcp4::aio::write_read",
        ]);
        let names = |one_by_one| -> Vec<String> {
            let paths = paths(&cases, one_by_one);
            paths.into_iter().map(|path| path.name).collect()
        };
        let grouped = [
            "tcp send",
            "tcp aio write_read",
            "udp send",
            "udp unconnected sendto",
        ];
        assert_eq!(names(false), grouped);
        assert_eq!(paths(&cases, false)[0].cases, cases[..2]);
        assert_eq!(names(true)[..2], cases[..2]);
        assert_eq!(names(true).len(), 5);
    }

    #[test]
    fn no_case_of_the_suite_is_lost_or_twice() {
        let names = super::super::suite::names();
        for one_by_one in [false, true] {
            let mut grouped: Vec<String> = Vec::new();
            for path in paths(&names, one_by_one) {
                grouped.extend(path.cases);
            }
            let mut all = names.clone();
            grouped.sort();
            all.sort();
            assert_eq!(grouped, all);
        }
    }

    fn outcome(verdict: Verdict) -> (String, Outcome) {
        let totals = |bytes| Totals {
            tx_bytes: bytes,
            ..Totals::default()
        };
        let (truth, counted) = match &verdict {
            Verdict::NotHere(_) => (0, 0),
            Verdict::Off(difference) => (100, 100 + difference.bytes),
            _ => (100, 100),
        };
        let (truth, counted) = (totals(truth), totals(counted));
        let outcome = Outcome {
            truth,
            counted,
            verdict,
        };
        ("tcp4::send::plain".to_owned(), outcome)
    }

    fn off(bytes: u64, what: &'static str) -> Verdict {
        let text = "true 1, counted 2".to_owned();
        Verdict::Off(Difference { bytes, what, text })
    }

    fn missing() -> Verdict {
        Verdict::NotHere("sctp: none".to_owned())
    }

    fn row(verdicts: impl IntoIterator<Item = Verdict>) -> Row {
        let outcomes: Vec<_> = verdicts.into_iter().map(outcome).collect();
        Row::of("tcp send", &outcomes)
    }

    #[test]
    fn a_row_is_exact_only_if_each_case_is() {
        let all = row([Verdict::Exact, Verdict::Exact]);
        assert_eq!(
            (all.verdict.clone(), all.note.clone()),
            (Verdict::Exact, None)
        );
        assert_eq!(
            (all.cases, all.truth.tx_bytes, all.counted.tx_bytes),
            (2, 200, 200)
        );

        let one_off = row([Verdict::Exact, off(7, "bytes"), missing(), off(3, "bytes")]);
        assert!(one_off.has_failed());
        let Verdict::Off(difference) = &one_off.verdict else {
            panic!("{one_off:?}");
        };
        assert_eq!((difference.bytes, difference.what), (10, "bytes"));
        assert_eq!(one_off.failures.len(), 2);
        assert_eq!(one_off.failures[0].1, "true 1, counted 2");
        assert_eq!(
            (one_off.truth.tx_bytes, one_off.counted.tx_bytes),
            (300, 310)
        );
    }

    #[test]
    fn bytes_say_more_than_operations() {
        let both = row([off(0, "in operations"), off(5, "bytes of flows")]);
        let Verdict::Off(difference) = both.verdict else {
            panic!("{both:?}");
        };
        assert_eq!((difference.bytes, difference.what), (5, "bytes of flows"));
    }

    #[test]
    fn what_did_not_move_fails_and_is_not_off() {
        let unmoved = || Verdict::NotMoved("no answer".to_owned());
        let some = row([missing(), unmoved(), Verdict::Exact]);
        assert_eq!(some.verdict, unmoved());
        assert!(some.has_failed());
        assert_eq!(some.failures[0].1, "no answer");
        let both = row([unmoved(), off(7, "bytes")]);
        assert!(matches!(both.verdict, Verdict::Off(_)), "{both:?}");
        assert_eq!(both.failures.len(), 2);
    }

    #[test]
    fn what_cannot_run_is_said_and_harms_nothing() {
        let none = row([missing(), missing()]);
        assert_eq!((none.verdict, none.note), (missing(), None));
        let some = row([missing(), Verdict::Exact, missing()]);
        assert_eq!(some.verdict, Verdict::Exact);
        let note = "2 of 3 cases not on this kernel: sctp: none";
        assert_eq!(some.note.as_deref(), Some(note));
        let unseen = Verdict::NotSeen("io_uring".to_owned());
        assert_eq!(
            row([Verdict::Exact, unseen.clone(), missing()]).verdict,
            unseen
        );
    }
}

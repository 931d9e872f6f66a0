//! `netmon selftest`: bytes that are known, moved by every path, against what
//! netmon counts of them.
//!
//! Owns which rows are run and how the run ends. What a row means is
//! `crate::selftest`'s business, how it looks `table`'s and `json`'s.

mod json;
mod table;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::error::{Error, ErrorKind};

use super::{plans, written};
use crate::cli::{EngineChoice, Selftest, Tested};
use crate::model::snapshot::Engine;
use crate::selftest::outcome::{Outcome, Verdict};
use crate::selftest::rows::{self, Path, Row};
use crate::selftest::watch::{self, Watch};
use crate::selftest::{generator, modules, suite};

/// Room for the flows of a machine that does other things too.
const MAX_FLOWS: u32 = 65_536;

/// The end of the name of the case that sets /proc/sys/kernel/ns_last_pid, by which
/// the whole machine's next processes are numbered.
const INTRUSIVE: &str = "pid_reuse";

/// A finished run.
struct Report {
    engine: Arc<Engine>,
    rows: Vec<Row>,
    /// Events that the kernel programs could not handle, of the whole machine.
    missed_events: u64,
    /// Readings in which other processes moved bytes.
    noisy_readings: u32,
    /// What was wrong after all rows.
    error: Option<String>,
}

impl Report {
    /// All that this kernel supports was moved and counted rightly.
    fn passed(&self) -> bool {
        self.error.is_none() && !self.rows.iter().any(Row::has_failed)
    }

    fn code(&self) -> ExitCode {
        if self.passed() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// How many rows have a verdict of that kind.
    fn count(&self, is_such: impl Fn(&Verdict) -> bool) -> usize {
        let rows = self.rows.iter();
        rows.filter(|row| is_such(&row.verdict)).count()
    }
}

/// Prints the table, row by row, or one JSON object; the exit code is 1 if the
/// run has not passed.
pub fn run(options: &Selftest) -> Result<ExitCode> {
    if let Some((name, arguments)) = options.generator.split_first() {
        generator::main(name, arguments);
        return Ok(ExitCode::SUCCESS);
    }
    let cases = match chosen(suite::names(), &options.paths) {
        Ok(cases) => cases,
        Err(refused) => refused.exit(),
    };
    require_own_pids()?;
    let paths = rows::paths(&cases, options.verbose);
    let mut watch = Watch::start(plans(engine(options.engine)), MAX_FLOWS)?;
    let mut report = Report {
        engine: Arc::clone(&watch.last.engine),
        rows: Vec::new(),
        missed_events: 0,
        noisy_readings: 0,
        error: None,
    };
    let to = &mut io::stdout().lock();
    let width = table::width(&paths);
    if !options.json
        && let Err(error) = table::head(to, &report.engine, width)
    {
        return written(Err(error));
    }
    for path in &paths {
        let row = fill(&mut watch, path, options.modules);
        if !options.json
            && let Err(error) = table::row(to, &row, width)
        {
            return written(Err(error));
        }
        report.rows.push(row);
    }
    match watch.finish().context("the last reading is wrong") {
        Ok(last) => report.missed_events = last.loss.missed_events,
        Err(error) => report.error = Some(format!("{error:#}")),
    }
    report.noisy_readings = watch::noisy_readings();
    let end = if options.json {
        json::write(to, &report)
    } else {
        table::end(to, &report)
    };
    written(end.map(|()| report.code()))
}

/// Refuses to run where the kernel's process ids are not those that /proc shows.
fn require_own_pids() -> Result<()> {
    // PROC_PID_INIT_INO of include/linux/proc_ns.h.
    const OF_THE_MACHINE: u64 = 0xEFFF_FFFC;
    let own = std::fs::metadata("/proc/self/ns/pid").context("/proc/self/ns/pid")?;
    ensure!(
        own.ino() == OF_THE_MACHINE,
        "selftest cannot compare here: this PID namespace has other process ids than the \
         kernel; run it in the machine's, from a container with --pid=host"
    );
    Ok(())
}

/// Runs the cases of one row, which may load modules only if they are told so.
fn fill(watch: &mut Watch, path: &Path, may_load: bool) -> Row {
    let outcome = |name: &String| match modules::missing(name) {
        Some(reason) if !may_load => Outcome::without_bytes(Verdict::NotHere(reason)),
        _ => suite::run(watch, name),
    };
    let names = path.cases.iter().cloned();
    let outcomes: Vec<_> = names.zip(path.cases.iter().map(outcome)).collect();
    Row::of(&path.name, &outcomes)
}

/// Those of the cases whose row's name, or own name, contains one of `words`; all
/// of them without any word. Only a word for itself chooses [`INTRUSIVE`].
fn chosen(cases: Vec<String>, words: &[String]) -> Result<Vec<String>, Error> {
    let fits = |case: &str, word: &str| rows::path_of(case).contains(word) || case.contains(word);
    let useless = |word: &&String| !cases.iter().any(|case| fits(case, word));
    if let Some(word) = words.iter().find(useless) {
        let text = format!(
            "no path is called `{word}`; accepted are words such as udp, sendmmsg or \"tcp \
             splice\", which the table of `netmon selftest` shows\n"
        );
        return Err(Error::raw(ErrorKind::InvalidValue, text));
    }
    let is_chosen = |case: &String| {
        let mut words = words.iter();
        if case.ends_with(INTRUSIVE) {
            return words.any(|word| word.contains(INTRUSIVE) && fits(case, word));
        }
        words.len() == 0 || words.any(|word| fits(case, word))
    };
    Ok(cases.into_iter().filter(is_chosen).collect())
}

/// The engine that is tested.
fn engine(tested: Tested) -> EngineChoice {
    match tested {
        Tested::Syscall => EngineChoice::Syscall,
        Tested::Socket => EngineChoice::Socket,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::collect::accounting::Plan;
    use crate::model::flow::Totals;
    use crate::selftest::outcome::Difference;

    /// A run with one row of each verdict, the last one off only on demand.
    pub(super) fn report(is_off: bool) -> Report {
        let totals = |tx_bytes, rx_bytes| Totals {
            tx_bytes,
            rx_bytes,
            ..Totals::default()
        };
        let row = |path: &str, counted, verdict| Row {
            path: path.to_owned(),
            cases: 3,
            truth: totals(1_234_567, 1000),
            counted,
            verdict,
            note: None,
            failures: Vec::new(),
        };
        let all = totals(1_234_567, 1000);
        let mut rows = vec![
            row("tcp send", all, Verdict::Exact),
            row(
                "tcp splice_from",
                totals(1_234_567, 0),
                Verdict::NotSeen("no splice".to_owned()),
            ),
            row(
                "sctp stream send",
                totals(0, 0),
                Verdict::NotHere("sctp: none".to_owned()),
            ),
        ];
        rows[0].note = Some("1 of 3 cases not on this kernel: why".to_owned());
        rows[2].truth = Totals::default();
        if is_off {
            let difference = Difference {
                bytes: 1077,
                what: "bytes",
                text: "process 7 (it):\n* true, counted".to_owned(),
            };
            let mut off = row(
                "udp send",
                totals(1_233_490, 1000),
                Verdict::Off(difference.clone()),
            );
            off.failures
                .push(("udp4::send::plain".to_owned(), difference.text));
            rows.push(off);
        }
        Report {
            engine: Arc::new(Plan::Residual.engine()),
            rows,
            missed_events: 0,
            noisy_readings: 0,
            error: None,
        }
    }

    #[test]
    fn only_what_is_off_or_broke_fails() {
        assert!(report(false).passed());
        assert_eq!(report(false).code(), ExitCode::SUCCESS);
        assert!(!report(true).passed());
        assert_eq!(report(true).code(), ExitCode::FAILURE);
        let mut broken = report(false);
        broken.error = Some("gone".to_owned());
        assert!(!broken.passed());
        let mut unmoved = report(false);
        unmoved.rows[0].verdict = Verdict::NotMoved("no answer".to_owned());
        assert!(!unmoved.passed());
    }

    #[test]
    fn the_generators_door_is_a_command_line() {
        let words = ["netmon"].into_iter().chain(generator::DOOR);
        let cli = Cli::parse_from(words.chain(["threads", "4"]));
        let Some(Command::Selftest(options)) = cli.command else {
            panic!("{cli:?}");
        };
        assert_eq!(options.generator, ["threads", "4"]);
    }

    #[test]
    fn words_choose_rows_and_single_cases() {
        let chosen = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            chosen(suite::names(), &words)
        };
        let all = suite::names();
        let intrusive = "process::pid_reuse".to_owned();
        let unasked = chosen(&[]).unwrap();
        assert_eq!(unasked.len(), all.len() - 1);
        assert!(!unasked.contains(&intrusive));
        assert!(!chosen(&["process", "pid"]).unwrap().contains(&intrusive));
        for word in ["pid_reuse", "process::pid_reuse", "process pid_reuse"] {
            assert_eq!(chosen(&[word]).unwrap(), std::slice::from_ref(&intrusive));
        }
        let some = chosen(&["udp unconnected sendmmsg", "tcp6::recv::peek"]).unwrap();
        assert!(some.len() < 20, "{some:?}");
        assert!(some.contains(&"udp4_unconnected::sendmmsg::plain".to_owned()));
        assert!(some.contains(&"tcp6::recv::peek".to_owned()));
        assert!(!some.contains(&"tcp4::recv::peek".to_owned()));

        let refused = chosen(&["udp", "quic"]).unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        assert!(refused.to_string().contains("`quic`"), "{refused}");
    }
}

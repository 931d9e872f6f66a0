//! The exactness matrix as named tests: every case under every plan.
//!
//! Owns the trials only: what a case does is the generator's business, what must
//! be counted `expect`'s.

use libtest_mimic::{Completion, Failed, Trial};
use netmon::collect::accounting::Plan;
use netmon::selftest::driver::Generator;
use netmon::selftest::generator::{self, Unsupported};
use netmon::selftest::{expect, watch};

/// The plans under test and the first part of their tests' names.
pub const PLANS: [(&str, Plan); 4] = [
    ("residual", Plan::Residual),
    ("functions", Plan::Functions),
    ("enter_exit", Plan::EnterExit),
    ("socket", Plan::Socket),
];

/// An outcome in the harness's words: what this kernel cannot run is ignored by name.
pub fn outcome(result: anyhow::Result<Option<String>>) -> Result<Completion, Failed> {
    let reason = match result {
        Ok(None) => return Ok(Completion::Completed),
        Ok(Some(reason)) => reason,
        Err(error) if error.is::<Unsupported>() => error.to_string(),
        Err(error) => return Err(Failed::from(format!("{error:#}"))),
    };
    Ok(Completion::ignored_with(format!(
        "not on this kernel: {reason}"
    )))
}

/// The generator checked by itself: what one socket sent the other received.
pub fn generator_alone() -> Trial {
    Trial::test("generator::moves_what_it_says", || {
        let program = std::env::current_exe()?;
        let run = std::process::Command::new(program)
            .args([generator::OPTION, "check"])
            .stdin(std::process::Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&run.stdout);
        if run.status.success() {
            return Ok(());
        }
        Err(Failed::from(
            said.lines().rev().nth(1).unwrap_or("it said nothing"),
        ))
    })
}

/// Every case under `plan`.
pub fn trials(prefix: &'static str, plan: Plan) -> impl Iterator<Item = Trial> {
    generator::cases().into_iter().map(move |case| {
        let name = case.name;
        Trial::ignorable_test(format!("{prefix}::{name}"), move || {
            outcome(run(plan, &name))
        })
    })
}

/// Runs one case; the reason if this kernel cannot.
fn run(plan: Plan, name: &str) -> anyhow::Result<Option<String>> {
    watch::shared(plan, |watch| {
        let before = watch.last.clone();
        let mut generator = Generator::start(name, &[])?;
        let report = generator.report()?;
        if report.unsupported.is_some() {
            return Ok(report.unsupported);
        }
        let after = watch.quiet()?;
        expect::check(plan, &before, &after, &report)?;
        generator.end()?;
        Ok(None)
    })
}

//! The exactness matrix as named tests: every case under every plan.
//!
//! Owns the trials only: what a case does is the generator's business, what must
//! be counted `expect`'s.

use libtest_mimic::{Completion, Failed, Trial};
use netmon::collect::accounting::Plan;
use netmon::selftest::generator::{self, Unsupported};
use netmon::selftest::suite;

use crate::shared;

/// The plans under test and the first part of their tests' names.
pub const PLANS: [(&str, Plan); 4] = [
    ("residual", Plan::Residual),
    ("functions", Plan::Functions),
    ("enter_exit", Plan::EnterExit),
    ("socket", Plan::Socket),
];

/// An outcome in the harness's words: what this kernel cannot run is ignored by name.
pub fn outcome<T>(result: anyhow::Result<T>) -> Result<Completion, Failed> {
    let reason = match result {
        Ok(_) => return Ok(Completion::Completed),
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
        let run = generator::command("check")
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
            outcome(shared::shared(plan, |watch| suite::case(watch, &name)))
        })
    })
}

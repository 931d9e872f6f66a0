//! Every case by its name, and how one is run and judged.
//!
//! Owns the order and the second try. What moves bytes is the generator's
//! business, whole lives of processes are in `scenarios`.

use super::driver::{Generator, NotMoved};
use super::outcome::Outcome;
use super::watch::Watch;
use super::{generator, scenarios};

/// What the names of the scenarios begin with.
const SCENARIO: &str = "process::";

/// The names of all cases, `transport::path::variant`, scenarios last.
pub fn names() -> Vec<String> {
    let cases = generator::cases().into_iter().map(|case| case.name);
    let scenarios = scenarios::ALL.iter();
    let scenarios = scenarios.map(|(name, _)| format!("{SCENARIO}{name}"));
    cases.chain(scenarios).collect()
}

/// Runs the case `name` under `watch` and judges it. One whose bytes could not
/// be moved is tried once more: a loaded machine drops datagrams. A count that is
/// wrong is wrong at once.
pub fn run(watch: &mut Watch, name: &str) -> Outcome {
    let outcome = match attempt(watch, name) {
        Err(error) if error.is::<NotMoved>() => attempt(watch, name),
        outcome => outcome,
    };
    outcome.unwrap_or_else(Outcome::from_error)
}

fn attempt(watch: &mut Watch, name: &str) -> anyhow::Result<Outcome> {
    let scenario = name.strip_prefix(SCENARIO);
    let scenario = scenario.and_then(|name| scenarios::ALL.iter().find(|(of, _)| *of == name));
    match scenario {
        Some((_, scenario)) => scenario(watch),
        None => case(watch, name),
    }
}

/// Runs the generator's case `name` and compares.
///
/// # Errors
/// If it could not be run ([`generator::Unsupported`] where the kernel cannot),
/// or was counted wrongly.
pub fn case(watch: &mut Watch, name: &str) -> anyhow::Result<Outcome> {
    let before = watch.last.clone();
    let mut generator = Generator::start(name, &[])?;
    let report = generator.report()?;
    let after = watch.quiet()?;
    let outcome = Outcome::of(watch.plan, &before, &after, &report)?;
    generator.end()?;
    Ok(outcome)
}

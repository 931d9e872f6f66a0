//! One process with the same addresses and ports in two network namespaces.
//!
//! What each flow must have counted is `expect`'s business; here, that they stay two.

use super::driver::Generator;
use super::expect;
use super::outcome::Outcome;
use super::watch::Watch;
use anyhow::{Context, ensure};

/// Flows that differ by their namespace alone: the bytes of each are its own, and
/// the end of the one is not the end of the other.
///
/// # Errors
/// Those of [`super::suite::case`].
pub fn same_ends_twice(watch: &mut Watch) -> anyhow::Result<Outcome> {
    let before = watch.last.clone();
    let mut generator = Generator::start("two-namespaces", &[])?;
    let first = generator.report()?;
    let between = watch.quiet()?;
    let mut outcome = Outcome::of(watch.plan, &before, &between, &first)?;
    generator.go_on("")?;
    let mut second = generator.report()?;
    watch.quiet()?;
    generator.go_on("")?;
    second.moved.extend(generator.report()?.moved);
    let after = watch.quiet()?;

    let row = expect::find_process(&after, &second.who[0]).context("no row")?;
    for (report, is_first) in [(&first, true), (&second, false)] {
        let who = &report.who[0];
        let rows = || {
            let all = expect::rows_of(&after, row);
            all.filter(|flow| flow.key.network_namespace == who.network_namespace)
        };
        let counted = expect::by_ends(rows());
        let flows = expect::flows_of(watch.plan, report, who.pid);
        ensure!(
            flows.len() == counted.len(),
            "{} flows in the namespace, counted {counted:?}",
            flows.len()
        );
        for (ends, expected) in &flows {
            let found = counted.get(ends).context("a flow is missing")?;
            ensure!(
                expected.is_met_by(found),
                "{ends:?}: true {:?}, counted {found:?}",
                expected.totals
            );
        }
        // The TCP connection's two ends are over in the first namespace.
        let closed = rows().filter(|flow| flow.closed).count();
        let over = if is_first { 2 } else { 0 };
        ensure!(
            closed == over,
            "{closed} connections shown as closed, {over} are"
        );
    }
    generator.end()?;
    outcome.truth += expect::moved(&second);
    outcome.counted = row.totals;
    Ok(outcome)
}

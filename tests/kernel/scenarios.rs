//! Whole lives as named tests: the scenarios, the end of a watch, and crowds.
//!
//! Owns the trials only: what the scenarios do is `netmon::selftest::scenarios`'
//! business, the crowds are in `crowded`.

use anyhow::ensure;
use libtest_mimic::Trial;
use netmon::collect::accounting::Plan;
use netmon::selftest::scenarios;
use netmon::selftest::watch::Watch;

use crate::cases::outcome;
use crate::{crowded, shared};

type Crowd = fn(&mut Watch) -> anyhow::Result<()>;

/// Those that fill the maps.
const ALONE: &[(&str, Crowd)] = &[
    ("more_flows_than_room", crowded::more_flows_than_room),
    ("short_connections", crowded::short_connections),
    (
        "connections_while_reading",
        crowded::connections_while_reading,
    ),
];

/// Every scenario under `plan`, and last the end of the shared watch.
pub fn trials(prefix: &'static str, plan: Plan) -> impl Iterator<Item = Trial> {
    let together = scenarios::ALL.iter().map(move |&(name, scenario)| {
        Trial::ignorable_test(format!("{prefix}::process::{name}"), move || {
            outcome(shared::shared(plan, scenario))
        })
    });
    let end = Trial::test(format!("{prefix}::process::final_reading"), || {
        final_reading().map_err(|error| format!("{error:#}").into())
    });
    let alone = ALONE.iter().map(move |&(name, scenario)| {
        Trial::ignorable_test(format!("{prefix}::process::{name}"), move || {
            outcome(shared::alone(plan, scenario))
        })
    });
    together.chain([end]).chain(alone)
}

/// The end of the shared watch: no program missed an event in all that time.
fn final_reading() -> anyhow::Result<()> {
    let Some(last) = shared::end_shared()? else {
        return Ok(());
    };
    let missed = last.loss.missed_events;
    ensure!(missed == 0, "{missed} events missed");
    Ok(())
}

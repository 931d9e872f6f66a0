//! Several netmons at once, and one that is killed next to others.

use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::handle::{Load, Report};
use crate::netmon::{Live, killed_by};
use crate::record::{Run, watch};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("together::two_of_each_engine", two_of_each_engine),
        root("together::one_is_killed", one_is_killed),
    ]
}

/// One with each engine.
fn start() -> anyhow::Result<[Live; 2]> {
    let start = |engine| watch(&["--engine", engine, "--max-flows", "131072"]);
    let mut both = [start("syscall")?, start("socket")?];
    for live in &mut both {
        live.line()?;
    }
    Ok(both)
}

/// A process of each kind of load.
struct All([Load; 3]);

impl All {
    fn start() -> anyhow::Result<All> {
        Ok(All([
            Load::start("live", 200)?,
            Load::start("churn", 0)?,
            Load::start("peers", 0)?,
        ]))
    }

    /// All at the same time; what they have done by then.
    fn stage(&mut self) -> anyhow::Result<[Report; 3]> {
        for (load, size) in self.0.iter_mut().zip([10, 2000, 2000]) {
            load.begin(size)?;
        }
        let [live, churn, peers] = &mut self.0;
        Ok([live.report()?, churn.report()?, peers.report()?])
    }

    /// Ends `live`, which must have it all to the byte.
    fn check(&self, live: Live, reports: &[Report; 3]) -> anyhow::Result<Run> {
        let run = Run::end(live)?;
        for (load, report) in self.0.iter().zip(reports) {
            run.last.check_process(load.pid(), report.moved)?;
        }
        run.check_books()?;
        run.check_flows(self.0[0].pid(), &reports[0])?;
        let lost = run.last.loss.untracked_flow_bytes;
        ensure!(lost == 0, "{lost} bytes without a flow");
        Ok(run)
    }
}

fn two_of_each_engine() -> anyhow::Result<()> {
    let netmons = [start()?, start()?];
    let mut all = All::start()?;
    all.stage()?;
    let reports = all.stage()?;
    let mut runs = Vec::new();
    for live in netmons.into_iter().flatten() {
        runs.push(all.check(live, &reports)?);
    }
    let [live, churn, peers] = &all.0;
    for run in &runs[1..] {
        for load in [live, churn] {
            ensure!(
                run.counts(load.pid()) == runs[0].counts(load.pid()),
                "TCP differs"
            );
        }
    }
    // The peers of a server are known to the one engine and not to the other.
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|at| runs[at].counts(peers.pid()));
    ensure!(first == third && second == fourth, "UDP differs");
    ensure!(first.len() == reports[2].flows.len() + 1, "{}", first.len());
    for run in runs.iter().step_by(2) {
        run.check_flows(peers.pid(), &reports[2])?;
    }
    for load in all.0 {
        load.reap()?;
    }
    Ok(())
}

/// SIGKILL leaves nothing in the kernel, and the others count on.
fn one_is_killed() -> anyhow::Result<()> {
    let (others, killed) = (start()?, start()?);
    let mut all = All::start()?;
    all.stage()?;
    // In the midst of events, of which a program of theirs may handle one.
    for (load, size) in all.0.iter_mut().zip([20, 4000, 4000]) {
        load.begin(size)?;
    }
    for live in killed {
        let held = live.held();
        live.signal(Signal::SIGKILL)?;
        let status = live.end()?.status;
        ensure!(killed_by(status) == Some(Signal::SIGKILL), "{status}");
        held.check_gone()?;
    }
    let [live, churn, peers] = &mut all.0;
    let reports = [live.report()?, churn.report()?, peers.report()?];
    for live in others {
        all.check(live, &reports)?;
    }
    for load in all.0 {
        load.reap()?;
    }
    Ok(())
}

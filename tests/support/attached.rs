//! Which BPF programs, links and maps a process holds, and whether they are gone
//! after it.
//!
//! Looks by id, which the kernel does not soon give out again, so that
//! other netmons on the machine do not matter. Loads nothing itself.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::ensure;
use libbpf_rs::query::{LinkInfoIter, MapInfoIter, ProgInfoIter};

/// How long the kernel may take to free what nobody holds any more.
const GRACE: Duration = Duration::from_secs(20);

/// Ids of the programs, links and maps that a process holds open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    pub programs: BTreeSet<u32>,
    pub links: BTreeSet<u32>,
    pub maps: BTreeSet<u32>,
}

impl Held {
    /// What process `pid` holds now.
    pub fn by(pid: u32) -> Held {
        let mut held = Held::default();
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
            return held;
        };
        for entry in entries.flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            for line in text.lines() {
                let (set, value) = match line.split_once(':') {
                    Some(("prog_id", value)) => (&mut held.programs, value),
                    Some(("link_id", value)) => (&mut held.links, value),
                    Some(("map_id", value)) => (&mut held.maps, value),
                    _ => continue,
                };
                set.extend(value.trim().parse::<u32>());
            }
        }
        held
    }

    /// What of it the kernel still has.
    fn left(&self) -> Held {
        let programs: BTreeSet<u32> = ProgInfoIter::default().map(|info| info.id).collect();
        let links: BTreeSet<u32> = LinkInfoIter::default().map(|info| info.id).collect();
        let maps: BTreeSet<u32> = MapInfoIter::default().map(|info| info.id).collect();
        Held {
            programs: &self.programs & &programs,
            links: &self.links & &links,
            maps: &self.maps & &maps,
        }
    }

    /// Fails unless all of it was attached once and is gone from the kernel soon.
    pub fn check_gone(&self) -> anyhow::Result<()> {
        self.check_gone_but(0)
    }

    /// The same, but for as many maps that are pinned.
    pub fn check_gone_but(&self, pinned: usize) -> anyhow::Result<()> {
        ensure!(
            self.programs.len() >= 4 && self.links.len() >= 4 && self.maps.len() >= 4,
            "it was not attached when looked at: {self:?}"
        );
        self.wait_gone(pinned)
    }

    /// Waits until all of it is gone, but for as many maps that are pinned.
    pub fn wait_gone(&self, pinned: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + GRACE;
        loop {
            let left = self.left();
            let detached = left.programs.is_empty() && left.links.is_empty();
            if detached && left.maps.len() == pinned {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "still in the kernel: {left:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

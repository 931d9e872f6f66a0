//! `netmon doctor` with every privilege; without any, see `privileges`.

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::netmon::{netmon, run};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![root("doctor::as_root", as_root)]
}

fn as_root() -> anyhow::Result<()> {
    for arguments in [&["doctor"][..], &["doctor", "-v"]] {
        let done = run(&mut netmon(arguments))?;
        done.check_quiet()?;
        let mut lines = done.stdout.lines();
        let title = format!("netmon {} on Linux ", env!("CARGO_PKG_VERSION"));
        let first = lines.next().unwrap_or("");
        ensure!(first.starts_with(&title), "{first}");
        ensure!(
            lines.next_back() == Some("netmon can run: `netmon`"),
            "{}",
            done.stdout
        );
        for what in [
            "[ok] privileges: CAP_BPF and CAP_PERFMON",
            "[ok] kernel types (BTF): ",
            "lockdown: ",
            "[ok] tracefs, perf events, kprobes: not needed",
            "BPF JIT: ",
            "bpffs: ",
            "coverage: ",
            "engine syscall",
            "engine socket: ",
            "not counted or not known: ",
        ] {
            ensure!(done.stdout.contains(what), "`{what}`: {}", done.stdout);
        }
        for line in lines {
            let marked = ["[ok] ", "[--] ", "[!!] ", "       "];
            ensure!(marked.iter().any(|mark| line.starts_with(mark)), "{line}");
        }
    }
    Ok(())
}

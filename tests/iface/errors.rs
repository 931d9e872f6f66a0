//! What cannot be done is said in one line that tells what to do.

use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use netmon::collect::xdp::Mode;

use crate::life::DOOR;
use crate::netmon::run;
use crate::space::{Space, two};
use crate::trial::root;
use crate::watched::{GENERIC, How, Watched};

pub fn trials() -> Vec<Trial> {
    vec![
        root("errors::no_such_interface", no_such_interface),
        root("errors::no_native", no_native),
        root("errors::capabilities", capabilities),
    ]
}

fn check_line(refused: anyhow::Result<Watched>, words: &[&str]) -> anyhow::Result<()> {
    let line = format!("{:#}", refused.err().context("it was not refused")?);
    ensure!(!line.contains('\n'), "more than a line: {line}");
    for word in words {
        ensure!(line.contains(word), "`{word}` is not in: {line}");
    }
    Ok(())
}

fn no_such_interface() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    a.inside(|| {
        let refused = Watched::open(&["a0", "eth7"], GENERIC, 0);
        check_line(
            refused,
            &["there is no interface eth7; there are lo", ", a0"],
        )?;
        ensure!(crate::sys::xdp_programs(a.index("a0")?)?.is_empty(), "left");
        Ok(())
    })
}

fn no_native() -> anyhow::Result<()> {
    let a = Space::new()?;
    let mode = Mode::Native;
    a.inside(|| {
        let refused = Watched::open(&["lo"], How { mode, ..GENERIC }, 0);
        check_line(refused, &["lo cannot have a native", "--xdp generic"])
    })?;
    let (a, _b) = two()?;
    a.inside(|| {
        a.sh("ip link set a0 mtu 9000")?;
        let watched = Watched::open(&["a0"], How { mode, ..GENERIC }, 0);
        // Its program takes frames in pieces, so the MTU does not matter.
        watched.map(drop)
    })
}

fn capabilities() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    for (missing, capability) in [
        ("CAP_NET_ADMIN", "net_admin"),
        ("CAP_NET_ADMIN and CAP_BPF and CAP_PERFMON", "all"),
    ] {
        let set = format!("-{capability}");
        let done = a.inside(|| {
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--inh-caps={set}"))
                .arg(format!("--bounding-set={set}"))
                .arg(std::env::current_exe()?)
                .args([DOOR, "a0", "tcx"]);
            run(&mut command)
        })?;
        let words = format!("not permitted to sample interfaces: {missing} missing");
        done.check_failure(&[&words, "setcap cap_net_admin,cap_bpf,cap_perfmon=ep"])?;
    }
    Ok(())
}

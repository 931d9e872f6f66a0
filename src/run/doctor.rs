//! `netmon doctor`: what works here, line by line, and how to mend the rest.
//!
//! Each engine is probed by loading it, never by the kernel's version.

mod interfaces;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use super::{VERBOSE_LINES, written};
use crate::cli::Doctor;
use crate::collect::accounting::{Accounting, Plan, Settings};
use crate::collect::interfaces::Interfaces;
use crate::collect::{capability, libbpf_log, packets};
use crate::model::snapshot::Engine;
use crate::model::wire::Wire;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Something is missing, and netmon works without it.
    Note,
    Bad,
}

/// Prints the findings; the exit code is 1 if the default engine cannot run.
pub fn run(options: &Doctor) -> Result<ExitCode> {
    written(examine(&mut io::stdout().lock(), options.verbose))
}

fn examine(to: &mut impl Write, verbose: bool) -> io::Result<ExitCode> {
    writeln!(
        to,
        "netmon {} on Linux {}",
        env!("CARGO_PKG_VERSION"),
        capability::kernel_release()
    )?;
    let missing = capability::missing();
    let capable = missing.is_empty();
    if capable && capability::in_user_namespace() {
        let text = "CAP_BPF and CAP_PERFMON, but in a user namespace, where they count for \
                    nothing: run netmon outside of it (a rootless container?), as root";
        say(to, Verdict::Note, "privileges", text)?;
    } else if capable {
        say(to, Verdict::Good, "privileges", "CAP_BPF and CAP_PERFMON")?;
    } else {
        let text = format!(
            "{} missing: run with sudo, or `setcap cap_bpf,cap_perfmon=ep $(command -v netmon)`",
            missing.join(" and ")
        );
        say(to, Verdict::Bad, "privileges", &text)?;
    }
    let btf = capability::has_btf();
    if btf {
        say(to, Verdict::Good, "kernel types (BTF)", capability::BTF)?;
    } else {
        let text = "missing: use a kernel built with CONFIG_DEBUG_INFO_BTF=y";
        say(to, Verdict::Bad, "kernel types (BTF)", text)?;
    }
    match capability::lockdown().as_deref() {
        None | Some("none") => say(to, Verdict::Good, "lockdown", "off")?,
        Some("confidentiality") => say(
            to,
            Verdict::Bad,
            "lockdown",
            "confidentiality: kernel memory must not be read; boot with lockdown=integrity or none",
        )?,
        Some(level) => say(
            to,
            Verdict::Good,
            "lockdown",
            &format!("{level}: does not hinder netmon"),
        )?,
    }
    say(
        to,
        Verdict::Good,
        "tracefs, perf events, kprobes",
        "not needed",
    )?;
    let jit = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable");
    match jit.as_deref().map(str::trim) {
        Ok("0") => say(
            to,
            Verdict::Note,
            "BPF JIT",
            "off, so each event costs several times as much: `sysctl net.core.bpf_jit_enable=1`",
        )?,
        Ok(_) => say(to, Verdict::Good, "BPF JIT", "on")?,
        Err(_) => say(to, Verdict::Note, "BPF JIT", "state not readable")?,
    }
    if is_bpffs_mounted() {
        say(to, Verdict::Good, "bpffs", "mounted: --pin works")?;
    } else {
        let text = "not mounted; only --pin needs it: `mount -t bpf bpf /sys/fs/bpf`";
        say(to, Verdict::Note, "bpffs", text)?;
    }

    wire(to)?;
    interfaces::examine(to, verbose)?;
    let usable = capable && btf && engines(to, verbose)?;
    let has_packets = packet_engine(to)?;
    if usable {
        writeln!(to, "netmon can run: `netmon`")?;
        Ok(ExitCode::SUCCESS)
    } else {
        let meanwhile = if has_packets {
            "; meanwhile `netmon --engine packet` can, as an estimate"
        } else {
            ""
        };
        writeln!(
            to,
            "netmon cannot run until the lines marked with [!!] are mended{meanwhile}"
        )?;
        Ok(ExitCode::FAILURE)
    }
}

fn say(to: &mut impl Write, verdict: Verdict, what: &str, text: &str) -> io::Result<()> {
    let mark = match verdict {
        Verdict::Good => "[ok]",
        Verdict::Note => "[--]",
        Verdict::Bad => "[!!]",
    };
    writeln!(to, "{mark} {what}: {text}")
}

/// With which interfaces' traffic the counts are compared.
fn wire(to: &mut impl Write) -> io::Result<()> {
    let what = "coverage";
    let wire = match Interfaces::open() {
        Ok(interfaces) => Wire::new(interfaces.network()),
        Err(error) => {
            let text = format!("unknown: {error:#}");
            return say(to, Verdict::Note, what, &text);
        }
    };
    let names: Vec<&str> = wire.links.iter().map(|(_, name)| &**name).collect();
    if names.is_empty() {
        let text = "unknown: no interface leads out of this network namespace";
        return say(to, Verdict::Note, what, text);
    }
    let text = format!("compared with what {} moved", names.join(", "));
    say(to, Verdict::Good, what, &text)
}

/// The plans of the default engine, the best first.
const SYSCALL: [(Plan, &str); 3] = [
    (Plan::Residual, "engine syscall"),
    (Plan::Functions, "engine syscall, with socket functions"),
    (Plan::EnterExit, "engine syscall, entry and exit only"),
];

/// Both engines; whether the default one can run, for which one plan is enough.
fn engines(to: &mut impl Write, verbose: bool) -> io::Result<bool> {
    let mut hindered = Vec::new();
    let mut usable = None;
    for (plan, what) in SYSCALL {
        match probe(plan, verbose) {
            Ok(engine) => {
                usable = Some((engine, what));
                break;
            }
            Err(hindrance) => hindered.push((what, hindrance)),
        }
    }
    for (what, hindrance) in &hindered {
        hindrance.say(to, what, usable.is_some())?;
    }
    if let Some((engine, what)) = &usable {
        good(to, engine, what)?;
    }
    let what = "engine socket";
    match probe(Plan::Socket, verbose) {
        Ok(engine) => good(to, &engine, what)?,
        // The default one does without it.
        Err(hindrance) => hindrance.say(to, what, true)?,
    }
    Ok(usable.is_some())
}

/// The engine that needs no tracing; whether it can run.
fn packet_engine(to: &mut impl Write) -> io::Result<bool> {
    let what = "engine packet";
    let (engine, sight) = match packets::probe() {
        Ok(found) => found,
        Err(error) => {
            say(to, Verdict::Note, what, &format!("{error:#}"))?;
            return Ok(false);
        }
    };
    good(to, &engine, what)?;
    for line in sight.lines() {
        writeln!(to, "       {line}")?;
    }
    Ok(true)
}

/// A plan that loads, and what it does not see.
fn good(to: &mut impl Write, engine: &Engine, what: &str) -> io::Result<()> {
    say(to, Verdict::Good, what, &engine.method)?;
    for blind in &engine.blind_spots {
        writeln!(to, "       not counted or not known: {blind}")?;
    }
    Ok(())
}

/// Why a plan does not load.
struct Hindrance {
    text: String,
    /// What libbpf and the verifier said, if that is wanted.
    lines: Vec<String>,
    lacks_tracepoints: bool,
}

impl Hindrance {
    fn say(&self, to: &mut impl Write, what: &str, dispensable: bool) -> io::Result<()> {
        // Who has no such tracepoints has nothing to mend.
        let verdict = if dispensable || self.lacks_tracepoints {
            Verdict::Note
        } else {
            Verdict::Bad
        };
        say(to, verdict, what, &self.text)?;
        for line in &self.lines {
            writeln!(to, "       {line}")?;
        }
        Ok(())
    }
}

/// Loads and attaches one plan, and lets it go again; what it sees and does not.
fn probe(plan: Plan, verbose: bool) -> std::result::Result<Arc<Engine>, Hindrance> {
    let settings = Settings {
        plans: vec![plan],
        max_flows: 1024,
        pin: None,
    };
    match Accounting::open(&settings) {
        Ok(accounting) => Ok(Arc::clone(&accounting.engine)),
        Err(error) => Err(Hindrance {
            text: format!("{error:#}"),
            lines: if verbose {
                libbpf_log::last_lines(VERBOSE_LINES)
            } else {
                Vec::new()
            },
            lacks_tracepoints: libbpf_log::lacks_tracepoints(),
        }),
    }
}

fn is_bpffs_mounted() -> bool {
    fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| {
        mounts
            .lines()
            .any(|line| line.split(' ').nth(2) == Some("bpf"))
    })
}

//! The unit and what is installed: checked by systemd's own tools, put in place by
//! `make`, run with exactly the capabilities that the unit gives.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::netmon::{BINARY, Done, Live, Scratch, run};
use crate::traffic::{Plan, Traffic};
use crate::trial::{Impossible, root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("packaging::systemd_takes_the_unit", verify),
        trial("packaging::systemd_finds_little_exposed", exposure),
        trial("packaging::its_threads_may_step_back", step_back),
        trial("packaging::install_respects_what_is_there", install),
        trial("packaging::the_user_can_be_made", sysusers),
        root(
            "packaging::the_unit's_capabilities_are_enough",
            capabilities,
        ),
    ]
}

/// Exposure that `systemd-analyze security` may find at most, of 10.
const MOST_EXPOSED: f64 = 2.5;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn packaged(name: &str) -> PathBuf {
    repository().join("packaging/systemd").join(name)
}

/// Runs a tool of systemd's, where there is one.
pub fn systemd(tool: &str, words: &[&str], file: &Path) -> anyhow::Result<Done> {
    let mut command = Command::new(tool);
    command.args(words).arg(file).env("SYSTEMD_COLORS", "0");
    if Command::new(tool).arg("--version").output().is_err() {
        return Err(Impossible(format!("there is no {tool}")).into());
    }
    run(&mut command)
}

fn verify() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let unit = scratch.path.join("netmon.service");
    let text = fs::read_to_string(packaged("netmon.service"))?;
    let text = text.replace("/usr/local/bin/netmon", BINARY);
    ensure!(text.contains(BINARY), "the unit starts something else");
    fs::write(&unit, text)?;
    let done = systemd("systemd-analyze", &["verify"], &unit)?;
    done.check_code(0)?;
    // Of the unit alone; other units of the machine are their owners' business.
    let path = unit.to_string_lossy();
    let mut words = done.stderr.lines().filter(|line| line.contains(&*path));
    let unexpected = words.find(|line| !line.ends_with("ignoring: notify-reload"));
    ensure!(unexpected.is_none(), "{unexpected:?}");
    Ok(())
}

fn exposure() -> anyhow::Result<()> {
    let words = ["security", "--offline=yes", "--no-pager"];
    let done = systemd("systemd-analyze", &words, &packaged("netmon.service"))?;
    done.check_code(0)?;
    let line = done
        .stdout
        .lines()
        .find(|line| line.contains("Overall exposure"));
    let line = line.with_context(|| format!("no verdict: {}", done.stdout))?;
    let words = line.split_once("netmon.service: ").map(|(_, words)| words);
    let figure = words.and_then(|words| words.split(' ').next());
    let figure: f64 = figure.context("no figure")?.parse()?;
    ensure!(figure <= MOST_EXPOSED, "{line}");
    Ok(())
}

fn sysusers() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    fs::create_dir(scratch.path.join("etc"))?;
    let root = format!("--root={}", scratch.path.display());
    let done = systemd("systemd-sysusers", &[&root], &packaged("netmon.sysusers"))?;
    done.check_code(0)?;
    let users = fs::read_to_string(scratch.path.join("etc/passwd"))?;
    let line = users.lines().find(|line| line.starts_with("netmon:"));
    let line = line.with_context(|| format!("no user in {users}"))?;
    ensure!(
        line.ends_with(":/var/lib/netmon:/usr/sbin/nologin"),
        "{line}"
    );
    Ok(())
}

/// `make` with that goal, to a directory in place of the machine's root.
fn make(goal: &str, to: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("make");
    command
        .current_dir(repository())
        .args(["-s", goal, "PREFIX=/opt/net"])
        .arg(format!("DESTDIR={}", to.display()))
        .arg(format!("BINARY={BINARY}"))
        // A directory of the test's own takes no root.
        .arg("ROOT=");
    run(&mut command)?.check_code(0)
}

fn install() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let at = |path: &str| scratch.path.join(path);
    make("install-files", &scratch.path)?;
    let binary = at("opt/net/bin/netmon");
    let version = run(Command::new(&binary).arg("--version"))?;
    version.check_quiet()?;
    let unit = fs::read_to_string(at("lib/systemd/system/netmon.service"))?;
    ensure!(
        unit.contains("\nExecStart=/opt/net/bin/netmon serve\n"),
        "{unit}"
    );
    let config = at("etc/netmon.toml");
    let sample = fs::read_to_string(repository().join("packaging/netmon.toml"))?;
    ensure!(fs::read_to_string(&config)? == sample, "another file");
    for (path, mode) in [
        (&binary, 0o755),
        (&config, 0o644),
        (&at("usr/lib/sysusers.d/netmon.conf"), 0o644),
    ] {
        let found = fs::metadata(path)?.permissions().mode() & 0o777;
        ensure!(found == mode, "{}: {found:o}", path.display());
    }

    fs::write(&config, "interval = \"1s\"\n")?;
    make("install-files", &scratch.path)?;
    ensure!(
        fs::read_to_string(&config)? == "interval = \"1s\"\n",
        "overwritten"
    );
    make("uninstall", &scratch.path)?;
    let left = run(Command::new("find")
        .args([&scratch.path])
        .args(["-type", "f"]))?;
    let only = format!("{}\n", config.display());
    ensure!(left.stdout == only, "left behind: {}", left.stdout);
    Ok(())
}

/// The server's threads lower their priority, which the filter must allow after it has
/// refused the group that the call belongs to.
fn step_back() -> anyhow::Result<()> {
    let unit = fs::read_to_string(packaged("netmon.service"))?;
    let filters: Vec<_> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .collect();
    let at = |wanted: &str| {
        let mut found = filters.iter();
        found.position(|filter| filter.split(' ').any(|word| word == wanted))
    };
    let (refused, allowed) = (at("@resources"), at("setpriority"));
    ensure!(refused.is_some() && allowed > refused, "{filters:?}");
    Ok(())
}

/// The value of a setting in a unit or a drop-in, which has it once.
fn setting<'a>(text: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = values
        .next()
        .with_context(|| format!("no {name} in {text}"))?;
    ensure!(values.next().is_none(), "{name} twice in {text}");
    Ok(value)
}

/// The capabilities that the unit and these drop-ins give together, as `setpriv` names them.
pub fn granted(drop_ins: &[&str]) -> anyhow::Result<String> {
    let unit = fs::read_to_string(packaged("netmon.service"))?;
    let mut set = "-all".to_owned();
    for text in [&[unit.as_str()], drop_ins].concat() {
        let ambient = setting(text, "AmbientCapabilities")?;
        let bounding = setting(text, "CapabilityBoundingSet")?;
        ensure!(ambient == bounding, "{ambient} of {bounding}");
        for name in ambient.split(' ') {
            set += &name.replace("CAP_", ",+").to_lowercase();
        }
    }
    Ok(set)
}

/// Makes `command` run a program as nobody with these capabilities and no way to more.
pub fn confine(command: &mut Command, set: &str, program: &Path) {
    command
        .args([
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--no-new-privs",
        ])
        .arg(format!("--inh-caps={set}"))
        .arg(format!("--ambient-caps={set}"))
        .arg(format!("--bounding-set={set}"))
        .arg(program)
        .env("NETMON_CONFIG", "none");
}

/// As nobody, with these and no way to more, it counts what root moves, by name, and
/// may see which executable that is.
fn capabilities() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let binary = scratch.binary()?;
    let set = granted(&[])?;
    let confined = |program: &Path| {
        let mut command = Command::new("env");
        confine(&mut command, &set, program);
        command
    };
    let mut traffic = Traffic::prepare(&Plan::udp("nms-root", 120, 9))?;
    let mut command = confined(&binary);
    command.args(["stream", "--interval", "100ms"]);
    let pid = traffic.pid().to_string();
    let mut live = Live::start(command.args(["--pid", &pid]))?;
    live.line()?;
    traffic.go()?;
    let moved = traffic.moved()?;
    let link = confined(Path::new("readlink"));
    let seen = run({ link }.arg(format!("/proc/{pid}/exe")))?;
    seen.check_quiet()?;
    let own = std::env::current_exe()?;
    ensure!(Path::new(seen.stdout.trim_end()) == own, "{}", seen.stdout);
    live.signal(Signal::SIGINT)?;
    let done = live.end()?;
    done.check_quiet()?;
    let last: Value = serde_json::from_str(done.stdout.lines().last().unwrap_or_default())?;
    let process = &last["processes"][0];
    ensure!(
        process["name"] == "nms-root" && process["user"] == "root",
        "{process}"
    );
    ensure!(process["tx_bytes"] == moved[0], "{moved:?}: {process}");
    ensure!(process["rx_bytes"] == moved[1], "{moved:?}: {process}");
    traffic.reap()
}

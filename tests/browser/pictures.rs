//! Pictures of the dashboard for the README: real traffic, the real server.
//!
//! `cargo test --test browser -- --pictures packaging/screenshots` as root, on a
//! machine that is otherwise quiet. Owns the scene; tests nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::page::Page;
use crate::served::Served;
use crate::traffic::{Plan, Traffic};

/// The option that plays the scene, for the same program in namespaces of its own.
pub const INSIDE: &str = "--pictures-inside";

/// A machine with a name and addresses of its own, and services.
const SET: &str = "ip link set lo up
echo atlas > /proc/sys/kernel/hostname
mount -t cgroup2 none /mnt
exec \"$@\"";

/// How long the traffic runs before it is looked at: most of the shortest window.
const SCENE: Duration = Duration::from_secs(780);

/// How long everybody keeps a pace.
const BEAT: Duration = Duration::from_secs(15);

/// Who moves bytes: name, user, protocol, address, bytes per message, rests after a
/// message in ms (one of them in each beat), and when it is there in percent of the
/// scene. The users are those that every Debian has.
const CAST: &str = "
postgres          1 tcp 10.0.0.21     48000 16,13,18,12  0-101
web-app          33 tcp 10.0.0.21     24000 14,19,12,16  4-101
nginx            33 tcp 203.0.113.9   30000 17,12,20,15 10-101
rsync            34 tcp 10.0.0.40     60000 12,14,11,13 14-52
backup-server    34 tcp 10.0.0.40     65000 3           40-66
backup-server    34 tcp 10.0.0.40     65000 3           88-101
mail              8 tcp 198.51.100.25 12000 30,22,60,18 25-101
resolver      65534 udp 10.0.0.53       700 40,30,50,35  0-101
metrics-agent     1 udp 10.0.0.90      1400 60           0-101
";

/// Somebody of the cast.
struct Actor {
    plan: Plan,
    pauses: Vec<u64>,
    on: (u64, u64),
}

fn cast(units: &Units) -> anyhow::Result<Vec<Actor>> {
    CAST.trim().lines().map(|line| actor(line, units)).collect()
}

fn actor(line: &str, units: &Units) -> anyhow::Result<Actor> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, uid, protocol, address, size, pauses, on] = words[..] else {
        bail!("not an actor: {line}");
    };
    let (from, to) = on.split_once('-').context("not from-to")?;
    let pauses: Result<_, _> = pauses.split(',').map(str::parse).collect();
    Ok(Actor {
        plan: Plan {
            tcp: protocol == "tcp",
            address: address.parse()?,
            uid: uid.parse()?,
            cgroup: Some(units.of(name)?),
            ..Plan::endless(name, size.parse()?, Duration::ZERO)
        },
        pauses: pauses?,
        on: (from.parse()?, to.parse()?),
    })
}

/// Takes both pictures into a directory.
pub fn take(directory: &Path) -> anyhow::Result<()> {
    let directory = fs::canonicalize(directory).context("the pictures' directory")?;
    let done = Command::new("unshare")
        .args(["--net", "--uts", "--mount", "--propagation", "private"])
        .args(["sh", "-ec", SET])
        .arg("sh")
        .arg(std::env::current_exe()?)
        .arg(INSIDE)
        .arg(&directory)
        .status()?;
    ensure!(done.success(), "the scene: {done}");
    Ok(())
}

/// Plays the scene and takes the pictures.
pub fn play(directory: &Path) -> anyhow::Result<()> {
    let units = Units::new()?;
    let cast = cast(&units)?;
    for actor in &cast {
        let address = format!("{}/32", actor.plan.address);
        Command::new("ip")
            .args(["address", "replace", &address, "dev", "lo"])
            .status()?;
    }
    let page = Page::open(Served::sampling("lo")?)?;
    let begun = Instant::now();
    let mut playing: Vec<Option<(u64, Traffic)>> = cast.iter().map(|_| None).collect();
    for beat in 0.. {
        let now = begun.elapsed().as_secs() * 100 / SCENE.as_secs();
        for (place, (actor, part)) in cast.iter().zip(&mut playing).enumerate() {
            let (from, to) = actor.on;
            let is_on = (from..to).contains(&now);
            let pause = actor.pauses[(beat + place) % actor.pauses.len()];
            if !is_on {
                *part = None;
            } else if part.as_ref().is_none_or(|(paced, _)| *paced != pause) {
                let plan = Plan {
                    pause: Duration::from_millis(pause),
                    ..actor.plan.clone()
                };
                *part = Some((pause, Traffic::start(&plan)?));
            }
        }
        thread::sleep(BEAT);
        // Whoever is on then stays on for the pictures.
        if begun.elapsed() >= SCENE {
            break;
        }
    }
    // A few seconds at the last pace, so that the lists are at rest.
    thread::sleep(BEAT);
    let browser = &page.browser;
    let height = browser.script("return document.documentElement.scrollHeight;")?;
    let height = height.as_u64().context("no height")?;
    browser.resize(1280, u32::try_from(height)?)?;
    for scheme in ["dark", "light"] {
        browser.media("prefers-color-scheme", scheme)?;
        // Until the canvas is drawn anew, too.
        thread::sleep(Duration::from_secs(2));
        browser.screenshot(&directory.join(format!("dashboard-{scheme}.png")))?;
    }
    Ok(())
}

/// Control groups that look like those of services; removed when dropped.
struct Units(PathBuf);

impl Units {
    fn new() -> anyhow::Result<Units> {
        let path = PathBuf::from(format!("/mnt/netmon-pictures-{}", std::process::id()));
        fs::create_dir(&path).context("a control group")?;
        Ok(Units(path))
    }

    /// The group of a service.
    fn of(&self, name: &str) -> anyhow::Result<String> {
        let path = format!("{}/{name}.service", self.0.display());
        fs::create_dir_all(&path).context("a service's control group")?;
        Ok(path)
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        // What cannot be removed is empty, and gone with the next start of the machine.
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        let _ = fs::remove_dir(&self.0);
    }
}

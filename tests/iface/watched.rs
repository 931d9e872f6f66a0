//! The sampler's counters beside those of the interface itself and of nftables.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use netmon::collect::xdp::{InterfaceSampler, Mode, Settings, Which};
use netmon::model::interface::{Class, Count, Hook, Way};
use netmon::model::sample::Sample;

use crate::counters::{Counters, Moved, counters};
use crate::netmon::{run, shell};
use crate::trial::Impossible;

/// How long counters may take to be the same after the last packet.
const SETTLING: Duration = Duration::from_secs(10);

/// How the sampler is attached.
#[derive(Debug, Clone, Copy)]
pub struct How {
    pub mode: Mode,
    pub clsact: bool,
}

pub const AUTO: How = How {
    mode: Mode::Auto,
    clsact: false,
};

pub const GENERIC: How = How {
    mode: Mode::Generic,
    ..AUTO
};

pub const NATIVE: How = How {
    mode: Mode::Native,
    ..AUTO
};

/// As on kernels before 6.6.
pub const CLSACT: How = How {
    clsact: true,
    ..AUTO
};

/// A sampler and its last reading.
pub struct Watched {
    pub sampler: InterfaceSampler,
    sample: Sample,
}

impl Watched {
    /// On these interfaces; on all that are up if none is named.
    pub fn open(names: &[&str], how: How, max_flows: u32) -> anyhow::Result<Watched> {
        let settings = settings(names, how.mode, max_flows);
        let sampler = if how.clsact {
            InterfaceSampler::open_with_clsact(&settings)?
        } else {
            InterfaceSampler::open(&settings)?
        };
        Ok(Watched {
            sampler,
            sample: Sample::default(),
        })
    }

    /// What it has counted of an interface: sent, received.
    pub fn ways(&mut self, name: &str) -> anyhow::Result<(Way, Way)> {
        let index = nix::net::if_::if_nametoindex(name)?;
        self.sampler.read(&mut self.sample);
        let read = self.sample.wire.iter().find(|read| read.index == index);
        let read = read.with_context(|| format!("{name} is not sampled"))?;
        Ok((read.tx, read.rx))
    }

    /// How it sees an interface.
    pub fn hook(&mut self, name: &str) -> anyhow::Result<Hook> {
        let index = nix::net::if_::if_nametoindex(name)?;
        self.sampler.read(&mut self.sample);
        let read = self.sample.wire.iter().find(|read| read.index == index);
        Ok((*read.context("not sampled")?.hook).clone())
    }

    /// Whether it samples that interface now.
    pub fn has(&mut self, index: u32) -> bool {
        self.sampler.read(&mut self.sample);
        self.sample.wire.iter().any(|read| read.index == index)
    }

    /// Why interfaces that should be sampled are not.
    pub fn unsampled(&mut self) -> Vec<String> {
        self.sampler.read(&mut self.sample);
        let unsampled = self.sample.unsampled.iter();
        unsampled.map(|it| it.why.to_string()).collect()
    }

    /// Waits until its frames are those that the interface counts, and returns what it
    /// has counted: sent, received.
    pub fn agree(&mut self, name: &str) -> anyhow::Result<(Way, Way)> {
        settled(|| {
            let (tx, rx) = self.ways(name)?;
            let (own_tx, own_rx) = own(name)?;
            ensure!(
                (tx.frames, rx.frames) == (own_tx, own_rx),
                "{name} sent {own_tx:?} and got {own_rx:?}, counted {tx:?} and {rx:?}"
            );
            Ok((tx, rx))
        })
    }
}

pub fn settings(names: &[&str], mode: Mode, max_flows: u32) -> Settings {
    let interfaces = match names {
        [] => Which::All,
        names => Which::Named(names.iter().map(ToString::to_string).collect()),
    };
    Settings {
        interfaces,
        mode,
        max_flows,
    }
}

/// Whether a kernel with tcx links, as `how` has it, has these hooks; before Linux 6.6 a
/// clsact qdisc stands in.
pub fn is_hook(hook: &Hook, ingress: &str, egress: &str) -> bool {
    let as_newer = |name: &str| match (name, egress) {
        ("tc clsact", "tcx") => "tcx".to_owned(),
        _ => name.to_owned(),
    };
    as_newer(&hook.ingress) == ingress && as_newer(&hook.egress) == egress
}

/// The first success of `check`, or its last failure.
pub fn settled<T>(mut check: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + SETTLING;
    loop {
        match check() {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
            result => return result,
        }
    }
}

/// What an interface of this thread's namespace says it sent and received.
pub fn own(name: &str) -> anyhow::Result<(Count, Count)> {
    let count = |moved: Moved| Count {
        bytes: moved.bytes,
        packets: moved.packets,
    };
    let Counters { received, sent } = counters(name)?;
    Ok((count(sent), count(received)))
}

/// What nftables counts beside it, by class, with rules of its own language.
const RULES: [(Class, &[&str]); 5] = [
    (Class::Tcp, &["meta l4proto tcp"]),
    (Class::Udp, &["meta l4proto udp"]),
    (Class::Icmp, &["meta l4proto {1, 58}"]),
    (Class::Http, &["tcp dport 80", "tcp sport 80"]),
    (Class::Https, &["th dport 443", "th sport 443"]),
];

/// Has nftables count on an interface of this thread's namespace.
pub fn nftables(name: &str) -> anyhow::Result<()> {
    if !run(&mut shell("nft --version"))?.status.success() {
        return Err(Impossible("it needs `nft` (package nftables)".to_owned()).into());
    }
    let mut text = String::from("table netdev watch {\n");
    for way in ["ingress", "egress"] {
        for (class, _) in RULES {
            text += &format!("counter {way}_{} {{ }}\n", class.name());
        }
    }
    for way in ["ingress", "egress"] {
        text += &format!(
            "chain {way} {{ type filter hook {way} device {name} priority 0; policy accept;\n"
        );
        for (class, rules) in RULES {
            for rule in rules {
                text += &format!("{rule} counter name {way}_{}\n", class.name());
            }
        }
        text += "}\n";
    }
    text += "}\n";
    let line = format!("nft -f - <<'END'\n{text}END");
    let done = run(&mut shell(&line))?;
    if done.stderr.contains("No such file or directory") {
        return Err(Impossible("this kernel's nftables has no named counters".to_owned()).into());
    }
    done.check_code(0)
}

/// Compares classes with nftables' counters.
pub fn check_nftables(tx: &Way, rx: &Way) -> anyhow::Result<()> {
    let done = run(&mut shell("nft -j list counters"))?;
    done.check_code(0)?;
    let json: serde_json::Value = serde_json::from_str(&done.stdout)?;
    let all = json["nftables"].as_array().context("no list")?;
    let mut counters = HashMap::new();
    for counter in all.iter().map(|entry| &entry["counter"]) {
        if let Some(name) = counter["name"].as_str() {
            let number = |key: &str| counter[key].as_u64().unwrap_or(u64::MAX);
            let (packets, bytes) = (number("packets"), number("bytes"));
            counters.insert(name.to_owned(), Count { packets, bytes });
        }
    }
    for (class, _) in RULES {
        for (way, counted) in [("egress", tx.of(class)), ("ingress", rx.of(class))] {
            let name = format!("{way}_{}", class.name());
            let mut theirs = *counters.get(&name).with_context(|| name.clone())?;
            if way == "ingress" {
                // There the Ethernet header has been taken off.
                theirs.bytes += 14 * theirs.packets;
            }
            ensure!(counted == theirs, "{name}: {counted:?}, not {theirs:?}");
        }
    }
    Ok(())
}

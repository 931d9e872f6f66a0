//! What looks at packets: the interface sampler and capturing, each tried.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Result;

use super::{Verdict, say};
use crate::collect::filter::{Filter, Lists};
use crate::collect::ring::{self, Ring, Settings};
use crate::collect::{capability, libbpf_log, xdp};

/// All lines of it. Without any of it netmon works.
pub fn examine(to: &mut impl Write, verbose: bool) -> io::Result<()> {
    sampler(to, verbose)?;
    capture(to)
}

/// `netmon iface`, and `--iface` of the others.
fn sampler(to: &mut impl Write, verbose: bool) -> io::Result<()> {
    let what = "interface sampler";
    let able = match xdp::probe() {
        Ok(able) => able,
        Err(error) => {
            say(to, Verdict::Note, what, &format!("{error:#}"))?;
            if verbose {
                for line in libbpf_log::last_lines(super::VERBOSE_LINES) {
                    writeln!(to, "       {line}")?;
                }
            }
            return Ok(());
        }
    };
    let text = format!(
        "packets that go out are seen by {}, those that come in by",
        able.egress
    );
    say(to, Verdict::Good, what, &text)?;
    for (name, how) in &able.interfaces {
        writeln!(to, "       {name}: {how}")?;
    }
    Ok(())
}

/// Small, for it is gone again at once.
const RING: Settings = Settings {
    interface: 0,
    block_size: 1 << 16,
    block_count: 2,
    frame_size: 2048,
    block_timeout: Duration::from_millis(100),
};

/// As many as it takes for a group, whose number is hardly another program's: those count
/// from 0 or from 1.
fn open(filter: ring::Filter<'_>) -> Result<Vec<Ring>> {
    Ring::open_group(&RING, std::process::id() as u16 | 0x8000, 2, filter)
}

/// `netmon capture` and the packet engine.
fn capture(to: &mut impl Write) -> io::Result<()> {
    let what = "capture";
    let none = Lists::default();
    let bpf = Filter::bpf(&none, 0);
    let filter = match &bpf {
        Ok(filter) => filter.for_ring(),
        Err(_) => return classic(to),
    };
    match open(filter) {
        Ok(_) => {
            let text = "TPACKET_V3 rings, PACKET_FANOUT, eBPF filter";
            say(to, Verdict::Good, what, text)
        }
        Err(error) => say(to, Verdict::Note, what, &format!("{error:#}")),
    }
}

/// The same where no eBPF filter can be had.
fn classic(to: &mut impl Write) -> io::Result<()> {
    let filter = Filter::classic(0);
    let text = match open(filter.for_ring()) {
        Ok(_) => {
            let mend = match capability::missing().contains(&"CAP_BPF") {
                true => "CAP_BPF missing: `setcap cap_net_raw,cap_bpf=ep $(command -v netmon)`",
                false => "the kernel refused the eBPF one",
            };
            format!(
                "TPACKET_V3 rings, PACKET_FANOUT; but a classic filter, which knows no \
                 --ignore-file and no --accept-source-file: {mend}"
            )
        }
        Err(error) => format!("{error:#}"),
    };
    say(to, Verdict::Note, "capture", &text)
}

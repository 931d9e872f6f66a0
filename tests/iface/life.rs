//! Attached, followed, detached: by an ordinary end, by SIGKILL, beside others.

use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use libbpf_rs::libbpf_sys;
use libtest_mimic::Trial;
use netmon::model::interface::{Class, Hook};

use crate::netmon::Live;
use crate::space::{Space, connection, two, up};
use crate::sys::{PacketSocket, Program, detach_links, links, xdp_programs};
use crate::trial::root;
use crate::watched::{AUTO, CLSACT, GENERIC, NATIVE, Watched, settled};

/// How this test program is started to sample and be killed.
pub const DOOR: &str = "--sample";

pub fn trials() -> Vec<Trial> {
    vec![
        root("life::dropped", dropped),
        root("life::killed", || killed("tcx")),
        root("life::killed_with_clsact", || killed("clsact")),
        root("life::beside_another_clsact", beside_another),
        root("life::another_owner", another_owner),
        root("life::an_owner_that_has_gone", an_owner_that_has_gone),
        root("life::detached_by_others", detached_by_others),
        root("life::beside_an_ingress_qdisc", beside_an_ingress_qdisc),
        root("life::before_others", before_others),
        root("life::deleted_and_made_again", made_again),
        root("life::same_index_again", same_index),
        root("life::renamed", renamed),
        root("life::all_that_are_up", all),
        root("life::flows_make_room", flows_make_room),
    ]
}

/// Samples an interface until it is killed.
pub fn main(plan: &[String]) -> ExitCode {
    let [name, egress] = plan else {
        eprintln!("{DOOR} NAME tcx|clsact");
        return ExitCode::FAILURE;
    };
    let how = if egress == "clsact" { CLSACT } else { AUTO };
    match Watched::open(&[name], how, 0) {
        Ok(_watched) => {
            println!("ready");
            thread::sleep(Duration::from_secs(600));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("netmon: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// This program, sampling in a namespace.
pub fn sampling(space: &Space, name: &str, egress: &str) -> anyhow::Result<Live> {
    let mut live = space.inside(|| {
        let mut command = Command::new(std::env::current_exe()?);
        Live::start(command.args([DOOR, name, egress]))
    })?;
    ensure!(live.line()? == "ready\n", "not ready");
    Ok(live)
}

/// What hangs on an interface of this thread's namespace: XDP and tcx links, lines of tc.
fn hanging(space: &Space, name: &str) -> anyhow::Result<(usize, String)> {
    let links = links(space.index(name)?).count();
    let qdiscs = space.say(&format!("tc qdisc show dev {name} | grep clsact || true"))?;
    let filters = space.say(&format!(
        "tc filter show dev {name} egress; tc filter show dev {name} ingress"
    ))?;
    Ok((links, qdiscs + &filters))
}

fn check_bare(space: &Space, name: &str) -> anyhow::Result<()> {
    settled(|| {
        let left = hanging(space, name)?;
        ensure!(left == (0, String::new()), "left: {left:?}");
        Ok(())
    })
}

fn dropped() -> anyhow::Result<()> {
    let (a, _b) = two()?;
    a.inside(|| {
        for how in [AUTO, GENERIC, NATIVE, CLSACT] {
            let mut watched = Watched::open(&["a0"], how, 0)?;
            let Hook {
                ingress, egress, ..
            } = watched.hook("a0")?;
            let (links, tc) = hanging(&a, "a0")?;
            let is_link = |name: &&String| !name.contains("clsact");
            let expected = [&ingress, &egress].iter().copied().filter(is_link).count();
            ensure!(links == expected, "{links} links");
            let is_clsact = egress == "tc clsact";
            ensure!(is_clsact || !how.clsact, "{egress}");
            ensure!(tc.contains("clsact") == is_clsact, "{tc}");
            drop(watched);
            check_bare(&a, "a0")?;
        }
        Ok(())
    })
}

fn killed(egress: &str) -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        let mut live = sampling(&a, "a0", egress)?;
        let attached = hanging(&a, "a0")?;
        ensure!(attached.0 > 0 || attached.1.contains("on_"), "{attached:?}");
        live.signal(nix::sys::signal::Signal::SIGKILL)?;
        ensure!(live.line().is_err(), "it goes on");
        drop(live);
        if attached.0 > 0 {
            ensure!(egress == "tcx", "links: {attached:?}");
            return check_bare(&a, "a0");
        }
        // A filter stays, and the next one takes its place and goes with it.
        settled(|| {
            let left = hanging(&a, "a0")?;
            for name in ["on_egress", "on_ingress_tc"] {
                ensure!(left.0 == 0 && left.1.contains(name), "{left:?}");
            }
            Ok(())
        })?;
        let mut watched = Watched::open(&["a0"], CLSACT, 0)?;
        let filters = hanging(&a, "a0")?.1;
        ensure!(filters.matches("direct-action").count() == 2, "{filters}");
        up(&a, &b)?;
        connection(&a, &b, "10.9.0.2", 0)?;
        watched.agree("a0")?;
        drop(watched);
        check_bare(&a, "a0")
    })
}

/// What others have on the qdisc stays, and so does a qdisc of theirs.
fn beside_another() -> anyhow::Result<()> {
    let (a, b) = two()?;
    let filter = "tc filter add dev a0 ingress bpf bytecode '1,6 0 0 0' classid 1:1";
    a.inside(|| {
        up(&a, &b)?;
        // Theirs, with nothing on it; then ours, with a filter of theirs.
        for (before, during) in [("tc qdisc add dev a0 clsact", ":"), (":", filter)] {
            a.sh(before)?;
            let mut watched = Watched::open(&["a0"], CLSACT, 0)?;
            a.sh(during)?;
            let (before, _) = watched.ways("a0")?;
            connection(&a, &b, "10.9.0.2", 0)?;
            let (after, _) = watched.ways("a0")?;
            ensure!(after.frames.packets > before.frames.packets, "{after:?}");
            drop(watched);
            let (links, tc) = hanging(&a, "a0")?;
            ensure!(links == 0 && tc.contains("clsact"), "{tc}");
            ensure!(
                !tc.contains("on_egress") && !tc.contains("on_ingress"),
                "{tc}"
            );
            let theirs = a.say("tc filter show dev a0 ingress")?;
            ensure!(
                theirs.contains("bytecode") == (during == filter),
                "{theirs}"
            );
            a.sh("tc qdisc del dev a0 clsact")?;
        }
        Ok(())
    })
}

fn another_owner() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        a.sh("ip link add c0 type veth peer name d0; ip link set c0 up; ip link set d0 up")?;
        up(&a, &b)?;
        for owners in [GENERIC, NATIVE] {
            let owner = Watched::open(&["a0"], owners, 0)?;
            let id = xdp_programs(a.index("a0")?)?;
            for how in [GENERIC, NATIVE] {
                let refused = Watched::open(&["a0"], how, 0);
                let words = format!("{:#}", refused.err().context("displaced")?);
                let said = format!(
                    "a0 has an XDP program of another owner already (`on_ingress`, id {})",
                    id[0]
                );
                ensure!(words.starts_with(&said), "{words}");
                // `ip` cannot take it off.
                ensure!(words.contains("; end its owner"), "{words}");
                ensure!(!words.contains('\n'), "{words}");
                ensure!(xdp_programs(a.index("a0")?)? == id, "another one");
            }
            // Beside it there is room for what does not need its place.
            let mut beside = Watched::open(&["a0"], AUTO, 0)?;
            ensure!(beside.has(a.index("a0")?), "a0");
            // With all the others nothing is wrong.
            let mut all = Watched::open(&[], GENERIC, 0)?;
            let unsampled = all.unsampled();
            ensure!(
                unsampled.len() == 1 && unsampled[0].contains("a0 has"),
                "{unsampled:?}"
            );
            ensure!(all.has(a.index("c0")?) && !all.has(a.index("a0")?), "which");
            a.sh("ip link set d0 down; ip link set d0 up")?;
            ensure!(all.has(a.index("d0")?), "d0");
            ensure!(all.unsampled() == unsampled, "{:?}", all.unsampled());
            // When it goes, which nobody tells, there is room.
            drop(owner);
            settled(|| {
                ensure!(all.has(a.index("a0")?), "a0 is free and not sampled");
                Ok(())
            })?;
            ensure!(all.unsampled().is_empty(), "{:?}", all.unsampled());
        }
        Ok(())
    })
}

/// One that no link holds: the words say how to take it off, and that works.
fn an_owner_that_has_gone() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        up(&a, &b)?;
        for (flags, word) in [
            (libbpf_sys::XDP_FLAGS_SKB_MODE, "xdpgeneric"),
            (libbpf_sys::XDP_FLAGS_DRV_MODE, "xdpdrv"),
        ] {
            let watched = Watched::open(&["lo"], GENERIC, 0)?;
            let program = Program::open(xdp_programs(1)?[0])?;
            program.hang(a.index("a0")?, flags)?;
            drop((watched, program));
            let refused = Watched::open(&["a0"], GENERIC, 0).err();
            let words = format!("{:#}", refused.context("displaced")?);
            let mend = format!("ip link set dev a0 {word} off");
            ensure!(words.contains(&format!("`{mend}` takes it off")), "{words}");
            a.sh(&mend)?;
            Watched::open(&["a0"], GENERIC, 0)?;
        }
        Ok(())
    })
}

/// Somebody detaches our programs: that is seen, and they are attached again.
fn detached_by_others() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        up(&a, &b)?;
        for how in [AUTO, GENERIC, CLSACT] {
            let mut watched = Watched::open(&["a0"], how, 0)?;
            let index = a.index("a0")?;
            let before = watched.hook("a0")?;
            let mut gone = detach_links(index)?;
            if before.egress == "tc clsact" {
                a.sh("tc qdisc del dev a0 clsact")?;
                gone += 2;
            }
            ensure!(gone >= 2, "not our two");
            connection(&a, &b, "10.9.0.2", 0)?;
            settled(|| {
                let (tx, rx) = watched.ways("a0")?;
                connection(&a, &b, "10.9.0.2", 0)?;
                let (tx_after, rx_after) = watched.ways("a0")?;
                ensure!(tx_after.frames.packets > tx.frames.packets, "blind to tx");
                ensure!(rx_after.frames.packets > rx.frames.packets, "blind to rx");
                Ok(())
            })?;
            ensure!(watched.hook("a0")? == before, "{:?}", watched.hook("a0")?);
        }
        Ok(())
    })
}

/// The older qdisc has no place for what goes out: refused, and not taken for it.
fn beside_an_ingress_qdisc() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        up(&a, &b)?;
        a.sh("tc qdisc add dev a0 ingress")?;
        let refused = Watched::open(&["a0"], CLSACT, 0).err();
        let words = format!("{:#}", refused.context("taken for a clsact qdisc")?);
        ensure!(
            words.starts_with("a0: it has an ingress qdisc") && words.contains("clsact"),
            "{words}"
        );
        ensure!(a.say("tc qdisc show dev a0")?.contains("ingress"), "gone");
        Ok(())
    })
}

/// A filter that decides on every packet hides all from ours if it is the first, which
/// is said, and else none.
fn before_others() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        up(&a, &b)?;
        a.sh("tc qdisc add dev a0 clsact
             tc filter add dev a0 egress prio 1 u32 match u32 0 0 classid 1:1
             tc filter add dev a0 ingress prio 1 u32 match u32 0 0 classid 1:1")?;
        let mut watched = Watched::open(&["a0"], CLSACT, 0)?;
        connection(&a, &b, "10.9.0.2", 0)?;
        let (tx, rx) = watched.ways("a0")?;
        // Behind them, as they stand where ours would.
        ensure!(tx.frames.packets + rx.frames.packets == 0, "{tx:?} {rx:?}");
        let hook = watched.hook("a0")?;
        for name in [hook.ingress, hook.egress] {
            ensure!(name == "tc clsact behind other filters", "{name}");
        }
        drop(watched);
        a.sh("tc filter del dev a0 egress; tc filter del dev a0 ingress
             tc filter add dev a0 egress prio 5 u32 match u32 0 0 classid 1:1
             tc filter add dev a0 ingress prio 5 u32 match u32 0 0 classid 1:1")?;
        let mut watched = Watched::open(&["a0"], CLSACT, 0)?;
        connection(&a, &b, "10.9.0.2", 0)?;
        let (tx, rx) = watched.ways("a0")?;
        ensure!(
            tx.frames.packets > 0 && rx.frames.packets > 0,
            "{tx:?} {rx:?}"
        );
        Ok(())
    })
}

fn made_again() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        let mut watched = Watched::open(&["a0"], GENERIC, 0)?;
        up(&a, &b)?;
        connection(&a, &b, "10.9.0.2", 0)?;
        let first = watched.agree("a0")?;
        ensure!(first.0.of(Class::Tcp).packets > 0, "{first:?}");
        let (index, hook) = (a.index("a0")?, watched.hook("a0")?);
        a.sh("ip link delete a0")?;
        ensure!(!watched.has(index), "deleted and still sampled");
        a.join("a0", &b, "b0")?;
        settled(|| watched.agree("a0").map(drop))?;
        a.sh("ip address add 10.9.0.1/24 dev a0")?;
        b.sh("ip address add 10.9.0.2/24 dev b0")?;
        up(&a, &b)?;
        connection(&a, &b, "10.9.0.2", 0)?;
        let (tx, _) = watched.agree("a0")?;
        ensure!(tx.of(Class::Tcp).packets > 0, "{tx:?}");
        ensure!(watched.hook("a0")? == hook, "another hook");
        ensure!(watched.unsampled().is_empty(), "{:?}", watched.unsampled());
        Ok(())
    })
}

/// Between two readings an interface goes and another comes that has its index.
fn same_index() -> anyhow::Result<()> {
    let a = Space::new()?;
    a.inside(|| {
        let make = "ip link add x0 index 77 type veth peer name y0 index 78
             ip link set x0 up; ip link set y0 up";
        a.sh(make)?;
        let mut watched = Watched::open(&["x0"], GENERIC, 0)?;
        let (before, _) = watched.ways("x0")?;
        PacketSocket::open(77)?.send(&[0; 60])?;
        ensure!(watched.ways("x0")?.0.frames.packets > before.frames.packets);
        a.sh(&format!("ip link delete x0\n{make}"))?;
        ensure!(watched.has(77), "not attached anew");
        ensure!(xdp_programs(77)?.len() == 1, "not attached anew");
        Ok(())
    })
}

fn renamed() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        let mut watched = Watched::open(&["a0"], GENERIC, 0)?;
        up(&a, &b)?;
        connection(&a, &b, "10.9.0.2", 0)?;
        let (tx, _) = watched.agree("a0")?;
        a.sh("ip link set a0 down; ip link set a0 name wan0; ip link set wan0 up")?;
        let (after, _) = watched.agree("wan0")?;
        ensure!(after.frames.packets >= tx.frames.packets, "began anew");
        Ok(())
    })
}

fn all() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        a.sh("ip link set lo up")?;
        let mut watched = Watched::open(&[], GENERIC, 0)?;
        ensure!(
            watched.has(1) && !watched.has(a.index("a0")?),
            "which are up"
        );
        up(&a, &b)?;
        ensure!(watched.has(a.index("a0")?), "a0 came up");
        a.sh("ip link add late type bridge; ip link set late up")?;
        let late = a.index("late")?;
        ensure!(watched.has(late), "late came");
        a.sh("ip link set late down")?;
        ensure!(watched.has(late), "it may come up again");
        a.sh("ip link delete late")?;
        ensure!(!watched.has(late), "late went");
        ensure!(watched.unsampled().is_empty(), "{:?}", watched.unsampled());
        Ok(())
    })
}

/// More flows than there is room for: the oldest go, none is refused.
fn flows_make_room() -> anyhow::Result<()> {
    let (a, b) = two()?;
    a.inside(|| {
        let mut watched = Watched::open(&["a0"], GENERIC, 2048)?;
        up(&a, &b)?;
        let out = PacketSocket::open(a.index("a0")?)?;
        let send = |port: u16| {
            let packet = crate::frames::udp(port, 9, 10);
            let packet = crate::frames::ipv4(17, 0, &[], &packet);
            out.send(&crate::frames::ethernet(&[], 0x0800, &packet))
        };
        for port in 1..5_000 {
            send(port)?;
        }
        let flows = watched.sampler.flows()?;
        ensure!(
            flows.len() > 512 && flows.len() <= 4_096,
            "{} flows",
            flows.len()
        );
        let Some(last) = flows.iter().find(|flow| flow.source.1 == 4_999) else {
            bail!("the newest has gone");
        };
        ensure!(
            last.forth.packets == 1 && last.forth.bytes == 52,
            "{last:?}"
        );
        Ok(())
    })
}

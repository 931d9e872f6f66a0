//! A server and a browser next to a wire.
//!
//! Both are in a network namespace of the test's own, with one wire to another. Owns that,
//! and where the wire's row is on the page. Judges nothing.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::counters::counters;
use crate::netmon::{run, shell};
use crate::page::Page;
use crate::served::Served;
use crate::space::{Space, pair};

/// Bytes of a datagram here.
const SIZE: usize = 1000;

/// Runs a test of a page whose server sees `lo` and `a0`, and nothing else.
pub fn wired(
    serve: fn() -> anyhow::Result<Served>,
    name: &str,
    test: fn(&mut Page, &Wire) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (here, there) = (Space::new()?, Space::new()?);
    // An address that comes by itself a moment later is a change of the network, for which a
    // browser drops what it is loading.
    here.sh("echo 1 > /proc/sys/net/ipv6/conf/default/addr_gen_mode")?;
    here.join(("a0", "10.9.0.1/24"), &there, ("b0", "10.9.0.2/24"))?;
    let (near, _far) = pair((&here, "10.9.0.1"), (&there, "10.9.0.2"))?;
    let wire = Wire {
        near,
        rests: AtomicBool::new(false),
    };
    here.inside(|| {
        let page = Page::open(serve()?)?;
        thread::scope(|scope| {
            let sender = scope.spawn(|| wire.send());
            let tested = page.try_it(name, |page| test(page, &wire));
            wire.rests.store(true, Ordering::Relaxed);
            sender.join().expect("no panic")?;
            tested
        })
    })
}

/// The wire, over which something is sent all the time, for who is at its near end.
pub struct Wire {
    near: UdpSocket,
    /// Whether no more is sent.
    pub rests: AtomicBool,
}

impl Wire {
    fn send(&self) -> anyhow::Result<()> {
        while !self.rests.load(Ordering::Relaxed) {
            self.near.send(&[b'n'; SIZE])?;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What the kernel counts as sent by an interface: bytes and packets.
    pub fn counted(name: &str) -> anyhow::Result<[u64; 2]> {
        let sent = counters(name)?.sent;
        Ok([sent.bytes, sent.packets])
    }
}

/// A script's expression for the row of an interface.
pub fn row(name: &str) -> String {
    let name = json!(name);
    format!(
        "[...document.querySelectorAll('#interfaces tbody tr')].find(
            row => row.querySelector('.title').textContent === {name})"
    )
}

/// The same for a cell of it: 0 is the line, then sent, received, packets, average, peak.
pub fn cell(name: &str, at: usize) -> String {
    format!("{}?.querySelectorAll('td')[{at}]", row(name))
}

/// Scripts' expressions for a panel that is there, one that is not, and its timeline.
pub const OPEN: &str = "document.getElementById('panel').open";
pub const CLOSED: &str = "!document.getElementById('panel').open";
pub const LINE: &str = "document.querySelector('#panel-timeline canvas')
    && document.querySelector('#panel-timeline > .empty').hidden";

/// Runs a shell's line where the test is.
pub fn sh(line: &str) -> anyhow::Result<()> {
    run(&mut shell(line))?.check_code(0)
}

/// Waits until the wire's row moves.
pub fn wait_moving(page: &Page) -> anyhow::Result<()> {
    let sent = cell("a0", 1);
    let moves = format!("{sent} && !{sent}.hasAttribute('data-still')");
    page.browser.wait("the wire to move", &moves).map(drop)
}

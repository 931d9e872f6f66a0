//! The page of interfaces on the real screen, in a network namespace of its own with
//! a pair of interfaces in it, over which the test sends frames that it has counted.
//!
//! Nothing else moves there: no IPv6, no address resolution, and nobody at the other
//! end who would answer.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;

use anyhow::{Context, anyhow, ensure};
use libtest_mimic::Trial;

use crate::counters::{Counters, counters_beside};
use crate::netmon::{run, shell};
use crate::pty::Size;
use crate::session::{BINARY, Session, WIDE, ordinary};
use crate::trial::{Impossible, root};

pub fn trials() -> Vec<Trial> {
    vec![
        root("wire::bytes_are_the_kernels", bytes),
        root("wire::details_and_pages", details),
        root("wire::freeze_holds_it", freeze),
        root("wire::sizes", sizes),
        root("wire::mouse", mouse),
        root("wire::comes_and_goes", comes_and_goes),
    ]
}

/// `wa` with an address, `wb` without, so that what arrives there is dropped.
const SET_UP: &str = "
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6
ip link set lo up
ip link add wa type veth peer name wb
ip link set wb address 02:00:00:00:00:0b up
ip address add 10.9.0.1/24 dev wa
ip link set wa up
ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:0b dev wa
exec \"$NETMON\" --max-flows 131072";

/// Payload of a datagram, and what stands before it in the frame: Ethernet, IPv4, UDP.
const PAYLOAD: usize = 50;
const HEADERS: usize = 14 + 20 + 8;

/// Netmon on a terminal, in a namespace of its own that goes with it; on the page of
/// interfaces.
fn start(size: Size) -> anyhow::Result<Session> {
    if !run(&mut shell("ip -V"))?.status.success() {
        return Err(Impossible("it needs `ip` (package iproute2)".to_owned()).into());
    }
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-ec", SET_UP])
        .env("NETMON", BINARY);
    ordinary(&mut command);
    let session = Session::run(size, command)?;
    session.wait_text("No anomalies")?;
    session.type_for("3", "by index")?;
    session.wait_line(&["wa", "idle"])?;
    Ok(session)
}

/// What `open` gives when it is done in the namespace of `session`.
fn inside<T: Send>(
    session: &Session,
    open: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let space = File::open(format!("/proc/{}/ns/net", session.pid()))?;
    // Only that thread changes its namespace, and then ends.
    let open = || {
        // SAFETY: setns takes two numbers; the descriptor is open.
        let result = unsafe { libc::setns(space.as_raw_fd(), libc::CLONE_NEWNET) };
        ensure!(result == 0, "setns: {}", std::io::Error::last_os_error());
        open()
    };
    thread::scope(|scope| scope.spawn(open).join()).map_err(|_| anyhow!("no socket"))?
}

/// Sends `count` datagrams from `wa` to `wb`; gives the bytes of their frames.
fn send(session: &Session, count: usize) -> anyhow::Result<usize> {
    let socket = inside(session, || Ok(UdpSocket::bind("10.9.0.1:0")?))?;
    for _ in 0..count {
        let sent = socket.send_to(&[7; PAYLOAD], "10.9.0.2:9")?;
        ensure!(sent == PAYLOAD, "sent {sent}");
    }
    Ok(count * (PAYLOAD + HEADERS))
}

/// Bytes received and sent by an interface of the namespace, as its kernel counts them.
fn kernel(session: &Session, name: &str) -> anyhow::Result<(usize, usize)> {
    let Counters { received, sent } = counters_beside(session.pid(), name)?;
    Ok((received.bytes as usize, sent.bytes as usize))
}

/// Waits until a block's line of numbers says this, below the line with its name.
fn wait_block(session: &Session, name: &str, words: &[&str]) -> anyhow::Result<Vec<String>> {
    session.wait(&format!("{name} with {words:?}"), |it| {
        let lines = it.lines();
        let start = lines.iter().position(|line| {
            line.get(..)
                .is_some_and(|line| line.trim_start_matches(['▸', ' ']).starts_with(name))
        })?;
        let block: Vec<String> = lines[start..].iter().take(14).cloned().collect();
        let numbers = block.iter().find(|line| line.contains(" avg "))?;
        words
            .iter()
            .all(|word| numbers.contains(word))
            .then_some(block)
    })
}

fn bytes() -> anyhow::Result<()> {
    let session = start(WIDE)?;
    let moved = send(&session, 10)?;
    ensure!(moved == 920, "{moved}");
    let block = wait_block(&session, "wa", &["total ↑ 920 B ↓ 0 B", "↑ 10 ↓ 0 packets"])?;
    ensure!(
        block[0].contains('↑') && block[0].contains("pkt/s"),
        "{block:?}"
    );
    wait_block(&session, "wb", &["total ↑ 0 B ↓ 920 B", "↑ 0 ↓ 10 packets"])?;
    ensure!(
        kernel(&session, "wa")? == (0, moved),
        "wa: {:?}",
        kernel(&session, "wa")?
    );
    ensure!(
        kernel(&session, "wb")? == (moved, 0),
        "wb: {:?}",
        kernel(&session, "wb")?
    );
    let middle = block[0].chars().position(|cell| cell == '↓');
    let middle = middle.context("no rate received")?;
    // The graph of what was sent has dots, that of what was received has none.
    let graph = block[1..]
        .iter()
        .take_while(|line| !line.contains(" avg "))
        .map(|line| {
            let cells: Vec<char> = line.chars().collect();
            let (left, right) = cells.split_at(middle.min(cells.len()));
            let dots = |cells: &[char]| {
                let dots = |cell: &&char| ('\u{2801}'..='\u{28ff}').contains(*cell);
                cells.iter().filter(dots).count()
            };
            (dots(left), dots(right))
        });
    let (sent, received) = graph.fold((0, 0), |sum, line| (sum.0 + line.0, sum.1 + line.1));
    ensure!(sent > 0 && received == 0, "{sent} {received} {block:?}");
    // The loopback, which moved nothing, is a line.
    session.wait_line(&["lo", "idle: nothing has moved"])?;
    session.type_for("u", "total ↑ 7.4 kbit")?;
    session.quit()
}

fn details() -> anyhow::Result<()> {
    let session = start(WIDE)?;
    send(&session, 10)?;
    wait_block(&session, "wa", &["total ↑ 920 B"])?;
    session.send("/wa\r")?;
    session.wait_gone(" wb ")?;
    session.type_for("\r", "─ wa (index ")?;
    session.wait_line(&["total", "↑     920 B in 10 packets", "↓       0 B in 0"])?;
    session.wait_line(&["sampled", "netmon --iface wa tells protocols apart"])?;
    session.wait_text("↓ last minute, peak 0 B/s")?;
    session.send("\x1b")?;
    session.wait_gone("─ wa (index ")?;
    // A page's key leads out of the details, too; other pages have their own filter.
    session.type_for("\r", "─ wa (index ")?;
    session.type_for("2", "REMOTE")?;
    ensure!(!session.text().contains("/wa"), "{}", session.text());
    session.type_for("3", "/wa")?;
    session.send("\x1b")?;
    session.wait_text(" wb ")?;
    session.type_for("s", "by rate▼")?;
    session.type_for("r", "by rate▲")?;
    session.quit()
}

fn freeze() -> anyhow::Result<()> {
    let session = start(WIDE)?;
    send(&session, 10)?;
    wait_block(&session, "wb", &["↓ 920 B"])?;
    session.type_for(" ", "FROZEN")?;
    let frozen = session.text();
    send(&session, 10)?;
    thread::sleep(std::time::Duration::from_millis(1500));
    ensure!(session.text() == frozen, "{frozen}\n{}", session.text());
    session.send(" ")?;
    wait_block(&session, "wb", &["↓ 1.8 KiB"])?;
    session.quit()
}

fn sizes() -> anyhow::Result<()> {
    let mut session = start((80, 24))?;
    send(&session, 10)?;
    wait_block(&session, "wa", &["↑ 920 B"])?;
    for size in [
        (200, 50),
        (110, 24),
        (40, 12),
        (20, 5),
        (1, 1),
        (13, 3),
        (80, 24),
    ] {
        session.pty.resize(size)?;
        if size.1 < 5 {
            thread::sleep(std::time::Duration::from_millis(300));
        } else {
            session.wait(&format!("the interfaces at {size:?}"), |it| {
                (it.lines().len() == usize::from(size.1)).then_some(())?;
                it.line_with("by index")?;
                it.line_with(" wa ").map(drop)
            })?;
        }
        ensure!(session.is_running()?, "ended at {size:?}");
    }
    session.quit()
}

fn mouse() -> anyhow::Result<()> {
    let session = start((120, 30))?;
    send(&session, 10)?;
    wait_block(&session, "wb", &["↓ 920 B"])?;
    let place = |words: &str| {
        session.wait(words, |it| {
            let mut lines = it.lines().into_iter().enumerate();
            lines.find_map(|(row, line)| {
                let at = line.find(words)?;
                Some((line[..at].chars().count(), row))
            })
        })
    };
    let click = |(column, row): (usize, usize)| {
        let (x, y) = (column + 1, row + 1);
        session.send(&format!("\x1b[<0;{x};{y}M\x1b[<0;{x};{y}m"))
    };
    let (column, row) = place(" wb ")?;
    click((column + 9, row + 1))?;
    session.wait_text("▸ wb ")?;
    click(place("by total")?)?;
    session.wait_text("by total▼")?;
    // The tab, and not the header, which counts as many flows.
    click(place("2 flows  3 interfaces")?)?;
    session.wait_text("REMOTE")?;
    click(place("3 interfaces")?)?;
    session.wait_text("by total▼")?;
    session.quit()
}

/// One that goes leaves the page, and its details tell that it is gone.
fn comes_and_goes() -> anyhow::Result<()> {
    let session = start(WIDE)?;
    send(&session, 10)?;
    wait_block(&session, "wa", &["↑ 920 B"])?;
    let ip = |line: &str| -> anyhow::Result<()> {
        let net = format!("--net=/proc/{}/ns/net", session.pid());
        let mut command = Command::new("nsenter");
        run(command.args([&net, "sh", "-ec", line]))?.check_code(0)
    };
    ip("ip link add wc type veth peer name wd")?;
    session.wait_line(&["wc", "idle"])?;
    session.send("/wa\r\r")?;
    session.wait_text("─ wa (index ")?;
    ip("ip link delete wa")?;
    session.wait_text("no longer listed")?;
    session.wait_line(&["total", "920 B in 10 packets"])?;
    session.type_for("q", "No interface matches 'wa'")?;
    session.send("\x1b")?;
    session.wait_line(&["wc", "idle"])?;
    ensure!(session.line_with(" wb ").is_none(), "{}", session.text());
    session.quit()
}

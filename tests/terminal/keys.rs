//! What keys and mouse do on the real screen.

use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;

use crate::session::{Session, WIDE};
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("keys::help_and_pages", help_and_pages),
        root("keys::live_filter", live_filter),
        root("keys::details", details),
        root("keys::freeze", freeze),
        root("keys::order", order),
        root("keys::unit_and_interval", unit_and_interval),
        root("keys::selection", selection),
        root("keys::mouse", mouse),
        root("keys::nonsense", nonsense),
    ]
}

/// Processes `prefix` + letter, the first of which moves most, and a screen that
/// shows only them.
fn crowd(prefix: &str, count: u8, size: (u16, u16)) -> anyhow::Result<(Vec<Traffic>, Session)> {
    let mut all = Vec::new();
    for (letter, number) in (b'a'..).zip(0..count) {
        let name = format!("{prefix}{}", char::from(letter));
        let size = 4000 >> number.min(5);
        all.push(Traffic::start(&Plan::endless(
            &name,
            size,
            Duration::from_millis(3),
        ))?);
    }
    let session = Session::start(size, &["--name", prefix])?;
    for letter in (b'a'..).take(usize::from(count).min(3)) {
        session.wait_text(&format!("{prefix}{}", char::from(letter)))?;
    }
    Ok((all, session))
}

fn help_and_pages() -> anyhow::Result<()> {
    let (_traffic, session) = crowd("nmk-page-", 1, WIDE)?;
    session.type_for("?", "netmon: keys")?;
    session.wait_text("wheel scrolls")?;
    session.send("?")?;
    session.wait_gone("netmon: keys")?;
    // By Tab, round and round in both directions, and by their numbers.
    for (key, title) in [
        ("\t", "REMOTE"),
        ("\t", "by index"),
        ("\t", "FLOWS"),
        ("\x1b[Z", "by index"),
        ("\x1b[Z", "REMOTE"),
        ("3", "by index"),
        ("1", "FLOWS"),
        ("2", "REMOTE"),
    ] {
        session.type_for(key, title)?;
    }
    session.send("1")?;
    session.wait_gone("REMOTE")?;
    session.quit()
}

fn live_filter() -> anyhow::Result<()> {
    let (traffic, session) = crowd("nmk-filter-", 2, WIDE)?;
    session.type_for("/", "Filter:")?;
    // Row by row while it is typed, and `q` is a letter.
    session.send("filter-b")?;
    session.wait_gone("nmk-filter-a")?;
    session.wait_text("nmk-filter-b")?;
    session.type_for("q", "filter-bq")?;
    session.wait_gone("nmk-filter-b ")?;
    session.send("\x7f")?;
    session.wait_text("nmk-filter-b ")?;
    session.send("\r")?;
    session.wait_gone("Filter:")?;
    ensure!(
        !session.text().contains("nmk-filter-a"),
        "{}",
        session.text()
    );
    session.send("\x1b")?;
    session.wait_text("nmk-filter-a")?;

    // By port, which shows the process of the flow; by PID.
    session.send(&format!("/{}\r", traffic[0].ports.0))?;
    session.wait_gone("nmk-filter-b")?;
    session.wait_text("nmk-filter-a")?;
    session.send("\x1b")?;
    session.wait_text("nmk-filter-b")?;
    session.send(&format!("/{}\r", traffic[1].pid()))?;
    session.wait_gone("nmk-filter-a")?;
    session.send("\x1b")?;
    session.wait_text("nmk-filter-a")?;
    session.quit()
}

fn details() -> anyhow::Result<()> {
    let (traffic, session) = crowd("nmk-detail-", 1, WIDE)?;
    let title = format!("nmk-detail-a (pid {})", traffic[0].pid());
    session.type_for("\r", &title)?;
    session.wait_line(&["command", "--traffic nmk-detail-a"])?;
    session.wait_line(&["user", "root (uid 0)"])?;
    session.wait_line(&["udp", " in ", "operations"])?;
    let port = format!("127.0.0.1:{}", traffic[0].ports.0);
    session.wait_line(&["udp", &port, "⇄"])?;
    session.wait_text("last minute")?;
    session.send("q")?;
    session.wait_gone(&title)?;
    session.quit()
}

fn freeze() -> anyhow::Result<()> {
    let (_traffic, session) = crowd("nmk-freeze-", 1, WIDE)?;
    session.type_for(" ", "Space resume")?;
    let frozen = session.line_with("nmk-freeze-a").context("no row")?;
    std::thread::sleep(Duration::from_millis(1500));
    let later = session.line_with("nmk-freeze-a");
    ensure!(later.as_ref() == Some(&frozen), "{frozen}\n{later:?}");
    session.type_for(" ", "Space freeze")?;
    // Reading went on: the total is another one at once.
    session.wait("another total", |it| {
        (it.line_with("nmk-freeze-a")? != frozen).then_some(())
    })?;
    session.quit()
}

/// The names of a crowd in the order of the screen.
fn names(session: &Session, prefix: &str) -> Vec<char> {
    let lines = session.lines();
    let after = lines.iter().filter_map(|line| line.split_once(prefix));
    after.filter_map(|(_, rest)| rest.chars().next()).collect()
}

fn order() -> anyhow::Result<()> {
    let (_traffic, session) = crowd("nmk-sort-", 3, WIDE)?;
    let in_order = |what: &str, wanted: [char; 3]| {
        session.wait(what, |it| (names(it, "nmk-sort-") == wanted).then_some(()))
    };
    in_order("the fastest first", ['a', 'b', 'c'])?;
    session.wait_line(&["PROCESS", "▼SMOOTHED"])?;
    session.send("r")?;
    session.wait_line(&["▲SMOOTHED"])?;
    in_order("the slowest first", ['c', 'b', 'a'])?;
    session.type_for("s", "TOTAL")?;
    session.wait("another sorted column", |it| {
        let titles = it.line_with("PROCESS")?;
        (titles.contains(['▼', '▲']) && !titles.contains("▲SMOOTHED")).then_some(())
    })?;
    session.send("<")?;
    session.wait_line(&["PROCESS", "SMOOTHED"])?;
    session.quit()
}

fn unit_and_interval() -> anyhow::Result<()> {
    let (_traffic, session) = crowd("nmk-unit-", 1, WIDE)?;
    session.wait_line(&["nmk-unit-a", "iB/s"])?;
    session.type_for("u", "u bytes")?;
    session.wait_line(&["nmk-unit-a", "bit/s"])?;
    session.type_for("u", "u bits")?;
    session.type_for("+", "every 1 s")?;
    session.type_for("+", "every 2 s")?;
    session.type_for("---", "every 200 ms")?;
    session.quit()
}

fn is_selected(session: &Session, name: &str) -> Option<()> {
    let line = session.line_with(name)?;
    line.starts_with('▸').then_some(())
}

fn selection() -> anyhow::Result<()> {
    let (_traffic, session) = crowd("nmk-row-", 3, WIDE)?;
    for (keys, selected) in [
        ("\x1b[B", "nmk-row-a"),
        ("\x1b[B", "nmk-row-b"),
        ("j", "nmk-row-c"),
        ("\x1b[A", "nmk-row-b"),
        ("k", "nmk-row-a"),
        ("\x1b[6~", "nmk-row-c"),
        ("\x1b[5~", "nmk-row-a"),
        ("G", "nmk-row-c"),
        ("\x1b[H", "nmk-row-a"),
        ("\x1b[F", "nmk-row-c"),
    ] {
        session.send(keys)?;
        let what = format!("{selected} selected after {keys:?}");
        session.wait(&what, |it| is_selected(it, selected))?;
    }
    // It stays with its row when the order is turned round.
    session.send("r")?;
    session.wait("the slowest first", |it| {
        (names(it, "nmk-row-") == ['c', 'b', 'a']).then_some(())
    })?;
    session.wait("the same row", |it| is_selected(it, "nmk-row-c"))?;
    session.quit()
}

/// A press and a release of a button at a place that counts from 0.
fn press(button: u8, column: usize, row: usize) -> String {
    let (x, y) = (column + 1, row + 1);
    format!("\x1b[<{button};{x};{y}M\x1b[<{button};{x};{y}m")
}

fn mouse() -> anyhow::Result<()> {
    let (_traffic, session) = crowd("nmk-mouse-", 8, (120, 20))?;
    session.type_for("\t", "REMOTE")?;
    session.wait_line(&[" 1-", " of 16"])?;
    // The wheel moves what is visible, not the selection.
    session.send("\x1b[<65;10;8M")?;
    session.wait("rows further down", |it| {
        let position = it.line_with(" of 16")?;
        (!position.contains(" 1-")).then_some(())
    })?;
    session.send("\x1b[<64;10;8M")?;
    session.wait_line(&[" 1-", " of 16"])?;
    let row = session.wait("the second row", |it| {
        it.lines()
            .iter()
            .position(|line| line.contains("nmk-mouse-b"))
    })?;
    session.send(&press(0, 10, row))?;
    session.wait("a row selected by a click", |it| {
        it.lines().get(row)?.starts_with('▸').then_some(())
    })?;
    // A click on a title sorts by it.
    let (at, titles) = session.wait("titles", |it| {
        let mut lines = it.lines().into_iter().enumerate();
        lines.find(|(_, line)| line.contains("PROCESS"))
    })?;
    let column = titles.find("PROCESS").context("no title")?;
    session.send(&press(0, column, at))?;
    session.wait("sorted by name", |it| {
        let titles = it.line_with("PROCESS")?;
        titles.contains(['▼', '▲']).then_some(())?;
        (!titles.contains("▼SMOOTHED")).then_some(())
    })?;
    session.quit()
}

/// What no key sends, or no person means, does no harm.
fn nonsense() -> anyhow::Result<()> {
    let (_traffic, mut session) = crowd("nmk-odd-", 1, WIDE)?;
    let pieces: [&[u8]; 7] = [
        b"\x1b[<0;65535;65535M",
        b"\x1b[999;999R",
        b"\xff\xfe\x80",
        b"\x1b[200~pasted\x1b[201~",
        b"\x1bOP\x1bOP",
        b"/\xe6\xbc\xa2\xe5\xad\x97\x1b",
        b"\x00\x01\x0c",
    ];
    for piece in pieces {
        session.pty.send(piece)?;
        std::thread::sleep(Duration::from_millis(100));
        ensure!(session.is_running()?, "ended by {piece:?}");
    }
    // Back to the table from wherever that led to; a lone Esc needs its time.
    for _ in 0..4 {
        session.send("\x1b")?;
        std::thread::sleep(Duration::from_millis(100));
    }
    session.wait_text("nmk-odd-a")?;
    let held = session.held();
    session.send("\x03")?;
    session.check_ends_well(&held)
}

//! What is on the screen: header, table, footer, processes, flows, alerts.

use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;

use crate::session::{Session, WIDE};
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("rows::first_rows", first_rows),
        root("rows::ended_process", ended_process),
        root("rows::alert", alert),
        root("rows::filter_option", filter_option),
        root("rows::engine_socket", engine_socket),
    ]
}

/// Slow traffic under this name.
fn slow(name: &str) -> anyhow::Result<Traffic> {
    Traffic::start(&Plan::endless(name, 300, Duration::from_millis(2)))
}

fn first_rows() -> anyhow::Result<()> {
    let traffic = slow("nmt-first")?;
    let session = Session::start(WIDE, &[])?;
    session.wait("anything", |it| {
        (!it.text().trim().is_empty()).then_some(())
    })?;
    let screen_after = session.age();
    let row = session.wait_line(&["nmt-first"])?;
    println!(
        "first frame {screen_after:.2?}, first row {:.2?} after the start",
        session.age()
    );
    ensure!(row.contains(&traffic.pid().to_string()), "{row}");
    ensure!(row.contains("root") && row.contains("B/s"), "{row}");
    let lines = session.lines();
    ensure!(lines[0].contains("netmon"), "header: {}", lines[0]);
    ensure!(lines[0].contains("syscall engine"), "header: {}", lines[0]);
    ensure!(lines[0].contains("every 500 ms"), "header: {}", lines[0]);
    let titles = session.line_with("PROCESS").context("no titles")?;
    for title in ["PID", "USER", "SENT", "RECEIVED", "SMOOTHED", "TOTAL"] {
        ensure!(titles.contains(title), "{title}: {titles}");
    }
    let footer = &lines[lines.len() - 2..];
    ensure!(footer[0].contains("✓ No anomalies detected"), "{footer:?}");
    ensure!(footer[1].contains("q quit"), "{footer:?}");

    session.type_for("\t", "REMOTE")?;
    let ends = [traffic.ports.0, traffic.ports.1].map(|port| format!("127.0.0.1:{port}"));
    session.wait_line(&["nmt-first", "udp", &ends[0], &ends[1]])?;
    session.quit()
}

fn ended_process() -> anyhow::Result<()> {
    let session = Session::start(WIDE, &["--name", "nmt-brief"])?;
    session.wait_text("No anomalies")?;
    let mut traffic = Traffic::start(&Plan::udp("nmt-brief", 70, 100))?;
    traffic.moved()?;
    traffic.reap()?;
    // Shown for some seconds after its end, with what it moved: 14,000 bytes.
    session.wait_line(&["†", "nmt-brief", "13.7 KiB"])?;
    session.wait_gone("nmt-brief ")?;
    session.quit()
}

fn alert() -> anyhow::Result<()> {
    let _traffic = Traffic::start(&Plan::endless("nmt-fast", 1000, Duration::from_millis(1)))?;
    let arguments = ["--threshold", "10KB", "--pid"];
    let pid = _traffic.pid().to_string();
    let session = Session::start(WIDE, &[&arguments[..], &[&pid]].concat())?;
    let footer = session.wait_line(&["⚠ ALERT", "above 9.8 KiB/s", "nmt-fast"])?;
    ensure!(footer.contains("flow"), "{footer}");
    let at = session.wait("a marked row", |it| {
        let mut lines = it.lines().into_iter();
        lines.position(|line| line.starts_with(" !") && line.contains("nmt-fast"))
    })?;
    let shown = session.pty.shown();
    let screen = shown.model.screen();
    let name = screen.contents_between(u16::try_from(at)?, 0, u16::try_from(at)?, 160);
    let column = name.find("nmt-fast").context("no name")?;
    let cell = screen.cell(u16::try_from(at)?, u16::try_from(column)?);
    ensure!(cell.is_some_and(vt100::Cell::inverse), "not reversed");
    drop(shown);
    session.quit()
}

fn filter_option() -> anyhow::Result<()> {
    let (_shown, _hidden) = (slow("nmt-shown")?, slow("nmt-hidden")?);
    let session = Session::start(WIDE, &["top", "--name", "nmt-shown"])?;
    session.wait_text("nmt-shown")?;
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(600));
        ensure!(!session.text().contains("nmt-hidden"), "{}", session.text());
        session.send("\t")?;
    }
    session.quit()
}

fn engine_socket() -> anyhow::Result<()> {
    let _traffic = slow("nmt-socket")?;
    let session = Session::start(WIDE, &["--engine", "socket"])?;
    session.wait_text("nmt-socket")?;
    session.wait_text("socket engine")?;
    session.quit()
}

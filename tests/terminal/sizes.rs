//! Sizes from large to one cell, and back, while netmon runs.

use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::session::Session;
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("sizes::resize", resize),
        root("sizes::resize_under_overlays", under_overlays),
        root("sizes::start_in_one_cell", one_cell),
    ]
}

fn resize() -> anyhow::Result<()> {
    let _traffic = Traffic::start(&Plan::endless("nms", 500, Duration::from_millis(3)))?;
    let mut session = Session::start((80, 24), &["--name", "nms"])?;
    session.wait_text(" nms ")?;
    for size in [
        (200, 50),
        (80, 24),
        (40, 12),
        (20, 5),
        (1, 1),
        (20, 5),
        (200, 50),
        (80, 24),
    ] {
        session.pty.resize(size)?;
        let (columns, rows) = size;
        if rows == 1 {
            std::thread::sleep(Duration::from_millis(300));
        } else {
            session.wait(&format!("the row at {columns}x{rows}"), |it| {
                let lines = it.lines();
                let footer = lines.last()?;
                let drawn = footer.contains("q quit") || footer.contains("No anomalies");
                (lines.len() == usize::from(rows) && drawn).then_some(())?;
                it.line_with(" nms ").map(drop)
            })?;
        }
        ensure!(session.is_running()?, "ended at {columns}x{rows}");
    }
    session.wait_text("q quit")?;
    session.quit()
}

/// Help, filter and details are drawn at every size, too.
fn under_overlays() -> anyhow::Result<()> {
    let _traffic = Traffic::start(&Plan::endless("nmo", 500, Duration::from_millis(3)))?;
    let mut session = Session::start((80, 24), &["--name", "nmo"])?;
    session.wait_text(" nmo ")?;
    for (open, seen, close) in [
        ("?", "netmon: keys", "?"),
        ("/", "Filter:", "\r"),
        ("\r", "nmo (pid", "q"),
    ] {
        session.type_for(open, seen)?;
        for size in [
            (200, 50),
            (13, 3),
            (2, 2),
            (1, 1),
            (1, 30),
            (200, 1),
            (80, 24),
        ] {
            session.pty.resize(size)?;
            std::thread::sleep(Duration::from_millis(60));
            ensure!(session.is_running()?, "ended at {size:?} under {seen}");
        }
        session.wait_text(seen)?;
        session.send(close)?;
        session.wait_gone(seen)?;
    }
    session.quit()
}

fn one_cell() -> anyhow::Result<()> {
    let session = Session::start((1, 1), &[])?;
    session.wait("a screen", |it| {
        (it.modes().contains("alternate true")).then_some(())
    })?;
    session.pty.resize((80, 24))?;
    session.wait_text("q quit")?;
    session.quit()
}

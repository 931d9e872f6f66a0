//! Closer looks: the panel of a process and of a remote, and the windows of time.

use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::json;

use crate::driver::{DOWN, ENTER, ESCAPE, LEFT, TAB};
use crate::page::Page;
use crate::served::Served;
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root(
            "a_process_opens_by_a_click_and_closes_by_going_back",
            || Page::open(Served::start()?)?.try_it("click", click),
        ),
        root("a_process_and_its_remote_open_by_keys_alone", || {
            Page::open(Served::start()?)?.try_it("keyboard", keyboard)
        }),
        root("windows_and_lists_of_the_past_are_a_key_away", || {
            Page::open(Served::start()?)?.try_it("windows", windows)
        }),
    ]
}

const OPEN: &str = "document.getElementById('panel').open";
const CLOSED: &str = "!document.getElementById('panel').open";
const REMOTES: &str = "document.querySelectorAll('#panel-remotes tbody tr').length > 0";
const FLOWS: &str = "document.querySelectorAll('#panel-flows tbody tr').length > 0";
const LINE: &str = "document.querySelector('#panel-timeline canvas')
    && document.querySelector('#panel-timeline > .empty').hidden";

fn traffic(name: &str) -> anyhow::Result<Traffic> {
    Traffic::start(&Plan::endless(name, 60_000, Duration::from_millis(5)).over_tcp())
}

fn click(page: &mut Page) -> anyhow::Result<()> {
    let name = "dash-clicked";
    let traffic = traffic(name)?;
    page.wait_moving(name)?;
    let browser = &page.browser;
    let mark = format!("return {}.id = 'clicked';", Page::row(name));
    browser.script(&mark)?;
    // On a number: the whole row leads there.
    browser.click("#clicked td")?;
    browser.wait("the panel", OPEN)?;
    ensure!(browser.text("#panel-title")? == name);
    let kind = browser.text("#panel-kind")?;
    ensure!(kind == format!("Process {}", traffic.pid()), "kind: {kind}");
    browser.wait("its flows", FLOWS)?;
    browser.wait("its remotes", REMOTES)?;
    browser.wait("its timeline", LINE)?;
    let facts = browser.text("#panel-body .facts")?;
    let pid = traffic.pid().to_string();
    ensure!(facts.contains(&pid), "no pid {pid} in: {facts}");
    ensure!(browser.text("#panel-remotes tbody")?.contains("127.0.0.1"));
    let flows = browser.text("#panel-flows tbody")?;
    let (_, to) = traffic.ports;
    ensure!(flows.contains(&to.to_string()), "no port {to} in: {flows}");

    let hash = browser.script("return location.hash;")?;
    ensure!(
        hash == json!(format!("#process={name}&pid={pid}")),
        "{hash}"
    );
    browser.back()?;
    browser.wait("the page without it", CLOSED)?;
    // The address alone leads there, too.
    browser.open(&format!("{}#process={name}", page.served.url()))?;
    browser.wait("the panel by its address", OPEN)?;
    ensure!(browser.text("#panel-title")? == name);
    ensure!(browser.text("#panel-kind")? == "All processes called");
    // From one panel to the next, and from there to the page: not to what was before.
    browser.wait("its remotes", REMOTES)?;
    browser.click("#panel-remotes tbody a")?;
    let remote = "document.getElementById('panel-title').textContent === '127.0.0.1'";
    browser.wait("the panel of the remote", remote)?;
    browser.click("#panel-close")?;
    browser.wait("its end by the button", CLOSED)?;
    let place = browser.script("return location.href;")?;
    ensure!(place == json!(page.served.url()), "it is at {place}");
    page.check_quiet(&[])
}

fn keyboard(page: &mut Page) -> anyhow::Result<()> {
    let name = "dash-typed";
    let _traffic = traffic(name)?;
    page.wait_moving(name)?;
    let browser = &page.browser;
    browser.keys("/")?;
    let focused = "document.activeElement.id === 'filter'";
    browser.wait("the filter", focused)?;
    browser.keys(name)?;
    let alone = "document.querySelectorAll('#processes tbody tr').length === 1";
    browser.wait("one row", alone)?;
    // Tab leaves the field; the first list's row is the next stop.
    browser.keys(TAB)?;
    let on_row = "document.activeElement.closest('#processes tbody tr') != null";
    browser.wait("the row", on_row)?;
    browser.keys(ENTER)?;
    browser.wait("the panel", OPEN)?;
    browser.wait("its remotes", REMOTES)?;
    browser.keys(ESCAPE)?;
    browser.wait("its end", CLOSED)?;
    browser.wait("the focus where it was", on_row)?;

    // Arrows go from row to row.
    browser.script(
        "document.getElementById('filter').value = '';
        document.getElementById('filter').dispatchEvent(new Event('input'));",
    )?;
    let rows = "document.querySelectorAll('#processes tbody tr').length > 1";
    browser.wait("all rows", rows)?;
    let place = "[...document.querySelectorAll('#processes tbody a')]
        .indexOf(document.activeElement)";
    let first = browser.script(&format!("return {place};"))?;
    ensure!(first == 0, "the row is not the first: {first}");
    browser.keys(DOWN)?;
    browser.wait("the next row", &format!("{place} === 1"))?;

    browser.open(&format!("{}#remote=127.0.0.1", page.served.url()))?;
    browser.wait("the panel of the remote", OPEN)?;
    let talkers =
        format!("document.querySelector('#panel-talkers tbody')?.textContent.includes('{name}')");
    browser.wait("who talks to it", &talkers)?;
    browser.wait("its timeline", LINE)?;
    page.check_quiet(&[])
}

fn windows(page: &mut Page) -> anyhow::Result<()> {
    let name = "dash-window";
    let _traffic = traffic(name)?;
    page.wait_moving(name)?;
    let browser = &page.browser;
    browser.click("#mode [data-value=window]")?;
    let kept = format!(
        "{}?.querySelector('td:last-child').textContent.includes('%')",
        Page::row(name)
    );
    browser.wait("the process in the list of the window", &kept)?;
    for (key, window, label) in [
        ("2", "1h", "Last 1 h"),
        ("3", "24h", "Last 24 h"),
        ("4", "14d", "Last 14 d"),
        ("1", "15m", "Last 15 min"),
    ] {
        browser.keys(key)?;
        let pressed = format!(
            "document.querySelector('#window [data-value=\"{window}\"]').ariaPressed === 'true'"
        );
        browser.wait("the window", &pressed)?;
        ensure!(browser.text("#mode [data-value=window]")? == label);
        browser.wait("the process in the window's list", &kept)?;
        let legend = format!("document.getElementById('legend').textContent.includes('{name}')");
        browser.wait("the process in the window's chart", &legend)?;
    }
    // What a pointer reads in the chart, arrow keys read, too.
    browser.script("document.getElementById('chart').focus();")?;
    browser.keys(LEFT)?;
    let tip = "document.querySelector('#chart .tip:not([hidden])')?.textContent";
    let tip = browser.wait("the values of a point", tip)?;
    ensure!(tip.to_string().contains("/s"), "no rate in: {tip}");
    page.check_quiet(&[])
}

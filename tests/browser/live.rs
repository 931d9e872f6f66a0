//! The page follows the stream: it loads, moves, loses the server and finds it again.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::page::Page;
use crate::served::Served;
use crate::traffic::{Plan, Traffic};
use crate::trial::root;
use crate::wire::{Wire, sh, wired};

pub fn trials() -> Vec<Trial> {
    vec![
        root("the_page_names_its_host_and_asks_nobody_else", || {
            Page::open(Served::start()?)?.try_it("host", host)
        }),
        root("a_process_that_begins_to_move_bytes_appears", || {
            Page::open(Served::start()?)?.try_it("appears", appears)
        }),
        root("a_server_that_comes_back_is_found_again", || {
            again(Page::open(Served::without_history()?)?)
        }),
        root("a_page_without_one_of_its_files_loads_again", || {
            Page::open(Served::without_history()?)?.try_it("incomplete", incomplete)
        }),
        root("a_network_that_changes_keeps_no_page_from_loading", || {
            wired(Served::without_history, "changing", changing)
        }),
        root("a_server_that_falls_silent_is_said_to_be", || {
            Page::open(Served::without_history()?)?.try_it("silent", silent)
        }),
        root(
            "without_a_history_the_page_says_so_and_draws_what_it_sees",
            || Page::open(Served::without_history()?)?.try_it("no-history", no_history),
        ),
    ]
}

fn host(page: &mut Page) -> anyhow::Result<()> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    let name = name.trim();
    let browser = &page.browser;
    browser.wait("a title", "document.title !== 'netmon'")?;
    let title = browser.script("return document.title;")?;
    ensure!(title == format!("{name} · netmon"), "title: {title}");
    ensure!(browser.text("#host")? == name);
    ensure!(browser.text("#engine")?.contains("engine"));
    ensure!(browser.text("#health")? == "OK");
    ensure!(browser.text("#tx-rate")?.ends_with("/s"));
    // The browser itself moves bytes to the server.
    let rows = "document.querySelectorAll('#processes tbody tr').length > 1
        && document.querySelectorAll('#remotes tbody tr').length > 0
        && document.querySelectorAll('#protocols li').length > 0";
    browser.wait("rows of all lists", rows)?;
    let drawn = "document.querySelector('#chart canvas') && document.querySelector('#legend li')";
    browser.wait("a chart with a legend", drawn)?;
    page.check_quiet(&[])
}

fn appears(page: &mut Page) -> anyhow::Result<()> {
    let name = "dash-appears";
    let browser = &page.browser;
    let there = browser.script(&format!("return {} != null;", Page::row(name)))?;
    ensure!(there == false, "it is there before it moves anything");

    let mut traffic = Traffic::prepare(&Plan::endless(name, 60_000, Duration::from_millis(5)))?;
    let begun = Instant::now();
    traffic.go()?;
    page.wait_moving(name)?;
    println!(
        "a process appeared {:?} after its first byte",
        begun.elapsed()
    );

    let total = format!(
        "{}?.querySelector('td:last-child').textContent",
        Page::row(name)
    );
    let before = browser.wait("a total", &total)?;
    let seen = Instant::now();
    browser.wait("another total", &format!("{total} !== {before}"))?;
    println!("its total changed after {:?}", seen.elapsed());

    // The flow of an ended process stands still, and the page says that it ended.
    traffic.end()?;
    let ended = Page::row(&format!("{name} †"));
    browser.wait("its end", &format!("{ended}?.hasAttribute('data-dim')"))?;
    page.check_quiet(&[])
}

fn again(page: Page) -> anyhow::Result<()> {
    let Page { browser, served } = page;
    let stopped = served.stop()?;
    let lost = "document.getElementById('state').dataset.state === 'reconnecting'";
    browser.wait("that the loss is said", lost)?;
    ensure!(browser.text("#state")?.starts_with("Reconnecting"));
    let served = stopped.start()?;
    let page = Page { browser, served };
    page.try_it("again", |page| {
        page.wait_live()?;
        let total = page.browser.text("#rx-total")?;
        let script = format!("document.getElementById('rx-total').textContent !== '{total}'");
        page.browser.wait("new numbers", &script)?;
        // The only complaints are those of the time without a server.
        page.check_quiet(&["net::ERR_", "status of 503"])
    })
}

fn incomplete(page: &mut Page) -> anyhow::Result<()> {
    let browser = &page.browser;
    for file in ["*/panel.js", "*/uplot.js", "*/links.css"] {
        browser.block(&[file])?;
        browser.reload()?;
        if file == "*/panel.js" {
            let said = "document.getElementById('state').textContent ===
                'Incomplete, loading again'";
            browser.wait("that the page is not complete", said)?;
        }
        let tries = "Number(sessionStorage.getItem('netmon-loads')) > 1";
        browser.wait("more than one try", tries)?;
        browser.block(&[])?;
        page.wait_live()?;
        let done = "sessionStorage.getItem('netmon-loads') === '0'";
        browser.wait("that it is complete", done)?;
    }
    page.check_quiet(&["net::ERR_BLOCKED_BY_CLIENT", "status of 503"])
}

/// For a browser each address that comes or goes is another network.
fn changing(page: &mut Page, _: &Wire) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let change = "for i in $(seq 30); do ip address add 10.77.0.1/32 dev a0; sleep 0.05;
            ip address del 10.77.0.1/32 dev a0; sleep 0.05; done";
        let changes = scope.spawn(|| sh(change));
        while !changes.is_finished() {
            page.browser.reload()?;
            thread::sleep(Duration::from_millis(300));
        }
        changes.join().expect("no panic")
    })?;
    page.wait_live()?;
    page.check_quiet(&["net::ERR_NETWORK_", "status of 503"])
}

fn silent(page: &mut Page) -> anyhow::Result<()> {
    let browser = &page.browser;
    page.served.signal(Signal::SIGSTOP)?;
    // Its connections stay, and nothing comes.
    let said = "document.getElementById('state').textContent.startsWith('No readings since ')";
    browser.wait("since when there are no readings", said)?;
    page.served.signal(Signal::SIGCONT)?;
    page.wait_live()?;
    page.check_quiet(&["status of 503"])
}

fn no_history(page: &mut Page) -> anyhow::Result<()> {
    let name = "dash-unkept";
    let _traffic = Traffic::start(&Plan::endless(name, 60_000, Duration::from_millis(5)))?;
    let browser = &page.browser;
    let said = "document.getElementById('chart-note').textContent.includes('since it was opened')";
    browser.wait("that there is no history", said)?;
    let legend = format!("document.getElementById('legend').textContent.includes('{name}')");
    browser.wait("the process in the chart", &legend)?;
    browser.click("#mode [data-value=window]")?;
    let calm = "document.querySelector('#processes .empty:not([hidden])')?.textContent";
    let calm = browser.wait("words in place of the list", calm)?;
    println!("without a history: {calm}");
    page.check_quiet(&["status of 503"])
}

//! How the page looks: both themes, narrow screens, units.

use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::driver::Browser;
use crate::page::Page;
use crate::served::Served;
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("both_themes_apply_and_the_choice_is_remembered", || {
            Page::open(Served::without_history()?)?.try_it("themes", themes)
        }),
        root("a_screen_of_360_pixels_needs_no_sideways_scroll", || {
            Page::open(Served::start()?)?.try_it("narrow", narrow)
        }),
        root("rates_are_shown_in_bits_when_asked_for", || {
            Page::open(Served::without_history()?)?.try_it("units", units)
        }),
    ]
}

/// Sum of red, green and blue of the page's ground.
fn ground(browser: &Browser) -> anyhow::Result<u64> {
    let script = "return getComputedStyle(document.body).backgroundColor
        .match(/\\d+/g).slice(0, 3).reduce((sum, one) => sum + Number(one), 0);";
    let sum = browser.script(script)?;
    sum.as_u64()
        .ok_or_else(|| anyhow::anyhow!("no colour: {sum}"))
}

fn themes(page: &mut Page) -> anyhow::Result<()> {
    let browser = &page.browser;
    for (scheme, is_dark) in [("dark", true), ("light", false), ("dark", true)] {
        browser.media("prefers-color-scheme", scheme)?;
        let ground = ground(browser)?;
        ensure!((ground < 150) == is_dark, "{scheme}: {ground}");
    }
    browser.click("#theme")?;
    ensure!(ground(browser)? > 600, "the button did not change it");
    browser.reload()?;
    page.wait_live()?;
    ensure!(ground(browser)? > 600, "the choice is forgotten");
    page.check_quiet(&["status of 503"])
}

fn narrow(page: &mut Page) -> anyhow::Result<()> {
    let name = "dash-narrowest"; // as long as names are
    let _traffic = Traffic::start(&Plan::endless(name, 60_000, Duration::from_millis(5)))?;
    let browser = &page.browser;
    browser.resize(360, 740)?;
    browser.reload()?;
    page.wait_live()?;
    page.wait_moving(name)?;
    let sideways = "return [...document.querySelectorAll('body *')]
        .filter(one => one.getBoundingClientRect().right > 360.5 && one.checkVisibility()
            && !one.closest('[aria-hidden], .unseen, dialog'))
        .map(one => one.outerHTML.slice(0, 80));";
    let fits = |what: &str| -> anyhow::Result<()> {
        let width = browser.script("return document.documentElement.scrollWidth;")?;
        ensure!(width == 360, "{what} is {width} pixels wide");
        let beyond = browser.script(sideways)?;
        ensure!(
            beyond == serde_json::json!([]),
            "{what}: beyond the edge: {beyond}"
        );
        Ok(())
    };
    fits("the page")?;
    browser.script(&format!("location.hash = 'process={name}';"))?;
    let flows = "document.querySelectorAll('#panel-flows tbody tr').length > 0";
    browser.wait("the panel with flows", flows)?;
    let width = browser.script("return document.getElementById('panel').scrollWidth;")?;
    ensure!(
        width.as_u64().is_some_and(|it| it <= 360),
        "the panel is {width} wide"
    );
    fits("the page below the panel")?;
    page.check_quiet(&[])
}

fn units(page: &mut Page) -> anyhow::Result<()> {
    let browser = &page.browser;
    ensure!(browser.text("#tx-rate")?.ends_with("B/s"));
    browser.click("#units [data-value=bits]")?;
    let bits = "document.getElementById('tx-rate').textContent.endsWith('bit/s')";
    browser.wait("bits", bits)?;
    browser.reload()?;
    browser.wait("bits after a reload", bits)?;
    page.check_quiet(&["status of 503"])
}

//! What the page writes: the units of the terminal, and names that are only names.

use std::time::Duration;

use ::netmon::model::units::{self, Unit};
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::json;

use crate::page::Page;
use crate::served::Served;
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

pub fn trials() -> Vec<Trial> {
    vec![
        root("amounts_and_rates_read_as_on_the_terminal", || {
            Page::open(Served::without_history()?)?.try_it("amounts", amounts)
        }),
        root("a_name_that_looks_like_markup_is_only_a_name", || {
            Page::open(Served::without_history()?)?.try_it("markup", markup)
        }),
    ]
}

fn amounts(page: &mut Page) -> anyhow::Result<()> {
    // Around each change of prefix, ties between two tenths, and what lies between.
    let mut bytes: Vec<u64> = vec![0, 1, 9, 124, 125, 532];
    for power in 1..5 {
        let whole = 1u64 << (10 * power);
        bytes.extend([whole - 1, whole, whole + 1, whole * 5 / 4, whole * 1023]);
        bytes.extend([
            whole / 1000 * 999,
            10u64.pow(3 * power) / 8,
            whole * 27 / 20,
        ]);
    }
    bytes.extend((1..200).map(|n| n * n * n * 12_345));
    let script = format!(
        "return import('/units.js').then(units => {}.map(one =>
            ['bytes', 'bits'].flatMap(unit => [units.amount(one, unit), units.rate(one, unit)])));",
        json!(bytes)
    );
    let said = page.browser.script(&script)?;
    let said = said.as_array().context("no list")?;
    ensure!(said.len() == bytes.len());
    for (one, said) in bytes.iter().zip(said) {
        let wanted = [Unit::Bytes, Unit::Bits].map(|unit| {
            let rate = units::rate(*one as f64, unit);
            [units::amount(*one, unit).to_string(), rate.to_string()]
        });
        let wanted = json!(wanted.concat());
        ensure!(*said == wanted, "{one}: {said} and not {wanted}");
    }
    page.check_quiet(&["status of 503"])
}

fn markup(page: &mut Page) -> anyhow::Result<()> {
    let name = "<img src=x&y>";
    let _traffic = Traffic::start(&Plan::endless(name, 60_000, Duration::from_millis(5)))?;
    page.wait_moving(name)?;
    let browser = &page.browser;
    let named = format!(
        "[...document.querySelectorAll('#legend .name')].some(one => one.textContent === {})",
        json!(name)
    );
    browser.wait("its name in the chart's legend", &named)?;
    // Its address leads to it and not to a part of its name.
    browser.script(&format!("{}.querySelector('a').click();", Page::row(name)))?;
    let flows = "document.querySelectorAll('#panel-flows tbody tr').length > 0";
    browser.wait("the panel with flows", flows)?;
    ensure!(browser.text("#panel-title")? == name);
    let pictures = browser.script("return document.querySelectorAll('img').length;")?;
    ensure!(pictures == 1, "besides the sign of the page: {pictures}");
    page.check_quiet(&["status of 503"])
}

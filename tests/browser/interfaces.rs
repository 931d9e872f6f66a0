//! The card of interfaces and what is stored of one of them.
//!
//! What is on the page is what the test sent over the [wire](crate::wire).

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::driver::{DOWN, ENTER, ESCAPE};
use crate::page::Page;
use crate::served::Served;
use crate::trial::root;
use crate::wire::{CLOSED, LINE, OPEN, Wire, cell, row, sh, wait_moving, wired};

pub fn trials() -> Vec<Trial> {
    vec![
        root("interfaces_move_come_and_go", || {
            wired(Served::start, "interfaces", live)
        }),
        root("an_interface_opens_what_is_stored_of_it", || {
            wired(Served::start, "interface", stored)
        }),
        root("interfaces_need_no_sideways_scroll", || {
            wired(Served::start, "interfaces-narrow", narrow)
        }),
        root("what_packets_are_is_told_of_a_sampled_interface", || {
            wired(|| Served::sampling("a0"), "sampled", sampled)
        }),
        root("classes_of_packets_are_bars_where_they_are_told", || {
            wired(Served::without_history, "classes", classes)
        }),
        root("all_of_many_interfaces_can_be_looked_at", || {
            wired(Served::without_history, "many", many)
        }),
        root("a_flow_says_how_its_connection_fares", || {
            wired(Served::without_history, "health", health)
        }),
    ]
}

fn live(page: &mut Page, _: &Wire) -> anyhow::Result<()> {
    wait_moving(page)?;
    let browser = &page.browser;
    for (at, what) in [(3, "packets"), (4, "average"), (5, "peak")] {
        let text = browser.wait(what, &format!("{}?.textContent", cell("a0", at)))?;
        let text = text.as_str().context("no text")?;
        ensure!(
            text.ends_with("/s") && !text.starts_with("0 "),
            "{what}: {text}"
        );
    }
    // The line of the last minutes has more than one point.
    let line = format!(
        "{}.querySelector('.trace .tx').getAttribute('d')?.includes('L')",
        row("a0")
    );
    browser.wait("its line", &line)?;
    let rows = "[...document.querySelectorAll('#interfaces tbody .title')].map(
        one => one.textContent)";
    let names = browser.script(&format!("return {rows};"))?;
    ensure!(names == json!(["lo", "a0"]), "{names}");
    ensure!(
        browser
            .text("#interfaces-note")?
            .contains("none is sampled")
    );

    // One that comes, and goes.
    sh("ip link add late type veth peer name etal")?;
    browser.wait("a new one", &row("late"))?;
    sh("ip link del late")?;
    browser.wait("that it is gone", &format!("!{}", row("late")))?;

    // In bits, as all rates.
    browser.click("#units [data-value=bits]")?;
    let bits = format!("{}.textContent.endsWith('bit/s')", cell("a0", 1));
    browser.wait("bits", &bits)?;
    for scheme in ["dark", "light"] {
        browser.media("prefers-color-scheme", scheme)?;
        let stroke = format!(
            "return getComputedStyle({}.querySelector('.trace .rx')).stroke;",
            row("a0")
        );
        ensure!(browser.script(&stroke)? != "none", "{scheme}: no line");
    }
    // Who wants no motion gets none.
    browser.media("prefers-reduced-motion", "reduce")?;
    let still = "return getComputedStyle(document.querySelector('.stack i')).transitionDuration;";
    let duration = browser.script(still)?;
    ensure!(duration == "0s", "it moves: {duration}");
    page.check_quiet(&[])
}

fn stored(page: &mut Page, wire: &Wire) -> anyhow::Result<()> {
    wait_moving(page)?;
    let browser = &page.browser;
    // The lines of the last minutes begin with what is stored, not with the page.
    let asked = "performance.getEntriesByType('resource').some((one) =>
        one.name.includes('/api/timeseries') && one.name.includes('iface=a0'))";
    browser.wait("that the history is asked", asked)?;
    let steps = browser.script(
        "return import('/charts.js').then(({ Trace }) => {
            const trace = new Trace();
            trace.push(1000, 1, 5, 5);
            trace.before([{ start: 905, seconds: 10, tx: 100, rx: 50 },
                { start: 1005, seconds: 10, tx: 100, rx: 50 }]);
            trace.push(1002, 1, 5, 5);
            return trace.steps.map((one) => one.start);
        });",
    )?;
    ensure!(steps == json!([905, 1000, 1002]), "{steps}");
    // By the pointer, on a number.
    browser.script(&format!("{}.id = 'clicked';", row("a0")))?;
    browser.click("#clicked td.number:not(.graph)")?;
    browser.wait("the panel", OPEN)?;
    ensure!(browser.text("#panel-title")? == "a0");
    ensure!(browser.text("#panel-kind")? == "Interface");
    browser.wait("its timeline", LINE)?;
    // In the chosen window, another of which is a key away.
    for (key, label) in [("4", "14 d"), ("3", "24 h"), ("1", "15 min")] {
        browser.keys(key)?;
        let facts = format!(
            "document.querySelector('#panel-body .facts').textContent.includes('Last {label}')"
        );
        browser.wait("what is stored", &facts)?;
        ensure!(browser.text("#panel-timeline-note")? == format!("last {label}"));
        // The history began with this test, and nobody knows what moved before.
        let facts = browser.text("#panel-body .facts")?;
        ensure!(facts.contains(" over the recorded "), "{facts}");
    }
    // Without keys, too.
    browser.click("#panel-window [data-value='1h']")?;
    let shown = "document.querySelector('#panel-body .facts').textContent.includes('Last 1 h')";
    browser.wait("an hour", shown)?;
    let pressed = "document.querySelector('#window [data-value=\"1h\"]').ariaPressed === 'true'";
    browser.wait("the same on the page", pressed)?;
    // The line begins where the history does: a bucket of ten seconds is all of it.
    let recorded = browser.script(
        "const answer = {stored: {since: '2026-11-20T12:00:40Z'}, step_seconds: 60, points: [
            {t: '2026-11-20T11:59:00Z'}, {t: '2026-11-20T12:00:00Z'}, {t: '2026-11-20T12:01:00Z'}]};
        const now = Date.parse('2026-11-20T12:01:32Z') / 1000;
        return import('/points.js').then(it => it.recorded(answer, now).map(
            one => [one.at, new Date(1000 * one.start).toISOString(), one.seconds]));",
    )?;
    let first = json!([1, "2026-11-20T12:00:40.000Z", 20]);
    let last = json!([2, "2026-11-20T12:01:00.000Z", 30]);
    ensure!(recorded == json!([first, last]), "{recorded}");
    ensure!(browser.text("#panel-classes .empty")?.contains("--iface"));
    let hash = browser.script("return location.hash;")?;
    ensure!(hash == json!("#iface=a0"), "{hash}");
    browser.back()?;
    browser.wait("the page without it", CLOSED)?;

    // By keys alone.
    browser.script("document.querySelector('#interfaces a').focus();")?;
    let at = "return document.activeElement.textContent;";
    ensure!(browser.script(at)? == "lo");
    browser.keys(DOWN)?;
    ensure!(browser.script(at)? == "a0");
    browser.keys(ENTER)?;
    browser.wait("the panel by keys", OPEN)?;
    ensure!(browser.text("#panel-title")? == "a0");
    browser.keys(ESCAPE)?;
    browser.wait("its end", CLOSED)?;
    ensure!(browser.script(at)? == "a0", "the focus is lost");

    // What is stored is what the kernel counted, once nothing moves any more.
    wire.rests.store(true, Ordering::Relaxed);
    let [bytes, packets] = Wire::counted("a0")?;
    let same = format!(
        "await fetch('/api/history/interfaces?since=1h&iface=a0').then(it => it.json()).then(
            it => it.interfaces[0]?.tx_bytes <= {bytes} && it.interfaces[0].tx_packets <= {packets}
                && it.interfaces[0].tx_bytes > {bytes} / 2)"
    );
    let same = browser.wait("the stored bytes", &format!("(async () => {same})()"))?;
    ensure!(same == json!(true));
    page.check_quiet(&[])
}

fn narrow(page: &mut Page, _: &Wire) -> anyhow::Result<()> {
    let browser = &page.browser;
    browser.resize(360, 740)?;
    browser.reload()?;
    page.wait_live()?;
    wait_moving(page)?;
    let width = browser.script("return document.documentElement.scrollWidth;")?;
    ensure!(width == 360, "the page is {width} pixels wide");
    let beyond = browser.script(
        "return [...document.querySelectorAll('#interfaces, #interfaces *')]
            .filter(one => one.checkVisibility() && one.getBoundingClientRect().right > 348.5)
            .map(one => one.outerHTML.slice(0, 80));",
    )?;
    ensure!(beyond == json!([]), "beyond the card: {beyond}");
    let seen = format!("return {}.checkVisibility();", cell("a0", 2));
    ensure!(browser.script(&seen)? == true, "no bytes are shown");
    browser.open(&format!("{}#iface=a0", page.served.url()))?;
    browser.wait("the panel", OPEN)?;
    browser.wait("its timeline", LINE)?;
    let width = browser.script("return document.getElementById('panel').scrollWidth;")?;
    ensure!(width.as_u64().is_some_and(|it| it <= 360), "{width} wide");
    page.check_quiet(&[])
}

fn sampled(page: &mut Page, _: &Wire) -> anyhow::Result<()> {
    wait_moving(page)?;
    let browser = &page.browser;
    let detail = format!("{}.querySelector('.detail').textContent", row("a0"));
    // All that is sent here are datagrams, but for a neighbour's question now and then.
    let udp = format!("{detail}.startsWith('UDP') && {detail}");
    browser.wait("that they are UDP", &udp)?;
    let width = format!(
        "parseFloat({}.querySelectorAll('.stack i')[1].style.width) > 90",
        row("a0")
    );
    browser.wait("a bar of it", &width)?;
    ensure!(browser.text("#interfaces-note")?.contains("1 sampled"));
    let tip = browser.script(&format!("return {}.title;", row("a0")))?;
    ensure!(tip.to_string().contains("out by"), "{tip}");

    // The same of the past.
    browser.script("location.hash = 'iface=a0';")?;
    let stored = "document.querySelector('#panel-classes tbody')?.textContent.includes('UDP')
        && document.querySelector('#panel-classes tbody').textContent";
    browser.wait("its stored classes", stored)?;
    let facts = browser.text("#panel-body .facts")?;
    ensure!(facts.contains("Sampled"), "{facts}");
    page.check_quiet(&[])
}

/// A reading with one sampled interface, of which `tcp` bytes/s are TCP, and many others.
fn reading(tcp: f64, others: u32) -> Value {
    let class = |name: &str, rate: f64| {
        json!({"class": name, "tx_rate": rate / 2.0, "rx_rate": rate / 2.0,
            "tx_packet_rate": 1, "rx_packet_rate": 1})
    };
    let one = |index: u32, sampled: Value| {
        json!({"interface": format!("eth{index}"), "index": index, "loopback": false,
            "tx_bytes": 10, "rx_bytes": 10, "tx_packets": 1, "rx_packets": 1, "tx_rate": 1,
            "rx_rate": 1, "tx_packet_rate": 0.25, "rx_packet_rate": 0.25, "smoothed_rate": 2,
            "average_rate": 2, "peak_rate": 2, "uptime_seconds": 9, "sampled": sampled})
    };
    let names = ["tcp", "udp", "icmp", "other_ip", "not_ip", "http", "https"];
    let rates = [tcp, 20.0, 5.0, 3.0, 2.0, 10.0, tcp / 2.0 + 10.0];
    let classes: Vec<Value> = (names.into_iter().zip(rates))
        .map(|(name, rate)| class(name, rate))
        .collect();
    let sampled = json!({"ingress": "xdp generic", "egress": "tcx", "reason": "it is a <veth>",
        "uptime_seconds": 5, "average_rate": 1, "peak_rate": 2, "classes": classes});
    let mut all: Vec<Value> = (0..others).map(|at| one(at, Value::Null)).collect();
    all.push(one(900, sampled));
    json!({"time": "2026-11-20T12:00:00Z", "interval_seconds": 0.5, "interfaces": all,
        "counts": {"interfaces": others + 1}})
}

fn classes(page: &mut Page, _: &Wire) -> anyhow::Result<()> {
    let browser = &page.browser;
    // What the card makes of a reading; the next real one undoes it.
    let drawn = |reading: &Value, what: &str| {
        browser.script(&format!(
            "return import('/interfaces.js').then(card => {{ card.draw({reading}); return {what}; }});"
        ))
    };
    let widths = "[...document.querySelectorAll('#interfaces tbody tr:last-child .stack i')]
        .map(one => one.style.width)";
    let found = drawn(&reading(70.0, 2), widths)?;
    // TCP, UDP, ICMP, other; then HTTPS and HTTP, shares of the same whole.
    ensure!(
        found == json!(["70%", "20%", "5%", "5%", "45%", "10%"]),
        "{found}"
    );
    let words = drawn(
        &reading(70.0, 2),
        "document.querySelector('#interfaces tbody tr:last-child .detail').textContent",
    )?;
    ensure!(
        words == "TCP 70.0 % · UDP 20.0 % · ICMP 5.0 % · other 5.0 % · HTTPS 45.0 % · HTTP 10.0 %",
        "{words}"
    );
    let tip = drawn(
        &reading(70.0, 2),
        "document.querySelector('#interfaces tbody tr:last-child').title",
    )?;
    ensure!(
        tip == "in by xdp generic, out by tcx: it is a <veth>",
        "{tip}"
    );
    let key = drawn(
        &reading(70.0, 2),
        "document.getElementById('interfaces-key').checkVisibility()",
    )?;
    ensure!(key == true, "no key to the colours");
    // A colour has one meaning: two directions, six classes, and no two alike.
    for scheme in ["dark", "light"] {
        browser.media("prefers-color-scheme", scheme)?;
        let colors = drawn(
            &reading(70.0, 2),
            "[...document.querySelectorAll('#interfaces-key li')].map(
                one => getComputedStyle(one.firstChild).backgroundColor)",
        )?;
        let colors = colors.as_array().context("no list")?.clone();
        let apart: HashSet<&str> = colors.iter().filter_map(Value::as_str).collect();
        ensure!(
            colors.len() == 8 && apart.len() == 8,
            "{scheme}: {colors:?}"
        );
    }
    let alone = drawn(
        &json!({"time": "2026-11-20T12:00:00Z", "interval_seconds": 0.5, "interfaces": [],
            "counts": {"interfaces": 0}}),
        "document.getElementById('interfaces-key').textContent",
    )?;
    ensure!(alone == "sentreceived", "{alone}");

    // Of many, the sampled one is among the few that are shown; all are a click away.
    let shown = "[...document.querySelectorAll('#interfaces tbody .title')].map(
        one => one.textContent)";
    let few = drawn(&reading(70.0, 30), shown)?;
    let few = few.as_array().context("no list")?;
    ensure!(few.len() == 8 && few[7] == "eth900", "{few:?}");
    let many = drawn(
        &reading(70.0, 30),
        &format!("(document.getElementById('interfaces-more').click(), {shown})"),
    )?;
    ensure!(many.as_array().is_some_and(|it| it.len() == 31), "{many}");
    page.check_quiet(&["status of 503"])
}

/// More than the stream has room for.
fn many(page: &mut Page, _: &Wire) -> anyhow::Result<()> {
    sh("for i in $(seq 35); do ip link add many$i type veth peer name much$i; done")?;
    let browser = &page.browser;
    let said = "document.getElementById('interfaces-more').textContent === 'Show all 72'";
    browser.wait("that they are many", said)?;
    ensure!(browser.text("#interfaces-note")?.contains("8 of 72"));
    browser.click("#interfaces-more")?;
    let names = "[...document.querySelectorAll('#interfaces tbody .title')].map(
        one => one.textContent)";
    let all = browser.wait("all of them", &format!("{names}.length === 72 && {names}"))?;
    ensure!(all[0] == "lo" && all[1] == "a0", "{all}");
    ensure!(!browser.text("#interfaces-note")?.contains(" of "));
    // Whichever of them the stream left out, its panel has it.
    let left_out = browser.script(
        "return fetch('/api/events?view=summary').then(async (answer) => {
            const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
            let text = '';
            while (!/data: .*\\n/.test(text)) text += (await reader.read()).value;
            reader.cancel();
            const shown = JSON.parse(text.match(/data: (.*)/)[1]).interfaces;
            const names = new Set(shown.map((one) => one.interface));
            return [...Array(35).keys()].flatMap((at) => [`many${at + 1}`, `much${at + 1}`]).find(
                (one) => !names.has(one));
        });",
    )?;
    let left_out = left_out.as_str().context("none is left out")?;
    browser.script(&format!("location.hash = 'iface={left_out}';"))?;
    let there =
        "document.querySelector('#panel-live .note')?.textContent.includes('since netmon saw it')";
    browser.wait("that it is there", there)?;
    browser.keys(ESCAPE)?;
    browser.wait("the page", CLOSED)?;
    browser.click("#interfaces-more")?;
    let few = format!("{names}.length === 8");
    browser.wait("few of them", &few)?;

    // The filter finds them, wherever they are.
    browser.keys("/many3")?;
    let found = format!("{names}.length === 7 && {names}.every((one) => one.startsWith('many3'))");
    browser.wait("those of that name", &found)?;
    ensure!(browser.text("#interfaces-note")?.contains("7 of 72"));
    browser.keys(ESCAPE)?;
    browser.wait("the few again", &few)?;

    // They are too many for a sentence.
    let words = browser.script(
        "return import('/header.js').then((it) => it.names(['a', 'b', 'c', 'd', 'e', 'f']) +
            '; ' + it.names(['a', 'b', 'c', 'd', 'e']));",
    )?;
    ensure!(words == "a b c d and 2 more; a b c d e", "{words}");
    page.check_quiet(&["status of 503"])
}

fn health(page: &mut Page, _: &Wire) -> anyhow::Result<()> {
    let flow = |tcp: Value| {
        json!({"pid": 7, "name": "x", "protocol": "tcp", "local_address": "10.0.0.1",
            "local_port": 1, "remote_address": "10.0.0.2", "remote_port": 2, "tx_bytes": 1,
            "rx_bytes": 1, "tx_rate": 0, "rx_rate": 0, "smoothed_rate": 0, "closed": false,
            "anomalous": false, "tcp": tcp})
    };
    let told = json!({"rtt_us": 23_400, "rtt_variance_us": 410, "retransmits": 1, "lost": 2,
        "congestion_window": 10, "send_mss": 1448});
    let unknown = json!({"rtt_us": 0, "rtt_variance_us": 0, "retransmits": 0, "lost": 0,
        "congestion_window": 10, "send_mss": 536});
    for (tcp, words) in [
        (
            told,
            "\nRTT 23 ms ± 410 µs · 1 retransmit · 2 lost now · window\u{a0}10\u{a0}×\u{a0}1448\u{a0}B",
        ),
        (
            unknown,
            "\nRTT not known · 0 retransmits · window\u{a0}10\u{a0}×\u{a0}536\u{a0}B",
        ),
        (Value::Null, ""),
    ] {
        let detail = page.browser.script(&format!(
            "return import('/subject.js').then(it => it.flowRow({}).detail);",
            flow(tcp)
        ))?;
        let wanted = format!("tcp · from 10.0.0.1:1 · 7{words}");
        ensure!(detail == json!(wanted), "{detail}");
    }
    // The connections of the browser itself, as the kernel tells of them.
    let browser = &page.browser;
    let pid = page.served.pid();
    browser.script(&format!("location.hash = 'process=netmon&pid={pid}';"))?;
    let told = "document.querySelector('#panel-flows .detail')?.textContent.includes('RTT')
        && document.querySelector('#panel-flows .detail').textContent";
    let told = browser.wait("how a connection fares", told)?;
    ensure!(told.to_string().contains("retransmit"), "{told}");
    page.check_quiet(&["status of 503"])
}

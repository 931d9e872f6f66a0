//! The dashboard in a browser, next to the server it came from.
//!
//! Owns what all tests do with it: open, find rows, and check that it was quiet.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::driver::Browser;
use crate::served::Served;

/// The page.
pub struct Page {
    pub browser: Browser,
    pub served: Served,
}

impl Page {
    /// Opens the page of `served` in a new browser, and waits until it is live.
    pub fn open(served: Served) -> anyhow::Result<Page> {
        let page = Page::new(served)?;
        page.wait_live()?;
        Ok(page)
    }

    /// Opens it, whatever it shows then.
    pub fn new(served: Served) -> anyhow::Result<Page> {
        let browser = Browser::start()?;
        browser.resize(1280, 900)?;
        browser.open(&served.url())?;
        Ok(Page { browser, served })
    }

    /// Waits until it shows what the stream says.
    pub fn wait_live(&self) -> anyhow::Result<()> {
        let script = "document.getElementById('state').dataset.state === 'live'";
        self.browser.wait("live", script).map(drop)
    }

    /// Runs a test, and takes a picture of the page if it fails.
    pub fn try_it(
        self,
        name: &str,
        test: impl FnOnce(&mut Page) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut page = self;
        test(&mut page).map_err(|error| {
            let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
            let picture = target.join(format!("browser-{name}.png"));
            let taken = page.browser.screenshot(&picture);
            let picture = match taken {
                Ok(()) => format!("picture: {}", picture.display()),
                Err(why) => format!("no picture: {why:#}"),
            };
            error.context(picture)
        })
    }

    /// A script's expression for the row of a process in the list.
    pub fn row(name: &str) -> String {
        let name = json!(name);
        format!(
            "[...document.querySelectorAll('#processes tbody tr')].find(
                row => row.querySelector('.title').textContent === {name})"
        )
    }

    /// Waits until a list's row of a process is there and moves bytes.
    pub fn wait_moving(&self, name: &str) -> anyhow::Result<()> {
        let row = Page::row(name);
        let script =
            format!("{row}?.querySelector('td:not(:last-child):not([data-still])') != null");
        self.browser.wait("a row that moves", &script).map(drop)
    }

    /// Fails if the page said anything on the console but what has one of these words
    /// in it, or asked anybody but its server.
    pub fn check_quiet(&self, but: &[&str]) -> anyhow::Result<()> {
        let said = self.browser.log("browser")?;
        let said: Vec<String> = said
            .iter()
            .map(|entry| format!("{}: {}", entry["level"], entry["message"]))
            .filter(|entry| !but.iter().any(|word| entry.contains(word)))
            .collect();
        ensure!(said.is_empty(), "on the console: {said:#?}");
        let asked = self.asked()?;
        ensure!(asked.len() > 20, "few requests were seen: {asked:?}");
        let own = self.served.url();
        let strange: Vec<_> = asked.iter().filter(|url| !url.starts_with(&own)).collect();
        ensure!(strange.is_empty(), "it asked others: {strange:?}");
        Ok(())
    }

    /// All addresses the page asked for since this was asked last.
    fn asked(&self) -> anyhow::Result<Vec<String>> {
        let mut urls = Vec::new();
        for entry in self.browser.log("performance")? {
            let text = entry["message"].as_str().context("no message")?;
            let event: Value = serde_json::from_str(text)?;
            let event = &event["message"];
            if event["method"] != "Network.requestWillBeSent" {
                continue;
            }
            let request = &event["params"];
            // The browser begins with a page of its own.
            let whose = request["documentURL"].as_str().context("no page")?;
            if !whose.starts_with("chrome:") && !whose.starts_with("data:") {
                let url = request["request"]["url"].as_str();
                urls.push(url.context("no address")?.to_owned());
            }
        }
        Ok(urls)
    }
}

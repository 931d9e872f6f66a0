//! A real Chromium, asked by the WebDriver protocol through chromedriver.
//!
//! Owns the two processes, the session and the few commands that are needed. Knows
//! nothing of the page.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::netmon::Scratch;
use crate::trial::Impossible;

/// What a browser needs as root and without a screen, and what keeps it from asking
/// anybody by itself.
const OPTIONS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
];

/// Keys as WebDriver names them.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";
pub const ESCAPE: &str = "\u{e00c}";
pub const LEFT: &str = "\u{e012}";
pub const DOWN: &str = "\u{e015}";

/// A browser with one page; both processes end when it is dropped.
pub struct Browser {
    driver: Child,
    client: Client,
    /// URL of the driver, and of the session once there is one.
    base: String,
    has_session: bool,
    _profile: Scratch,
}

impl Browser {
    /// Starts both programs.
    ///
    /// # Errors
    ///
    /// [`Impossible`] if they are not installed.
    pub fn start() -> anyhow::Result<Browser> {
        let binary = installed("chromium")?;
        installed("chromedriver")?;
        let profile = Scratch::new()?;
        let client = Client::builder().timeout(PATIENCE).no_proxy().build()?;
        let (driver, port) = driver()?;
        let mut browser = Browser {
            driver,
            client,
            base: format!("http://127.0.0.1:{port}"),
            has_session: false,
            _profile: profile,
        };
        let directory = browser._profile.path.join("profile");
        let mut options: Vec<String> = OPTIONS.map(str::to_owned).into();
        options.push(format!("--user-data-dir={}", directory.display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": binary, "args": options},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let session = browser.post("/session", &wanted)?;
        let id = session["sessionId"].as_str().context("no session")?;
        browser.base = format!("{}/session/{id}", browser.base);
        browser.has_session = true;
        Ok(browser)
    }

    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let request = self.client.post(&url).body(body.to_string());
        self.answer(request.header("content-type", "application/json"))
    }

    fn answer(&self, request: reqwest::blocking::RequestBuilder) -> anyhow::Result<Value> {
        let text = request.send()?.text()?;
        let mut answer: Value = serde_json::from_str(&text)?;
        let value = answer["value"].take();
        if let Some(error) = value["error"].as_str() {
            bail!("the browser: {error}: {}", value["message"]);
        }
        Ok(value)
    }

    /// Opens an address and waits until it is loaded.
    pub fn open(&self, url: &str) -> anyhow::Result<()> {
        self.post("/url", &json!({"url": url})).map(drop)
    }

    /// Goes back by one.
    pub fn back(&self) -> anyhow::Result<()> {
        self.post("/back", &json!({})).map(drop)
    }

    /// Loads the page anew.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.post("/refresh", &json!({})).map(drop)
    }

    /// The value of a script that says `return`.
    pub fn script(&self, script: &str) -> anyhow::Result<Value> {
        let body = json!({"script": script, "args": []});
        self.post("/execute/sync", &body)
            .with_context(|| format!("the script: {script}"))
    }

    /// Waits until a script's value is true in the sense of the language; gives it.
    pub fn wait(&self, what: &str, script: &str) -> anyhow::Result<Value> {
        let script = format!("return ({script});");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.script(&script)?;
            let falsy = [json!(null), json!(false), json!(0), json!("")];
            if !falsy.contains(&value) {
                return Ok(value);
            }
            ensure!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The text of the first element that a selector finds.
    pub fn text(&self, selector: &str) -> anyhow::Result<String> {
        let selector = json!(selector);
        let value = self.script(&format!(
            "return document.querySelector({selector})?.textContent ?? null;"
        ))?;
        let text = value.as_str().map(str::to_owned);
        text.with_context(|| format!("no element is {selector}"))
    }

    fn element(&self, selector: &str) -> anyhow::Result<String> {
        let body = json!({"using": "css selector", "value": selector});
        let found = self.post("/element", &body)?;
        let id = found
            .as_object()
            .and_then(|it| it.values().next()?.as_str());
        Ok(id.context("no element")?.to_owned())
    }

    /// Clicks in the middle of an element, as a pointer does.
    pub fn click(&self, selector: &str) -> anyhow::Result<()> {
        let id = self.element(selector)?;
        self.post(&format!("/element/{id}/click"), &json!({}))
            .map(drop)
            .with_context(|| format!("clicking {selector}"))
    }

    /// Types into what has the focus, key by key.
    pub fn keys(&self, text: &str) -> anyhow::Result<()> {
        let press = |key: char| {
            let value = key.to_string();
            [
                json!({"type": "keyDown", "value": value}),
                json!({"type": "keyUp", "value": value}),
            ]
        };
        let actions: Vec<Value> = text.chars().flat_map(press).collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.post("/actions", &json!({"actions": [keyboard]}))
            .map(drop)
    }

    /// A command of the browser's own protocol.
    pub fn command(&self, name: &str, parameters: Value) -> anyhow::Result<Value> {
        let body = json!({"cmd": name, "params": parameters});
        self.post("/goog/cdp/execute", &body)
    }

    /// Shows the page on a screen of this size, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) -> anyhow::Result<()> {
        let screen = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.command("Emulation.setDeviceMetricsOverride", screen)
            .map(drop)
    }

    /// Answers a media query, for example `prefers-color-scheme` with `dark`.
    pub fn media(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let features = json!({"features": [{"name": name, "value": value}]});
        self.command("Emulation.setEmulatedMedia", features)
            .map(drop)
    }

    /// Lets nothing arrive from addresses that match one of these patterns.
    pub fn block(&self, patterns: &[&str]) -> anyhow::Result<()> {
        self.command("Network.setBlockedURLs", json!({"urls": patterns}))
            .map(drop)
    }

    /// Entries of a log since it was asked for last.
    pub fn log(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let entries = self.post("/se/log", &json!({"type": kind}))?;
        Ok(entries.as_array().cloned().unwrap_or_default())
    }

    /// Writes what is on the screen as PNG.
    pub fn screenshot(&self, path: &Path) -> anyhow::Result<()> {
        let shot = self.command("Page.captureScreenshot", json!({"format": "png"}))?;
        let text = shot["data"].as_str().context("no picture")?;
        fs::write(path, base64(text)?).with_context(|| format!("writing {}", path.display()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if self.has_session {
            // Ends the browser; without it, killing the driver would leave it behind.
            let _ = self.client.delete(&self.base).send();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Full path of a program of the distribution.
fn installed(program: &str) -> anyhow::Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut found = path.split(':').map(|it| format!("{it}/{program}"));
    found.find(|it| Path::new(it).is_file()).ok_or_else(|| {
        let why = format!("it needs {program} (Debian: apt install chromium chromium-driver)");
        Impossible(why).into()
    })
}

/// A running chromedriver and its port. It chooses one of IPv4 and ends where somebody
/// has that of IPv6: then another one is started.
fn driver() -> anyhow::Result<(Child, u16)> {
    let mut result = Err(anyhow!("not started"));
    for _ in 0..3 {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting chromedriver")?;
        match port(&mut driver) {
            Ok(port) => return Ok((driver, port)),
            Err(error) => result = Err(error),
        }
        driver.kill()?;
        driver.wait()?;
    }
    result
}

/// The port that chromedriver took.
fn port(driver: &mut Child) -> anyhow::Result<u16> {
    let output = driver.stdout.take().context("no stdout")?;
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let said = line.split("started successfully on port ").nth(1);
            if let Some(port) = said.and_then(|it| it.trim_end_matches('.').parse().ok()) {
                // Nobody listens if the test gave up before.
                let _ = tell.send(port);
            }
        }
    });
    let told = told.recv_timeout(PATIENCE);
    told.context("chromedriver did not say its port")
}

/// Bytes of a text in base 64.
fn base64(text: &str) -> anyhow::Result<Vec<u8>> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Ok(byte - b'A'),
        b'a'..=b'z' => Ok(byte - b'a' + 26),
        b'0'..=b'9' => Ok(byte - b'0' + 52),
        b'+' => Ok(62),
        b'/' => Ok(63),
        _ => bail!("not base 64: {byte}"),
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | u32::from(value(byte)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Ok(bytes)
}

//! `netmon top --connect`: a thread that fetches another machine's snapshots, the
//! screen on the main one. Nothing is loaded into this machine's kernel.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::cli::Top;
use crate::collect::clock;
use crate::collect::remote::client::{Client, Failure, Records};
use crate::collect::remote::snapshot::Decoder;
use crate::feed::Feed;
use crate::tui::elsewhere::{Elsewhere, Lost};
use crate::tui::{self, Sources};

/// Shortest and longest rest before it is tried again.
const REST: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(5)];

/// Most bytes of a token's file.
const TOKEN: u64 = 4096;

/// Shows what the server at `url` sees until a person quits, a signal comes or the
/// server turns out to be none to be watched.
pub fn run(url: &str, options: &Top) -> Result<ExitCode> {
    let token = options.token_file.as_deref().map(token).transpose()?;
    let client = Client::new(url, token.as_deref())?;
    let records = client
        .connect()
        .map_err(|failure| anyhow!("--connect {url}: {failure}"))?;
    let (host, port) = address(url);
    let elsewhere = Arc::new(Elsewhere::new(host, port));
    let feed = Arc::new(Feed::new(options.common.monitor.interval));
    // Not waited for: it may wait for the server, and holds nothing that must be freed.
    thread::Builder::new()
        .name("connection".to_owned())
        .spawn({
            let (feed, elsewhere) = (Arc::clone(&feed), Arc::clone(&elsewhere));
            let url = url.to_owned();
            move || {
                let failure = Watcher {
                    client,
                    feed: &feed,
                    elsewhere: &elsewhere,
                    decoder: Decoder::default(),
                    heard: clock::now().wall,
                }
                .watch(records);
                feed.end(Some(format!("--connect {url}: {failure}")));
            }
        })
        .context("could not start a thread")?;
    tui::run(
        &feed,
        tui::Options::from_environment(options.common.filter.filter()),
        Sources {
            elsewhere: Some(elsewhere),
            ..Sources::default()
        },
    )?;
    Ok(ExitCode::SUCCESS)
}

/// What a file says without the line's end that editors put there.
fn token(file: &Path) -> Result<String> {
    let asked = || format!("--token-file {}", file.display());
    if fs::metadata(file).with_context(asked)?.len() > TOKEN {
        bail!("{}: too long for a token", asked());
    }
    let text = fs::read_to_string(file).with_context(asked)?;
    let token = text.trim();
    if token.is_empty() {
        bail!("{}: there is no token in it", asked());
    }
    Ok(token.to_owned())
}

/// Host and port of a URL that the command line accepted.
fn address(url: &str) -> (&str, u16) {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let authority = rest.split('/').next().unwrap_or(rest);
    let port = |(host, port): (_, &str)| Some((host, port.parse().ok()?));
    let found = authority.rsplit_once(':').and_then(port);
    // Of its scheme, if none is said.
    found.unwrap_or((authority, 80))
}

/// What the thread works with.
struct Watcher<'a> {
    client: Client,
    feed: &'a Feed,
    elsewhere: &'a Elsewhere,
    decoder: Decoder,
    /// When the last record came, or the connection began: time since the epoch.
    heard: Duration,
}

impl Watcher<'_> {
    /// Takes in records, and connects again as often as it takes; gives why that is of
    /// no use.
    fn watch(&mut self, mut records: Records) -> Failure {
        let [shortest, longest] = REST;
        let mut rest = shortest;
        loop {
            let before = self.heard;
            let mut failure = self.take_in(&mut records);
            if self.heard != before {
                rest = shortest;
            }
            records = loop {
                if failure.lasting {
                    return failure;
                }
                self.elsewhere.lose(Lost {
                    since: self.heard,
                    why: failure.why,
                });
                thread::sleep(rest);
                rest = (rest * 2).min(longest);
                match self.client.connect() {
                    Ok(records) => break records,
                    Err(next) => failure = next,
                }
            };
        }
    }

    /// Takes in the records of one connection; gives why there are no more.
    fn take_in(&mut self, records: &mut Records) -> Failure {
        loop {
            let data = match records.record() {
                Ok(Some(data)) => data,
                Ok(None) => {
                    self.elsewhere.lose(Lost {
                        since: self.heard,
                        why: "it has no new readings; see its /health".to_owned(),
                    });
                    continue;
                }
                Err(failure) => return failure,
            };
            match self.decoder.decode(&data) {
                Ok(arrival) => {
                    self.heard = clock::now().wall;
                    records.come_every(arrival.snapshot.nominal_interval);
                    self.elsewhere.arrived(&arrival.host);
                    self.feed.publish(arrival.snapshot);
                }
                Err(unfit) => return Failure::lasting(format!("it sends {unfit}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_of_urls() {
        for (url, host, port) in [
            ("http://web1:9600/", "web1", 9600),
            ("http://web1/", "web1", 80),
            ("http://[::1]:9600/", "[::1]", 9600),
            ("http://[::1]/", "[::1]", 80),
            ("http://127.0.0.1:81/under/", "127.0.0.1", 81),
        ] {
            assert_eq!(address(url), (host, port), "{url}");
        }
    }
}

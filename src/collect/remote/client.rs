//! The connection to a `netmon serve`: one request, whose answer goes on for ever.
//!
//! Owns the request, its token and its bounds on time and size, and the words for what
//! can go wrong. When to try again is the caller's business.

use std::error::Error;
use std::fmt;
use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::StatusCode;
use reqwest::blocking::{self, Response};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;

use super::sse::{Event, Parser};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest silence: a server has something to say every 15 s, be it that it is there.
const SILENCE: Duration = Duration::from_secs(40);

/// Records, and time on top, that may be late before it is told.
const LATE_RECORDS: u32 = 3;
const LATE: Duration = Duration::from_secs(10);

/// Most bytes of a record: some 400,000 flows.
const RECORD: usize = 128 << 20;

/// Bytes read at a time.
const PIECE: usize = 64 << 10;

/// The event that holds a record.
const EVENT: &str = "record";

/// Why there is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In a few words, and what a person should do where trying again is of no use.
    pub why: String,
    /// It will be the same the next time.
    pub lasting: bool,
}

impl Failure {
    fn passing(why: impl Into<String>) -> Failure {
        Failure {
            why: why.into(),
            lasting: false,
        }
    }

    /// One that trying again does not mend.
    pub fn lasting(why: impl Into<String>) -> Failure {
        Failure {
            why: why.into(),
            lasting: true,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl Error for Failure {}

/// Who asks, and whom. The token is in no output, that for debugging included.
pub struct Client {
    http: blocking::Client,
    /// Where the events are.
    url: String,
    token: Option<HeaderValue>,
}

impl Client {
    /// A client of the server at `base`, a URL that ends with a slash.
    ///
    /// # Errors
    /// If the token is none, or there can be no client at all.
    pub fn new(base: &str, token: Option<&str>) -> Result<Client> {
        let http = blocking::Client::builder()
            .user_agent(concat!("netmon/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            // Of the headers and of each piece of what comes after them.
            .timeout(SILENCE)
            // A token is for this server, for none that it or the environment names.
            .redirect(Policy::none())
            .no_proxy()
            .http1_only()
            // Each attempt is one of its own.
            .pool_max_idle_per_host(0)
            .build()
            .context("could not set up an HTTP client")?;
        let token = token.map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        Ok(Client {
            http,
            url: format!("{base}api/events"),
            token: token
                .transpose()
                .map_err(|_| anyhow::anyhow!("a token has only printable ASCII characters"))?,
        })
    }

    /// Asks for the events.
    ///
    /// # Errors
    /// If nobody answers, or not as a `netmon serve` that lets itself be watched.
    pub fn connect(&self) -> Result<Records, Failure> {
        let mut request = self.http.get(&self.url).header(ACCEPT, "text/event-stream");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        let answer = request
            .send()
            .map_err(|error| Failure::passing(cause(&error)))?;
        self.check(&answer)?;
        Ok(Records {
            answer,
            parser: Parser::new(RECORD),
            piece: vec![0; PIECE],
            last: Instant::now(),
            patience: None,
        })
    }

    fn check(&self, answer: &Response) -> Result<(), Failure> {
        let status = answer.status();
        if status == StatusCode::OK {
            let kind = answer.headers().get(CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            return if kind.starts_with("text/event-stream") {
                Ok(())
            } else {
                Err(Failure::lasting("no `netmon serve` answers there"))
            };
        }
        Err(match status {
            StatusCode::UNAUTHORIZED if self.token.is_some() => {
                Failure::lasting("it does not accept that token; see --token-file")
            }
            StatusCode::UNAUTHORIZED => {
                Failure::lasting("it needs a token: give the file that holds it by --token-file")
            }
            StatusCode::FORBIDDEN => Failure::lasting(
                "it may not be asked under that name; use its address, or start it with \
                 --allow-host NAME",
            ),
            StatusCode::NOT_FOUND => Failure::lasting("no `netmon serve` answers there"),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Failure::passing("it has no room for a further watcher, or is not ready yet")
            }
            status => Failure::passing(format!("it answers {status}")),
        })
    }
}

/// The innermost cause, which says it in the fewest words, without its number.
fn cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    let number = text.find(" (os error ").unwrap_or(text.len());
    text[..number].to_owned()
}

/// The records of a connection, one after the other.
pub struct Records {
    answer: Response,
    parser: Parser,
    piece: Vec<u8>,
    /// When the last record was there, or its lack was told.
    last: Instant,
    /// Longest time without one; unknown before the first.
    patience: Option<Duration>,
}

impl Records {
    /// Records come every `interval` from now on.
    pub fn come_every(&mut self, interval: Duration) {
        self.patience = Some(interval.saturating_mul(LATE_RECORDS).saturating_add(LATE));
    }

    /// Waits for the next record; events of other names are passed over. Nothing if
    /// the server says that it is there but has had no record for too long.
    ///
    /// # Errors
    /// If the connection ends, is silent for too long or brings no events.
    pub fn record(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            while let Some(Event { name, data }) = self.parser.event() {
                if name == EVENT {
                    self.last = Instant::now();
                    return Ok(Some(data));
                }
            }
            match self.answer.read(&mut self.piece) {
                Ok(0) => return Err(Failure::passing("it closed the connection")),
                Ok(length) => self
                    .parser
                    .take(&self.piece[..length])
                    .map_err(|error| Failure::lasting(format!("it sends {error}")))?,
                Err(error) => return Err(Failure::passing(cause(&error))),
            }
            // A large record may take its time, but then pieces of it come.
            let is_late = |patience| self.last.elapsed() > patience;
            if self.patience.is_some_and(is_late) && self.parser.is_between_events() {
                self.last = Instant::now();
                return Ok(None);
            }
        }
    }
}

//! HTTP as it is on the wire: a client that can say anything, and reads to the letter.
//!
//! Owns requests, answers and event streams. What is right is the trials' business.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::netmon::PATIENCE;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Answer {
    /// A header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON, which it says it is.
    pub fn json(&self) -> anyhow::Result<Value> {
        ensure!(
            self.header("content-type") == "application/json",
            "{self:?}"
        );
        serde_json::from_str(&self.body).with_context(|| format!("{self:?}"))
    }

    /// Fails unless it is a refusal with this status, and with these words in its
    /// reason.
    pub fn check_refusal(&self, status: u16, words: &str) -> anyhow::Result<()> {
        ensure!(self.status == status, "not {status}: {self:?}");
        let body = self.json()?;
        let reason = body["error"].as_str().context("no reason")?;
        ensure!(reason.contains(words), "`{words}` is not in: {reason}");
        let members = body.as_object().map_or(0, serde_json::Map::len);
        ensure!(members == 1, "more than a reason: {body}");
        Ok(())
    }
}

/// Connects, with a bound on every wait.
pub fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends a request, headers as they are given besides those that end the connection,
/// and reads the answer.
pub fn ask(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> anyhow::Result<Answer> {
    let mut stream = connect(address)?;
    stream.write_all(request(method, target, headers).as_bytes())?;
    let mut reader = BufReader::new(stream);
    let (status, headers) = head(&mut reader)?;
    let mut bytes = Vec::new();
    if headers
        .get("transfer-encoding")
        .is_some_and(|it| it == "chunked")
    {
        while let Some(chunk) = chunk(&mut reader)? {
            bytes.extend(chunk);
        }
    } else {
        reader.read_to_end(&mut bytes)?;
    }
    Ok(Answer {
        status,
        headers,
        body: String::from_utf8(bytes)?,
    })
}

/// A request as anybody sends it.
pub fn get(address: SocketAddr, target: &str) -> anyhow::Result<Answer> {
    ask(address, "GET", target, &[("Host", &address.to_string())])
}

/// A request's bytes.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

/// An answer's status and headers, whose names are in lower case.
pub fn head(reader: &mut impl BufRead) -> anyhow::Result<(u16, HashMap<String, String>)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .with_context(|| format!("no answer: {line:?}"))?;
    let status = status.parse()?;
    let mut headers = HashMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            ensure!(line == "\r\n", "not a header: {line:?}");
            return Ok((status, headers));
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
}

/// The next chunk of a body; `None` at its proper end.
fn chunk(reader: &mut impl BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let length =
        usize::from_str_radix(line.trim_end(), 16).with_context(|| format!("cut off: {line:?}"))?;
    let mut bytes = vec![0; length + 2];
    reader.read_exact(&mut bytes)?;
    ensure!(bytes.ends_with(b"\r\n"), "no end of a chunk");
    bytes.truncate(length);
    Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
}

/// One event.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    pub id: u64,
    pub data: Value,
}

/// An open event stream.
pub struct Events {
    reader: BufReader<TcpStream>,
    text: String,
}

impl Events {
    /// Opens one; the answer in its place if it is refused.
    pub fn open(
        address: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Result<Events, u16>> {
        Events::over(connect(address)?, target, headers)
    }

    /// The same over a connection that is there.
    pub fn over(
        mut stream: TcpStream,
        target: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Result<Events, u16>> {
        let host = stream.peer_addr()?.to_string();
        let headers = [&[("Host", host.as_str())], headers].concat();
        stream.write_all(request("GET", target, &headers).as_bytes())?;
        let mut reader = BufReader::new(stream);
        let (status, headers) = head(&mut reader)?;
        if status != 200 {
            return Ok(Err(status));
        }
        let kind = headers.get("content-type").context("no content type")?;
        ensure!(kind == "text/event-stream", "{kind}");
        Ok(Ok(Events {
            reader,
            text: String::new(),
        }))
    }

    /// The next event, comments left out; `None` when the stream has ended in order.
    pub fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = event(block);
                self.text = rest.to_owned();
                if let Some(event) = event? {
                    return Ok(Some(event));
                }
            }
            let Some(bytes) = chunk(&mut self.reader)? else {
                ensure!(self.text.is_empty(), "half an event: {}", self.text);
                return Ok(None);
            };
            self.text.push_str(std::str::from_utf8(&bytes)?);
        }
    }
}

fn event(block: &str) -> anyhow::Result<Option<Event>> {
    if block.lines().all(|line| line.starts_with(':')) {
        return Ok(None);
    }
    let field = |name: &str| {
        let prefix = format!("{name}: ");
        let mut lines = block.lines().filter_map(|line| line.strip_prefix(&prefix));
        lines.next().with_context(|| format!("no {name}: {block}"))
    };
    Ok(Some(Event {
        name: field("event")?.to_owned(),
        id: field("id")?.parse()?,
        data: serde_json::from_str(field("data")?)?,
    }))
}

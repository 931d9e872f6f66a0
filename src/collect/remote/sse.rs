//! Server-sent events, cut out of bytes that come in any pieces.
//!
//! Owns the format (the HTML standard, "Server-sent events": lines that end with LF,
//! CR or both, fields, comments, an empty line at the end of an event) and a bound on
//! what one event may hold. Reads from nothing.

use std::collections::VecDeque;
use std::fmt;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// What kind it is; empty where nothing is said.
    pub name: String,
    /// What it holds: its `data` lines, with LF between them.
    pub data: Vec<u8>,
}

/// An event that is longer than allowed; nothing more can be read of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event without an end")
    }
}

impl std::error::Error for TooLong {}

/// What there is of an event so far; see the module's text.
#[derive(Debug)]
pub struct Parser {
    /// The line that has no end yet.
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    /// The last byte was a CR: an LF after it ends no further line.
    after_return: bool,
    /// Nothing but a byte order mark may have come.
    at_start: bool,
    ready: VecDeque<Event>,
    /// Most bytes of an event and of a line.
    limit: usize,
}

impl Parser {
    /// A parser at the start of a stream, for events of at most `limit` bytes.
    pub fn new(limit: usize) -> Parser {
        Parser {
            line: Vec::new(),
            event: Event::default(),
            has_data: false,
            after_return: false,
            at_start: true,
            ready: VecDeque::new(),
            limit,
        }
    }

    /// Whether nothing of an event is there, whole or in part.
    pub fn is_between_events(&self) -> bool {
        self.line.is_empty() && !self.has_data && self.ready.is_empty()
    }

    /// Takes the next bytes of the stream in.
    ///
    /// # Errors
    /// If an event gets too long.
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
            let Some(end) = bytes.iter().position(is_end) else {
                return self.grow(bytes);
            };
            self.grow(&bytes[..end])?;
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.end_line()?;
        }
        Ok(())
    }

    fn grow(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + bytes.len() > self.limit {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), TooLong> {
        let mut line = std::mem::take(&mut self.line);
        let mark: &[u8] = "\u{feff}".as_bytes();
        if std::mem::take(&mut self.at_start) && line.starts_with(mark) {
            line.drain(..mark.len());
        }
        if line.is_empty() {
            self.end_event();
        } else {
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, value) = line.split_at(colon.unwrap_or(line.len()));
            let value = value.strip_prefix(b":").unwrap_or(value);
            self.field(name, value.strip_prefix(b" ").unwrap_or(value))?;
        }
        // Its memory serves the next line.
        line.clear();
        self.line = line;
        Ok(())
    }

    /// A field of the event; those of other names, and comments, which have none,
    /// mean nothing here.
    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), TooLong> {
        match name {
            b"event" => self.event.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                let data = &mut self.event.data;
                if data.len() + value.len() + 1 > self.limit {
                    return Err(TooLong);
                }
                if std::mem::replace(&mut self.has_data, true) {
                    data.push(b'\n');
                }
                data.extend_from_slice(value);
            }
            _ => {}
        }
        Ok(())
    }

    fn end_event(&mut self) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) {
            self.ready.push_back(event);
        }
    }

    /// The next complete event.
    pub fn event(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event {
            name: name.to_owned(),
            data: data.as_bytes().to_vec(),
        }
    }

    /// The events of a stream that comes in these pieces.
    fn parsed<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
        limit: usize,
    ) -> Result<Vec<Event>, TooLong> {
        let mut parser = Parser::new(limit);
        for piece in pieces {
            parser.take(piece)?;
        }
        Ok(std::iter::from_fn(|| parser.event()).collect())
    }

    #[test]
    fn fields_comments_and_ends_of_lines() {
        let stream = "\u{feff}: hello\n\nevent: record\nid: 7\ndata: {\"a\":1}\n\n\
                      :\r\n\r\nevent:record\rdata:one\rdata:  two\rdata\r\r\
                      data: x\r\nretry: 10\r\nnonsense\r\n\r\nevent: without\n\ndata: unfinished\n";
        let events = parsed([stream.as_bytes()], 100).unwrap();
        assert_eq!(
            events,
            [
                event("record", "{\"a\":1}"),
                event("record", "one\n two\n"),
                event("", "x"),
            ]
        );
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_kept() {
        let long = format!("data: {}", "x".repeat(60));
        assert_eq!(parsed([long.as_bytes()], 50), Err(TooLong));
        let lines = "data: xxxxxxxxx\n".repeat(10);
        assert_eq!(parsed([lines.as_bytes()], 50), Err(TooLong));
        // Without an end, however small the pieces are.
        let mut parser = Parser::new(50);
        let refused = (0..51).any(|_| parser.take(b"y").is_err());
        assert!(refused && parser.line.len() <= 50);
        // Many small ones are not a long one.
        let many = "data: xxxxxxxxx\n\n".repeat(10);
        assert_eq!(parsed([many.as_bytes()], 50).unwrap().len(), 10);
    }

    /// Bytes in which what has a meaning is frequent.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b":".to_vec()),
            Just(b"data: ".to_vec()),
            Just(b"event:".to_vec()),
            Just("\u{feff}".as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..9),
        ];
        proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes in stream(), size in 1..20_usize, limit in 1..60_usize) {
            let whole = parsed([&bytes[..]], limit);
            prop_assert_eq!(&parsed(bytes.chunks(size), limit), &whole);
            prop_assert_eq!(&parsed(bytes.chunks(1), limit), &whole);
        }

        #[test]
        fn nothing_longer_than_the_limit_is_kept(bytes in stream(), limit in 1..60_usize) {
            let mut parser = Parser::new(limit);
            for byte in &bytes {
                if parser.take(std::slice::from_ref(byte)).is_err() {
                    break;
                }
                prop_assert!(parser.line.len() <= limit && parser.event.data.len() <= limit);
            }
            while let Some(event) = parser.event() {
                prop_assert!(event.data.len() <= limit);
            }
        }

        #[test]
        fn what_was_written_is_read(
            sent in proptest::collection::vec(("[a-z]{0,8}", "[ -~]{0,30}(\n[ -~]{0,30}){0,3}"), 0..8),
        ) {
            let mut stream = String::new();
            for (name, data) in &sent {
                if !name.is_empty() {
                    stream += &format!("event: {name}\n");
                }
                for line in data.split('\n') {
                    stream += &format!("data: {line}\n");
                }
                stream += "\n: still here\n\n";
            }
            let events: Vec<Event> = sent.iter().map(|(name, data)| event(name, data)).collect();
            prop_assert_eq!(parsed([stream.as_bytes()], 1000).unwrap(), events);
        }
    }
}

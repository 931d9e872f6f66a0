//! A server of events that the test holds in its hand: it sends what and when the test
//! says, and breaks off.
//!
//! For what a real `netmon serve` does not do on demand. Owns sockets and threads only.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::Context;

use crate::event;
use crate::fixture;
use crate::session::PATIENCE;

/// The start of an answer that goes on for ever.
pub const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// One request, and the connection that it came by.
pub struct Asked {
    pub head: String,
    stream: TcpStream,
}

impl Asked {
    /// Sends these bytes.
    pub fn send(&mut self, text: &str) -> anyhow::Result<()> {
        self.stream.write_all(text.as_bytes())?;
        Ok(self.stream.flush()?)
    }

    /// Sends the small scene as event number `sequence`, in pieces that end anywhere.
    pub fn send_scene(&mut self, sequence: u64) -> anyhow::Result<()> {
        let event = event::event(&fixture::scene(sequence, false));
        let text = format!(": still here\n\nevent: record\nid: {sequence}\ndata: {event}\n\n");
        for piece in text.as_bytes().chunks(1000) {
            self.stream.write_all(piece)?;
        }
        Ok(self.stream.flush()?)
    }
}

/// A listening server.
pub struct Fake {
    pub port: u16,
    asked: Receiver<Asked>,
}

impl Fake {
    /// Listens on a port of the kernel's choice for as long as the test runs.
    pub fn start() -> anyhow::Result<Fake> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (sender, asked) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Ok(from) = stream.try_clone() else {
                    return;
                };
                let lines = BufReader::new(from).lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let head = head.join("\n");
                if sender.send(Asked { head, stream }).is_err() {
                    return;
                }
            }
        });
        Ok(Fake { port, asked })
    }

    /// Waits for the next request.
    pub fn asked(&self) -> anyhow::Result<Asked> {
        self.asked.recv_timeout(PATIENCE).context("nobody asked")
    }

    /// Waits for the next request, and begins to answer it with events.
    pub fn watched(&self) -> anyhow::Result<Asked> {
        let mut asked = self.asked()?;
        asked.send(EVENTS)?;
        Ok(asked)
    }
}

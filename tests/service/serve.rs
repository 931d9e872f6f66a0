//! A `netmon serve` of a test's own, its log line by line, and the socket of a service
//! manager that it tells.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::netmon::{BINARY, Live, PATIENCE, Scratch};

/// The shell line that starts `serve` with its log on standard output, where lines are
/// read one by one.
const LINE: &str = r#"exec "$NETMON" serve --listen 127.0.0.1:0 "$@" 2>&1"#;
/// The same under the journal, as far as `serve` can see.
const IN_JOURNAL: &str = r#"exec 2>&1
export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/2)
exec "$NETMON" serve --listen 127.0.0.1:0 --no-history "$@""#;

fn shell(line: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", line, "sh"])
        .args(arguments)
        .env("NETMON", BINARY)
        .env("NETMON_CONFIG", "none")
        .env_remove("RUST_LOG");
    command
}

/// `serve` on a port that the kernel gives, without a history.
pub fn serve(arguments: &[&str]) -> Command {
    shell(LINE, &[&["--no-history"], arguments].concat())
}

/// The same with a history, whose file the arguments must name.
pub fn serve_with_history(arguments: &[&str]) -> Command {
    shell(LINE, arguments)
}

/// The same with the journal as its standard error.
pub fn serve_in_journal(arguments: &[&str]) -> Command {
    shell(IN_JOURNAL, arguments)
}

/// Reads on to the next line that holds `words`.
pub fn line_with(live: &mut Live, words: &str) -> anyhow::Result<String> {
    loop {
        let line = live
            .line()
            .with_context(|| format!("waiting for {words}"))?;
        if line.contains(words) {
            return Ok(line);
        }
    }
}

/// Where it serves, once it does: lines of its log before that are read.
pub fn address(live: &mut Live) -> anyhow::Result<String> {
    let line = line_with(live, "listening on http://")?;
    let address = line.split("listening on ").nth(1).context("no address")?;
    Ok(address.trim().to_owned())
}

/// The answer's status and text.
pub fn get(url: &str, token: Option<&str>) -> anyhow::Result<(u16, String)> {
    let client = reqwest::blocking::Client::builder()
        .timeout(PATIENCE)
        .build()?;
    let mut request = client.get(url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send()?;
    Ok((answer.status().as_u16(), answer.text()?))
}

/// The socket of a service manager.
pub struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    pub fn new(scratch: &Scratch) -> anyhow::Result<Manager> {
        let path = scratch.path.join("notify");
        let socket = UnixDatagram::bind(&path)?;
        Ok(Manager { socket, path })
    }

    /// `command` under this manager, whose watchdog wants to be fed within that time.
    pub fn over(&self, command: &mut Command, watchdog: Duration) {
        command
            .env("NOTIFY_SOCKET", &self.path)
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string());
    }

    /// The next word, however long it may take within reason.
    pub fn word(&self) -> anyhow::Result<String> {
        self.within(PATIENCE)?.context("not a word")
    }

    fn within(&self, time: Duration) -> anyhow::Result<Option<String>> {
        self.socket.set_read_timeout(Some(time))?;
        let mut room = [0; 4096];
        match self.socket.recv(&mut room) {
            Ok(length) => Ok(Some(String::from_utf8(room[..length].to_vec())?)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads on to the next word for which that holds; those before it come too.
    pub fn until(&self, holds: impl Fn(&str) -> bool) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        let mut words = Vec::new();
        loop {
            let word = self.word().with_context(|| format!("after {words:?}"))?;
            let is_it = holds(&word);
            words.push(word);
            if is_it {
                return Ok(words);
            }
            ensure!(Instant::now() < deadline, "never among {words:?}");
        }
    }
}

//! A netmon on a terminal: waits for what it shows, and checks what it leaves.
//!
//! Every wait is bounded, and a failed one says what was on the screen.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{self, Signal};
use nix::sys::termios::Termios;
use nix::unistd::Pid;

use crate::attached::Held;
use crate::pty::{Pty, Size};

/// Longest wait for anything that a loaded machine may delay.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Time between two looks at the screen.
const LOOK: Duration = Duration::from_millis(5);

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_netmon");

/// The sizes that tests use when the size is not what they are about.
pub const WIDE: Size = (160, 40);

/// A program on a terminal; killed and reaped when dropped.
pub struct Session {
    pub pty: Pty,
    child: Child,
    started: Instant,
    before: Termios,
}

/// A netmon command in a UTF-8 terminal with colours, with room for the flows of a
/// machine that runs other things, too.
pub fn netmon(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).args(["--max-flows", "131072"]);
    ordinary(&mut command);
    command
}

/// Gives a command the environment of a UTF-8 terminal with colours.
pub fn ordinary(command: &mut Command) {
    command
        .env("TERM", "xterm-256color")
        .env("LC_ALL", "C.UTF-8")
        .env("NETMON_CONFIG", "none")
        .env_remove("NO_COLOR");
}

impl Session {
    /// Starts netmon with these arguments.
    pub fn start(size: Size, arguments: &[&str]) -> anyhow::Result<Session> {
        Session::run(size, netmon(arguments))
    }

    /// Starts any command. Its stderr is the terminal, too.
    pub fn run(size: Size, mut command: Command) -> anyhow::Result<Session> {
        let pty = Pty::open(size)?;
        let before = pty.settings()?;
        pty.attach(&mut command)?;
        Session::spawn(pty, before, command)
    }

    /// Starts a command with pipes in place of its stdin and stderr, for words to it
    /// and reports of it.
    pub fn run_with_pipes(size: Size, mut command: Command) -> anyhow::Result<Session> {
        let pty = Pty::open(size)?;
        let before = pty.settings()?;
        pty.attach(&mut command)?;
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        Session::spawn(pty, before, command)
    }

    fn spawn(pty: Pty, before: Termios, mut command: Command) -> anyhow::Result<Session> {
        let started = Instant::now();
        let child = command.spawn().context("starting netmon on a terminal")?;
        Ok(Session {
            pty,
            child,
            started,
            before,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Since its start.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What it holds in the kernel.
    pub fn held(&self) -> Held {
        Held::by(self.pid())
    }

    /// The screen as text.
    pub fn text(&self) -> String {
        self.pty.shown().model.screen().contents()
    }

    /// The lines of the screen.
    pub fn lines(&self) -> Vec<String> {
        let shown = self.pty.shown();
        let screen = shown.model.screen();
        let columns = screen.size().1.get();
        screen.rows(0, columns).collect()
    }

    /// The first line on the screen that holds `words`.
    pub fn line_with(&self, words: &str) -> Option<String> {
        self.lines().into_iter().find(|line| line.contains(words))
    }

    /// Waits until `seen` gives something; `what` says what that is.
    pub fn wait<T>(
        &self,
        what: &str,
        mut seen: impl FnMut(&Session) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = seen(self) {
                return Ok(found);
            }
            if Instant::now() > deadline {
                bail!("never on the screen: {what}\n{}", self.text());
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits until `text` is on the screen.
    pub fn wait_text(&self, text: &str) -> anyhow::Result<()> {
        self.wait(text, |it| it.text().contains(text).then_some(()))
    }

    /// Waits until `text` is no longer on the screen.
    pub fn wait_gone(&self, text: &str) -> anyhow::Result<()> {
        let what = format!("anything without {text}");
        self.wait(&what, |it| (!it.text().contains(text)).then_some(()))
    }

    /// Waits for a line that holds all of `words`.
    pub fn wait_line(&self, words: &[&str]) -> anyhow::Result<String> {
        let what = format!("a line with {words:?}");
        self.wait(&what, |it| {
            let mut lines = it.lines().into_iter();
            lines.find(|line| words.iter().all(|word| line.contains(word)))
        })
    }

    /// Types keys.
    pub fn send(&self, keys: &str) -> anyhow::Result<()> {
        self.pty.send(keys.as_bytes())
    }

    /// Types keys and waits until `text` is on the screen.
    pub fn type_for(&self, keys: &str, text: &str) -> anyhow::Result<()> {
        self.send(keys)?;
        self.wait_text(text)
            .with_context(|| format!("after {keys:?}"))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid())?;
        Ok(signal::kill(Pid::from_raw(pid), signal)?)
    }

    /// True while it has not ended.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end.
    pub fn end(&mut self) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("still running after {PATIENCE:?}\n{}", self.text());
            }
            thread::sleep(LOOK);
        }
    }

    /// Fails unless the terminal was taken, and is now as it was before.
    pub fn check_given_back(&self) -> anyhow::Result<()> {
        // The settings come last, after the words that the thread may still read.
        let deadline = Instant::now() + PATIENCE;
        while self.settings_differ()? || !self.is_plain() {
            ensure!(
                Instant::now() < deadline,
                "not given back; settings differ: {}, modes: {}\n{}",
                self.settings_differ()?,
                self.modes(),
                self.text()
            );
            thread::sleep(LOOK);
        }
        let shown = self.pty.shown();
        let last = |sequence: &str| {
            let bytes = sequence.as_bytes();
            let mut places = shown.bytes.windows(bytes.len()).rev();
            places
                .position(|window| window == bytes)
                .map(|from_end| shown.bytes.len() - bytes.len() - from_end)
        };
        // Alternate screen, cursor hidden, mouse: each was asked for, and the last
        // word on each takes it back.
        for (on, off) in [
            ("\x1b[?1049h", "\x1b[?1049l"),
            ("\x1b[?25l", "\x1b[?25h"),
            ("\x1b[?1000h", "\x1b[?1000l"),
            ("\x1b[?1006h", "\x1b[?1006l"),
        ] {
            let (on_at, off_at) = (last(on), last(off));
            ensure!(on_at.is_some(), "{on:?} was never said");
            ensure!(off_at > on_at, "{on:?} at {on_at:?}, {off:?} at {off_at:?}");
        }
        Ok(())
    }

    fn settings_differ(&self) -> anyhow::Result<bool> {
        Ok(self.pty.settings()? != self.before)
    }

    /// Neither alternate screen nor hidden cursor nor mouse.
    fn is_plain(&self) -> bool {
        let shown = self.pty.shown();
        let screen = shown.model.screen();
        !screen.alternate_screen()
            && !screen.hide_cursor()
            && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
    }

    /// The modes that matter, for a message.
    pub fn modes(&self) -> String {
        let shown = self.pty.shown();
        let screen = shown.model.screen();
        format!(
            "alternate {}, hidden cursor {}, mouse {:?}",
            screen.alternate_screen(),
            screen.hide_cursor(),
            screen.mouse_protocol_mode()
        )
    }

    /// Waits for its end by whatever was done; fails unless the exit code is 0, the
    /// terminal is given back and nothing is left in the kernel.
    pub fn check_ends_well(mut self, held: &Held) -> anyhow::Result<()> {
        self.check_ends()?;
        held.check_gone()
    }

    /// Waits for its end; fails unless the exit code is 0 and the terminal is given back.
    fn check_ends(&mut self) -> anyhow::Result<()> {
        let status = self.end()?;
        ensure!(status.code() == Some(0), "{status}\n{}", self.text());
        self.check_given_back()?;
        let left = self.text();
        ensure!(left.trim().is_empty(), "left on the screen: {left}");
        Ok(())
    }

    /// Quits by `q` one that has nothing in the kernel, and checks the end.
    pub fn leave(mut self) -> anyhow::Result<()> {
        let held = self.held();
        let nothing = held.programs.is_empty() && held.links.is_empty() && held.maps.is_empty();
        ensure!(nothing, "in the kernel: {held:?}");
        self.send("q")?;
        self.check_ends()
    }

    /// Quits by `q`, and checks the end.
    pub fn quit(self) -> anyhow::Result<()> {
        let held = self.held();
        self.send("q")?;
        self.check_ends_well(&held)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Both fail only for a child that was reaped before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The real binary, started, watched and ended with bounds on every wait.
//!
//! Owns the child process and its pipes. What it should have said is the
//! tests' business.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{self, SigHandler, Signal};
use nix::unistd::Pid;

use crate::attached::Held;

/// Longest wait for anything that a loaded machine may delay.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_netmon");

/// How a run ended, and what it said.
#[derive(Debug)]
pub struct Done {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Fails unless the exit code is `code`.
    pub fn check_code(&self, code: i32) -> anyhow::Result<()> {
        let (status, stderr) = (self.status, self.stderr.trim_end());
        ensure!(
            status.code() == Some(code),
            "{status} in place of code {code}; stderr: {stderr}; stdout: {}",
            self.stdout
        );
        Ok(())
    }

    /// Fails unless it ended with 0 and a silent stderr.
    pub fn check_quiet(&self) -> anyhow::Result<()> {
        self.check_code(0)?;
        ensure!(self.stderr.is_empty(), "on stderr: {}", self.stderr);
        Ok(())
    }

    /// Fails unless it ended with 1 and exactly one line on stderr that holds `words`.
    pub fn check_failure(&self, words: &[&str]) -> anyhow::Result<()> {
        self.check_code(1)?;
        let stderr = &self.stderr;
        ensure!(
            stderr.lines().count() == 1 && stderr.ends_with('\n'),
            "not one line on stderr: {stderr}"
        );
        self.check_says(words)?;
        ensure!(stderr.starts_with("netmon: "), "whose words: {stderr}");
        Ok(())
    }

    /// Fails unless stderr holds `words`.
    pub fn check_says(&self, words: &[&str]) -> anyhow::Result<()> {
        for word in words {
            ensure!(
                self.stderr.contains(word),
                "`{word}` is not in: {}",
                self.stderr
            );
        }
        Ok(())
    }
}

/// A command for the binary with these arguments.
pub fn netmon<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(BINARY);
    without_file(command.args(arguments));
    command
}

/// What a person has configured on this machine is not what is tested.
fn without_file(command: &mut Command) {
    command.env("NETMON_CONFIG", "none");
}

/// The same, with room for the flows of a machine that runs other things, too.
pub fn roomy<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = netmon(arguments);
    command.args(["--max-flows", "131072"]);
    command
}

/// A shell command line in which `$NETMON` is the binary.
pub fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]).env("NETMON", BINARY);
    command
}

/// A shell command line in a mount namespace of its own, in which it may mount.
pub fn shell_with_mounts(line: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-ec", line])
        .env("NETMON", BINARY);
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> anyhow::Result<Done> {
    Live::start(command)?.end()
}

/// What this process may have been started to ignore is not what is tested.
fn heeding_signals(command: &mut Command) {
    let heed = || {
        for signal in [Signal::SIGHUP, Signal::SIGINT] {
            // SAFETY: the default has no handler that could be called.
            unsafe { signal::signal(signal, SigHandler::SigDfl) }?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(heed) };
}

/// A running netmon whose lines are read one by one.
pub struct Live {
    child: Child,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    seen: String,
}

impl Live {
    /// Starts `command`.
    pub fn start(command: &mut Command) -> anyhow::Result<Live> {
        let mut named = command.get_envs().map(|(name, _)| name);
        if !named.any(|name| name == "NETMON_CONFIG") {
            without_file(command);
        }
        heeding_signals(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut stderr = child.stderr.take().context("no stderr")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            // What could be read is what it said.
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Live {
            child,
            lines,
            stderr: Some(stderr),
            seen: String::new(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it holds in the kernel.
    pub fn held(&self) -> Held {
        Held::by(self.pid())
    }

    /// Waits until all of its programs are attached, for a run whose first record
    /// comes late.
    pub fn attached(self) -> anyhow::Result<Live> {
        let deadline = Instant::now() + PATIENCE;
        let mut held = self.held();
        loop {
            thread::sleep(Duration::from_millis(500));
            let now = self.held();
            if now.links.len() >= 4 && now == held {
                return Ok(self);
            }
            held = now;
            ensure!(Instant::now() < deadline, "nothing attached: {held:?}");
        }
    }

    /// The next line of its output.
    pub fn line(&mut self) -> anyhow::Result<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.seen.push_str(&line);
                Ok(line)
            }
            Err(RecvTimeoutError::Timeout) => bail!("no line within {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                let done = self.finish()?;
                bail!("it ended with {}: {}", done.status, done.stderr)
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid())?;
        Ok(signal::kill(Pid::from_raw(pid), signal)?)
    }

    /// Waits for its end and returns all that it said, lines read before included.
    pub fn end(mut self) -> anyhow::Result<Done> {
        self.finish()
    }

    fn finish(&mut self) -> anyhow::Result<Done> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(
                Instant::now() < deadline,
                "still running after {PATIENCE:?}"
            );
            thread::sleep(Duration::from_millis(5));
        };
        // Whoever inherited the pipe could keep it open.
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push_str(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!("its output is still open"),
            }
        }
        let stderr = self.stderr.take().map(JoinHandle::join);
        Ok(Done {
            status,
            stdout: std::mem::take(&mut self.seen),
            stderr: stderr.and_then(Result::ok).unwrap_or_default(),
        })
    }

    /// Ends it by SIGINT, checks that it ended well and left nothing behind, and
    /// returns all that it said.
    pub fn interrupt(self) -> anyhow::Result<Done> {
        let held = self.held();
        self.signal(Signal::SIGINT)?;
        let done = self.end()?;
        done.check_quiet()?;
        held.check_gone()?;
        Ok(done)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Both fail only for a child that was reaped before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The signal that ended a run, if one did.
pub fn killed_by(status: ExitStatus) -> Option<Signal> {
    status.signal().and_then(|it| Signal::try_from(it).ok())
}

/// A directory of the test's own that everybody may read; removed when dropped.
pub struct Scratch {
    pub path: PathBuf,
}

impl Scratch {
    /// An empty directory.
    pub fn new() -> anyhow::Result<Scratch> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("netmon-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        let scratch = Scratch { path };
        fs::set_permissions(&scratch.path, Permissions::from_mode(0o755))?;
        Ok(scratch)
    }

    /// A copy of the binary under test that everybody may execute.
    pub fn binary(&self) -> anyhow::Result<PathBuf> {
        let copy = self.path.join("netmon");
        // By another process: one that this one forks meanwhile would hold it open, too,
        // and what is open for writing cannot be run.
        run(Command::new("cp").arg(BINARY).arg(&copy))?.check_code(0)?;
        fs::set_permissions(&copy, Permissions::from_mode(0o755))?;
        Ok(copy)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in the temporary directory, where it may stay.
        let _ = fs::remove_dir_all(&self.path);
    }
}

//! A pseudo terminal: its two ends, its size, its settings, and what it shows.
//!
//! Owns the descriptors and a model of the screen that a thread feeds. Knows
//! nothing of netmon.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, ensure};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};

use crate::updates::Updates;

/// Columns and rows.
pub type Size = (u16, u16);

/// What came out of the terminal.
pub struct Shown {
    /// Every byte, from the first.
    pub bytes: Vec<u8>,
    /// What a terminal would show: whole frames.
    pub model: vt100::Parser,
    updates: Updates,
}

/// The test's side of a terminal.
pub struct Pty {
    master: File,
    /// Kept open, so that the settings outlive the program.
    slave: OwnedFd,
    shown: Arc<Mutex<Shown>>,
}

fn winsize((columns, rows): Size) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn at_least_one(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN)
}

impl Pty {
    /// A terminal of this size.
    pub fn open(size: Size) -> anyhow::Result<Pty> {
        let pair = openpty(Some(&winsize(size)), None)?;
        let master = File::from(pair.master);
        let shown = Arc::new(Mutex::new(Shown {
            bytes: Vec::new(),
            model: vt100::Parser::new(at_least_one(size.1), at_least_one(size.0), 0),
            updates: Updates::default(),
        }));
        let mut reader = master.try_clone()?;
        let writer = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            // The end is an error, EIO, once nobody holds the other side.
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                let mut shown = writer.lock().unwrap_or_else(PoisonError::into_inner);
                shown.bytes.extend_from_slice(&buffer[..length]);
                let whole = shown.updates.take(&buffer[..length], Instant::now());
                shown.model.process(&whole);
            }
        });
        Ok(Pty {
            master,
            slave: pair.slave,
            shown,
        })
    }

    /// What it shows now.
    pub fn shown(&self) -> MutexGuard<'_, Shown> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let overdue = shown.updates.overdue(Instant::now());
        shown.model.process(&overdue);
        shown
    }

    /// The terminal's settings.
    pub fn settings(&self) -> anyhow::Result<Termios> {
        Ok(tcgetattr(&self.slave)?)
    }

    /// Types these bytes.
    pub fn send(&self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok((&self.master).write_all(bytes)?)
    }

    /// Changes the size, of which the kernel tells the foreground processes.
    pub fn resize(&self, size: Size) -> anyhow::Result<()> {
        let wanted = winsize(size);
        self.shown()
            .model
            .set_size(at_least_one(size.1), at_least_one(size.0));
        // SAFETY: the request reads one `winsize`, which outlives the call.
        let result = unsafe {
            libc::ioctl(
                self.master.as_raw_fd(),
                libc::TIOCSWINSZ,
                std::ptr::from_ref(&wanted),
            )
        };
        ensure!(result == 0, std::io::Error::last_os_error());
        Ok(())
    }

    /// Makes `command` run on this terminal, as the leader of a session of its own
    /// whose controlling terminal this is.
    pub fn attach(&self, command: &mut Command) -> anyhow::Result<()> {
        for stream in [Command::stdin, Command::stdout, Command::stderr] {
            let end = self.slave.try_clone().context("no second descriptor")?;
            stream(command, Stdio::from(end));
        }
        // SAFETY: between fork and exec, only two system calls are made.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                if libc::ioctl(1, libc::TIOCSCTTY, 0) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        Ok(())
    }
}

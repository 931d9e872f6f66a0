//! Ctrl-Z and `fg`: netmon as a job of something like a shell.
//!
//! The shell is the test program itself: the leader of the session, which starts
//! netmon in a group of its own, says when it stops and ends, and continues it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::{self, SigHandler, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgrp, tcsetpgrp};

use crate::attached::Held;
use crate::session::{BINARY, PATIENCE, Session, WIDE, ordinary};
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

/// The first argument that makes the test program the shell.
pub const OPTION: &str = "--job";

pub fn trials() -> Vec<Trial> {
    vec![root("job::ctrl_z_and_fg", ctrl_z_and_fg)]
}

/// The shell: runs the command in the foreground of the terminal that is its
/// stdout. Words come from stdin, reports go to stderr.
pub fn main(command: &[String]) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    let tty = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/tty")?;
    // SAFETY: ignoring a signal runs no handler. A shell must not be stopped when
    // it takes the terminal back.
    unsafe { signal::signal(Signal::SIGTTOU, SigHandler::SigIgn)? };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::from(tty.try_clone()?))
        .stderr(Stdio::from(tty.try_clone()?))
        .process_group(0);
    // SAFETY: between fork and exec, only system calls are made.
    unsafe {
        command.pre_exec(|| {
            // Still ignored here, and as it should be for the program.
            tcsetpgrp(std::io::stdout(), getpgrp())?;
            signal::signal(Signal::SIGTTOU, SigHandler::SigDfl)?;
            Ok(())
        });
    }
    let child = command.spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    eprintln!("started {pid}");
    let mut words = BufReader::new(std::io::stdin());
    loop {
        match waitpid(pid, Some(WaitPidFlag::WUNTRACED))? {
            WaitStatus::Stopped(..) => {
                tcsetpgrp(&tty, getpgrp())?;
                eprintln!("stopped");
                words.read_line(&mut String::new())?;
                tcsetpgrp(&tty, pid)?;
                signal::killpg(pid, Signal::SIGCONT)?;
            }
            WaitStatus::Exited(_, code) => {
                tcsetpgrp(&tty, getpgrp())?;
                eprintln!("exited {code}");
                return Ok(());
            }
            other => anyhow::bail!("{other:?}"),
        }
    }
}

/// The shell's reports, line by line.
fn reports(session: &mut Session) -> anyhow::Result<Receiver<String>> {
    let stderr = session.child().stderr.take().context("no reports")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

fn ctrl_z_and_fg() -> anyhow::Result<()> {
    let _traffic = Traffic::start(&Plan::endless("nmj", 500, Duration::from_millis(3)))?;
    let mut shell = Command::new(std::env::current_exe()?);
    shell.args([OPTION, BINARY, "--name", "nmj"]);
    ordinary(&mut shell);
    let mut session = Session::run_with_pipes(WIDE, shell)?;
    let reports = reports(&mut session)?;
    let report = || reports.recv_timeout(PATIENCE).context("no report");
    let started = report()?;
    let pid: u32 = started
        .strip_prefix("started ")
        .context("no pid")?
        .parse()?;
    let mut input = session.child().stdin.take().context("no stdin")?;
    session.wait_text(" nmj ")?;
    let held = Held::by(pid);

    for round in 0..3 {
        if round == 1 {
            // From elsewhere, in place of the key.
            signal::kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTSTP)?;
        } else {
            session.send("\x1a")?;
        }
        let said = report()?;
        ensure!(said == "stopped", "{said}\n{}", session.text());
        session.check_given_back()?;
        // Something else uses the terminal meanwhile.
        let mark = session.pty.shown().bytes.len();
        writeln!(input, "fg")?;
        session.wait("the screen again", |it| {
            let taken = it.modes().starts_with("alternate true, hidden cursor true");
            (taken && it.text().contains(" nmj ") && it.text().contains("q quit")).then_some(())
        })?;
        ensure!(session.pty.shown().bytes.len() > mark, "nothing was drawn");
    }
    session.type_for("?", "netmon: keys")?;
    session.send("?")?;
    session.wait_gone("netmon: keys")?;
    session.send("q")?;
    let said = report()?;
    ensure!(said == "exited 0", "{said}");
    session.check_ends_well(&held)
}

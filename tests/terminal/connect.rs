//! The screen of another machine: by a real `netmon serve` here, and by a server that
//! does what the test says.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::fake::Fake;
use crate::netmon::{self, Live, Scratch, run};
use crate::session::{BINARY, PATIENCE, Session, WIDE, ordinary};
use crate::traffic::{Plan, Traffic};
use crate::trial::{Impossible, root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        root("connect::rows_of_a_real_server", rows),
        root("connect::a_server_that_ends_and_comes_back", comes_back),
        root("connect::token", token),
        root("connect::nobody_may_watch_and_two_at_once", nobody),
        trial("connect::reconnecting_at_all_sizes", reconnecting),
        trial("connect::refusals_of_a_server", refusals),
        trial("connect::usage", usage),
        trial("connect::keys", keys),
    ]
}

/// A running `netmon serve`.
struct Serve {
    /// Killed and reaped when dropped.
    live: Live,
    port: u16,
}

impl Serve {
    /// Starts one on this port; 0 for one of the kernel's choice.
    fn start(port: u16, arguments: &[&str]) -> anyhow::Result<Serve> {
        let listen = format!("127.0.0.1:{port}");
        let mut command = netmon::roomy(["serve", "--no-history", "--listen", &listen]);
        command.args(arguments).env("RUST_LOG", "info");
        // Its log is read as its output.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "exec \"$0\" \"$@\" 2>&1"])
            .arg(command.get_program())
            .args(command.get_args());
        let mut live = Live::start(&mut shell)?;
        loop {
            let line = live.line()?;
            if let Some((_, rest)) = line.split_once("http://127.0.0.1:") {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
                let port = digits.context("no port")?.parse()?;
                return Ok(Serve { live, port });
            }
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn kill(self) -> anyhow::Result<u16> {
        self.live.signal(Signal::SIGKILL)?;
        self.live.end()?;
        Ok(self.port)
    }
}

/// The command of a watcher of `url`.
fn watcher(binary: impl AsRef<Path>, url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary.as_ref());
    command.args(["top", "--connect", url]).args(arguments);
    ordinary(&mut command);
    command
}

fn watch(url: &str, arguments: &[&str]) -> anyhow::Result<Session> {
    Session::run(WIDE, watcher(BINARY, url, arguments))
}

/// A process that has moved 7,000 bytes in each direction, and stays. Each test names
/// its own and asks for no other: what runs beside it would be on its screen, and above.
fn moved(name: &str) -> anyhow::Result<Traffic> {
    let mut traffic = Traffic::start(&Plan::udp(name, 70, 100).over_tcp())?;
    let moved = traffic.moved()?;
    ensure!(moved[..2] == [7000, 7000], "{moved:?}");
    Ok(traffic)
}

/// Waits for the row of such a process: 14,000 bytes.
fn wait_row(session: &Session, name: &str, traffic: &Traffic) -> anyhow::Result<()> {
    let pid = traffic.pid().to_string();
    session.wait_line(&[&pid, name, "13.7 KiB"]).map(drop)
}

fn rows() -> anyhow::Result<()> {
    let serve = Serve::start(0, &[])?;
    let session = watch(&serve.url(), &["--name", "nmc-row"])?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    session.wait_text(&format!(" netmon @ {}:{} ", host.trim(), serve.port))?;
    session.wait_text("syscall engine")?;
    let traffic = moved("nmc-row")?;
    wait_row(&session, "nmc-row", &traffic)?;
    // The filter works here, and flows and details are there.
    ensure!(!session.text().contains("serve"), "{}", session.text());
    session.type_for("2", "REMOTE")?;
    let end = format!("127.0.0.1:{}", traffic.ports.0);
    session.wait_line(&["nmc-row", "tcp", &end])?;
    session.type_for("1\r", &format!("nmc-row (pid {})", traffic.pid()))?;
    session.wait_line(&["tcp", "6.8 KiB", "in 100 operations"])?;
    session.send("q")?;
    session.leave()
}

fn comes_back() -> anyhow::Result<()> {
    let serve = Serve::start(0, &[])?;
    let session = watch(&serve.url(), &["--name", "nmc-back-"])?;
    let traffic = moved("nmc-back-stays")?;
    wait_row(&session, "nmc-back-stays", &traffic)?;
    let port = serve.kill()?;
    session.wait_line(&["RECONNECTING", "nothing since "])?;
    session.wait_text("refused")?;
    // What was known stays.
    wait_row(&session, "nmc-back-stays", &traffic)?;
    let _serve = Serve::start(port, &[])?;
    session.wait_gone("RECONNECTING")?;
    let traffic = moved("nmc-back-new")?;
    wait_row(&session, "nmc-back-new", &traffic)?;
    // The new server has not seen the other move.
    session.wait_gone("nmc-back-stays")?;
    session.leave()
}

fn token() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = |name: &str, text: &str| {
        let path = scratch.path.join(name);
        std::fs::write(&path, text)?;
        // A server takes no file that others may read.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let path = path.to_str().context("a path that is no text")?.to_owned();
        anyhow::Ok(path)
    };
    let right = file("right", "correct-horse-battery-staple\n")?;
    let wrong = file("wrong", "incorrect-horse-battery-staple")?;
    let empty = file("empty", "\n")?;
    let serve = Serve::start(0, &["--token-file", &right])?;
    let url = serve.url();
    check_refused(&url, &[], &[&url, "needs a token", "--token-file"])?;
    let words = ["does not accept that token", "--token-file"];
    let said = check_refused(&url, &["--token-file", &wrong], &words)?;
    ensure!(!said.contains("horse"), "{said}");
    check_refused(&url, &["--token-file", &empty], &["no token in it"])?;
    let missing = ["--token-file", "/nonexistent/token"];
    check_refused(&url, &missing, &["/nonexistent/token", "No such file"])?;

    let session = watch(&url, &["--token-file", &right, "--name", "nmc-token"])?;
    let traffic = moved("nmc-token")?;
    wait_row(&session, "nmc-token", &traffic)?;
    let shown = session.pty.shown().bytes.clone();
    let told = shown.windows(5).any(|window| window == b"horse");
    ensure!(!told, "the token is on the screen");
    session.leave()
}

/// Fails unless a watcher of `url` ends with 1 and one line that holds `words`, before
/// it takes the terminal; gives that line.
fn check_refused(url: &str, arguments: &[&str], words: &[&str]) -> anyhow::Result<String> {
    check_ends_refused(watch(url, arguments)?, words)
}

fn check_ends_refused(mut session: Session, words: &[&str]) -> anyhow::Result<String> {
    let status = session.end()?;
    ensure!(status.code() == Some(1), "{status}\n{}", session.text());
    session.wait_text("netmon: ")?;
    for word in words {
        // A long line goes on in the next row.
        let said = |it: &Session| it.text().replace('\n', "").contains(word).then_some(());
        session.wait(word, said)?;
    }
    let bytes = session.pty.shown().bytes.clone();
    let said = String::from_utf8_lossy(&bytes).into_owned();
    ensure!(!bytes.contains(&b'\x1b'), "the terminal was taken: {said}");
    ensure!(said.lines().count() == 1, "not one line: {said}");
    Ok(said)
}

fn nobody() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let binary = scratch.binary()?;
    let as_nobody = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.args([
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--ambient-caps=-all",
        ]);
        command
    };
    let done = run(as_nobody().arg(&binary).arg("--version"))?;
    if !done.status.success() {
        return Err(Impossible(format!("nobody cannot execute it: {}", done.stderr)).into());
    }
    let serve = Serve::start(0, &[])?;
    let start = || {
        let inner = watcher(&binary, &serve.url(), &["--name", "nmc-nobody"]);
        let mut command = as_nobody();
        command.arg(inner.get_program()).args(inner.get_args());
        ordinary(&mut command);
        Session::run(WIDE, command)
    };
    let both = [start()?, start()?];
    let traffic = moved("nmc-nobody")?;
    for session in &both {
        wait_row(session, "nmc-nobody", &traffic)?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", session.pid()))?;
        for line in ["Uid:\t65534", "CapEff:\t0000000000000000"] {
            ensure!(status.contains(line), "{line} is not in {status}");
        }
    }
    for session in both {
        session.leave()?;
    }
    Ok(())
}

fn reconnecting() -> anyhow::Result<()> {
    let fake = Fake::start()?;
    let session = watch(&format!("localhost:{}", fake.port), &[])?;
    let mut asked = fake.watched()?;
    ensure!(
        asked.head.starts_with("GET /api/events HTTP/1.1"),
        "{}",
        asked.head
    );
    session.wait_text("Waiting for the first record of localhost:")?;
    asked.send_scene(20)?;
    session.wait_text(&format!(" netmon @ web1:{} ", fake.port))?;
    session.wait_line(&["curl", "3.4 MiB/s"])?;
    session.wait_text("every 500 ms")?;
    // It breaks off in the middle of an event.
    asked.send("event: record\ndata: {\"schema\":1,")?;
    drop(asked);
    session.wait_line(&["RECONNECTING", "nothing since "])?;
    session.wait_line(&["curl", "3.4 MiB/s"])?;
    for size in [(80, 24), (40, 12), (20, 5), WIDE] {
        session.pty.resize(size)?;
        session.wait(&format!("the state at {size:?}"), |it| {
            let badge = it.line_with("RECONNECTING")?;
            let rows = it.line_with("curl")?;
            (it.lines().len() == usize::from(size.1)).then_some((badge, rows))
        })?;
    }
    // Answers that are none yet are waited out; then a server that begins at 1.
    let mut asked = fake.asked()?;
    asked.send("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")?;
    session.wait_text("not ready yet")?;
    let mut asked = fake.watched()?;
    asked.send_scene(1)?;
    session.wait_gone("RECONNECTING")?;
    session.wait_line(&["curl", "3.4 MiB/s"])?;
    // What will be the same the next time ends it.
    drop(asked);
    let mut asked = fake.asked()?;
    asked.send("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")?;
    let mut session = session;
    let status = session.end()?;
    ensure!(status.code() == Some(1), "{status}");
    session.wait_text("needs a token")?;
    session.check_given_back()
}

fn refusals() -> anyhow::Result<()> {
    let fake = Fake::start()?;
    let url = format!("http://127.0.0.1:{}", fake.port);
    let port = fake.port.to_string();
    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n";
    for (answer, word) in [
        (
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "no `netmon serve` answers there",
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "--allow-host"),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n",
            "302 Found",
        ),
        (page, "no `netmon serve` answers there"),
    ] {
        let session = watch(&url, &[])?;
        fake.asked()?.send(answer)?;
        check_ends_refused(session, &[&port, word]).with_context(|| answer.to_owned())?;
    }
    // Nobody listens there any more.
    drop(fake);
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let free = listener.local_addr()?.port();
    drop(listener);
    let url = format!("127.0.0.1:{free}");
    check_refused(&url, &[], &[&url, "Connection refused"])?;

    // Another schema is told by its number, when it comes.
    let fake = Fake::start()?;
    let mut session = watch(&format!("127.0.0.1:{}", fake.port), &[])?;
    let mut asked = fake.watched()?;
    asked.send("event: record\ndata: {\"schema\":2}\n\n")?;
    let status = session.end()?;
    ensure!(status.code() == Some(1), "{status}");
    session.wait_text("records of schema 2")?;
    session.check_given_back()
}

fn usage() -> anyhow::Result<()> {
    let here = ["--connect", "web1"];
    for (arguments, words) in [
        (&["--interval", "1s"][..], &["--interval", "--connect"][..]),
        (&["--engine", "socket"], &["--engine", "--connect"]),
        (&["--alpha", "1"], &["--alpha", "--connect"]),
        (&["--threshold", "1MB"], &["--threshold", "--connect"]),
        (&["--max-flows", "100"], &["--max-flows", "--connect"]),
        (&["--pin", "/sys/fs/bpf/x"], &["--pin", "--connect"]),
        (&["--kernel-threads"], &["--kernel-threads", "--connect"]),
        (&["--db", "x"], &["--db", "--connect"]),
        (&["--record"], &["--record", "--connect"]),
    ] {
        let done = run(netmon::netmon(here).args(arguments))?;
        done.check_code(2)?;
        done.check_says(words)?;
    }
    let done = run(&mut netmon::netmon(["--connect", "https://web1:9600"]))?;
    done.check_code(2)?;
    done.check_says(&["ssh -L 9600:127.0.0.1:9600 web1"])?;
    let mut command = netmon::netmon(here);
    run(command.stdin(Stdio::null()))?.check_failure(&["not a terminal"])
}

fn keys() -> anyhow::Result<()> {
    let fake = Fake::start()?;
    let session = watch(&format!("127.0.0.1:{}", fake.port), &[])?;
    let mut asked = fake.watched()?;
    asked.send_scene(1)?;
    session.wait_line(&["curl", "3.4 MiB/s"])?;
    session.type_for("+", "the interval is the server's")?;
    session.type_for("[", "no history here")?;
    session.type_for("/ssh\r", "/ssh")?;
    session.wait_gone("curl")?;
    session.type_for("\r", "sshd (pid 812)")?;
    session.wait_line(&["started", "1 d 1 h ago"])?;
    // A quiet server is not lost, and does not hold whoever wants to go.
    let quiet = Instant::now();
    while quiet.elapsed() < Duration::from_secs(2).min(PATIENCE) {
        ensure!(
            !session.text().contains("RECONNECTING"),
            "{}",
            session.text()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    session.send("q")?;
    session.wait_text("Enter details")?;
    session.leave()
}

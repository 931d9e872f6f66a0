//! What netmon costs the machine it runs on, as a person uses it.
//!
//! Starts the real binary on a terminal of 200x50 and prints, for an idle
//! machine and for many live TCP flows that each send every 100 ms: its CPU
//! time as a share of one core, its resident memory, how long the first row
//! took, and how long a key press takes to reach the screen (which is what a
//! late frame would delay). The screen redraws and the kernel's maps are read
//! for as long as netmon runs, which is why this path is hot.
//!
//! `--flows N` (default 10,000), `--seconds N` (default 10). Only loopback.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const GENERATOR: &str = "--generate";
const PAYLOAD: [u8; 100] = [7; 100];
const KEYS: usize = 60;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == GENERATOR) {
        generate(arguments[at + 1].parse().expect("a number"));
    }
    let quick = arguments.iter().any(|argument| argument == "--test");
    let flows = option(&arguments, "--flows", if quick { 50 } else { 10_000 });
    let seconds = option(&arguments, "--seconds", if quick { 1 } else { 10 });
    let period = Duration::from_secs(seconds);

    println!(
        "{:<34} {:>7} {:>9} {:>9} {:>22}",
        "load", "CPU", "memory", "first row", "key to screen"
    );
    measure("idle", period, 10_240);
    let generators = Generators::start(flows);
    // Both ends are on this machine: each connection is two flows.
    let room = (flows * 5 / 2).max(10_240);
    measure(&format!("{flows} connections, room for all"), period, room);
    measure(
        &format!("{flows} connections, default room"),
        period,
        10_240,
    );
    drop(generators);
}

fn option(arguments: &[String], name: &str, default: u64) -> u64 {
    arguments
        .iter()
        .position(|argument| argument == name)
        .map_or(default, |at| arguments[at + 1].parse().expect("a number"))
}

fn measure(what: &str, period: Duration, max_flows: u64) {
    let mut monitor = Monitor::start(max_flows);
    let first_row = monitor.wait_for_first_row();
    thread::sleep(Duration::from_millis(1500));
    let before = monitor.cpu_seconds();
    let start = Instant::now();
    thread::sleep(period);
    let used = monitor.cpu_seconds() - before;
    let share = used / start.elapsed().as_secs_f64();
    let memory = monitor.resident_megabytes();
    let mut delays: Vec<Duration> = (0..KEYS).map(|_| monitor.key_to_screen()).collect();
    delays.sort();
    println!(
        "{what:<34} {:>5.2} % {memory:>6.1} MB {:>6.0} ms   {:>5.1} ms (worst {:.1})",
        share * 100.0,
        first_row.as_secs_f64() * 1e3,
        delays[KEYS / 2].as_secs_f64() * 1e3,
        delays[KEYS - 1].as_secs_f64() * 1e3,
    );
}

/// netmon on a terminal of its own.
struct Monitor {
    child: Child,
    started: Instant,
    keys: fs::File,
    output: Receiver<Vec<u8>>,
}

impl Monitor {
    fn start(max_flows: u64) -> Monitor {
        let (ours, theirs) = open_terminal();
        let mut command = Command::new(env!("CARGO_BIN_EXE_netmon"));
        command
            .args(["--max-flows", &max_flows.to_string()])
            .env("NETMON_CONFIG", "none")
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .stdin(theirs.try_clone().expect("a descriptor"))
            .stdout(theirs)
            .stderr(Stdio::inherit());
        // SAFETY: setsid is async-signal-safe and touches only the child.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                Ok(())
            });
        }
        let started = Instant::now();
        let child = command.spawn().expect("netmon starts");
        let keys = fs::File::from(ours);
        let mut screen = keys.try_clone().expect("a descriptor");
        let (to, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                if to.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Monitor {
            child,
            started,
            keys,
            output,
        }
    }

    /// Talks to itself until netmon shows this process's name.
    fn wait_for_first_row(&mut self) -> Duration {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback binds");
        let address = socket.local_addr().expect("an address");
        // A loaded machine drops datagrams even on loopback.
        let patience = Duration::from_millis(20);
        socket
            .set_read_timeout(Some(patience))
            .expect("it can be set");
        let comm = fs::read_to_string("/proc/self/comm").expect("a name");
        let mut seen = Vec::new();
        while self.started.elapsed() < Duration::from_secs(20) {
            socket
                .send_to(&PAYLOAD, address)
                .expect("loopback takes it");
            let _ = socket.recv(&mut [0; 128]);
            if let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(1)) {
                seen.extend(bytes);
                if String::from_utf8_lossy(&seen).contains(comm.trim_end()) {
                    return self.started.elapsed();
                }
            }
        }
        panic!("netmon showed no row within 20 s");
    }

    /// Presses a key that changes the screen; the time until something is drawn.
    fn key_to_screen(&mut self) -> Duration {
        thread::sleep(Duration::from_millis(23));
        while self.output.try_recv().is_ok() {}
        let start = Instant::now();
        self.keys.write_all(b"u").expect("the terminal takes a key");
        self.output
            .recv_timeout(Duration::from_secs(5))
            .expect("netmon draws");
        start.elapsed()
    }

    /// CPU time of all threads; the scheduler counts it in ns (schedstat), where
    /// `/proc/PID/stat` samples it a hundred times a second.
    fn cpu_seconds(&self) -> f64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("alive");
        let nanoseconds = threads.map(|thread| {
            let path = thread.expect("a thread").path().join("schedstat");
            let text = fs::read_to_string(path).expect("the kernel keeps schedstat");
            let first = text.split_whitespace().next().expect("a number");
            first.parse::<f64>().expect("a number")
        });
        nanoseconds.sum::<f64>() / 1e9
    }

    fn resident_megabytes(&self) -> f64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("alive");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        kilobytes.expect("VmRSS").parse::<f64>().expect("a number") / 1024.0
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.keys.write_all(b"q");
        let _ = self.child.wait();
    }
}

/// Both ends of a new terminal of 200x50: ours, then the program's.
fn open_terminal() -> (OwnedFd, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let size = libc::winsize {
        ws_row: 50,
        ws_col: 200,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the two integers are written, the size is read, the rest may be null.
    let code = unsafe {
        libc::openpty(
            &mut ours,
            &mut theirs,
            std::ptr::null_mut(),
            std::ptr::null(),
            &size,
        )
    };
    assert_eq!(code, 0, "no terminal can be had");
    // The monitor must not hold our end, or it would never see it close.
    // SAFETY: a valid descriptor and a flag.
    unsafe { libc::fcntl(ours, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: openpty has just returned these two descriptors; nobody else owns them.
    unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

/// Connections of one generating process: descriptors are limited.
const FLOWS_PER_PROCESS: u64 = 5_000;

/// Processes with many connections to themselves.
struct Generators(Vec<Child>);

impl Generators {
    fn start(flows: u64) -> Generators {
        let mut generators = Generators(Vec::new());
        let mut left = flows;
        while left > 0 {
            let here = left.min(FLOWS_PER_PROCESS);
            left -= here;
            let mut child = Command::new(env::current_exe().expect("this program"))
                .args([GENERATOR, &here.to_string()])
                .stdout(Stdio::piped())
                .spawn()
                .expect("it starts");
            let mut ready = child.stdout.take().expect("piped");
            ready.read_exact(&mut [0]).expect("it connects");
            generators.0.push(child);
        }
        generators
    }
}

impl Drop for Generators {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends on each connection every 100 ms, and now and then empties the other ends.
fn generate(flows: usize) -> ! {
    let mut pairs: Vec<(TcpStream, TcpStream)> = Vec::with_capacity(flows);
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback binds");
    let there = listener.local_addr().expect("an address");
    for _ in 0..flows {
        let sender = TcpStream::connect(there).expect("loopback connects");
        sender.set_nodelay(true).expect("it can be set");
        let (receiver, _) = listener.accept().expect("loopback accepts");
        receiver.set_nonblocking(true).expect("it can be set");
        pairs.push((sender, receiver));
    }
    println!("ready");
    std::io::stdout().flush().expect("the parent reads");
    let mut buffer = [0; 4096];
    for round in 0_u64.. {
        let next = Instant::now() + Duration::from_millis(100);
        for (index, (sender, receiver)) in pairs.iter_mut().enumerate() {
            sender.write_all(&PAYLOAD).expect("it is read");
            if (round + index as u64).is_multiple_of(10) {
                let _ = receiver.read(&mut buffer);
            }
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    unreachable!("the loop has no end");
}

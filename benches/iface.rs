//! What the interface sampler costs the traffic.
//!
//! A TCP stream between two network namespaces over a veth pair, without a sampler and
//! with one at either end in each way of attaching it; then frames that a program
//! writes into a tap device. All in one alternating run; prints the median of each and
//! its ratio to the median without a sampler.
//!
//! `--rounds N` (default 15), `--mib N` (default 1024) and `--frames N` (default
//! 200,000) set its length.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;
use std::time::Instant;

use netmon::collect::xdp::{InterfaceSampler, Mode, Settings, Which};
use nix::sched::{CloneFlags, setns, unshare};

/// At which end, how, with how many flows.
type Variant = (&'static str, Option<(End, Mode, u32)>);

#[derive(Clone, Copy, PartialEq)]
enum End {
    Sender,
    Receiver,
}

const STREAMS: [Variant; 7] = [
    ("no sampler", None),
    ("receiver, auto", Some((End::Receiver, Mode::Auto, 0))),
    ("receiver, flows", Some((End::Receiver, Mode::Auto, 10_240))),
    ("receiver, generic", Some((End::Receiver, Mode::Generic, 0))),
    ("receiver, native", Some((End::Receiver, Mode::Native, 0))),
    ("sender, auto", Some((End::Sender, Mode::Auto, 0))),
    ("sender, flows", Some((End::Sender, Mode::Auto, 10_240))),
];

const TAPS: [Variant; 4] = [
    ("no sampler", None),
    ("generic", Some((End::Receiver, Mode::Generic, 0))),
    ("native", Some((End::Receiver, Mode::Native, 0))),
    ("auto", Some((End::Receiver, Mode::Auto, 0))),
];

fn option(name: &str, default: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments
        .nth(1)
        .map_or(default, |value| value.parse().expect("a number"))
}

fn main() {
    // `cargo test` and `make test` ask every bench for one quick pass.
    let quick = std::env::args().any(|argument| argument == "--test");
    let rounds = if quick { 1 } else { option("--rounds", 15) };
    let bytes = if quick { 1 } else { option("--mib", 1024) } << 20;
    let frames = if quick {
        100
    } else {
        option("--frames", 200_000)
    };

    let (near, far) = (space(), space());
    let other = format!("/proc/{}/fd/{}", std::process::id(), far.as_raw_fd());
    inside(&near, || {
        sh(&format!(
            "ip link add a0 type veth peer name b0 netns {other}
             ip address add 10.9.0.1/24 dev a0; ip link set a0 up"
        ));
    });
    inside(&far, || {
        sh("ip address add 10.9.0.2/24 dev b0; ip link set b0 up");
    });
    let mut stream = connect(&near, &far);
    let measured = alternate(&STREAMS, rounds, |variant| {
        let attached = variant.map(|(end, mode, flows)| match end {
            End::Sender => inside(&near, || sampler("a0", mode, flows)),
            End::Receiver => inside(&far, || sampler("b0", mode, flows)),
        });
        let seconds = seconds_of(&mut stream, bytes);
        drop(attached);
        bytes as f64 * 8.0 / 1e9 / seconds
    });
    print("TCP over a veth pair [Gbit/s]", &STREAMS, measured);

    let tap_space = space();
    let mut tap = inside(&tap_space, || {
        let tap = tap();
        sh("ip link set t0 up");
        tap
    });
    let measured = alternate(&TAPS, rounds, |variant| {
        let attached = variant.map(|(_, mode, _)| inside(&tap_space, || sampler("t0", mode, 0)));
        let nanoseconds = nanoseconds_of(&mut tap, frames);
        drop(attached);
        nanoseconds
    });
    print("1,000-byte frames written to a tap [ns]", &TAPS, measured);
}

/// Every variant once in each round, `rounds` times.
fn alternate(
    variants: &[Variant],
    rounds: usize,
    mut measure: impl FnMut(Option<(End, Mode, u32)>) -> f64,
) -> Vec<Vec<f64>> {
    let mut measured = vec![Vec::new(); variants.len()];
    for _ in 0..rounds {
        for ((_, variant), measured) in variants.iter().zip(&mut measured) {
            measured.push(measure(*variant));
        }
    }
    measured
}

fn print(title: &str, variants: &[Variant], measured: Vec<Vec<f64>>) {
    println!("{title}: median, ratio to no sampler");
    let medians: Vec<f64> = measured
        .into_iter()
        .map(|mut all| {
            all.sort_unstable_by(f64::total_cmp);
            all[all.len() / 2]
        })
        .collect();
    for ((name, _), median) in variants.iter().zip(&medians) {
        println!("  {name:<20} {median:>8.2} {:>6.2}", median / medians[0]);
    }
}

fn sampler(name: &str, mode: Mode, max_flows: u32) -> InterfaceSampler {
    InterfaceSampler::open(&Settings {
        interfaces: Which::Named(vec![name.to_owned()]),
        mode,
        max_flows,
    })
    .expect("a sampler")
}

fn seconds_of(stream: &mut (TcpStream, TcpStream), bytes: usize) -> f64 {
    let (from, to) = stream;
    let message = vec![b'n'; 128 * 1024];
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..bytes / message.len() {
                from.write_all(&message).expect("sent");
            }
        });
        let mut room = vec![0; 256 * 1024];
        let mut left = bytes / message.len() * message.len();
        while left > 0 {
            left -= to.read(&mut room).expect("received");
        }
    });
    start.elapsed().as_secs_f64()
}

fn nanoseconds_of(tap: &mut File, frames: usize) -> f64 {
    // UDP over IPv4, to a host that nobody is.
    let mut frame = vec![0; 1_000];
    frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 3, 0xda, 0, 0, 0, 0, 64, 17]);
    let start = Instant::now();
    for _ in 0..frames {
        tap.write_all(&frame).expect("written");
    }
    start.elapsed().as_nanos() as f64 / frames as f64
}

fn connect(near: &File, far: &File) -> (TcpStream, TcpStream) {
    let listener = inside(far, || TcpListener::bind("10.9.0.2:0").expect("a listener"));
    let address = listener.local_addr().expect("bound");
    let from = inside(near, || TcpStream::connect(address).expect("a connection"));
    let to = listener.accept().expect("a connection").0;
    (from, to)
}

/// A network namespace, as long as the file is open.
fn space() -> File {
    let open = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("run as root");
        File::open("/proc/thread-self/ns/net").expect("a namespace")
    };
    thread::spawn(open).join().expect("a namespace")
}

/// What `open` gives on a thread in that namespace.
fn inside<T: Send>(space: &File, open: impl FnOnce() -> T + Send) -> T {
    let open = || {
        setns(space, CloneFlags::CLONE_NEWNET).expect("setns");
        open()
    };
    thread::scope(|scope| scope.spawn(open).join()).expect("done")
}

fn sh(line: &str) {
    let status = Command::new("sh").args(["-ec", line]).status();
    assert!(status.expect("a shell").success(), "{line}");
}

/// A tap device `t0` of this thread's namespace, as long as the file is open.
fn tap() -> File {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open("/dev/net/tun");
    let file = file.expect("/dev/net/tun");
    // SAFETY: plain integers, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b't'.cast_signed();
    request.ifr_name[1] = b'0'.cast_signed();
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    // SAFETY: TUNSETIFF takes an ifreq, which this is.
    let code = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
    file
}

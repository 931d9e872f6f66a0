//! Who captures at the far end: threads of this program, or tcpdump.
//!
//! All have a ring of the same size. CPU time is that of the one thread or process, from
//! when it is ready until it has read everything.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use netmon::collect::capture::{BLOCK_TIMEOUT, count};
use netmon::collect::filter::{Filter, Lists};
use netmon::collect::ring::{self, Ring};
use netmon::model::census::Census;
use netmon::model::census::report::Worker;
use netmon::model::census::tally::Tally;
use netmon::model::prefix::Prefix;

use super::bare::Bare;

pub const BLOCK_SIZE: u32 = 262_144;
pub const BLOCK_COUNT: u32 = 256;
pub const FRAME_SIZE: u32 = 4096;
pub const BLOCK_TIMEOUT_MS: u32 = BLOCK_TIMEOUT.as_millis() as u32;
/// The command's default, and a group's number.
const WORKERS: u16 = 4;
const GROUP: u16 = 101;

#[derive(Clone, Copy)]
pub enum Capturer {
    None,
    Bare,
    /// Without a filter.
    Unfiltered,
    Classic,
    Bpf,
    /// As many as the command starts, whose rings share what comes.
    Several,
    /// Each flow, too.
    Flows,
    /// With a thousand networks to ignore, none of which is there.
    Listed,
    Tcpdump,
}

pub const ALL: [(&str, Capturer); 9] = [
    ("none", Capturer::None),
    ("bare ring", Capturer::Bare),
    ("netmon, one worker", Capturer::Bpf),
    ("netmon, 4 workers (default)", Capturer::Several),
    ("netmon, one worker, flows, too", Capturer::Flows),
    ("netmon, classic filter", Capturer::Classic),
    ("netmon, no filter", Capturer::Unfiltered),
    ("netmon, 1000 networks to ignore", Capturer::Listed),
    ("tcpdump -w /dev/null", Capturer::Tcpdump),
];

/// What one captured.
#[derive(Default)]
pub struct Captured {
    pub packets: usize,
    pub drops: u64,
    /// CPU time.
    pub nanoseconds: u64,
}

pub enum Running {
    Nobody,
    Threads(Vec<JoinHandle<Captured>>, Arc<AtomicBool>),
    Process(Child, BufReader<ChildStderr>, u64),
}

/// Starts a capturer and waits until it is ready; `None` if it is not installed.
pub fn start(capturer: Capturer) -> Option<Running> {
    match capturer {
        Capturer::None => return Some(Running::Nobody),
        Capturer::Tcpdump => return tcpdump(),
        _ => {}
    }
    let end = Arc::new(AtomicBool::new(false));
    let interface = nix::net::if_::if_nametoindex("far").expect("the far end");
    let threads = match capturer {
        Capturer::Bare => vec![spawn(&end, move |end, ready| {
            let mut bare = Bare::open(interface);
            let turn = |bare: &mut Bare, time| bare.turn(time);
            run(&mut bare, turn, end, ready, |bare| {
                (bare.packets, bare.drops())
            })
        })],
        _ => {
            let filter = filter(capturer, interface);
            let workers = match capturer {
                Capturer::Several => WORKERS,
                _ => 1,
            };
            let rings = open(interface, workers, filter.as_ref());
            let threads = rings.into_iter().map(|ring| {
                spawn(&end, move |end, ready| {
                    let mut netmon = Netmon::new(ring, capturer);
                    run(&mut netmon, Netmon::turn, end, ready, |netmon| {
                        let counts = netmon.ring.statistics().expect("statistics");
                        (netmon.tally.counted().packets as usize, counts.drops)
                    })
                })
            });
            threads.collect()
        }
    };
    Some(Running::Threads(threads, end))
}

/// A thread that is ready when this returns.
fn spawn(
    end: &Arc<AtomicBool>,
    work: impl FnOnce(&AtomicBool, &dyn Fn()) -> Captured + Send + 'static,
) -> JoinHandle<Captured> {
    let (ready, wait) = channel();
    let end = Arc::clone(end);
    let thread = thread::Builder::new().name("capturer".to_owned());
    let work = move || work(&end, &|| ready.send(()).expect("a listener"));
    let thread = thread.spawn(work).expect("a thread");
    wait.recv().expect("a capturer that is ready");
    thread
}

/// Turns until it is told to end and nothing comes any more.
fn run<T>(
    what: &mut T,
    turn: impl Fn(&mut T, i32) -> bool,
    end: &AtomicBool,
    ready: &dyn Fn(),
    result: impl FnOnce(&mut T) -> (usize, u64),
) -> Captured {
    ready();
    let start = cpu_time();
    loop {
        let ended = end.load(Ordering::Relaxed);
        if !turn(what, 3 * BLOCK_TIMEOUT_MS as i32) && ended {
            break;
        }
    }
    let nanoseconds = cpu_time() - start;
    let (packets, drops) = result(what);
    Captured {
        packets,
        drops,
        nanoseconds,
    }
}

/// CPU time of this thread in ns.
fn cpu_time() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a pointer to one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn filter(capturer: Capturer, interface: u32) -> Option<Filter> {
    let lists = |count: u32| Lists {
        ignore: (0..count)
            .map(|number| Prefix {
                address: IpAddr::from((0x0b00_0000 + (number << 8)).to_be_bytes()),
                length: 24,
            })
            .collect(),
        accept: None,
    };
    match capturer {
        Capturer::Bpf | Capturer::Several | Capturer::Flows => {
            Some(Filter::bpf(&lists(0), interface).expect("a filter"))
        }
        Capturer::Listed => Some(Filter::bpf(&lists(1000), interface).expect("a filter")),
        Capturer::Classic => Some(Filter::classic(interface)),
        _ => None,
    }
}

/// What a worker of `netmon capture` does.
struct Netmon {
    ring: Ring,
    tally: Tally,
    census: Census,
}

/// As the command opens them.
fn open(interface: u32, workers: u16, filter: Option<&Filter>) -> Vec<Ring> {
    let settings = ring::Settings {
        interface,
        block_size: BLOCK_SIZE,
        block_count: BLOCK_COUNT,
        frame_size: FRAME_SIZE,
        block_timeout: BLOCK_TIMEOUT,
    };
    let filter = filter.map_or(ring::Filter::None, Filter::for_ring);
    Ring::open_group(&settings, GROUP, workers, filter).expect("rings")
}

impl Netmon {
    fn new(ring: Ring, capturer: Capturer) -> Netmon {
        let flows = matches!(capturer, Capturer::Flows);
        Netmon {
            ring,
            tally: Tally::new(65_536, flows).expect("memory"),
            census: Census::new(65_536, flows).expect("memory"),
        }
    }

    fn turn(&mut self, milliseconds: i32) -> bool {
        let wait = Duration::from_millis(milliseconds as u64);
        let is_ready = self.ring.wait(wait).expect("an interface that is up");
        if is_ready {
            let census = &mut self.census;
            count(&mut self.ring, &mut self.tally, |tally| {
                census.absorb(tally, &mut Worker::default());
            });
            if let Some(rest) = self.ring.rest() {
                thread::sleep(rest);
            }
        }
        is_ready
    }
}

fn tcpdump() -> Option<Running> {
    let kilobytes = (BLOCK_SIZE / 1024 * BLOCK_COUNT).to_string();
    let mut command = Command::new("tcpdump");
    command.args([
        "-i",
        "far",
        "-n",
        "-Z",
        "root",
        "-w",
        "/dev/null",
        "-B",
        &kilobytes,
    ]);
    let mut child = command.stderr(Stdio::piped()).spawn().ok()?;
    let mut words = BufReader::new(child.stderr.take()?);
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        assert_ne!(
            words.read_line(&mut line).expect("its words"),
            0,
            "tcpdump ended"
        );
    }
    let before = process_time(&child);
    Some(Running::Process(child, words, before))
}

/// CPU time of a process of one thread in ns.
fn process_time(child: &Child) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/schedstat", child.id())).expect("its times");
    let first = text.split(' ').next().and_then(|text| text.parse().ok());
    first.expect("a number")
}

impl Running {
    /// Lets it read what is still there, ends it and says what it did.
    pub fn end(self) -> Captured {
        match self {
            Running::Nobody => Captured::default(),
            Running::Threads(threads, end) => {
                end.store(true, Ordering::Relaxed);
                let mut sum = Captured::default();
                for thread in threads {
                    let captured = thread.join().expect("a capturer");
                    sum.packets += captured.packets;
                    sum.drops += captured.drops;
                    sum.nanoseconds += captured.nanoseconds;
                }
                sum
            }
            Running::Process(mut child, mut words, before) => {
                let mut time = process_time(&child);
                loop {
                    // Longer than it waits for a block that is not full.
                    thread::sleep(Duration::from_millis(1200));
                    let now = process_time(&child);
                    // A few wake-ups are not work.
                    if now - time < 1_000_000 {
                        break;
                    }
                    time = now;
                }
                let nanoseconds = process_time(&child) - before;
                // SAFETY: no pointers; a child that has not been waited for.
                unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
                let mut text = String::new();
                words.read_to_string(&mut text).expect("its last words");
                child.wait().expect("its end");
                let number = |words: &str| {
                    let line = text.lines().find(|line| line.contains(words));
                    let first = line.and_then(|line| line.split(' ').next()?.parse().ok());
                    first.unwrap_or_else(|| panic!("tcpdump said {text}"))
                };
                Captured {
                    packets: number("captured"),
                    drops: number("dropped by kernel") as u64,
                    nanoseconds,
                }
            }
        }
    }
}

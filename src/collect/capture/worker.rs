//! One worker: a thread that reads its own ring into its own tally.
//!
//! Owns the loop that every packet goes through. Locks something only where it hands its
//! tally over: at a report, and where the tally is full.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::collect::clock;
use crate::collect::ring::Ring;
use crate::model::census::Census;
use crate::model::census::report::Worker;
use crate::model::census::tally::Tally;
use crate::model::packet::{ends, parse};

/// How long a worker does nothing after a wait that failed.
const NAP: Duration = Duration::from_millis(50);
/// Longest time that the kernel holds back a block that is not full. Short, so that what
/// a report says is no older; a ring without packets wakes nobody.
pub const BLOCK_TIMEOUT: Duration = Duration::from_millis(20);
/// The kernel's counters of a ring have 32 bits: they are read long before they are full.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(30);
/// Waits that may fail one after the other, as they do for a moment when an interface
/// goes down.
const FAILURES: u32 = 100;

/// What was handed over.
#[derive(Debug)]
pub struct Books {
    /// By address and by flow.
    pub census: Census,
    /// By worker: the same, so a report never has more of one than of the other.
    pub workers: Vec<Worker>,
}

/// What the workers share with the thread that reports.
#[derive(Debug)]
pub struct Shared {
    books: Mutex<Books>,
    /// How many reports were asked for.
    asked: AtomicU64,
    /// The one that is asked for is the last.
    last: AtomicBool,
    /// One for each worker, who finds a byte in it for each report.
    bells: Vec<PipeWriter>,
}

impl Shared {
    /// Nothing counted, nothing asked for; each worker hears one of the bells.
    pub fn new(census: Census, bells: Vec<PipeWriter>) -> Shared {
        Shared {
            books: Mutex::new(Books {
                census,
                workers: vec![Worker::default(); bells.len()],
            }),
            asked: AtomicU64::new(0),
            last: AtomicBool::new(false),
            bells,
        }
    }

    /// What was handed over. A panic in another thread ends the capture as soon as it is
    /// seen.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves what a worker's tally holds to the books.
    #[cold]
    fn hand_over(&self, number: usize, tally: &mut Tally) {
        let mut books = self.books();
        let Books { census, workers } = &mut *books;
        census.absorb(tally, &mut workers[number]);
    }

    /// Asks every worker to hand over, and to end after that if this is the last time.
    pub fn ask(&self, last: bool) {
        self.last.store(last, Ordering::Relaxed);
        // Release: a worker that sees the question sees whether it is the last.
        self.asked.fetch_add(1, Ordering::Release);
        for mut bell in &self.bells {
            // A worker that has ended hears nothing.
            let _ = bell.write_all(&[0]);
        }
    }
}

/// What a worker says when it has handed over.
pub struct Answer;

/// Starts worker `number`, which ends by itself only if its ring fails.
///
/// # Errors
/// If there can be no further thread.
pub fn start(
    number: usize,
    ring: Ring,
    tally: Tally,
    shared: Arc<Shared>,
    ear: PipeReader,
    answers: Sender<Answer>,
) -> Result<JoinHandle<Result<()>>> {
    thread::Builder::new()
        .name(format!("capture-{number}"))
        .spawn(move || {
            let mut at_work = AtWork {
                number,
                ring,
                tally,
                shared,
                ear,
                answers,
                drops: 0,
                freezes: 0,
                failures: 0,
            };
            at_work.run()
        })
        .context("could not start a thread; try fewer --workers")
}

/// Reads the blocks that are there into a tally; where that is full, `full` must empty it.
#[inline]
pub fn count(ring: &mut Ring, tally: &mut Tally, mut full: impl FnMut(&mut Tally)) {
    ring.drain(|frame| {
        let Some(ends) = ends(frame.protocol, frame.network) else {
            tally.count_unreadable();
            return;
        };
        let packet = || parse(frame.protocol, frame.network, frame.length - frame.link);
        while tally.count(ends, frame.length, packet).is_err() {
            full(tally);
        }
    });
}

struct AtWork {
    number: usize,
    ring: Ring,
    tally: Tally,
    shared: Arc<Shared>,
    ear: PipeReader,
    answers: Sender<Answer>,
    /// Frames that found no room in the ring, or could not be read there.
    drops: u64,
    /// Times that there was none.
    freezes: u64,
    failures: u32,
}

impl AtWork {
    fn run(&mut self) -> Result<()> {
        let mut answered = 0;
        let mut statistics = clock::now().monotonic;
        loop {
            let asked = self.shared.asked.load(Ordering::Acquire);
            if asked != answered {
                // One for each, and what is not there yet is about to come.
                let rung = asked.abs_diff(answered);
                io::copy(&mut (&self.ear).take(rung), &mut io::sink())?;
                answered = asked;
                let last = self.shared.last.load(Ordering::Relaxed);
                if last {
                    self.drain_all()?;
                } else {
                    self.drain();
                }
                self.read_statistics()?;
                self.shared.hand_over(self.number, &mut self.tally);
                // Nobody listens any more: it has ended for another reason.
                if self.answers.send(Answer).is_err() || last {
                    return Ok(());
                }
            }
            let now = clock::now().monotonic;
            let due = statistics + STATISTICS_INTERVAL;
            if now >= due {
                statistics = now;
                self.read_statistics()?;
            } else if self.wait(due - now)? {
                self.drain();
                self.rest()?;
            }
        }
    }

    /// Does nothing as long as the ring can do without, and nobody asks.
    fn rest(&self) -> Result<()> {
        if let Some(time) = self.ring.rest() {
            let mut bell = [PollFd::new(self.ear.as_fd(), PollFlags::POLLIN)];
            // Some milliseconds.
            let time = PollTimeout::from(time.as_millis() as u16);
            match poll(&mut bell, time) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("could not wait for packets"),
            }
        }
        Ok(())
    }

    /// Waits for packets. That the interface went down is told by who watches it: it may
    /// come up again, and packets with it.
    fn wait(&mut self, timeout: Duration) -> Result<bool> {
        match self.ring.wait_beside(timeout, Some(self.ear.as_fd())) {
            Ok(ready) => {
                self.failures = 0;
                Ok(ready)
            }
            Err(_) if self.failures < FAILURES => {
                self.failures += 1;
                thread::sleep(NAP.min(timeout));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the blocks that are there.
    fn drain(&mut self) {
        let (shared, number) = (&self.shared, self.number);
        count(&mut self.ring, &mut self.tally, |tally| {
            shared.hand_over(number, tally);
        });
    }

    /// Reads all that came up to now, and nothing that comes later.
    fn drain_all(&mut self) -> Result<()> {
        self.ring.close()?;
        while self.ring.wait_for_rest() {
            self.drain();
        }
        Ok(())
    }

    fn read_statistics(&mut self) -> Result<()> {
        let counts = self.ring.statistics()?;
        // A frame that the ring could not read is lost just the same.
        self.drops += counts.drops + self.ring.take_unread();
        self.freezes += counts.freezes;
        let worker = &mut self.shared.books().workers[self.number];
        worker.dropped = self.drops;
        worker.freezes = self.freezes;
        Ok(())
    }
}

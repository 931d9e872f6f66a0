//! `kill -9` in the midst of it, again and again: the file stays whole, and what was
//! flushed stays in it.

use std::thread;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::books::{Books, Moved};
use crate::daemon::{serve, terminate, wait_until_written};
use crate::netmon::{Live, Scratch, killed_by};
use crate::traffic::{Plan, Traffic};
use crate::trial::root;

/// How often it is killed. Each takes a bucket.
const ROUNDS: u32 = 4;

pub fn trials() -> Vec<Trial> {
    vec![root("nothing_that_was_flushed_is_lost_by_kill_9", kill_9)]
}

/// What is known of a process that moved bytes in some round.
struct Known {
    name: &'static str,
    pid: u32,
    /// In the history at least, and at most.
    bounds: [Moved; 2],
}

impl Known {
    fn check(&self, books: &Books) -> anyhow::Result<()> {
        let found = books.of_process(self.name, self.pid)?;
        let [least, most] = self.bounds;
        ensure!(
            (0..2).all(|at| least[at] <= found[at] && found[at] <= most[at]),
            "{} {}: {found:?}, not from {least:?} to {most:?}",
            self.name,
            self.pid
        );
        Ok(())
    }
}

fn kill_9() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path.join("history.db");
    let mut known: Vec<Known> = Vec::new();
    for round in 0..ROUNDS {
        let daemon = Live::start(&mut serve(&file))?.attached()?;
        // One that never rests, and one whose bytes are all flushed before the end.
        let endless = Plan::endless("store-endless", 1400, Duration::from_micros(200));
        let endless = Traffic::start(&endless)?;
        let mut burst = Traffic::start(&Plan::udp("store-burst", 900, 2000).over_tcp())?;
        let moved = burst.moved()?;
        let moved = [moved[0], moved[1]];
        let books = Books::open(&file)?;
        wait_until_written(&books, "store-burst", burst.pid(), moved)?;
        let flushed = books.of_process("store-endless", endless.pid())?;
        ensure!(flushed != [0; 2], "no load");

        // Right after the flush, and later: while it tidies and while it waits.
        thread::sleep(Duration::from_millis(u64::from(round) * 37));
        daemon.signal(Signal::SIGKILL)?;
        let done = daemon.end()?;
        ensure!(killed_by(done.status) == Some(Signal::SIGKILL), "{done:?}");
        let pids = (burst.pid(), endless.pid());
        burst.reap()?;
        let all = endless.end()?;
        known.push(Known {
            name: "store-burst",
            pid: pids.0,
            bounds: [moved, moved],
        });
        known.push(Known {
            name: "store-endless",
            pid: pids.1,
            bounds: [flushed, [all[0], all[1]]],
        });
        drop(books);
        let books = Books::open(&file)?;
        books.check_whole()?;
        known.iter().try_for_each(|it| it.check(&books))?;
        levels(&books)?;
    }
    // The next one goes on with it, and ends in order.
    terminate(Live::start(&mut serve(&file))?.attached()?)?;
    let books = Books::open(&file)?;
    books.check_whole()?;
    known.iter().try_for_each(|it| it.check(&books))?;
    levels(&books)
}

/// Fails unless minutes and hours hold what the finest buckets do, as far as the mark.
fn levels(books: &Books) -> anyhow::Result<()> {
    let query = |table: &str| format!("SELECT sum(tx_bytes + rx_bytes) FROM {table}");
    let mark = books.number("SELECT max(time) FROM progress WHERE level = '1m'", [])?;
    let fine = format!("{} WHERE time < {mark}", query("traffic_10s"));
    let fine = books.number(&fine, [])?;
    for table in ["traffic", "process", "remote", "total"] {
        for level in ["1m", "1h"] {
            let sum = books.number(&query(&format!("{table}_{level}")), [])?;
            ensure!(sum == fine, "{table}_{level}: {sum}, of {fine}");
        }
    }
    Ok(())
}

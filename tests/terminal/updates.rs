//! Synchronized updates: what a terminal holds back until a frame is whole.
//!
//! Owns which of the bytes may be shown yet, by the private mode 2026 that a program sets
//! before a frame and resets after it. Shows nothing itself.

use std::time::{Duration, Instant};

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::trial::trial;

const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

/// How long a terminal waits for the rest of a frame: its program may have been killed.
const LONGEST: Duration = Duration::from_secs(1);

/// Bytes that wait for the rest of their frame.
#[derive(Debug, Default)]
pub struct Updates {
    held: Vec<u8>,
    since: Option<Instant>,
}

impl Updates {
    /// Takes what has arrived `now` and gives what may be shown.
    pub fn take(&mut self, arrived: &[u8], now: Instant) -> Vec<u8> {
        self.held.extend_from_slice(arrived);
        let rest = self.held.split_off(self.whole());
        let shown = std::mem::replace(&mut self.held, rest);
        match self.held.is_empty() {
            true => self.since = None,
            false if !shown.is_empty() => self.since = Some(now),
            false => {
                self.since.get_or_insert(now);
            }
        }
        shown
    }

    /// What has waited for too long.
    pub fn overdue(&mut self, now: Instant) -> Vec<u8> {
        if self.since.is_some_and(|since| now > since + LONGEST) {
            self.since = None;
            return std::mem::take(&mut self.held);
        }
        Vec::new()
    }

    /// Bytes before a frame that is not whole, or before what may begin one.
    fn whole(&self) -> usize {
        let find = |from: usize, words: &[u8]| {
            let mut places = self.held[from..].windows(words.len());
            Some(from + places.position(|place| place == words)?)
        };
        let mut at = 0;
        while let Some(begin) = find(at, BEGIN) {
            match find(begin, END) {
                Some(end) => at = end + END.len(),
                None => return begin,
            }
        }
        let mut parts = (1..BEGIN.len()).rev();
        let part = parts.find(|length| self.held.ends_with(&BEGIN[..*length]));
        self.held.len() - part.unwrap_or(0)
    }
}

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "updates::whole_frames_however_they_arrive",
        whole_frames,
    )]
}

/// Cut in two anywhere, and byte by byte: what is shown never ends inside a frame.
fn whole_frames() -> anyhow::Result<()> {
    let stream =
        b"before\x1b[?25l\x1b[?2026hone\x1b[?2026l\x1b[1m\x1b[?2026htwo\x1b[?2026lafter".to_vec();
    let now = Instant::now();
    let check = |pieces: &[&[u8]]| {
        let mut updates = Updates::default();
        let mut shown = Vec::new();
        for piece in pieces {
            shown.extend(updates.take(piece, now));
            let count = |words| shown.windows(BEGIN.len()).filter(|it| *it == words).count();
            ensure!(count(BEGIN) == count(END), "cut in a frame: {shown:?}");
        }
        ensure!(shown == stream, "{shown:?}");
        ensure!(updates.overdue(now + 2 * LONGEST).is_empty());
        anyhow::Ok(())
    };
    for at in 0..=stream.len() {
        let (one, two) = stream.split_at(at);
        check(&[one, two])?;
    }
    check(&stream.chunks(1).collect::<Vec<_>>())?;
    // The rest of a frame that never ends is shown at last, and not before.
    let mut updates = Updates::default();
    ensure!(updates.take(b"\x1b[?2026hcut", now).is_empty());
    ensure!(updates.overdue(now + LONGEST).is_empty());
    ensure!(updates.overdue(now + 2 * LONGEST) == b"\x1b[?2026hcut");
    Ok(())
}

//! The same questions answered the naive way: every fact, one by one.

use std::collections::BTreeMap;

use netmon::sink::history::answer::{Moved, Stored, Top, TopRow, Who};
use netmon::sink::history::ask::{By, Whose, Window, text};

use crate::stored::{Fact, PROTOCOLS, World, down, up};

impl World {
    /// Length of the finest buckets that are there at a time.
    pub fn finest_at(&self, time: i64) -> i64 {
        if time >= self.cut_10s {
            10
        } else if time >= self.cut_1m {
            60
        } else {
            3600
        }
    }

    /// The window as it can be answered.
    pub fn widened(&self, window: Window, whose: &Whose) -> Window {
        if whose.pid.is_some() {
            let until = up(window.until, 10);
            let since = down(window.since, 10).max(self.cut_10s).min(until);
            return Window { since, until };
        }
        Window {
            since: down(window.since, self.finest_at(window.since)),
            until: up(window.until, self.finest_at(window.until - 1)),
        }
    }

    /// What of a window is stored, from the first bucket to the last, when besides the
    /// world's own facts something moved at `others`.
    pub fn stored(&self, window: Window, others: impl Iterator<Item = i64>) -> Option<Window> {
        let known = self.by_protocol();
        let known = known.iter().filter(|fact| {
            // What has neither a process nor a protocol is nowhere.
            fact.process != usize::MAX || fact.protocol > 0
        });
        let times = known.map(|fact| fact.time).chain(others);
        let bounds = times.map(|time| {
            let start = down(time, self.finest_at(time));
            (start, time + 10)
        });
        let (since, until) = bounds.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        let since = since.max(window.since);
        let until = until.min(window.until);
        (since < until).then_some(Window { since, until })
    }

    /// The facts of a question.
    pub fn facts_of(&self, window: Window, whose: &Whose, machine: bool) -> Vec<Fact> {
        let only_protocol = whose.name.is_none() && whose.remote.is_none() && whose.pid.is_none();
        let facts = match machine && only_protocol {
            // What is in no flow has no protocol and is in the sums of the others.
            true => self.by_protocol(),
            false => self.facts.clone(),
        };
        let is_it = |fact: &Fact| {
            let name = |name: &String| self.processes[fact.process][0] == name;
            let protocol = PROTOCOLS[fact.protocol];
            fact.time >= window.since
                && fact.time < window.until
                && !(machine && only_protocol && fact.protocol == 0)
                && whose.name.as_ref().is_none_or(name)
                && whose.pid.is_none_or(|pid| fact.pid == pid)
                && (whose.remote.as_ref()).is_none_or(|it| self.remotes[fact.remote] == *it)
                && whose.protocol.is_none_or(|it| it.name() == protocol)
        };
        facts.into_iter().filter(is_it).collect()
    }

    /// What a fact counts to: something that sorts as equals are to be sorted, and the key.
    pub fn key(&self, fact: &Fact, by: By) -> (usize, String) {
        match by {
            By::Process => (fact.process, self.processes[fact.process][0].to_owned()),
            By::Remote => (fact.remote, self.remotes[fact.remote].clone()),
            By::Protocol => (fact.protocol, PROTOCOLS[fact.protocol].to_owned()),
            By::User => (0, self.processes[fact.process][2].to_owned()),
            By::Unit => {
                let [_, _, _, unit, container] = self.processes[fact.process];
                (0, if unit.is_empty() { container } else { unit }.to_owned())
            }
        }
    }

    /// Who moved most.
    pub fn top(&self, window: Window, by: By, whose: &Whose, limit: usize) -> Top {
        let window = self.widened(window, whose);
        let mut sums: BTreeMap<(usize, String), Moved> = BTreeMap::new();
        let mut total = Moved::default();
        for fact in self.facts_of(window, whose, by == By::Protocol) {
            add(sums.entry(self.key(&fact, by)).or_default(), &fact);
            add(&mut total, &fact);
        }
        let mut rows: Vec<_> = sums.into_iter().collect();
        rows.sort_by_key(|(_, moved)| std::cmp::Reverse(bytes(*moved)));
        let mut other = Moved::default();
        for (_, moved) in rows.iter().skip(limit) {
            other.tx_bytes += moved.tx_bytes;
            other.rx_bytes += moved.rx_bytes;
        }
        let whole = bytes(total).max(1) as f64;
        let row = |((at, key), moved): ((usize, String), Moved)| TopRow {
            who: (by == By::Process).then(|| self.who(at)),
            key,
            moved,
            percentage: (bytes(moved) as f64 / whole * 1e4).round() / 1e2,
        };
        Top {
            since: text(window.since),
            until: text(window.until),
            by: by.name(),
            rows: rows.into_iter().take(limit).map(row).collect(),
            other,
            total,
        }
    }

    fn who(&self, at: usize) -> Who {
        let [name, executable, user, unit, container] = self.processes[at].map(ToOwned::to_owned);
        let known = |text: String| (!text.is_empty()).then_some(text);
        Who {
            name,
            executable: known(executable),
            user,
            unit: known(unit),
            container: known(container),
        }
    }
}

pub fn add(sum: &mut Moved, fact: &Fact) {
    sum.tx_bytes += fact.tx;
    sum.rx_bytes += fact.rx;
}

pub fn bytes(moved: Moved) -> u64 {
    moved.tx_bytes + moved.rx_bytes
}

/// As answers say it.
pub fn told(stored: Option<Window>) -> Option<Stored> {
    stored.map(|it| Stored {
        since: text(it.since),
        until: text(it.until),
    })
}

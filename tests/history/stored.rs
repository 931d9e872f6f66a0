//! Histories with known contents: facts in memory, and the file that a netmon which
//! counted them would have left.
//!
//! Owns how facts become rows of every level. What is asked of them is the tests' business.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, params};

/// What one process moved in ten seconds to one address by one protocol. Processes,
/// remotes and protocols are numbers of the tables below.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    pub time: i64,
    pub process: usize,
    pub remote: usize,
    pub protocol: usize,
    pub pid: u32,
    pub tx: u64,
    pub rx: u64,
}

/// Name, executable, user, unit, container.
pub type Process = [&'static str; 5];

/// A flow above the threshold.
#[derive(Debug, Clone, Copy)]
pub struct Alert {
    pub started: f64,
    pub ended: Option<f64>,
    pub process: usize,
    pub pid: u32,
    pub protocol: usize,
    pub remote: usize,
    pub port: Option<u16>,
    pub peak: f64,
}

/// All of a history.
#[derive(Debug, Clone)]
pub struct World {
    pub processes: Vec<Process>,
    /// The first is nobody.
    pub remotes: Vec<String>,
    pub facts: Vec<Fact>,
    /// Bytes that are in a protocol's sum only: time, protocol, tx.
    pub unlisted: Vec<(i64, usize, u64)>,
    pub alerts: Vec<Alert>,
    /// Buckets of ten seconds are gone before this.
    pub cut_10s: i64,
    /// The same of minutes.
    pub cut_1m: i64,
    /// What is before this is rolled up.
    pub rolled_up: i64,
}

/// By number; the first is not known.
pub const PROTOCOLS: [&str; 5] = ["", "tcp", "udp", "icmp", "sctp"];

pub fn down(time: i64, length: i64) -> i64 {
    time.div_euclid(length) * length
}

pub fn up(time: i64, length: i64) -> i64 {
    down(time + length - 1, length)
}

type Sums<K> = BTreeMap<K, (u64, u64)>;

fn sums<T, K: Ord>(
    facts: impl IntoIterator<Item = T>,
    row: impl Fn(&T) -> (K, u64, u64),
) -> Sums<K> {
    let mut sums = Sums::new();
    for fact in facts {
        let (key, tx, rx) = row(&fact);
        let sum = sums.entry(key).or_default();
        sum.0 += tx;
        sum.1 += rx;
    }
    sums
}

impl World {
    /// By protocol: the facts and what is not listed.
    pub fn by_protocol(&self) -> Vec<Fact> {
        let unlisted = self.unlisted.iter().map(|(time, protocol, tx)| Fact {
            time: *time,
            process: usize::MAX,
            remote: 0,
            protocol: *protocol,
            pid: 0,
            tx: *tx,
            rx: 0,
        });
        self.facts.iter().copied().chain(unlisted).collect()
    }

    /// Writes the file.
    pub fn write(&self, file: &Path) -> anyhow::Result<Connection> {
        let mut db = Connection::open(file)?;
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "off")?;
        db.execute_batch(include_str!("../../src/sink/history/schema.sql"))?;
        db.execute_batch(include_str!("../../src/sink/history/schema-2.sql"))?;
        db.pragma_update(None, "user_version", 2)?;
        let transaction = db.transaction()?;
        self.write_names(&transaction)?;
        for (level, length, from, until) in [
            ("10s", 10, self.cut_10s, i64::MAX),
            ("1m", 60, self.cut_1m, self.rolled_up),
            ("1h", 3600, i64::MIN, self.rolled_up),
        ] {
            self.write_level(&transaction, level, length, from, until)?;
        }
        if self.rolled_up > i64::MIN {
            for (level, time) in [("1m", self.rolled_up), ("1h", down(self.rolled_up, 3600))] {
                transaction.execute(
                    "INSERT INTO progress (level, time) VALUES (?1, ?2)",
                    params![level, time],
                )?;
            }
        }
        for (level, time) in [("10s cut", self.cut_10s), ("1m cut", self.cut_1m)] {
            if time > i64::MIN {
                transaction.execute(
                    "INSERT INTO progress (level, time) VALUES (?1, ?2)",
                    params![level, time],
                )?;
            }
        }
        for it in &self.alerts {
            transaction.execute(
                "INSERT INTO alert (started, ended, kind, process, pid, protocol, remote,
                                    remote_port, peak, threshold)
                 VALUES (?1, ?2, 'rate', ?3, ?4, ?5, ?6, ?7, ?8, 10485760)",
                params![
                    it.started,
                    it.ended,
                    it.process as i64 + 1,
                    it.pid,
                    it.protocol as i64,
                    it.remote as i64,
                    it.port,
                    it.peak,
                ],
            )?;
        }
        transaction.commit()?;
        Ok(db)
    }

    fn write_names(&self, db: &Connection) -> anyhow::Result<()> {
        for (at, [name, executable, user, unit, container]) in self.processes.iter().enumerate() {
            db.execute(
                "INSERT INTO process (id, name, executable, uid, user, unit, container)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    at as i64 + 1,
                    name,
                    executable,
                    at as i64,
                    user,
                    unit,
                    container
                ],
            )?;
        }
        for (at, address) in self.remotes.iter().enumerate() {
            db.execute(
                "INSERT OR IGNORE INTO remote (id, address) VALUES (?1, ?2)",
                params![at as i64, address],
            )?;
        }
        for (at, name) in PROTOCOLS.iter().enumerate() {
            db.execute(
                "INSERT OR IGNORE INTO protocol (id, name) VALUES (?1, ?2)",
                params![at as i64, name],
            )?;
        }
        Ok(())
    }

    fn write_level(
        &self,
        db: &Connection,
        level: &str,
        length: i64,
        from: i64,
        until: i64,
    ) -> anyhow::Result<()> {
        // A bucket is there or gone as a whole.
        let kept = |time: i64| time < until && down(time, length) >= from;
        let facts: Vec<&Fact> = self.facts.iter().filter(|it| kept(it.time)).collect();
        let insert = |table: &str, columns: &str, row: &[i64], sum: (u64, u64)| {
            let holders = (1..=row.len() + 2).map(|at| format!("?{at}"));
            let holders = holders.collect::<Vec<_>>().join(", ");
            let mut statement = db.prepare_cached(&format!(
                "INSERT INTO {table}_{level} ({columns}, tx_bytes, rx_bytes) VALUES ({holders})"
            ))?;
            let mut values = row.to_vec();
            values.extend([sum.0 as i64, sum.1 as i64]);
            statement.execute(rusqlite::params_from_iter(values))?;
            anyhow::Ok(())
        };
        let finest = level == "10s";
        let all = sums(&facts, |it| {
            let pid = if finest { i64::from(it.pid) } else { 0 };
            let key = [
                down(it.time, length),
                it.process as i64 + 1,
                it.remote as i64,
                it.protocol as i64,
                pid,
            ];
            (key, it.tx, it.rx)
        });
        for (key, sum) in all {
            match finest {
                true => insert("traffic", "time, process, remote, protocol, pid", &key, sum)?,
                false => insert("traffic", "time, process, remote, protocol", &key[..4], sum)?,
            }
        }
        let total = sums(&facts, |it| ([down(it.time, length)], it.tx, it.rx));
        for (key, sum) in total {
            insert("total", "time", &key, sum)?;
        }
        if !finest {
            let one = |column: fn(&Fact) -> i64| {
                sums(&facts, move |it| {
                    ([down(it.time, length), column(it)], it.tx, it.rx)
                })
            };
            for (key, sum) in one(|it| it.process as i64 + 1) {
                insert("process", "time, process", &key, sum)?;
            }
            for (key, sum) in one(|it| it.remote as i64) {
                insert("remote", "time, remote", &key, sum)?;
            }
        }
        let machine = self.by_protocol();
        let machine = machine.iter().filter(|it| kept(it.time) && it.protocol > 0);
        let machine = sums(machine, |it| {
            ([down(it.time, length), it.protocol as i64], it.tx, it.rx)
        });
        for (key, sum) in machine {
            insert("protocol", "time, protocol", &key, sum)?;
        }
        Ok(())
    }
}

/// Numbers that look random and are the same every time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound.unsigned_abs()) as i64
    }

    pub fn one_in(&mut self, chances: i64) -> bool {
        self.below(chances) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as i64) as usize]
    }
}

//! What is in a history, read as anybody may: by a connection of one's own.
//!
//! Owns queries and buckets to write; judges nothing.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use netmon::model::flow::{Address, Protocol};
use netmon::model::ledger::{Bucket, BucketRow};
use netmon::model::sample::Identity;
use netmon::sink::history::retention::Retention;
use netmon::sink::history::store::Store;
use rusqlite::{Connection, OpenFlags, Params};

/// Sent and received, bytes.
pub type Moved = [u64; 2];

/// Everything for good.
pub const FOREVER: Retention = Retention {
    keep_10s: Duration::from_secs(1 << 40),
    keep_1m: Duration::from_secs(1 << 40),
    keep_1h: Duration::from_secs(1 << 40),
    max_size: u64::MAX,
};

/// An open history.
pub struct Books(Connection);

impl Books {
    /// Opens a history for reading only.
    pub fn open(file: &Path) -> anyhow::Result<Books> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(file, flags);
        let connection = opened.with_context(|| format!("opening {}", file.display()))?;
        connection.busy_timeout(Duration::from_secs(10))?;
        Ok(Books(connection))
    }

    /// The first number of a query's first row; 0 for NULL.
    pub fn number(&self, query: &str, parameters: impl Params) -> anyhow::Result<i64> {
        let found: Option<i64> = self
            .0
            .query_row(query, parameters, |row| row.get(0))
            .with_context(|| query.to_owned())?;
        Ok(found.unwrap_or_default())
    }

    /// The same of a text.
    pub fn text(&self, query: &str) -> anyhow::Result<String> {
        let found = self.0.query_row(query, [], |row| row.get(0));
        found.with_context(|| query.to_owned())
    }

    /// Sums of a query's last two columns by its first, which are text.
    pub fn sums(
        &self,
        query: &str,
        parameters: impl Params,
    ) -> anyhow::Result<BTreeMap<String, Moved>> {
        let mut statement = self.0.prepare(query).with_context(|| query.to_owned())?;
        let mut rows = statement.query(parameters)?;
        let mut sums: BTreeMap<String, Moved> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let sum = sums.entry(row.get(0)?).or_default();
            sum[0] += row.get::<_, i64>(1)?.unsigned_abs();
            sum[1] += row.get::<_, i64>(2)?.unsigned_abs();
        }
        Ok(sums)
    }

    /// What a process moved, in all.
    pub fn of_process(&self, name: &str, pid: u32) -> anyhow::Result<Moved> {
        let query = "SELECT name, tx_bytes, rx_bytes FROM traffic WHERE name = ?1 AND pid = ?2";
        let sums = self.sums(query, (name, pid))?;
        Ok(sums.get(name).copied().unwrap_or_default())
    }

    /// Fails unless SQLite finds the file whole.
    pub fn check_whole(&self) -> anyhow::Result<()> {
        let verdict = self.text("PRAGMA integrity_check")?;
        ensure!(verdict == "ok", "integrity_check: {verdict}");
        Ok(())
    }
}

/// A process of that name.
pub fn who(name: &str) -> Arc<Identity> {
    Arc::new(Identity {
        name: name.to_owned(),
        executable: Some(format!("/usr/bin/{name}")),
        user: "root".to_owned(),
        ..Identity::default()
    })
}

/// The n-th remote address.
pub fn remote(n: u32) -> Option<Address> {
    let address = Ipv4Addr::from_bits(0x0A00_0000 + n);
    Some(Address::Ip(address.into()))
}

/// A row of TCP.
pub fn row(identity: &Arc<Identity>, pid: u32, to: u32, moved: Moved) -> BucketRow {
    BucketRow {
        identity: Arc::clone(identity),
        pid,
        protocol: Some(Protocol::Tcp),
        remote: remote(to),
        tx_bytes: moved[0],
        rx_bytes: moved[1],
    }
}

/// A bucket of these rows, all of them TCP.
pub fn bucket(start: i64, rows: Vec<BucketRow>) -> Bucket {
    let sum = |of: fn(&BucketRow) -> u64| rows.iter().map(of).sum();
    Bucket {
        start: Duration::from_secs(start.unsigned_abs()),
        protocols: vec![(
            Protocol::Tcp,
            sum(|row| row.tx_bytes),
            sum(|row| row.rx_bytes),
        )],
        rows,
        interfaces: Vec::new(),
        alerts: Vec::new(),
    }
}

/// Tidies until there is nothing left to do.
pub fn tidy(store: &mut Store, retention: &Retention) -> anyhow::Result<()> {
    for _ in 0..100_000 {
        if !store.tidy(retention)? {
            return Ok(());
        }
    }
    anyhow::bail!("there is always more to tidy")
}

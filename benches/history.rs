//! Questions to a day of history: who moved most, how much moved when.
//!
//! Why this is hot: a dashboard asks these as often as somebody looks at it, beside the
//! monitor itself, and a day must be answered within 50 ms. The day is made here: 500
//! processes with 20 remote addresses each (five processes share theirs, so that there
//! are 2,000), and every pair moves bytes in one bucket of ten seconds of every minute.
//! So minutes and hours are as full as they can be, and the windows begin and end in the
//! middle of an hour and of a minute. What it takes to write is another bench's business.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use netmon::sink::history::ask::{By, Whose, Window};
use netmon::sink::history::reader::Reader;
use rusqlite::{Connection, Transaction, params};

/// 2026-11-20T14:37:20Z.
const NOW: i64 = 1_795_185_440;

/// How much there is of everything.
struct Scale {
    processes: i64,
    remotes: i64,
    hours: i64,
}

impl Scale {
    fn chosen() -> Scale {
        // Only whether it works, not how fast.
        let quick = std::env::args().any(|word| word == "--test");
        if quick {
            Scale {
                processes: 20,
                remotes: 4,
                hours: 2,
            }
        } else {
            Scale {
                processes: 500,
                remotes: 20,
                hours: 24,
            }
        }
    }

    fn window(&self) -> Window {
        Window {
            since: NOW - self.hours * 3600,
            until: NOW,
        }
    }
}

/// A pair of process and remote address.
#[derive(Clone, Copy)]
struct Pair {
    process: i64,
    remote: i64,
    protocol: i64,
}

/// One of its numbers.
type Column = fn(&Pair) -> i64;

/// In the order of the tables' keys.
fn pairs(scale: &Scale) -> Vec<Pair> {
    let of = |process: i64| {
        (0..scale.remotes).map(move |at| Pair {
            process: process + 1,
            remote: process / 5 * scale.remotes + at + 1,
            protocol: if at < 16 { 1 } else { 2 },
        })
    };
    (0..scale.processes).flat_map(of).collect()
}

/// Bytes that look random, sent and received.
fn bytes(minute: i64, pair: usize) -> (i64, i64) {
    let mixed = (minute as u64 * 1_000_003 + pair as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 44) as i64, (mixed >> 20 & 0xffff) as i64)
}

/// A file that is removed in the end.
struct Day {
    file: PathBuf,
}

impl Drop for Day {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            // What cannot be removed is in the temporary directory, where it may stay.
            let _ = std::fs::remove_file(format!("{}{end}", self.file.display()));
        }
    }
}

/// Sums by one column of the pairs.
fn by(pairs: &[Pair], sums: &[(i64, i64)], column: Column) -> Vec<(i64, i64, i64)> {
    let mut rows: std::collections::BTreeMap<i64, (i64, i64)> = Default::default();
    for (pair, (tx, rx)) in pairs.iter().zip(sums) {
        let sum = rows.entry(column(pair)).or_default();
        sum.0 += tx;
        sum.1 += rx;
    }
    rows.into_iter()
        .map(|(key, (tx, rx))| (key, tx, rx))
        .collect()
}

/// One bucket of a minute or an hour in all tables of its level.
fn write_bucket(
    db: &Transaction,
    level: &str,
    time: i64,
    pairs: &[Pair],
    sums: &[(i64, i64)],
) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(&format!(
        "INSERT INTO traffic_{level} (time, process, remote, protocol, tx_bytes, rx_bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
    ))?;
    for (pair, (tx, rx)) in pairs.iter().zip(sums) {
        insert.execute((time, pair.process, pair.remote, pair.protocol, tx, rx))?;
    }
    let columns: [(&str, Column); 3] = [
        ("process", |pair| pair.process),
        ("remote", |pair| pair.remote),
        ("protocol", |pair| pair.protocol),
    ];
    for (name, column) in columns {
        let mut insert = db.prepare_cached(&format!(
            "INSERT INTO {name}_{level} (time, {name}, tx_bytes, rx_bytes)
             VALUES (?1, ?2, ?3, ?4)"
        ))?;
        for (key, tx, rx) in by(pairs, sums, column) {
            insert.execute((time, key, tx, rx))?;
        }
    }
    write_total(db, level, time, sums)
}

fn write_total(
    db: &Transaction,
    level: &str,
    time: i64,
    sums: &[(i64, i64)],
) -> rusqlite::Result<()> {
    let (tx, rx) = sums
        .iter()
        .fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    let insert =
        format!("INSERT INTO total_{level} (time, tx_bytes, rx_bytes) VALUES (?1, ?2, ?3)");
    db.prepare_cached(&insert)?.execute((time, tx, rx))?;
    Ok(())
}

/// The six buckets of ten seconds of a minute.
fn write_finest(
    db: &Transaction,
    minute: i64,
    pairs: &[Pair],
    sums: &[(i64, i64)],
) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO traffic_10s (time, process, remote, protocol, pid, tx_bytes, rx_bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for turn in 0..6 {
        let time = minute * 60 + turn as i64 * 10;
        // The others' bytes are 0 here, so that they do not count in the sums.
        let mut moved = vec![(0, 0); sums.len()];
        for (at, (pair, sum)) in pairs.iter().zip(sums).enumerate() {
            if (at + minute as usize) % 6 == turn {
                let Pair {
                    process,
                    remote,
                    protocol,
                } = pair;
                let pid = 1000 + process;
                insert.execute((time, process, remote, protocol, pid, sum.0, sum.1))?;
                moved[at] = *sum;
            }
        }
        for (protocol, tx, rx) in by(pairs, &moved, |pair| pair.protocol) {
            db.prepare_cached("INSERT INTO protocol_10s VALUES (?1, ?2, ?3, ?4)")?
                .execute((time, protocol, tx, rx))?;
        }
        write_total(db, "10s", time, &moved)?;
    }
    Ok(())
}

fn write_names(db: &Connection, scale: &Scale) -> rusqlite::Result<()> {
    for id in 1..=scale.processes {
        db.execute(
            "INSERT INTO process (id, name, executable, uid, user, unit, container)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, '')",
            params![
                id,
                format!("service-{id}"),
                format!("/usr/bin/service-{id}"),
                id % 20,
                format!("user-{}", id % 20),
                format!("service-{id}.service"),
            ],
        )?;
    }
    for id in 1..=(scale.processes + 4) / 5 * scale.remotes {
        let address = format!("10.{}.{}.{}", id >> 16, id >> 8 & 255, id & 255);
        db.execute(
            "INSERT INTO remote (id, address) VALUES (?1, ?2)",
            params![id, address],
        )?;
    }
    for (id, name) in [(0, ""), (1, "tcp"), (2, "udp")] {
        db.execute(
            "INSERT OR IGNORE INTO protocol (id, name) VALUES (?1, ?2)",
            (id, name),
        )?;
    }
    Ok(())
}

/// Makes the day; says how large it is and how long it took.
fn day(scale: &Scale) -> rusqlite::Result<Day> {
    let name = format!("netmon-bench-history-{}.db", std::process::id());
    let day = Day {
        file: std::env::temp_dir().join(name),
    };
    let began = Instant::now();
    let mut db = Connection::open(&day.file)?;
    db.pragma_update(None, "journal_mode", "off")?;
    db.pragma_update(None, "synchronous", "off")?;
    db.execute_batch(include_str!("../src/sink/history/schema.sql"))?;
    db.pragma_update(None, "user_version", 1)?;
    write_names(&db, scale)?;
    let pairs = pairs(scale);
    let rolled_up = NOW / 60 - 1;
    let mut hour = vec![(0, 0); pairs.len()];
    let mut transaction = db.transaction()?;
    for minute in NOW / 60 - scale.hours * 60..=NOW / 60 {
        let sums: Vec<_> = (0..pairs.len()).map(|pair| bytes(minute, pair)).collect();
        write_finest(&transaction, minute, &pairs, &sums)?;
        if minute < rolled_up {
            write_bucket(&transaction, "1m", minute * 60, &pairs, &sums)?;
            for (all, (tx, rx)) in hour.iter_mut().zip(&sums) {
                *all = (all.0 + tx, all.1 + rx);
            }
        }
        if minute % 60 == 59 || minute == rolled_up - 1 {
            write_bucket(&transaction, "1h", minute / 60 * 3600, &pairs, &hour)?;
            hour.fill((0, 0));
            transaction.commit()?;
            transaction = db.transaction()?;
        }
    }
    for (level, time) in [("1m", rolled_up * 60), ("1h", rolled_up / 60 * 3600)] {
        let insert = "INSERT INTO progress (level, time) VALUES (?1, ?2)";
        transaction.execute(insert, params![level, time])?;
    }
    transaction.commit()?;
    describe(&db, &day.file, began.elapsed())?;
    db.pragma_update(None, "journal_mode", "wal")?;
    Ok(day)
}

fn describe(db: &Connection, file: &Path, took: Duration) -> rusqlite::Result<()> {
    let rows = |table: &str| {
        db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
            row.get::<_, i64>(0)
        })
    };
    for table in [
        "traffic_10s",
        "traffic_1m",
        "traffic_1h",
        "process_1m",
        "remote_1m",
    ] {
        eprintln!("{table}: {} rows", rows(table)?);
    }
    let size = std::fs::metadata(file).map_or(0, |file| file.len());
    eprintln!(
        "{} MiB on disk, made in {:.0} s",
        size >> 20,
        took.as_secs_f64()
    );
    Ok(())
}

fn questions(c: &mut Criterion) {
    let scale = Scale::chosen();
    let day = day(&scale).expect("room for the day in the temporary directory");
    let reader = Reader::open(&day.file).expect("a history");
    let (window, all) = (scale.window(), Whose::default());
    let whole: Duration = Duration::from_secs(60);
    let one = Whose {
        name: Some("service-7".to_owned()),
        ..Whose::default()
    };
    let peer = Whose {
        remote: Some("10.0.0.7".to_owned()),
        ..Whose::default()
    };

    let mut group = c.benchmark_group("history");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    for by in [By::Process, By::Remote, By::User, By::Protocol] {
        group.bench_function(format!("top_{}", by.name()), |b| {
            b.iter(|| black_box(reader.top(window, by, &all, 20).expect("an answer")));
        });
    }
    group.bench_function("timeline", |b| {
        b.iter(|| {
            black_box(
                reader
                    .timeline(window, whole, &all, None)
                    .expect("an answer"),
            )
        });
    });
    for by in [By::Process, By::Remote, By::User] {
        group.bench_function(format!("timeline_by_{}", by.name()), |b| {
            let by = Some((by, 8));
            b.iter(|| black_box(reader.timeline(window, whole, &all, by).expect("an answer")));
        });
    }
    for (name, whose) in [("process", &one), ("remote", &peer)] {
        group.bench_function(format!("timeline_of_one_{name}"), |b| {
            b.iter(|| {
                black_box(
                    reader
                        .timeline(window, whole, whose, None)
                        .expect("an answer"),
                )
            });
        });
    }
    group.bench_function("remotes_of_one_process", |b| {
        b.iter(|| black_box(reader.remotes(window, &one, 20).expect("an answer")));
    });
    group.bench_function("step_back", |b| {
        b.iter(|| black_box(reader.past_before(NOW - 3600).expect("an answer")));
    });
    group.finish();
}

criterion_group!(benches, questions);
criterion_main!(benches);

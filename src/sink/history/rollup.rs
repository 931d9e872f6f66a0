//! From buckets of ten seconds to minutes and hours.
//!
//! A minute is rolled up when a later bucket was written, in one transaction with the
//! mark that says so: whatever happens in between, each byte gets there once. Hours
//! grow by each of their minutes, so no step is larger than a minute.

use rusqlite::{Connection, Result, TransactionBehavior};

use super::interfaces;
use super::store::{HOUR, MINUTE, number};

/// Every table that a minute goes to, by its start; the hours are 3600 seconds, as here.
/// Nothing of the minute was there before: what comes late comes after the mark.
const STEPS: [&str; 10] = [
    "INSERT INTO traffic_1m (time, process, remote, protocol, tx_bytes, rx_bytes)
     SELECT ?1, process, remote, protocol, sum(tx_bytes), sum(rx_bytes)
     FROM traffic_10s WHERE time >= ?1 AND time < ?1 + 60
     GROUP BY process, remote, protocol",
    "INSERT INTO traffic_1h (time, process, remote, protocol, tx_bytes, rx_bytes)
     SELECT ?1 - ?1 % 3600, process, remote, protocol, tx_bytes, rx_bytes
     FROM traffic_1m WHERE time = ?1
     ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                               rx_bytes = rx_bytes + excluded.rx_bytes",
    "INSERT INTO process_1m (time, process, tx_bytes, rx_bytes)
     SELECT ?1, process, sum(tx_bytes), sum(rx_bytes)
     FROM traffic_1m WHERE time = ?1 GROUP BY process",
    "INSERT INTO process_1h (time, process, tx_bytes, rx_bytes)
     SELECT ?1 - ?1 % 3600, process, sum(tx_bytes), sum(rx_bytes)
     FROM traffic_1m WHERE time = ?1 GROUP BY process
     ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                               rx_bytes = rx_bytes + excluded.rx_bytes",
    "INSERT INTO remote_1m (time, remote, tx_bytes, rx_bytes)
     SELECT ?1, remote, sum(tx_bytes), sum(rx_bytes)
     FROM traffic_1m WHERE time = ?1 GROUP BY remote",
    "INSERT INTO remote_1h (time, remote, tx_bytes, rx_bytes)
     SELECT ?1 - ?1 % 3600, remote, tx_bytes, rx_bytes FROM remote_1m WHERE time = ?1
     ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                               rx_bytes = rx_bytes + excluded.rx_bytes",
    "INSERT INTO total_1m (time, tx_bytes, rx_bytes)
     SELECT ?1, sum(tx_bytes), sum(rx_bytes)
     FROM process_1m WHERE time = ?1 GROUP BY time",
    "INSERT INTO total_1h (time, tx_bytes, rx_bytes)
     SELECT ?1 - ?1 % 3600, tx_bytes, rx_bytes FROM total_1m WHERE time = ?1
     ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                               rx_bytes = rx_bytes + excluded.rx_bytes",
    "INSERT INTO protocol_1m (time, protocol, tx_bytes, rx_bytes)
     SELECT ?1, protocol, sum(tx_bytes), sum(rx_bytes)
     FROM protocol_10s WHERE time >= ?1 AND time < ?1 + 60 GROUP BY protocol",
    "INSERT INTO protocol_1h (time, protocol, tx_bytes, rx_bytes)
     SELECT ?1 - ?1 % 3600, protocol, tx_bytes, rx_bytes FROM protocol_1m WHERE time = ?1
     ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                               rx_bytes = rx_bytes + excluded.rx_bytes",
];

/// The time before which every minute is rolled up; `None` if none ever was.
///
/// # Errors
/// If the file cannot be read.
pub fn mark(connection: &Connection) -> Result<Option<i64>> {
    number(connection, "SELECT time FROM progress WHERE level = '1m'")
}

/// Rolls up the oldest minute that is not and that ended until `now`. True if there was
/// one.
///
/// # Errors
/// If it could not be done; nothing of the minute is rolled up then.
pub fn step(connection: &mut Connection, now: i64) -> Result<bool> {
    let Some(minute) = next(connection)?.filter(|minute| minute + MINUTE <= now) else {
        return Ok(false);
    };
    let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for statement in STEPS.into_iter().chain(interfaces::STEPS) {
        step.prepare_cached(statement)?.execute([minute])?;
    }
    let mark = minute + MINUTE;
    for (level, time) in [("1m", mark), ("1h", mark - mark.rem_euclid(HOUR))] {
        step.prepare_cached("INSERT OR REPLACE INTO progress (level, time) VALUES (?1, ?2)")?
            .execute((level, time))?;
    }
    step.commit()?;
    Ok(true)
}

/// The start of the oldest minute that has bytes and is not rolled up.
fn next(connection: &Connection) -> Result<Option<i64>> {
    let mark = mark(connection)?.unwrap_or(i64::MIN);
    let oldest: Option<i64> = connection
        .prepare_cached(
            "SELECT min(time) FROM (SELECT min(time) AS time FROM traffic_10s WHERE time >= ?1
                                    UNION ALL
                                    SELECT min(time) FROM protocol_10s WHERE time >= ?1
                                    UNION ALL
                                    SELECT min(time) FROM interface_10s WHERE time >= ?1
                                    UNION ALL
                                    SELECT min(time) FROM class_10s WHERE time >= ?1)",
        )?
        .query_row([mark], |row| row.get(0))?;
    Ok(oldest.map(|time| time - time.rem_euclid(MINUTE)))
}

//! Flows that were above the threshold.

use anyhow::Result;
use jiff::Timestamp;
use rusqlite::Row;

use super::answer::{Alert, Alerts};
use super::ask::{Whose, Window, canonical};
use super::labels::known;
use super::reader::Look;

/// Those that had begun before the window ended and not ended before it began, latest
/// first. Filters that are empty hold for all.
const ALERTS: &str = "
SELECT a.kind, a.started, a.ended, a.pid, ifnull(p.name, ''), ifnull(p.user, ''),
       ifnull(c.name, ''), ifnull(r.address, ''), a.remote_port, a.peak, a.threshold
FROM alert a
LEFT JOIN process p ON p.id = a.process
LEFT JOIN remote r ON r.id = a.remote
LEFT JOIN protocol c ON c.id = a.protocol
WHERE a.started < ?2 AND (a.ended IS NULL OR a.ended >= ?1)
  AND (?3 IS NULL OR p.name = ?3) AND (?4 IS NULL OR a.pid = ?4)
  AND (?5 IS NULL OR r.address = ?5) AND (?6 IS NULL OR c.name = ?6)
ORDER BY a.started DESC, a.id DESC LIMIT ?7";

/// Flows that were above the threshold in a window.
pub fn alerts(look: &Look, window: Window, whose: &Whose, limit: usize) -> Result<Alerts> {
    let remote = whose.remote.as_deref().map(canonical);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = look.db.prepare_cached(ALERTS)?;
    let alerts = statement.query_map(
        (
            window.since,
            window.until,
            &whose.name,
            whose.pid,
            remote,
            whose.protocol.map(|protocol| protocol.name()),
            limit,
        ),
        alert,
    )?;
    Ok(Alerts {
        since: window.since_text(),
        until: window.until_text(),
        alerts: alerts.collect::<rusqlite::Result<_>>()?,
    })
}

fn alert(row: &Row) -> rusqlite::Result<Alert> {
    Ok(Alert {
        kind: row.get(0)?,
        started: time(row.get(1)?),
        ended: row.get::<_, Option<f64>>(2)?.map(time),
        pid: row.get(3)?,
        name: row.get(4)?,
        user: row.get(5)?,
        protocol: row.get(6)?,
        remote_address: known(row.get(7)?),
        remote_port: row.get(8)?,
        peak: row.get(9)?,
        threshold: row.get(10)?,
    })
}

/// Seconds since the Unix epoch as RFC 3339 in UTC with milliseconds.
fn time(seconds: f64) -> String {
    let milliseconds = (seconds * 1e3).round() as i64;
    let time = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX);
    format!("{time:.3}")
}

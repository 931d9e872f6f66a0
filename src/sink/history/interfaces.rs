//! Interfaces in the tables: what becomes of a bucket's rows of them.
//!
//! Owns the SQL that writes them and rolls them up. When that is done is `store`'s and
//! `rollup`'s business, the answers are `wire`'s.

use rusqlite::{Connection, Result};

use super::names::{self, Names};
use super::store::{HOUR, integer};
use crate::model::interface::{Class, Count};
use crate::model::ledger::InterfaceRow;

/// What a minute goes through when it is rolled up, as `rollup::STEPS`.
pub const STEPS: [&str; 4] = [
    "INSERT INTO interface_1m (time, interface, tx_bytes, rx_bytes, tx_packets, rx_packets, peak)
     SELECT ?1, interface, sum(tx_bytes), sum(rx_bytes), sum(tx_packets), sum(rx_packets),
            max(peak)
     FROM interface_10s WHERE time >= ?1 AND time < ?1 + 60 GROUP BY interface",
    "INSERT INTO interface_1h (time, interface, tx_bytes, rx_bytes, tx_packets, rx_packets, peak)
     SELECT ?1 - ?1 % 3600, interface, tx_bytes, rx_bytes, tx_packets, rx_packets, peak
     FROM interface_1m WHERE time = ?1
     ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                               rx_bytes = rx_bytes + excluded.rx_bytes,
                               tx_packets = tx_packets + excluded.tx_packets,
                               rx_packets = rx_packets + excluded.rx_packets,
                               peak = max(peak, excluded.peak)",
    "INSERT INTO class_1m (time, interface, class, tx_bytes, rx_bytes, tx_packets, rx_packets)
     SELECT ?1, interface, class, sum(tx_bytes), sum(rx_bytes), sum(tx_packets), sum(rx_packets)
     FROM class_10s WHERE time >= ?1 AND time < ?1 + 60 GROUP BY interface, class",
    "INSERT INTO class_1h (time, interface, class, tx_bytes, rx_bytes, tx_packets, rx_packets)
     SELECT ?1 - ?1 % 3600, interface, class, tx_bytes, rx_bytes, tx_packets, rx_packets
     FROM class_1m WHERE time = ?1
     ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                               rx_bytes = rx_bytes + excluded.rx_bytes,
                               tx_packets = tx_packets + excluded.tx_packets,
                               rx_packets = rx_packets + excluded.rx_packets",
];

/// Adds a bucket's interfaces to the row of `time` of a level.
///
/// # Errors
/// If the file cannot be written.
pub fn add(
    flush: &Connection,
    names: &mut Names,
    level: &str,
    time: i64,
    rows: &[InterfaceRow],
) -> Result<()> {
    let hour = time - time.rem_euclid(HOUR);
    for row in rows {
        let interface = names.interface(flush, &row.name, hour)?;
        let [tx, rx] = [row.tx, row.rx];
        // One that nobody but a sampler counted yet is in its classes alone.
        if tx != Count::default() || rx != Count::default() {
            flush
                .prepare_cached(&format!(
                    "INSERT INTO interface_{level} (time, interface, tx_bytes, rx_bytes,
                                                    tx_packets, rx_packets, peak)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                                               rx_bytes = rx_bytes + excluded.rx_bytes,
                                               tx_packets = tx_packets + excluded.tx_packets,
                                               rx_packets = rx_packets + excluded.rx_packets,
                                               peak = max(peak, excluded.peak)"
                ))?
                .execute((
                    time,
                    interface,
                    integer(tx.bytes),
                    integer(rx.bytes),
                    integer(tx.packets),
                    integer(rx.packets),
                    integer(row.peak),
                ))?;
        }
        for (class, tx, rx) in &row.classes {
            add_class(flush, level, (time, interface), *class, [*tx, *rx])?;
        }
    }
    Ok(())
}

fn add_class(
    flush: &Connection,
    level: &str,
    (time, interface): (i64, i64),
    class: Class,
    [tx, rx]: [Count; 2],
) -> Result<()> {
    flush
        .prepare_cached(&format!(
            "INSERT INTO class_{level} (time, interface, class, tx_bytes, rx_bytes,
                                        tx_packets, rx_packets)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET tx_bytes = tx_bytes + excluded.tx_bytes,
                                       rx_bytes = rx_bytes + excluded.rx_bytes,
                                       tx_packets = tx_packets + excluded.tx_packets,
                                       rx_packets = rx_packets + excluded.rx_packets"
        ))?
        .execute((
            time,
            interface,
            names::class(class),
            integer(tx.bytes),
            integer(rx.bytes),
            integer(tx.packets),
            integer(rx.packets),
        ))?;
    Ok(())
}

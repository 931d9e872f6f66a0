//! What `netmon serve` sends of a snapshot, written by the library's own encoder.
//!
//! Owns the member that an event adds to the record. Sends nothing.

use netmon::model::filter::Filter;
use netmon::model::snapshot::Snapshot;
use netmon::sink::record::Record;
use serde_json::{Value, json};

/// The record of a snapshot.
pub fn record(snapshot: &Snapshot) -> Value {
    let record = Record::new(snapshot, &snapshot.protocols, &Filter::default());
    serde_json::to_value(record).unwrap()
}

/// The same as an event holds it.
pub fn event(snapshot: &Snapshot) -> Value {
    let mut event = record(snapshot);
    event["monitor"] = json!({
        "host": "web1",
        "version": "0.1.0",
        "engine_method": snapshot.engine.method,
        "blind_spots": snapshot.engine.blind_spots,
        "threshold": snapshot.threshold,
        "nominal_interval_seconds": snapshot.nominal_interval.as_secs_f64(),
        "books_off_bytes": snapshot.balance.discrepancy(),
    });
    event
}

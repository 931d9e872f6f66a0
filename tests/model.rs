//! The tracker as a whole, fed by a kernel made of maps in memory.
//!
//! Owns what a reader of snapshots may rely on. What one type promises alone is
//! tested beside that type; real programs and real bytes are `kernel`'s.

#[path = "model/anomalies.rs"]
mod anomalies;
#[path = "model/clock.rs"]
mod clock;
#[path = "model/coverage.rs"]
mod coverage;
#[path = "model/ended.rs"]
mod ended;
#[path = "model/flows.rs"]
mod flows;
#[path = "model/interfaces.rs"]
mod interfaces;
#[path = "model/ledger.rs"]
mod ledger;
#[path = "model/ledger_interfaces.rs"]
mod ledger_interfaces;
#[path = "model/machine.rs"]
mod machine;
#[path = "model/pressure.rs"]
mod pressure;
#[path = "model/processes.rs"]
mod processes;
#[path = "model/properties.rs"]
mod properties;
#[path = "model/rates.rs"]
mod rates;
#[path = "model/world.rs"]
mod world;

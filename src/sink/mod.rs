//! Where snapshots go besides the screen.

mod books;
pub mod census;
pub mod dashboard;
pub mod health;
pub mod history;
pub mod http;
pub mod interfaces;
pub mod metrics;
pub mod otlp;
pub mod record;
pub mod stream;

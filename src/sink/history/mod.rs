//! The past: who moved how many bytes to whom, and what interfaces moved, in buckets of
//! time, in SQLite.
//!
//! `writer` takes buckets in and `store` writes them into the tables of `schema*.sql`;
//! `ask` is a question, `reader` answers it, and `answer` is what it says. Knows nothing
//! of HTTP, terminals or how the bytes were counted.

mod alerts;
pub mod answer;
pub mod ask;
mod backlog;
mod interfaces;
mod kept;
mod labels;
mod lock;
mod merge;
mod names;
pub mod past;
mod plan;
pub mod reader;
pub mod retention;
mod rollup;
mod schema;
#[cfg(test)]
mod scratch;
mod source;
mod space;
pub mod store;
mod timeline;
mod top;
pub mod when;
mod wire;
pub mod writer;

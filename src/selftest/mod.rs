//! netmon checked against itself: traffic whose bytes are known, and what was counted.
//!
//! Owns the generator, the reader, the verdict and the rows. The command and the kernel
//! tests are two users of the same parts. Loads and reads by [`crate::sampler`]
//! alone, as the monitor does.

pub mod driver;
pub mod expect;
pub mod generator;
pub mod modules;
mod namespaces;
pub mod outcome;
pub mod rows;
pub mod scenarios;
pub mod suite;
pub mod watch;

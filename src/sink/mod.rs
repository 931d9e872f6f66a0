//! Where snapshots go besides the screen.

pub mod record;
pub mod stream;

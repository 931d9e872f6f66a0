//! Where snapshots go besides the screen.

mod books;
pub mod record;
pub mod stream;

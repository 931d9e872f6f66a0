//! stub
use crate::{feed::Feed, model::filter::Filter};
/// x
pub struct Options;
impl Options {
    /// x
    pub fn from_environment(_f: Filter) -> Options {
        Options
    }
}
/// x
pub fn run(_f: &Feed, _o: Options) -> anyhow::Result<()> {
    Ok(())
}

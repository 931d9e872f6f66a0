//! What the interface sampler can do here, tried by loading it. Attaches to nothing.

use anyhow::Result;

use super::mode;
use super::{Mode, attach, load};
use crate::collect::rtnetlink;

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// What would see packets that go out: `tcx`, `tc clsact`.
    pub egress: &'static str,
    /// Interfaces that are up, each with what would see packets that come in, and why.
    pub interfaces: Vec<(String, String)>,
}

/// Loads the programs and lets them go again.
///
/// # Errors
/// As [`InterfaceSampler::open`](super::InterfaceSampler::open).
pub fn probe() -> Result<Abilities> {
    let (programs, _) = load::load(0)?;
    let tc = if attach::has_tcx(&programs) {
        "tcx"
    } else {
        "tc clsact"
    };
    let interfaces = rtnetlink::links()?
        .into_iter()
        .filter(|(_, is_up)| *is_up)
        .map(|(link, _)| {
            let driver = attach::driver(&link.name);
            let choice = mode::choose(Mode::Auto, &link, driver.as_deref());
            let place = choice.place.xdp().unwrap_or(tc);
            (link.name.to_string(), format!("{place}: {}", choice.reason))
        })
        .collect();
    Ok(Abilities {
        egress: tc,
        interfaces,
    })
}

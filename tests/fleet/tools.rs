//! Prometheus and promtool: those on the path, else Debian's package, unpacked into the
//! target directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, ensure};

use crate::netmon::{Done, run};
use crate::trial::Impossible;

/// Where the two programs are.
#[derive(Debug, Clone)]
pub struct Tools {
    pub prometheus: PathBuf,
    pub promtool: PathBuf,
}

/// The repository.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The tools, fetched once if need be.
pub fn tools() -> anyhow::Result<Tools> {
    static TOOLS: OnceLock<Result<Tools, String>> = OnceLock::new();
    let tools = TOOLS.get_or_init(|| find().map_err(|error| format!("{error:#}")));
    tools.clone().map_err(|why| Impossible(why).into())
}

fn find() -> anyhow::Result<Tools> {
    let on_path = |name: &str| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|directory| directory.join(name))
            .find(|file| file.is_file())
    };
    if let (Some(prometheus), Some(promtool)) = (on_path("prometheus"), on_path("promtool")) {
        return Ok(Tools {
            prometheus,
            promtool,
        });
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .context("no target directory")?
        .join("prometheus");
    let fetch = Path::new(ROOT).join("tests/fleet/fetch");
    let done = run(Command::new(fetch).arg(&directory))?;
    ensure!(done.status.success(), "{}", done.stderr.trim_end());
    Ok(Tools {
        prometheus: directory.join("usr/bin/prometheus"),
        promtool: directory.join("usr/bin/promtool"),
    })
}

impl Tools {
    /// Runs promtool; fails if it does, unless `allowed` is in what it says.
    pub fn promtool(&self, arguments: &[&str]) -> anyhow::Result<Done> {
        run(Command::new(&self.promtool).args(arguments))
    }
}

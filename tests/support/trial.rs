//! Tests as trials with names: what a test needs is asked first and said by name.
//!
//! Owns how a result becomes an outcome. Runs nothing itself.

use libtest_mimic::{Completion, Failed, Trial};

/// An error that marks a test as impossible here, with the reason.
#[derive(Debug)]
pub struct Impossible(pub String);

impl std::fmt::Display for Impossible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not tested here: {}", self.0)
    }
}

impl std::error::Error for Impossible {}

/// A test that loads BPF programs and hence needs root.
pub fn root(name: &'static str, test: fn() -> anyhow::Result<()>) -> Trial {
    trial(name, move || {
        if !nix::unistd::geteuid().is_root() {
            return Err(Impossible("it needs root".to_owned()).into());
        }
        if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
            let why = "it needs a kernel with BTF (CONFIG_DEBUG_INFO_BTF)";
            return Err(Impossible(why.to_owned()).into());
        }
        test()
    })
}

/// A test that anybody can run.
pub fn trial(
    name: &'static str,
    test: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || match test() {
        Ok(()) => Ok(Completion::Completed),
        Err(error) if error.is::<Impossible>() => Ok(Completion::ignored_with(error.to_string())),
        Err(error) => Err(Failed::from(format!("{error:#}"))),
    })
}

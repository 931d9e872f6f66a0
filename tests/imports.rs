//! Imports go one way: main → run → {collect, tui, sink} → model, and beside
//! them run → selftest → sampler → collect.
//!
//! Reads the sources as text, line by line, so a name must stand where this
//! test can see it. Judges imports and the opening comment of each file, no
//! other style.

use std::fs;
use std::path::Path;

/// What has I/O, a clock, a thread or a screen, and so no place in the model.
const FOREIGN_TO_MODEL: [&str; 11] = [
    "libbpf_rs",
    "ratatui",
    "crossterm",
    "axum",
    "tokio",
    "rusqlite",
    "::now(",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
];

/// The crate's root, which lists its modules.
const ROOT: &str = include_str!("../src/lib.rs");

/// Modules that only `run` brings together.
const SIBLINGS: [&str; 3] = ["collect", "tui", "sink"];

/// Breaches in the file `path` (relative to the repository), as `file:line: what`.
fn breaches(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut report = |line: usize, what: String| found.push(format!("{path}:{line}: {what}"));
    if !text.starts_with("//!") {
        report(1, "does not begin with `//!`".to_owned());
    }
    let Some(module) = module_of(path) else {
        return found;
    };
    // The one sibling that a module beside them uses, if it uses any.
    let mut partner: Option<&str> = None;
    for (line, code) in code(text) {
        if module == "model" {
            for name in FOREIGN_TO_MODEL {
                if code.contains(name) {
                    report(line, format!("the model names `{name}`"));
                }
            }
        }
        if code.contains("crate::{") || code.contains("use crate as") {
            report(
                line,
                "`crate::` must be followed by one module's name".to_owned(),
            );
        }
        for name in modules_named(path, code) {
            let is_sibling = |name: &str| SIBLINGS.contains(&name);
            let allowed = match module {
                "main" => name == "run",
                "run" => true,
                "model" => name == "model",
                // Beside `run`: it reads as the monitor does, and shows nothing.
                "selftest" => ["selftest", "sampler", "collect", "model"].contains(&name),
                // `feed` is the slot between two threads; it knows only the model.
                _ if is_sibling(module) => [module, "model", "feed"].contains(&name),
                _ if is_sibling(name) => *partner.get_or_insert(name) == name,
                _ => !["run", "selftest"].contains(&name),
            };
            if !allowed {
                report(line, format!("`{module}` names `{name}`"));
            }
        }
    }
    found
}

/// The module right under the crate that a source file belongs to; `None` for
/// the crate's root, tests and benches.
fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let module = inside.split(['/', '.']).next()?;
    (module != "lib").then_some(module)
}

/// Lines that are not comments, numbered from 1.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Modules right under the crate that a line names by a path from the crate,
/// or by a path that climbs out of its own module. (From within an inner module
/// the same climb ends one step lower, at names that are no modules of the crate.)
fn modules_named<'a>(path: &str, code: &'a str) -> Vec<&'a str> {
    // src/tui.rs and src/tui/mod.rs are one step below the crate, src/tui/x.rs two.
    let inside = path.strip_prefix("src/").unwrap_or(path);
    let is_module = inside.ends_with("/mod.rs");
    let depth = inside.matches('/').count() + usize::from(!is_module);
    let climb = "super::".repeat(depth);
    ["crate::", "netmon::", &climb]
        .into_iter()
        .flat_map(|prefix| {
            code.match_indices(prefix)
                .map(move |(at, _)| (&code[..at], &code[at + prefix.len()..]))
        })
        .filter(|(before, _)| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .map(|(_, rest)| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            &rest[..end.unwrap_or(rest.len())]
        })
        .filter(|name| ROOT.contains(&format!("mod {name};")))
        .collect()
}

/// Every Rust file of the repository, by its path from the root.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut left: Vec<_> = ["build.rs", "src", "tests", "benches"]
        .map(|name| root.join(name))
        .into();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a readable directory");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let inside = path.strip_prefix(root).expect("a path below the root");
            let text = fs::read_to_string(&path).expect("readable text");
            files.push((inside.display().to_string(), text));
        }
    }
    files
}

#[test]
fn imports_go_one_way_and_every_file_says_what_it_owns() {
    let sources = sources();
    for part in ["src/model/", "src/collect/", "src/tui/", "src/sink/"] {
        assert!(
            sources.iter().any(|(path, _)| path.starts_with(part)),
            "{part}"
        );
    }
    let mut found: Vec<String> = sources
        .iter()
        .flat_map(|(path, text)| breaches(path, text))
        .collect();
    found.sort();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_planted_breach_is_found() {
    for (path, line) in [
        ("src/model/rate.rs", "use libbpf_rs::MapHandle;"),
        ("src/model/rate.rs", "let now = Instant::now();"),
        ("src/model/rate.rs", "use crate::feed::Feed;"),
        ("src/model/rate.rs", "use super::super::feed::Feed;"),
        ("src/model/mod.rs", "use super::feed::Feed;"),
        ("src/collect/drain.rs", "use crate::tui::view::View;"),
        (
            "src/sink/stream.rs",
            "    let view = crate::tui::view::View::new();",
        ),
        ("src/sink/stream.rs", "use netmon::collect::clock;"),
        ("src/sink/mod.rs", "pub use super::tui;"),
        ("src/tui/mod.rs", "use crate::sink::record;"),
        ("src/tui/view.rs", "use crate::run::main;"),
        ("src/tui/view.rs", "use crate::{sink, model};"),
        ("src/tui/view.rs", "use crate::sampler::Sampler;"),
        ("src/feed.rs", "use crate::run::top;"),
        ("src/feed.rs", "use crate::selftest::watch::Watch;"),
        ("src/sampler.rs", "use crate::selftest::watch::Watch;"),
        ("src/selftest/watch.rs", "use crate::run::main;"),
        ("src/selftest/watch.rs", "use crate::tui::view::View;"),
        ("src/selftest/mod.rs", "use crate::cli::Selftest;"),
        (
            "src/sampler.rs",
            "use crate::collect::a;\nuse crate::tui::b;",
        ),
        ("src/main.rs", "use netmon::collect::clock;"),
    ] {
        let text = format!("//! Owns nothing.\n\n{line}\n");
        let found = breaches(path, &text);
        let at = 2 + line.lines().count();
        assert_eq!(found.len(), 1, "{path}: {line}: {found:?}");
        assert!(found[0].starts_with(&format!("{path}:{at}: ")), "{found:?}");
    }
    for path in [
        "build.rs",
        "benches/tick.rs",
        "tests/model/world.rs",
        "src/lib.rs",
    ] {
        assert_eq!(breaches(path, "use std::fs;\n").len(), 1, "{path}");
    }
}

#[test]
fn what_is_allowed_is_not_taken_for_a_breach() {
    for (path, line) in [
        ("src/model/rate.rs", "use super::flow::Totals;"),
        ("src/model/rate.rs", "    use super::*;"),
        ("src/model/rate.rs", "use crate::model::flow::ProcessId;"),
        (
            "src/model/rate.rs",
            "// As tokio does it with Instant::now().",
        ),
        ("src/sink/api.rs", "use crate::sink::record::Record;"),
        ("src/sink/stream.rs", "use super::record::Record;"),
        ("src/tui/view.rs", "use crate::model::filter::Filter;"),
        ("src/tui/mod.rs", "use crate::feed::Feed;"),
        ("src/sampler.rs", "use crate::collect::drain::Drain;"),
        (
            "src/run/top.rs",
            "use crate::collect::a;\nuse crate::tui::b;",
        ),
        ("src/selftest/watch.rs", "use crate::sampler::Sampler;"),
        ("src/selftest/watch.rs", "use super::generator::OPTION;"),
        (
            "src/selftest/expect.rs",
            "use crate::collect::a;\nuse crate::model::b;",
        ),
        ("src/main.rs", "netmon::run::main()"),
        ("tests/kernel.rs", "use netmon::tui;"),
    ] {
        let text = format!("//! Owns nothing.\n\n{line}\n");
        assert_eq!(breaches(path, &text), [""; 0], "{path}");
    }
}

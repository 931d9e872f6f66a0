//! The configuration file: options that stand for those of the command line.
//!
//! Owns which file is read, when it must be there, and how its options and those that
//! were typed become one command line. Troubles of the file end with 1 and one line;
//! only what was typed is a usage error.

mod check;
mod file;
mod options;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::error::{Error, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser};

use super::written;
use crate::cli::{Cli, Command, Config, ConfigCommand, Serve};

/// The file that is read when nobody names another, if it is there.
const DEFAULT: &str = "/etc/netmon.toml";
/// Names a file in place of `--config`.
const VARIABLE: &str = "NETMON_CONFIG";
/// Said in place of a file's name: read none.
const NONE: &str = "none";

/// What each option of a command says as text; those that say nothing are not there.
pub type ByName = BTreeMap<String, Said>;

/// The command line together with the file, and its options by their names; the parser ends the program itself where
/// what was typed is wrong.
///
/// # Errors
/// What is wrong with the file, on one line.
pub fn command_line() -> Result<(Cli, ByName)> {
    let read = matches(std::env::args_os().collect()).and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches).map_err(Trouble::Usage)?;
        Ok((cli, by_name(&matches)))
    });
    match read {
        Ok(read) => Ok(read),
        Err(Trouble::Usage(error)) => error.exit(),
        Err(Trouble::File(error)) => Err(error),
    }
}

/// Options of `serve`, and each by its name as text.
pub struct Effective {
    /// The options.
    pub options: Serve,
    /// What each of them says.
    pub by_name: ByName,
}

/// What an option says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A switch.
    Switch(bool),
    /// One value.
    One(String),
    /// Values of an option that can be repeated.
    Many(Vec<String>),
}

/// The options of the `serve` that runs, as the file has them now.
///
/// # Errors
/// What is wrong with the file.
pub fn serve_again() -> Result<Effective> {
    effective(std::env::args_os().collect())
}

fn effective(words: Vec<OsString>) -> Result<Effective> {
    let matches = match matches(words) {
        Ok(matches) => matches,
        Err(Trouble::File(error)) => return Err(error),
        // Typed words do not change; they can only come to exclude what is new in the file.
        Err(Trouble::Usage(error)) => bail!("{}", error.to_string().replace('\n', " ")),
    };
    let by_name = by_name(&matches);
    let Some(Command::Serve(options)) = Cli::from_arg_matches(&matches)?.command else {
        bail!("not a command line of `netmon serve`");
    };
    Ok(Effective { options, by_name })
}

/// What the command that was chosen runs with; nothing if it takes no file.
fn by_name(matches: &ArgMatches) -> ByName {
    let (words, inner) = deepest(matches);
    options::target(&words)
        .map(|target| said(&target, inner))
        .unwrap_or_default()
}

fn said(target: &options::Target, matches: &ArgMatches) -> ByName {
    let mut found = BTreeMap::new();
    for arg in target.options() {
        let Some(raw) = matches.get_raw(arg.get_id().as_str()) else {
            continue;
        };
        let mut texts: Vec<_> = raw.map(|it| it.to_string_lossy().into_owned()).collect();
        let said = match (arg.get_action(), texts.pop()) {
            (ArgAction::SetTrue, text) => Said::Switch(text.as_deref() == Some("true")),
            (ArgAction::Append, Some(last)) => {
                texts.push(last);
                Said::Many(texts)
            }
            (_, Some(text)) => Said::One(text),
            (_, None) => continue,
        };
        found.insert(arg.get_long().unwrap_or_default().to_owned(), said);
    }
    found
}

/// Why there is no command line to work with.
enum Trouble {
    /// What was typed is wrong, or only asks for help.
    Usage(Error),
    /// The file is.
    File(anyhow::Error),
}

/// Parses once to learn what was typed, and again with what the file adds to it.
fn matches(words: Vec<OsString>) -> Result<ArgMatches, Trouble> {
    let mut words = command_first(words);
    let first = typed(&words).map_err(Trouble::Usage)?;
    let (path, inner) = deepest(&first);
    // What takes nothing from a file is all there already.
    let whole = |words| {
        let matches = Cli::command().try_get_matches_from(words);
        matches.map_err(Trouble::Usage)
    };
    let Some(target) = options::target(&path) else {
        return whole(words);
    };
    let Some(text) = wanted(inner.get_one::<PathBuf>("config").map(PathBuf::as_path))
        .read()
        .map_err(Trouble::File)?
    else {
        return whole(words);
    };
    let (entries, problems) = text.entries();
    if let [first, others @ ..] = &problems[..] {
        let more = match others.len() {
            0 => String::new(),
            n => format!(" (and {n} more: `netmon config check` lists them)"),
        };
        let told = format!("{}{more}", text.tell(first));
        return Err(Trouble::File(anyhow::Error::msg(told)));
    }
    let is_typed =
        |id: &&clap::Id| inner.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    let names: BTreeSet<_> = inner
        .ids()
        .filter(is_typed)
        .map(ToString::to_string)
        .collect();
    // After it there could only be words that no such command takes.
    if words.last().is_some_and(|word| word == "--") {
        words.pop();
    }
    words.extend(
        target
            .arguments(&names, &entries)
            .into_iter()
            .map(OsString::from),
    );
    whole(words)
}

/// What was typed, though it may be incomplete without the file.
fn typed(words: &[OsString]) -> Result<ArgMatches, Error> {
    match Cli::command().try_get_matches_from(words) {
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => Cli::command()
            .ignore_errors(true)
            .try_get_matches_from(words),
        result => result,
    }
}

/// `netmon --config FILE serve` as `netmon serve --config FILE`: options before a
/// command are those of `top`, but for this one.
fn command_first(mut words: Vec<OsString>) -> Vec<OsString> {
    let length = match words.get(1).and_then(|word| word.to_str()) {
        Some("--config") => 2,
        Some(word) if word.starts_with("--config=") => 1,
        _ => return words,
    };
    let command = words.get(1 + length).and_then(|word| word.to_str());
    if command.is_some_and(|word| Cli::command().find_subcommand(word).is_some()) {
        words[1..=1 + length].rotate_right(1);
    }
    words
}

/// The names of the command that was chosen, and what was said to it.
fn deepest(matches: &ArgMatches) -> (Vec<String>, &ArgMatches) {
    let (mut words, mut matches) = (Vec::new(), matches);
    while let Some((name, inner)) = matches.subcommand() {
        words.push(name.to_owned());
        matches = inner;
    }
    (words, matches)
}

/// Which file to read.
enum Wanted {
    None,
    Default,
    Named(PathBuf),
}

/// What is typed, else what the environment names; an empty variable names nothing.
fn wanted(typed: Option<&Path>) -> Wanted {
    let variable = || std::env::var_os(VARIABLE).filter(|name| !name.is_empty());
    match typed
        .map(PathBuf::from)
        .or_else(|| variable().map(PathBuf::from))
    {
        Some(name) if name == Path::new(NONE) => Wanted::None,
        Some(name) => Wanted::Named(name),
        None => Wanted::Default,
    }
}

impl Wanted {
    fn read(self) -> Result<Option<Text>> {
        let (path, may_lack) = match self {
            Wanted::None => return Ok(None),
            Wanted::Default => (PathBuf::from(DEFAULT), true),
            Wanted::Named(path) => (path, false),
        };
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Text { path, text })),
            Err(error) if may_lack && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| {
                format!(
                    "could not read the configuration file {}; name another by --config, or none \
                     by `--config {NONE}`",
                    path.display()
                )
            }),
        }
    }
}

/// A configuration file that was read.
struct Text {
    path: PathBuf,
    text: String,
}

impl Text {
    /// Its entries, and all that is wrong with it.
    fn entries(&self) -> (Vec<file::Entry>, Vec<file::Problem>) {
        let (entries, mut problems) = file::parse(&self.text);
        problems.extend(check::problems(&entries));
        problems.sort();
        (entries, problems)
    }

    fn tell(&self, problem: &file::Problem) -> String {
        format!("{}:{}: {}", self.path.display(), problem.line, problem.text)
    }
}

/// `netmon config`: looks at the file without running anything.
pub fn run(options: &Config, named: Option<&Path>) -> Result<ExitCode> {
    match &options.command {
        ConfigCommand::Check { file } => check_file(file.as_deref().or(named)),
        ConfigCommand::Show => show(named),
    }
}

/// Says `OK`, or every problem on a line of its own.
fn check_file(named: Option<&Path>) -> Result<ExitCode> {
    let wanted = match wanted(named) {
        // Here it must be there.
        Wanted::Default => Wanted::Named(PathBuf::from(DEFAULT)),
        wanted => wanted,
    };
    let Some(text) = wanted.read()? else {
        bail!("`{NONE}` says that there is no file to check; name one");
    };
    let (entries, mut problems) = text.entries();
    if problems.is_empty() {
        problems.extend(refused(&entries));
    }
    let mut lines: Vec<_> = problems.iter().map(|problem| text.tell(problem)).collect();
    let code = if lines.is_empty() {
        lines.push(format!("{}: OK", text.path.display()));
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    written(print(&lines).map(|()| code))
}

/// What `serve` would refuse though each option is right.
fn refused(entries: &[file::Entry]) -> Option<file::Problem> {
    let target = options::target(&["serve".to_owned()])?;
    let words = ["netmon", "serve"].map(str::to_owned).into_iter();
    let words = words.chain(target.arguments(&BTreeSet::new(), entries));
    let Some(Command::Serve(options)) = Cli::try_parse_from(words).ok()?.command else {
        return None;
    };
    let text = options.check().err()?;
    // The option that it begins with, or another that it names.
    let named = |entry: &file::Entry| {
        let at = text.find(&format!("--{} ", entry.key))?;
        Some((at, Reverse(entry.line)))
    };
    let first = entries.iter().filter_map(named).min();
    Some(file::Problem {
        line: first.map_or(1, |(_, Reverse(line))| line),
        text: format!("[serve] {text}"),
    })
}

/// Prints what `serve` would run with, as a file would say it.
fn show(named: Option<&Path>) -> Result<ExitCode> {
    let mut words: Vec<OsString> = vec!["netmon".into(), "serve".into()];
    if let Some(path) = named {
        words.extend(["--config".into(), path.into()]);
    }
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut lines = vec!["[serve]".to_owned()];
    for (name, said) in effective(words)?.by_name {
        let value = match said {
            Said::Switch(is_on) => is_on.to_string(),
            Said::One(text) if is_number(&text) => text,
            Said::One(text) => quoted(&text),
            Said::Many(texts) => {
                let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
                format!("[{}]", texts.join(", "))
            }
        };
        lines.push(format!("{name} = {value}"));
    }
    written(print(&lines).map(|()| ExitCode::SUCCESS))
}

/// Whether a file can hold it without quotes.
fn is_number(text: &str) -> bool {
    text.parse::<u64>()
        .is_ok_and(|number| number.to_string() == text)
}

fn print(lines: &[String]) -> io::Result<()> {
    let to = &mut io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(to, "{line}"))
}

/// Options of a `serve` that was started with these words, without a file.
#[cfg(test)]
pub fn serve(words: &[&str]) -> Result<Effective> {
    let words = ["netmon", "serve", "--config", NONE].iter().chain(words);
    effective(words.map(OsString::from).collect())
}

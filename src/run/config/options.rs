//! The entries of a configuration file as arguments of the command line.
//!
//! Owns which entry holds for which command and what gives way to what: typed before a
//! command's table, that before what stands at the top of the file. Reads no file and
//! judges no value.

use std::collections::BTreeSet;

use clap::builder::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Arg, CommandFactory};

use super::file::{COMMANDS, Entry, Value};
use crate::cli::Cli;

/// Options that a file cannot hold: what finds the file, what ends at once, and what turns
/// one question of `history` into another one.
const NOT_IN_FILES: [&str; 4] = ["config", "help", "interface", "version"];

/// A command that reads the file, such as `history top`.
#[derive(Debug, Clone)]
pub struct Target {
    /// The words that name it; none for `top` without its name.
    pub words: Vec<String>,
    /// The table that holds for it.
    pub table: &'static str,
    command: Command,
}

/// Every command that reads the file.
pub fn targets() -> Vec<Target> {
    let root = built();
    let mut found = Vec::new();
    for table in COMMANDS {
        let Some(command) = root.find_subcommand(table) else {
            continue;
        };
        let mut words = vec![table.to_owned()];
        let mut inner = command
            .get_subcommands()
            .filter(|inner| inner.get_name() != "help")
            .peekable();
        if inner.peek().is_none() {
            let command = command.clone();
            found.push(Target {
                words,
                table,
                command,
            });
            continue;
        }
        for command in inner.cloned() {
            words.truncate(1);
            words.push(command.get_name().to_owned());
            found.push(Target {
                words: words.clone(),
                table,
                command,
            });
        }
    }
    found
}

/// The command that these words name, if it reads the file.
pub fn target(words: &[String]) -> Option<Target> {
    if words.is_empty() {
        return Some(Target {
            words: Vec::new(),
            table: "top",
            command: built(),
        });
    }
    targets().into_iter().find(|target| target.words == words)
}

fn built() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

impl Target {
    /// The options that a file can hold for it.
    pub fn options(&self) -> impl Iterator<Item = &Arg> {
        self.command.get_arguments().filter(|arg| {
            arg.get_long()
                .is_some_and(|long| !NOT_IN_FILES.contains(&long))
        })
    }

    /// The option of that name.
    pub fn option(&self, key: &str) -> Option<&Arg> {
        self.options().find(|arg| arg.get_long() == Some(key))
    }

    /// Whether one of the two options excludes the other.
    pub fn exclude(&self, one: &Arg, other: &Arg) -> bool {
        let excludes = |one: &Arg, other: &Arg| {
            let excluded = self.command.get_arg_conflicts_with(one);
            excluded.iter().any(|arg| arg.get_id() == other.get_id())
        };
        excludes(one, other) || excludes(other, one)
    }

    /// What the command line says to these arguments of the command.
    ///
    /// # Errors
    /// Its refusal.
    pub fn try_parse(&self, arguments: &[String]) -> Result<(), Error> {
        let words = ["netmon".to_owned()].into_iter();
        let words = words.chain(self.words.iter().cloned());
        Cli::command()
            .try_get_matches_from(words.chain(arguments.iter().cloned()))
            .map(drop)
    }

    /// The options without which the command line would not take this one.
    fn needs(&self, arguments: &[String]) -> Vec<String> {
        let refused = self.try_parse(arguments).err();
        let refused = refused.filter(|error| error.kind() == ErrorKind::MissingRequiredArgument);
        match refused.and_then(|error| error.get(ContextKind::InvalidArg).cloned()) {
            Some(ContextValue::Strings(needs)) => needs,
            _ => Vec::new(),
        }
    }

    /// What the file adds to a command line on which the options `typed` stand.
    pub fn arguments(&self, typed: &BTreeSet<String>, entries: &[Entry]) -> Vec<String> {
        let by_id = |id: &String| self.options().find(|arg| arg.get_id() == id.as_str());
        // Those that hold already, and whether they say anything: a switch that is off
        // only hides one that stands higher in the file.
        let mut held: Vec<(&Arg, bool)> = typed
            .iter()
            .filter_map(by_id)
            .map(|it| (it, true))
            .collect();
        let mut added: Vec<(&Arg, Vec<String>)> = Vec::new();
        for table in [Some(self.table), None] {
            let mut new = Vec::new();
            for entry in entries.iter().filter(|entry| entry.table == table) {
                let Some(arg) = self.option(&entry.key) else {
                    continue;
                };
                let words = words(entry);
                let gives_way = held.iter().any(|(other, says)| {
                    other.get_id() == arg.get_id() || *says && self.exclude(arg, other)
                });
                if !gives_way {
                    new.push((arg, words));
                }
            }
            held.extend(new.iter().map(|(arg, words)| (*arg, !words.is_empty())));
            added.extend(new);
        }
        // What is of no use without an option that is not there waits for it.
        loop {
            let given: BTreeSet<String> = added
                .iter()
                .filter(|(_, words)| !words.is_empty())
                .map(|(arg, _)| *arg)
                .chain(typed.iter().filter_map(by_id))
                .map(ToString::to_string)
                .collect();
            let before = added.len();
            added.retain(|(_, words)| self.needs(words).iter().all(|need| given.contains(need)));
            if added.len() == before {
                break;
            }
        }
        added.into_iter().flat_map(|(_, words)| words).collect()
    }
}

/// An entry as it would be typed; nothing for a switch that is off.
pub fn words(entry: &Entry) -> Vec<String> {
    let key = &entry.key;
    match &entry.value {
        Value::Switch(true) => vec![format!("--{key}")],
        Value::Switch(false) => Vec::new(),
        Value::One(text) => vec![format!("--{key}={text}")],
        Value::Many(texts) => texts.iter().map(|text| format!("--{key}={text}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check, file};
    use super::*;

    /// What a file adds to the command that `words` name, on which `typed` stand.
    fn added(text: &str, words: &[&str], typed: &[&str]) -> Vec<String> {
        let (entries, problems) = file::parse(text);
        assert_eq!(problems, [], "{text}");
        assert_eq!(check::problems(&entries), [], "{text}");
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let typed = typed.iter().map(ToString::to_string).collect();
        target(&words).unwrap().arguments(&typed, &entries)
    }

    #[test]
    fn what_stands_at_the_top_holds_for_every_command_that_has_it() {
        let text = "interval = \"1s\"\ndb = \"x\"\n[stream]\ncount = 3\n";
        assert_eq!(added(text, &[], &[]), ["--interval=1s", "--db=x"]);
        assert_eq!(added(text, &["top"], &[]), ["--interval=1s", "--db=x"]);
        assert_eq!(
            added(text, &["stream"], &[]),
            ["--count=3", "--interval=1s"]
        );
        assert_eq!(added(text, &["serve"], &[]), ["--interval=1s", "--db=x"]);
        assert_eq!(added(text, &["history", "top"], &[]), ["--db=x"]);
        assert!(target(&["doctor".to_owned()]).is_none());
        assert!(target(&["selftest".to_owned()]).is_none());
    }

    #[test]
    fn typed_wins_over_a_table_and_that_over_the_top() {
        let text = "alpha = 0.1\nverbose = true\n[serve]\nalpha = 0.2\nverbose = false\n";
        assert_eq!(added(text, &["serve"], &[]), ["--alpha=0.2"]);
        assert_eq!(added(text, &["serve"], &["alpha"]), [""; 0]);
        assert_eq!(added(text, &["stream"], &[]), ["--alpha=0.1", "--verbose"]);
        assert_eq!(added(text, &["stream"], &["verbose"]), ["--alpha=0.1"]);
    }

    #[test]
    fn what_excludes_a_stronger_one_gives_way() {
        let text = "[serve]\ntoken-file = \"t\"\n";
        assert_eq!(added(text, &["serve"], &["no_auth"]), [""; 0]);
        let text = "db = \"x\"\n[top]\nconnect = \"u\"\n[serve]\nno-history = true\n";
        assert_eq!(added(text, &["top"], &[]), ["--connect=u"]);
        assert_eq!(added(text, &["top"], &["db"]), [""; 0]);
        assert_eq!(added(text, &["top"], &["record"]), ["--db=x"]);
        assert_eq!(added(text, &["serve"], &[]), ["--no-history"]);
        assert_eq!(added(text, &["serve"], &["db"]), [""; 0]);
        let text = "[serve]\ntoken-file = \"t\"\nno-auth = false\n";
        assert_eq!(added(text, &["serve"], &[]), ["--token-file=t"]);
    }

    #[test]
    fn what_needs_another_waits_for_it() {
        let text = "[top]\ntoken-file = \"t\"\n[serve]\notlp-interval = \"5s\"\n";
        assert_eq!(added(text, &["top"], &[]), [""; 0]);
        assert_eq!(added(text, &["top"], &["connect"]), ["--token-file=t"]);
        assert_eq!(added(text, &["serve"], &[]), [""; 0]);
        assert_eq!(added(text, &["serve"], &["otlp"]), ["--otlp-interval=5s"]);
        let text = "[serve]\notlp = \"u\"\notlp_interval = \"5s\"\n";
        let both = ["--otlp=u", "--otlp-interval=5s"];
        assert_eq!(added(text, &["serve"], &[]), both);
    }

    #[test]
    fn arrays_are_options_given_again_and_again() {
        let text = "[stream]\npid = [1, 2]\nname = \"a,b\"\n";
        let all = ["--pid=1", "--pid=2", "--name=a,b"];
        assert_eq!(added(text, &["stream"], &[]), all);
    }
}

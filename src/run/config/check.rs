//! What is wrong with the entries of a configuration file, and what would be right.
//!
//! One definition for both: an entry is right if the command line would take it. Owns
//! the words; which entry holds where is `options`' business.

use std::collections::BTreeSet;

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Arg, ArgAction};

use super::file::{Entry, Problem, Value};
use super::options::{Target, targets, words};

/// Everything that is wrong with these entries.
pub fn problems(entries: &[Entry]) -> Vec<Problem> {
    let targets = targets();
    let mut problems: Vec<Problem> = entries
        .iter()
        .filter_map(|entry| problem(entry, &targets))
        .collect();
    let twins = entries.iter().enumerate().filter(|(at, entry)| {
        let mut before = entries[..*at].iter();
        before.any(|other| other.table == entry.table && other.key == entry.key)
    });
    problems.extend(twins.map(|(_, entry)| entry.problem("given twice, once with `_` for `-`")));
    // What is right by itself can still exclude another.
    if problems.is_empty() {
        for target in &targets {
            problems.extend(excluded(target, entries));
        }
    }
    problems.sort();
    problems.dedup_by(|a, b| a.line == b.line);
    problems
}

/// What is wrong with one entry.
fn problem(entry: &Entry, targets: &[Target]) -> Option<Problem> {
    let holds = |target: &&Target| entry.table.is_none_or(|table| table == target.table);
    let mut known = false;
    for target in targets.iter().filter(holds) {
        if let Some(arg) = target.option(&entry.key) {
            known = true;
            if let Err(text) = value(entry, target, arg) {
                return Some(entry.problem(text));
            }
        }
    }
    (!known).then(|| entry.problem(unknown(entry, targets)))
}

/// Refuses a value that the option of that command does not take.
fn value(entry: &Entry, target: &Target, arg: &Arg) -> Result<(), String> {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let repeats = matches!(arg.get_action(), ArgAction::Append);
    match &entry.value {
        Value::Switch(_) if !is_switch => {
            return Err("takes a value, not true or false".to_owned());
        }
        Value::One(_) | Value::Many(_) if is_switch => {
            return Err("is on or off; accepted are true and false".to_owned());
        }
        Value::Many(_) if !repeats => {
            let name = target.words.join(" ");
            return Err(format!("takes one value, not an array (of `{name}`)"));
        }
        _ => {}
    }
    for word in words(entry) {
        match target.try_parse(&[word]) {
            Err(error) if error.kind() != ErrorKind::MissingRequiredArgument => {
                return Err(refusal(&error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The words in which the command line refuses a value, without those around them.
fn refusal(error: &Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let (value, accepted) = (
        text(ContextKind::InvalidValue),
        text(ContextKind::ValidValue),
    );
    match error.kind() {
        ErrorKind::InvalidValue if value.is_empty() && accepted.is_empty() => {
            "takes a value that is not empty".to_owned()
        }
        ErrorKind::InvalidValue => format!("`{value}` is not accepted; accepted are {accepted}"),
        _ => first_line(error),
    }
}

fn first_line(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// Says that no command there has such an option, and which one may be meant.
fn unknown(entry: &Entry, targets: &[Target]) -> String {
    let others: BTreeSet<_> = targets
        .iter()
        .filter(|target| target.option(&entry.key).is_some())
        .map(|target| format!("[{}]", target.table))
        .collect();
    if let Some(table) = entry.table
        && !others.is_empty()
    {
        let others = Vec::from_iter(others).join(", ");
        return format!("`{table}` has no such option; it is one of {others}");
    }
    let near = targets
        .iter()
        .filter(|target| entry.table.is_none_or(|table| table == target.table))
        .find_map(|target| {
            let error = target.try_parse(&[format!("--{}", entry.key)]).err()?;
            match error.get(ContextKind::SuggestedArg)? {
                ContextValue::String(near) => target.option(near.trim_start_matches('-')),
                _ => None,
            }
            .and_then(Arg::get_long)
            .map(str::to_owned)
        });
    match near {
        Some(near) => format!("no such option; the nearest is `{near}`"),
        None => {
            let command = entry.table.unwrap_or("serve");
            format!("no such option; `netmon {command} --help` lists them")
        }
    }
}

/// Options of equal weight that one command cannot take together, said of the later one.
fn excluded<'a>(target: &'a Target, entries: &'a [Entry]) -> impl Iterator<Item = Problem> + 'a {
    let says = |entry: &&Entry| !words(entry).is_empty();
    let arg = |entry: &Entry| target.option(&entry.key);
    let of_table = move |table| entries.iter().filter(move |entry| entry.table == table);
    entries.iter().filter(says).filter_map(move |entry| {
        let holds = entry.table.is_none_or(|table| table == target.table);
        let it = arg(entry).filter(|_| holds)?;
        let mut before = of_table(entry.table)
            .filter(says)
            .filter(|e| e.line < entry.line);
        let other = before.find(|other| arg(other).is_some_and(|arg| target.exclude(it, arg)))?;
        Some(entry.problem(format_args!(
            "cannot be used with `{}` (line {})",
            other.key, other.line
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::super::file;

    #[test]
    fn every_problem_names_its_key_and_what_is_accepted() {
        for (text, line, words) in [
            (
                "intervall = 1\n",
                1,
                &["intervall", "nearest is `interval`"][..],
            ),
            ("interval = 5\n", 1, &["interval", "`5`", "500ms"]),
            (
                "\nengine = \"turbo\"\n",
                2,
                &["engine", "`turbo`", "syscall, socket"],
            ),
            ("verbose = 1\n", 1, &["verbose", "true and false"]),
            ("alpha = true\n", 1, &["alpha", "takes a value"]),
            ("db = \"\"\n", 1, &["db", "not empty"]),
            ("config = \"x\"\n", 1, &["config", "no such option"]),
            (
                "name = [\"a\", \"b\"]\n",
                1,
                &["name", "not an array", "`history top`"],
            ),
            (
                "[stream]\nlisten = 1\n",
                2,
                &["[stream] listen", "it is one of [serve]"],
            ),
            (
                "[serve]\nmax-size = \"5KB\"\n",
                2,
                &["[serve] max-size", "`5KB`", "2GiB"],
            ),
            (
                "max-flows = 99\nmax_flows = 99\n",
                2,
                &["max-flows", "twice"],
            ),
            (
                "[serve]\nno-auth = true\ntoken-file = \"t\"\n",
                3,
                &["[serve] token-file", "`no-auth` (line 2)"],
            ),
            (
                "connect = \"u\"\ndb = \"x\"\n",
                2,
                &["db", "`connect` (line 1)"],
            ),
        ] {
            let (entries, problems) = file::parse(text);
            assert_eq!(problems, [], "{text}");
            let problems = super::problems(&entries);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert_eq!(problems[0].line, line, "{text}: {problems:?}");
            for word in words {
                assert!(problems[0].text.contains(word), "{word}: {problems:?}");
            }
        }
    }
}

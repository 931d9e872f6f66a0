//! The text of a configuration file as entries: which option, where, which value.
//!
//! Knows TOML and the names of the tables, and no option: what an entry means is
//! `options`' business.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The commands whose options the file may hold; each has a table of its name.
pub const COMMANDS: [&str; 4] = ["top", "stream", "serve", "history"];

/// One option as the file gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The command whose table it stands in; `None` at the top, for all commands.
    pub table: Option<&'static str>,
    /// The option's name, with `-` where the file has `_`.
    pub key: String,
    /// Where it stands, from 1.
    pub line: usize,
    /// What it says.
    pub value: Value,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// true or false
    Switch(bool),
    /// A text, a number or a time, as it would be typed.
    One(String),
    /// An array of them.
    Many(Vec<String>),
}

impl Entry {
    /// Something that is wrong with it.
    pub fn problem(&self, text: impl fmt::Display) -> Problem {
        let name = match self.table {
            Some(table) => format!("[{table}] {}", self.key),
            None => self.key.clone(),
        };
        Problem {
            line: self.line,
            text: format!("{name}: {text}"),
        }
    }
}

/// Something wrong in the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where, from 1.
    pub line: usize,
    /// What, and what would be right.
    pub text: String,
}

/// What the text holds, in the order of its lines, and what of it cannot be an option.
pub fn parse(text: &str) -> (Vec<Entry>, Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    let mut problems: Vec<Problem> = errors
        .iter()
        .map(|error| Problem {
            line: line(error.span().map_or(0, |span| span.start)),
            text: format!("not TOML: {}", error.message().replace('\n', " ")),
        })
        .collect();
    let mut entries = Vec::new();
    // What a broken line gave would only be a second word on the same trouble.
    if problems.is_empty() {
        let mut reader = Reader {
            line: &line,
            entries: &mut entries,
            problems: &mut problems,
        };
        reader.top(table.get_ref());
    }
    entries.sort_by_key(|entry| entry.line);
    (entries, problems)
}

struct Reader<'a> {
    line: &'a dyn Fn(usize) -> usize,
    entries: &'a mut Vec<Entry>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn top(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let command = COMMANDS.into_iter().find(|name| *name == key.get_ref());
            match (command, value.get_ref()) {
                (Some(command), DeValue::Table(inner)) => {
                    for (key, value) in inner {
                        self.entry(Some(command), key.get_ref(), key.span().start, value);
                    }
                }
                (Some(command), _) => {
                    let text = format!("`{command}` is the name of a table: [{command}]");
                    self.problem(key.span().start, text);
                }
                (None, DeValue::Table(_)) => {
                    let tables = COMMANDS.map(|name| format!("[{name}]")).join(", ");
                    let text = format!("unknown table [{}]; accepted are {tables}", key.get_ref());
                    self.problem(key.span().start, text);
                }
                (None, _) => self.entry(None, key.get_ref(), key.span().start, value),
            }
        }
    }

    fn problem(&mut self, at: usize, text: String) {
        let line = (self.line)(at);
        self.problems.push(Problem { line, text });
    }

    fn entry(
        &mut self,
        table: Option<&'static str>,
        key: &str,
        at: usize,
        value: &Spanned<DeValue<'_>>,
    ) {
        let mut entry = Entry {
            table,
            key: key.replace('_', "-"),
            line: (self.line)(at),
            value: Value::Many(Vec::new()),
        };
        match read(value.get_ref()) {
            Ok(value) => {
                entry.value = value;
                self.entries.push(entry);
            }
            Err(text) => self.problems.push(entry.problem(text)),
        }
    }
}

fn read(value: &DeValue<'_>) -> Result<Value, String> {
    match value {
        DeValue::Boolean(is_on) => Ok(Value::Switch(*is_on)),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| typed(item.get_ref()));
            Ok(Value::Many(texts.collect::<Result<_, _>>()?))
        }
        one => typed(one).map(Value::One),
    }
}

/// A value as it would be typed on the command line.
fn typed(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|error| error.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Datetime(time) => Ok(time.to_string()),
        other => Err(format!(
            "{} cannot stand here; accepted are a text in quotes, a number, or an array of them",
            other.type_str()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(table: Option<&'static str>, key: &str, line: usize, value: Value) -> Entry {
        Entry {
            table,
            key: key.to_owned(),
            line,
            value,
        }
    }

    fn one(text: &str) -> Value {
        Value::One(text.to_owned())
    }

    #[test]
    fn entries_keep_their_table_and_line() {
        let (entries, problems) = parse(
            "interval = \"1s\"\nkernel_threads = true\n\n[serve]\nmax-flows = 2_000\n\
             alpha = 0.25\n[history]\nsince = 2026-11-20T03:00:00\nname = [\"a\", 7]\n",
        );
        assert_eq!(problems, []);
        assert_eq!(
            entries,
            [
                entry(None, "interval", 1, one("1s")),
                entry(None, "kernel-threads", 2, Value::Switch(true)),
                entry(Some("serve"), "max-flows", 5, one("2000")),
                entry(Some("serve"), "alpha", 6, one("0.25")),
                entry(Some("history"), "since", 8, one("2026-11-20T03:00:00")),
                entry(
                    Some("history"),
                    "name",
                    9,
                    Value::Many(vec!["a".to_owned(), "7".to_owned()])
                ),
            ]
        );
    }

    #[test]
    fn what_cannot_be_an_option_is_named_with_its_line() {
        for (text, line, words) in [
            ("a = 1\nb = \n", 2, "not TOML"),
            ("a = 1\na = 2\n", 2, "not TOML"),
            ("[serve]\n[sreve]\nlisten = 1\n", 2, "unknown table [sreve]"),
            ("serve = true\n", 1, "`serve` is the name of a table"),
            ("\n[serve]\nlisten = {a = 1}\n", 3, "[serve] listen: table"),
            ("pid = [1, [2]]\n", 1, "pid: array cannot stand here"),
            ("pid = [true]\n", 1, "pid: boolean cannot stand here"),
        ] {
            let (_, problems) = parse(text);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert_eq!(problems[0].line, line, "{text}: {problems:?}");
            assert!(problems[0].text.contains(words), "{text}: {problems:?}");
        }
    }
}

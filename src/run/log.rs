//! What `netmon serve` says while it runs: events of `tracing`, one line each, to
//! standard error.
//!
//! For the journal a line begins with its priority and has no time, since the journal
//! has one; elsewhere with time and level. Other commands log nothing: they end with
//! one line. Owns how a line looks and which are written, no event.

use std::fmt::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::panic::{self, PanicHookInfo};
use std::thread;

use anyhow::{Context, Result};
use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// What is logged when nobody says otherwise.
const USUAL: &str = "info";
/// Says what to log in place of `--log`.
const VARIABLE: &str = "RUST_LOG";

/// The way to change what is logged.
#[derive(Debug, Clone)]
pub struct Filter(reload::Handle<EnvFilter, Registry>);

impl Filter {
    /// Logs by this filter from now on; by the environment's without one.
    pub fn set(&self, filter: Option<&str>) {
        // Refused only after the subscriber's end, which is the program's.
        let _ = self.0.reload(chosen(filter).0);
    }
}

/// Logs from now on, by `filter` or else by the environment's; a panic of any thread is
/// an event too.
///
/// # Errors
/// If something logs already.
pub fn start(filter: Option<&str>) -> Result<Filter> {
    let (chosen, unusable) = chosen(filter);
    let (filter, handle) = reload::Layer::new(chosen);
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines {
            in_journal: in_journal(),
        })
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .context("could not begin to log")?;
    if let Some(text) = unusable {
        tracing::warn!(
            value = text,
            "{VARIABLE} says not what to log, so it is {USUAL}; accepted are error, warn, info, \
             debug, trace, or by part as in info,netmon::sink=debug"
        );
    }
    panic::set_hook(Box::new(tell_panic));
    Ok(Filter(handle))
}

fn tell_panic(panicked: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    tracing::error!(thread, "{panicked}");
}

/// The filter, and what the environment says if it says nothing that can be used.
fn chosen(filter: Option<&str>) -> (EnvFilter, Option<String>) {
    // Never refused: the command line took it by the same words, USUAL is a level.
    let parsed = |text: &str| EnvFilter::builder().parse_lossy(text);
    if let Some(text) = filter {
        return (parsed(text), None);
    }
    let Some(text) = std::env::var(VARIABLE).ok().filter(|it| !it.is_empty()) else {
        return (parsed(USUAL), None);
    };
    match EnvFilter::builder().parse(&text) {
        Ok(filter) => (filter, None),
        Err(_) => (parsed(USUAL), Some(text)),
    }
}

/// What a line for standard error begins with where that is the journal, else nothing.
pub fn prefix(level: Level) -> &'static str {
    if in_journal() { priority(level) } else { "" }
}

fn priority(level: Level) -> &'static str {
    // LOG_ERR, LOG_WARNING, LOG_INFO and LOG_DEBUG of syslog(3).
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// Whether standard error is the journal's stream and not what it was sent to since.
fn in_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else {
        return false;
    };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else {
        return false;
    };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}

/// How an event looks.
struct Lines {
    in_journal: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        if self.in_journal {
            to.write_str(priority(level))?;
        } else {
            write!(to, "{:.3} {level:<5} ", Timestamp::now())?;
        }
        // Other crates' events say whose they are.
        let target = event.metadata().target();
        if target != "netmon" && !target.starts_with("netmon::") {
            write!(to, "{target}: ")?;
        }
        let mut words = Words::default();
        event.record(&mut words);
        writeln!(to, "{}{}", words.message, words.fields)
    }
}

/// The message of an event, and its fields as ` key=value`.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Words {
    fn put(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            self.message = text.replace('\n', " ");
            return;
        }
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=';
        let name = field.name();
        // Into a String, which takes everything.
        let _ = if !text.is_empty() && text.chars().all(is_plain) {
            write!(self.fields, " {name}={text}")
        } else {
            write!(self.fields, " {name}={text:?}")
        };
    }
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, text: &str) {
        self.put(field, text);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.put(field, &error.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What `work` logs with lines of that kind.
    fn logged(in_journal: bool, work: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);

        impl std::io::Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let kept = Kept::default();
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Lines { in_journal })
            .with_writer({
                let kept = kept.clone();
                move || kept.clone()
            });
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, work);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_line_with_its_fields() {
        let error = std::io::Error::other("no\nroom");
        let text = logged(true, || {
            tracing::warn!(path = "/a b", rows = 3, plain = "x", %error, "two\nlines");
            tracing::info!(target: "hyper::server", empty = "", "hello");
        });
        assert_eq!(
            text,
            "<4>two lines path=\"/a b\" rows=3 plain=x error=\"no\\nroom\"\n\
             <6>hyper::server: hello empty=\"\"\n"
        );
    }

    #[test]
    fn beside_the_journal_it_has_time_and_level() {
        let text = logged(false, || tracing::info!("hello"));
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(time.parse::<Timestamp>().is_ok(), "{text}");
        assert_eq!(time.len(), "2026-11-20T23:59:59.512Z".len(), "{text}");
        assert_eq!(rest, "INFO  hello\n");
    }

    #[test]
    fn a_panic_is_an_event_of_its_thread() {
        let before = panic::take_hook();
        panic::set_hook(Box::new(tell_panic));
        let text = logged(true, || {
            let result = panic::catch_unwind(|| panic!("out of\nluck"));
            assert!(result.is_err());
        });
        panic::set_hook(before);
        assert_eq!(text.lines().count(), 1, "{text}");
        for words in ["<3>panicked at ", "log.rs", "out of luck thread="] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}

//! What a question says after its `?`, and the words in which a wrong one is refused.
//!
//! Every parameter has one form and is given once; one that nobody knows is refused,
//! since what it meant to ask would not be answered.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::Query;
use axum::http::Uri;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::refusal::Refusal;
use crate::model::flow::Protocol;
use crate::sink::history::ask::{By, Whose, Window};
use crate::sink::history::when;

/// Longest value, characters.
const LONGEST: usize = 256;

/// Shortest and longest length of a point.
const STEPS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(400 * 24 * 60 * 60);

/// The parameters of one question; see the module's text.
#[derive(Debug)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Those of `uri`, each of which is one of `accepted`.
    ///
    /// # Errors
    /// If one is unknown, empty, too long, or given twice.
    pub fn of(uri: &Uri, accepted: &[&str]) -> Result<Parameters, Refusal> {
        let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Refusal::question("the part after `?` is not of the form name=value"))?;
        for (at, (name, value)) in given.iter().enumerate() {
            let shown: String = name.chars().take(LONGEST).collect();
            let refused = |what: String| Err(Refusal::question(what));
            if !accepted.contains(&name.as_str()) {
                return refused(match accepted {
                    [] => format!("`{shown}`: no parameter is accepted here"),
                    _ => format!("`{shown}` is unknown; accepted are {}", accepted.join(", ")),
                });
            }
            if given[..at].iter().any(|(earlier, _)| earlier == name) {
                return refused(format!("`{shown}` is given twice; accepted is once"));
            }
            if value.is_empty() {
                return refused(format!("`{shown}` is empty; leave it out or say what"));
            }
            if value.chars().count() > LONGEST {
                return refused(format!(
                    "`{shown}` is too long; accepted are {LONGEST} characters"
                ));
            }
        }
        Ok(Parameters(given))
    }

    /// The text of a parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The text of a parameter that means something else than each of `others`; `why`
    /// they do not go together and what does.
    ///
    /// # Errors
    /// If one of them is given besides it.
    pub fn alone(&self, name: &str, others: &[&str], why: &str) -> Result<Option<&str>, Refusal> {
        let given = self.text(name);
        let other = others.iter().find(|other| self.text(other).is_some());
        match (given, other) {
            (Some(_), Some(other)) => Err(Refusal::question(format!(
                "`{name}` does not go with `{other}`: {why}"
            ))),
            _ => Ok(given),
        }
    }

    /// A number from `bounds`.
    ///
    /// # Errors
    /// If it is none of them.
    pub fn number<T: FromStr + PartialOrd + Display>(
        &self,
        name: &str,
        bounds: RangeInclusive<T>,
    ) -> Result<Option<T>, Refusal> {
        self.parsed(name, |text| {
            // A sign or a space would be a second way to write the same.
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|_| digits);
            number
                .filter(|number| bounds.contains(number))
                .ok_or_else(|| format!("numbers from {} to {}", bounds.start(), bounds.end()))
        })
    }

    /// One of `all`, by its name.
    ///
    /// # Errors
    /// If it is none of them.
    pub fn one_of<T: Copy, const N: usize>(
        &self,
        name: &str,
        all: [T; N],
        called: fn(T) -> &'static str,
    ) -> Result<Option<T>, Refusal> {
        self.parsed(name, |text| {
            let found = all.into_iter().find(|one| called(*one) == text);
            found.ok_or_else(|| all.map(called).join(", "))
        })
    }

    /// What the rows or series are.
    ///
    /// # Errors
    /// If it is nothing they can be.
    pub fn by(&self) -> Result<Option<By>, Refusal> {
        self.one_of("by", By::ALL, By::name)
    }

    /// Length of a point.
    ///
    /// # Errors
    /// If it is no time, or out of bounds.
    pub fn step(&self) -> Result<Option<Duration>, Refusal> {
        self.parsed("step", |text| {
            duration(text)
                .filter(|step| STEPS.contains(step))
                .ok_or_else(|| "times from 1s to 400d: 10s, 1m, 6h, 1d".to_owned())
        })
    }

    /// Whose bytes.
    ///
    /// # Errors
    /// If a process id is no number or a protocol is unknown.
    pub fn whose(&self) -> Result<Whose, Refusal> {
        Ok(Whose {
            name: self.text("name").map(str::to_owned),
            pid: self.number("pid", 0..=u32::MAX)?,
            remote: self.text("remote").map(str::to_owned),
            protocol: self.one_of("protocol", Protocol::ALL, Protocol::name)?,
        })
    }

    /// The window from `since` (`default` if it is not said) until `until` (now).
    ///
    /// # Errors
    /// If one of them is no time, or the window has no length.
    pub fn window(&self, default: &str) -> Result<Window, Refusal> {
        let since = self.text("since").unwrap_or(default);
        let until = self.text("until");
        when::window(since, until, Timestamp::now(), &TimeZone::system()).map_err(Refusal::question)
    }

    /// A parameter by its parser, whose error says what is accepted.
    fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let refused = |accepted| {
            Refusal::question(format!(
                "`{name}` is `{text}`, which is not accepted; accepted are {accepted}"
            ))
        };
        parse(text).map(Some).map_err(refused)
    }
}

/// A number with one of the units s, m, h and d.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let number = number
        .parse::<u64>()
        .ok()
        .filter(|_| !number.starts_with('+'))?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str, accepted: &[&str]) -> Result<Parameters, String> {
        let uri: Uri = format!("/api/x?{query}").parse().expect("a URI");
        Parameters::of(&uri, accepted).map_err(|refusal| refusal.reason().to_owned())
    }

    fn said<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
        let refusal = result.expect_err("a refusal");
        assert_eq!(refusal.status().as_u16(), 400);
        refusal.reason().to_owned()
    }

    #[test]
    fn values_are_decoded() {
        let given = of("name=a%20b%2Fc%C3%A9&remote=%3A%3A1", &["name", "remote"]);
        let whose = given.expect("parameters").whose().expect("whose");
        assert_eq!(whose.name.as_deref(), Some("a b/cé"));
        assert_eq!(whose.remote.as_deref(), Some("::1"));
        assert_eq!(whose.pid, None);
    }

    #[test]
    fn what_nobody_knows_is_refused_with_what_is_accepted() {
        for (query, accepted, words) in [
            (
                "a=1",
                &["pid", "name"][..],
                "`a` is unknown; accepted are pid, name",
            ),
            ("a=1", &[], "`a`: no parameter is accepted here"),
            ("pid=1&pid=1", &["pid"], "`pid` is given twice"),
            ("pid=", &["pid"], "`pid` is empty"),
            ("pid", &["pid"], "`pid` is empty"),
        ] {
            let refused = of(query, accepted).expect_err("a refusal");
            assert!(refused.contains(words), "{refused}");
        }
        let long = format!("name={}", "x".repeat(257));
        assert!(of(&long, &["name"]).is_err());
    }

    #[test]
    fn wrong_values_are_named_with_the_accepted_ones() {
        let all = &["pid", "limit", "by", "step", "protocol", "view"];
        let one = |query: &str| of(query, all).expect("parameters");
        for wrong in ["x", "-1", "+1", "1.0", "4294967296", "%201"] {
            let said = said(one(&format!("pid={wrong}")).whose());
            assert!(said.starts_with("`pid` is `"), "{said}");
            assert!(
                said.ends_with("accepted are numbers from 0 to 4294967295"),
                "{said}"
            );
        }
        let limit = |query| one(query).number("limit", 1..=10_000usize);
        assert_eq!(limit("limit=10000").expect("a limit"), Some(10_000));
        assert!(said(limit("limit=0")).contains("from 1 to 10000"));
        assert!(said(limit("limit=10001")).contains("from 1 to 10000"));
        let words = "process, remote, protocol, user, unit";
        assert!(said(one("by=port").by()).ends_with(words));
        assert!(said(one("protocol=tpc").whose()).contains("accepted are tcp, udp,"));
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_name() {
        let all = &["iface", "pid", "name"];
        let ask = |query: &str| {
            let given = of(query, all).expect("parameters");
            let alone = given.alone("iface", &["pid", "name"], "it has neither");
            alone.map(|text| text.map(str::to_owned))
        };
        assert_eq!(ask("iface=eth0").expect("it").as_deref(), Some("eth0"));
        assert_eq!(ask("name=curl&pid=1").expect("none"), None);
        assert_eq!(
            said(ask("iface=eth0&name=curl")),
            "`iface` does not go with `name`: it has neither"
        );
    }

    #[test]
    fn steps_are_numbers_with_units() {
        let step = |text: &str| of(&format!("step={text}"), &["step"]).expect("one").step();
        for (text, seconds) in [
            ("1s", 1),
            ("10s", 10),
            ("1m", 60),
            ("6h", 21_600),
            ("400d", 34_560_000),
        ] {
            assert_eq!(
                step(text).expect("a step"),
                Some(Duration::from_secs(seconds))
            );
        }
        for wrong in [
            "0s",
            "401d",
            "1",
            "m",
            "1w",
            "-1m",
            "%2B1m",
            "1%C3%A9",
            "99999999999999999999s",
        ] {
            assert!(
                said(step(wrong)).contains("accepted are times from 1s to 400d"),
                "{wrong}"
            );
        }
    }
}

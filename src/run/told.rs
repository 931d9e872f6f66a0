//! What is said of sampled interfaces, each thing once.
//!
//! Owns the words: how an interface is seen, that it no longer is, and why one is not that
//! should be. Samples nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::interface::{Hook, Interface};

/// One line for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
enum News {
    /// As it should be.
    Good(String),
    /// Something is missing.
    Bad(String),
}

/// What was said of an interface last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    name: Arc<str>,
    hook: Option<Arc<Hook>>,
    why_not: Option<Arc<str>>,
}

/// What has been said, by `ifindex`; see the module's text.
#[derive(Debug, Default)]
pub struct Told(BTreeMap<u32, Said>);

impl Told {
    /// Says what is new on standard error.
    pub fn on_stderr(&mut self, interfaces: &[Interface]) {
        for News::Good(line) | News::Bad(line) in self.news(interfaces) {
            eprintln!("netmon: {line}");
        }
    }

    /// Says what is new in the log.
    pub fn in_log(&mut self, interfaces: &[Interface]) {
        for news in self.news(interfaces) {
            match news {
                News::Good(line) => tracing::info!("{line}"),
                News::Bad(line) => tracing::warn!("{line}"),
            }
        }
    }

    fn news(&mut self, interfaces: &[Interface]) -> Vec<News> {
        let mut news = Vec::new();
        let mut before = std::mem::take(&mut self.0);
        for row in interfaces {
            let now = Said {
                name: Arc::clone(&row.name),
                hook: (row.sampled.as_ref()).map(|sampled| Arc::clone(&sampled.hook)),
                why_not: row.unsampled.clone(),
            };
            let last = before.remove(&row.index);
            if last.as_ref() != Some(&now) {
                news.extend(now.news(last.as_ref()));
            }
            if now.hook.is_some() || now.why_not.is_some() {
                self.0.insert(row.index, now);
            }
        }
        let gone = before.into_values().filter(|last| last.hook.is_some());
        news.extend(gone.map(|last| no_longer(&last.name)));
        news
    }
}

impl Said {
    /// What is to be said after `last`, from which it differs.
    fn news(&self, last: Option<&Said>) -> Option<News> {
        let name = &self.name;
        if let Some(why) = &self.why_not {
            let is_named = why.starts_with(&**name);
            let line = if is_named {
                why.to_string()
            } else {
                format!("{name}: {why}")
            };
            return Some(News::Bad(line));
        }
        let Some(hook) = &self.hook else {
            return last?.hook.is_some().then(|| no_longer(name));
        };
        let Hook {
            ingress,
            egress,
            reason,
        } = &**hook;
        Some(News::Good(if ingress == egress {
            format!("{name}: packets are seen by {egress} ({reason})")
        } else {
            format!(
                "{name}: packets that come in are seen by {ingress}, those that go out by {egress} \
                 ({reason})"
            )
        }))
    }
}

fn no_longer(name: &str) -> News {
    News::Bad(format!("{name}: no longer sampled"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::flow::Totals;
    use crate::model::interface::{Sampled, Way, WayPace};
    use crate::model::snapshot::Rates;

    fn interface(index: u32, name: &str) -> Interface {
        Interface {
            index,
            name: name.into(),
            loopback: false,
            totals: Totals::default(),
            rates: Rates::default(),
            tx_packets: 0.0,
            rx_packets: 0.0,
            uptime: Duration::ZERO,
            peak: 0.0,
            sampled: None,
            unsampled: None,
        }
    }

    /// One that is seen by this.
    fn sampled(index: u32, name: &str, ingress: &str) -> Interface {
        Interface {
            sampled: Some(Sampled {
                hook: Arc::new(Hook {
                    ingress: ingress.to_owned(),
                    egress: "tcx".to_owned(),
                    reason: "why".to_owned(),
                }),
                tx: Way::default(),
                rx: Way::default(),
                tx_pace: WayPace::default(),
                rx_pace: WayPace::default(),
                uptime: Duration::ZERO,
                peak: 0.0,
            }),
            ..interface(index, name)
        }
    }

    fn unsampled(index: u32, name: &str, why: &str) -> Interface {
        Interface {
            unsampled: Some(why.into()),
            ..interface(index, name)
        }
    }

    fn seen(name: &str, ingress: &str) -> News {
        News::Good(format!(
            "{name}: packets that come in are seen by {ingress}, those that go out by tcx (why)"
        ))
    }

    fn bad(line: &str) -> News {
        News::Bad(line.to_owned())
    }

    #[test]
    fn what_is_new_is_told_once() {
        let mut told = Told::default();
        let mut news = |rows: &[Interface]| told.news(rows);
        let (first, second) = (
            sampled(2, "eth0", "xdp native"),
            sampled(3, "eth1", "xdp native"),
        );
        let none: [News; 0] = [];
        assert_eq!(news(&[interface(9, "lo")]), none);
        let alone = std::slice::from_ref(&first);
        assert_eq!(news(alone), [seen("eth0", "xdp native")]);
        assert_eq!(news(alone), none);
        assert_eq!(news(&[first, second]), [seen("eth1", "xdp native")]);
        let other = sampled(3, "eth1", "xdp generic");
        let expected = [seen("eth1", "xdp generic"), bad("eth0: no longer sampled")];
        assert_eq!(news(&[other]), expected);
        let renamed = sampled(3, "lan", "xdp generic");
        assert_eq!(news(&[renamed]), [seen("lan", "xdp generic")]);
        assert_eq!(
            news(&[interface(3, "lan")]),
            [bad("lan: no longer sampled")]
        );
        assert_eq!(news(&[]), none);
    }

    #[test]
    fn what_is_missing_is_told_each_time_that_it_is_missing_anew() {
        let mut told = Told::default();
        let mut news = |row: Interface| told.news(&[row]);
        let missing = || unsampled(2, "eth0", "eth0 is taken");
        let none: [News; 0] = [];
        for _ in 0..2 {
            assert_eq!(news(missing()), [bad("eth0 is taken")]);
            assert_eq!(news(missing()), none);
            let there = sampled(2, "eth0", "xdp native");
            assert_eq!(news(there), [seen("eth0", "xdp native")]);
        }
        let same = sampled(2, "eth0", "tcx");
        let line = "eth0: packets are seen by tcx (why)".to_owned();
        assert_eq!(news(same), [News::Good(line)]);
        // Every line names its interface.
        let other = unsampled(2, "eth0", "no room");
        assert_eq!(news(other), [bad("eth0: no room")]);
    }
}

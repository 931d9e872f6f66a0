//! Questions to the history: which part of the past, whose bytes, summed by what.
//!
//! Plain data. How a person writes a time is `when`'s business.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::model::flow::Protocol;

/// A part of the past, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First second.
    pub since: i64,
    /// The second after the last.
    pub until: i64,
}

impl Window {
    /// When it begins, as answers write times.
    pub fn since_text(self) -> String {
        text(self.since)
    }

    /// When it ends, the same.
    pub fn until_text(self) -> String {
        text(self.until)
    }
}

/// Seconds since the Unix epoch as RFC 3339 in UTC.
pub fn text(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::MAX)
        .to_string()
}

/// What the rows of an answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A process by name, executable, user, unit and container.
    Process,
    /// A remote address.
    Remote,
    /// A protocol.
    Protocol,
    /// A user.
    User,
    /// A systemd unit, else a container.
    Unit,
}

impl By {
    /// All of them, in the order they are listed to a person.
    pub const ALL: [By; 5] = [By::Process, By::Remote, By::Protocol, By::User, By::Unit];

    /// The name in options, parameters and answers.
    pub fn name(self) -> &'static str {
        match self {
            By::Process => "process",
            By::Remote => "remote",
            By::Protocol => "protocol",
            By::User => "user",
            By::Unit => "unit",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<By> {
        By::ALL.into_iter().find(|by| by.name() == name)
    }
}

/// Whose bytes; what is `None` does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whose {
    /// Of processes of exactly this name.
    pub name: Option<String>,
    /// Of this process id: known as long as buckets of ten seconds are kept.
    pub pid: Option<u32>,
    /// To and from exactly this address.
    pub remote: Option<String>,
    /// By this protocol.
    pub protocol: Option<Protocol>,
}

/// An address as the history writes it; the name of an interface as it is.
pub fn canonical(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => address.to_owned(),
    }
}

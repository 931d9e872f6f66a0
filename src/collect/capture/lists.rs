//! Files with one network a line, as `--ignore-file` and `--accept-source-file` name them.
//!
//! Owns comments, blank lines and which line is wrong. How one network is written is the
//! model's business.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::model::prefix::Prefix;

/// What some editors put before the first line.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a file of networks.
///
/// # Errors
/// If it cannot be read, or a line is neither a network, a comment (`#`) nor blank: it
/// names the file, the line and the accepted forms.
pub fn read(file: &Path) -> Result<Vec<Prefix>> {
    let bytes = fs::read(file)
        .with_context(|| format!("could not read {}; give a file of networks", file.display()))?;
    // What is no UTF-8 may stand in a comment; in a network it is refused with its line.
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
    parse(text).map_err(|(line, error)| anyhow!("{}, line {line}: {error}", file.display()))
}

/// The networks, or the number of the first wrong line and what is wrong with it.
fn parse(text: &str) -> Result<Vec<Prefix>, (usize, String)> {
    let mut networks = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let network = line.split('#').next().unwrap_or_default().trim();
        if !network.is_empty() {
            networks.push(network.parse().map_err(|error| (number, error))?);
        }
    }
    Ok(networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_no_networks() {
        let text = "# ours\n10.0.0.0/8\n\n  2001:db8::/32 # theirs\r\n192.0.2.1\n   \n";
        let networks = parse(text).unwrap();
        let lengths: Vec<u8> = networks.iter().map(|network| network.length).collect();
        assert_eq!(lengths, [8, 32, 32]);
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn the_first_wrong_line_is_named_by_its_number() {
        let (line, error) = parse("10.0.0.0/8\n# fine\n10.0.0.0/99\nworse\n").unwrap_err();
        assert_eq!(line, 3);
        assert!(error.contains("`10.0.0.0/99`"), "{error}");
    }
}

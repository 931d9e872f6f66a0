//! The word that lets a request in: how it is read from its file and compared.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use subtle::ConstantTimeEq;

/// Shortest token, characters: fewer can be guessed.
const LEAST: usize = 16;

/// Longest token, characters: it must fit into a header.
const MOST: usize = 1024;

/// Any permission of others than owner and group.
const OTHERS: u32 = 0o007;

/// A secret; it prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Reads the token of a file, without the space around it.
    ///
    /// # Errors
    /// If the file cannot be read, others may read it, or what it holds is no token.
    pub fn read(path: &Path) -> Result<Token> {
        let shown = path.display();
        let file = File::open(path).with_context(|| {
            format!("could not open the token file {shown}; give it a token: {MAKE} > {shown}")
        })?;
        let mode = file
            .metadata()
            .with_context(|| format!("could not look at the token file {shown}"))?
            .permissions()
            .mode();
        ensure!(
            mode & OTHERS == 0,
            "everybody may use the token file {shown} (mode {:03o}): chmod 600 {shown}",
            mode & 0o777
        );
        let mut text = String::new();
        file.take(2 * MOST as u64)
            .read_to_string(&mut text)
            .with_context(|| format!("could not read the token file {shown}"))?;
        Token::new(text.trim()).with_context(|| format!("the token file {shown}"))
    }

    /// The token `text`.
    ///
    /// # Errors
    /// If it is too short or too long, or could not stand in a header.
    pub fn new(text: &str) -> Result<Token> {
        ensure!(
            (LEAST..=MOST).contains(&text.len()),
            "a token of {} characters; accepted are {LEAST} to {MOST}: {MAKE}",
            text.len()
        );
        ensure!(
            text.bytes().all(|byte| byte.is_ascii_graphic()),
            "a token with a space or a character beyond ASCII; accepted are letters, digits and \
             signs: {MAKE}"
        );
        Ok(Token(text.to_owned()))
    }

    /// Whether `given` is this token: it takes as long for any of the same length.
    pub fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

/// How a person makes one.
const MAKE: &str = "head -c 24 /dev/urandom | base64";

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What reading a file of these bytes and this mode gives.
    fn read(name: &str, bytes: &[u8], mode: u32) -> Result<Token> {
        let name = format!("netmon-token-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        let token = Token::read(&path);
        fs::remove_file(&path).expect("an end");
        token
    }

    #[test]
    fn a_token_is_its_file_without_the_space_around_it() {
        let token = read("good", b"\n 0123456789abcdef \n", 0o640).expect("a token");
        assert!(token.is(b"0123456789abcdef"));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcdeF",
            "0123456789abcdef ",
        ] {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
        assert!(!format!("{token:?}").contains("0123"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_mend() {
        let good = b"0123456789abcdef";
        let said = |it: Result<Token>| format!("{:#}", it.expect_err("a refusal"));
        assert!(said(read("seen", good, 0o644)).contains("(mode 644): chmod 600 /"));
        assert!(said(read("short", b"secret", 0o600)).contains("6 characters; accepted are 16"));
        assert!(said(read("long", &[b'x'; 1025], 0o600)).contains("1025 characters"));
        assert!(said(read("two", b"0123456789 abcdef", 0o600)).contains("with a space"));
        assert!(said(read("bytes", &[0xff; 20], 0o600)).contains("could not read"));
        let missing = Token::read(Path::new("/nonexistent/token"));
        assert!(said(missing).contains("could not open the token file /nonexistent/token"));
    }
}

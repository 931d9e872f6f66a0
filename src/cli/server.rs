//! How a server to watch is written: `http://host:9600`, or `host:9600`.

use reqwest::Url;

/// The port of a server that none is said of.
const PORT: u16 = 9600;

/// The URL of a server, with a slash at its end.
pub fn server(text: &str) -> Result<String, String> {
    let refused = |why: &str| {
        format!("`{text}` is no server that can be watched: {why}; accepted is http://host:9600")
    };
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority
        .rsplit_once(']')
        .map_or(authority, |(_, rest)| rest);
    match scheme.to_ascii_lowercase().as_str() {
        "http" => {}
        "https" => {
            let host = authority.split(':').next().unwrap_or_default();
            return Err(format!(
                "`{text}`: netmon serve speaks no TLS; use an SSH tunnel (ssh -L \
                 9600:127.0.0.1:9600 {host}) and --connect http://127.0.0.1:9600"
            ));
        }
        _ => return Err(refused("it is no http")),
    }
    if authority.contains('@') {
        return Err(refused("a token goes into --token-file"));
    }
    if path.contains(['?', '#']) {
        return Err(refused("there is a question behind it"));
    }
    let port = if host.contains(':') {
        String::new()
    } else {
        format!(":{PORT}")
    };
    let slash = if path.ends_with('/') { "" } else { "/" };
    let url = Url::parse(&format!("http://{authority}{port}{path}{slash}"))
        .map_err(|error| refused(&error.to_string()))?;
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_filled_in() {
        for (text, url) in [
            ("http://web1:9600", "http://web1:9600/"),
            ("web1:9600", "http://web1:9600/"),
            ("web1", "http://web1:9600/"),
            ("HTTP://Web1:9601/", "http://web1:9601/"),
            ("127.0.0.1", "http://127.0.0.1:9600/"),
            ("[::1]", "http://[::1]:9600/"),
            ("http://[::1]:9601", "http://[::1]:9601/"),
            ("http://web1:80", "http://web1/"),
            ("http://proxy/web1", "http://proxy:9600/web1/"),
        ] {
            assert_eq!(server(text).as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn what_is_refused_says_what_to_do() {
        for (text, words) in [
            ("https://web1:9600", "ssh -L 9600:127.0.0.1:9600 web1)"),
            ("ftp://web1", "it is no http"),
            ("http://me:secret@web1", "--token-file"),
            ("http://web1/?token=x", "http://host:9600"),
            ("", "http://host:9600"),
            ("web1:port", "http://host:9600"),
        ] {
            let refused = server(text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}

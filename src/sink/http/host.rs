//! Under which names a server without a token may be asked, and from which pages.
//!
//! A web page elsewhere can point a name of its own at this machine (DNS rebinding)
//! and then reads everything as if it were its own. It cannot do so with an address
//! or with `localhost`, and its browser always tells the name it used.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::uri::Authority;

/// Whether `host` (as in a Host header, with any port) is an address, `localhost` or
/// one of `names`.
pub fn is_known(host: &str, names: &[String]) -> bool {
    // What comes before an @ would be a user's name, which no browser sends.
    let Some(authority) = host
        .parse::<Authority>()
        .ok()
        .filter(|_| !host.contains('@'))
    else {
        return false;
    };
    let name = authority.host();
    let in_brackets = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match in_brackets {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            name.parse::<Ipv4Addr>().is_ok()
                || name.eq_ignore_ascii_case("localhost")
                || names.iter().any(|known| name.eq_ignore_ascii_case(known))
        }
    }
}

/// Whether a page of `origin` (as in an Origin header) came from `host`.
pub fn is_own(origin: &str, host: &str) -> bool {
    // Behind a proxy the page may have come by TLS.
    ["http://", "https://"].iter().any(|scheme| {
        origin
            .strip_prefix(scheme)
            .is_some_and(|from| from.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_given_names_are_known() {
        let names = ["netmon.example".to_owned()];
        for host in [
            "127.0.0.1",
            "127.0.0.1:9600",
            "192.168.1.7:80",
            "[::1]",
            "[::1]:9600",
            "[fe80::1]:9600",
            "localhost",
            "LocalHost:9600",
            "netmon.example",
            "Netmon.Example:443",
        ] {
            assert!(is_known(host, &names), "{host}");
        }
    }

    #[test]
    fn any_other_name_is_not() {
        let names = ["netmon.example".to_owned()];
        for host in [
            "",
            ":9600",
            "evil.example",
            "evil.example:9600",
            "netmon.example.evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil@127.0.0.1",
            "127.0.0.1@evil.example",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "[::1",
            "[evil.example]",
            "::1",
            "local host",
            "127.0.0.1/evil",
        ] {
            assert!(!is_known(host, &names), "{host}");
        }
    }

    #[test]
    fn an_own_origin_is_the_host_with_either_scheme() {
        assert!(is_own("http://127.0.0.1:9600", "127.0.0.1:9600"));
        assert!(is_own("https://Netmon.example", "netmon.example"));
        for origin in [
            "null",
            "http://127.0.0.1",
            "http://127.0.0.1:9601",
            "http://evil.example",
            "file://",
            "",
            "http://",
        ] {
            assert!(!is_own(origin, "127.0.0.1:9600"), "{origin}");
        }
    }
}

//! Who may ask: the token, the name they ask by, and the page that asks.
//!
//! With a token, whoever brings it may ask, under any name. Without one, whoever can
//! reach the address may, but no web page of somebody else's (see `host`).

use std::sync::{PoisonError, RwLock};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use super::host;
use super::refusal::Refusal;
use super::token::Token;

/// Tells where the page is from that asks; no page can set these.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The rules of one server; see the module's text.
#[derive(Debug)]
pub struct Guard {
    token: Option<RwLock<Token>>,
    names: Vec<String>,
}

impl Guard {
    /// Lets in who brings `token`; without one, who asks by an address, as localhost
    /// or by one of `names`.
    pub fn new(token: Option<Token>, names: Vec<String>) -> Guard {
        Guard {
            token: token.map(RwLock::new),
            names,
        }
    }

    /// Asks for another token from the next request on. False, and nothing changes,
    /// where none is asked for.
    pub fn set_token(&self, token: Token) -> bool {
        let Some(place) = &self.token else {
            return false;
        };
        // A panicking holder leaves the token whole: it is set by one assignment.
        *place.write().unwrap_or_else(PoisonError::into_inner) = token;
        true
    }

    /// Whether a token is asked for.
    pub fn asks_for_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether these headers bring the token, or none is asked for.
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let token = token.read().unwrap_or_else(PoisonError::into_inner);
        brought(headers).is_some_and(|given| token.is(given))
    }

    /// Judges a request by its head. `public` is what holds no data.
    ///
    /// # Errors
    /// The refusal to answer with.
    pub fn judge(&self, request: &Parts, public: bool) -> Result<(), Refusal> {
        let hosts = hosts(request)?;
        check_page(&request.headers, &hosts, public)?;
        if self.token.is_none() {
            return self.check_names(&hosts);
        }
        match brought(&request.headers) {
            _ if public || self.knows(&request.headers) => Ok(()),
            Some(_) => Err(stranger(
                "this is not the token of this server",
                "Bearer error=\"invalid_token\"",
            )),
            None => Err(stranger(
                "this server asks for its token: Authorization: Bearer TOKEN",
                "Bearer",
            )),
        }
    }

    fn check_names(&self, hosts: &[&str]) -> Result<(), Refusal> {
        if !hosts.is_empty() && hosts.iter().all(|host| host::is_known(host, &self.names)) {
            return Ok(());
        }
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "not by this name; accepted in the Host header are addresses, localhost and the \
             names given with --allow-host",
        ))
    }
}

/// The names by which it asks: one, or two where the request line has one as well.
fn hosts(request: &Parts) -> Result<Vec<&str>, Refusal> {
    let wrong = || Refusal::question("more than one Host header, or not a readable one");
    let mut hosts = Vec::new();
    let mut values = request.headers.get_all(header::HOST).iter();
    if let Some(value) = values.next() {
        hosts.push(value.to_str().map_err(|_| wrong())?);
    }
    if values.next().is_some() {
        return Err(wrong());
    }
    hosts.extend(request.uri.authority().map(|authority| authority.as_str()));
    Ok(hosts)
}

/// A browser tells which page asks: it must be one of ours, or none. Only a link to
/// our page may be anywhere; what it opens holds no data and cannot be framed.
fn check_page(headers: &HeaderMap, hosts: &[&str], public: bool) -> Result<(), Refusal> {
    let elsewhere = || Refusal::new(StatusCode::FORBIDDEN, "not for pages from elsewhere");
    let says = |name, value: &str| headers.get_all(name).iter().any(|it| it == value);
    let link = says(SEC_FETCH_MODE, "navigate") && says(SEC_FETCH_DEST, "document");
    if says(SEC_FETCH_SITE, "cross-site") && !(public && link) {
        return Err(elsewhere());
    }
    for origin in headers.get_all(header::ORIGIN) {
        let own = origin.to_str().is_ok_and(|origin| {
            !hosts.is_empty() && hosts.iter().all(|host| host::is_own(origin, host))
        });
        if !own {
            return Err(elsewhere());
        }
    }
    Ok(())
}

/// The token that a request brings.
fn brought(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

fn stranger(reason: &str, challenge: &'static str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, reason).with(header::WWW_AUTHENTICATE, challenge)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn with_token() -> Guard {
        let token = Token::new(SECRET).expect("a token");
        Guard::new(Some(token), Vec::new())
    }

    /// The status of the refusal; 200 where there is none.
    fn judge(guard: &Guard, public: bool, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().uri("/api/current");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        match guard.judge(&parts, public) {
            Ok(()) => 200,
            Err(refusal) => refusal.status().as_u16(),
        }
    }

    #[test]
    fn without_a_token_the_name_decides() {
        let guard = Guard::new(None, vec!["netmon.example".to_owned()]);
        for (host, status) in [
            ("127.0.0.1:9600", 200),
            ("localhost", 200),
            ("netmon.example:80", 200),
            ("evil.example:9600", 403),
        ] {
            for public in [false, true] {
                assert_eq!(judge(&guard, public, &[("host", host)]), status, "{host}");
            }
        }
        assert_eq!(judge(&guard, false, &[]), 403);
        let twice = [("host", "127.0.0.1"), ("host", "127.0.0.1")];
        assert_eq!(judge(&guard, false, &twice), 400);
        // A token that nobody asked for opens nothing.
        let brought = [("host", "evil.example"), ("authorization", "Bearer x")];
        assert_eq!(judge(&guard, false, &brought), 403);
    }

    #[test]
    fn the_name_in_the_request_line_counts_too() {
        let guard = Guard::new(None, Vec::new());
        let request = Request::builder()
            .uri("http://evil.example/api/current")
            .header("host", "127.0.0.1");
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let refusal = guard.judge(&parts, false).expect_err("a refusal");
        assert_eq!(refusal.status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn the_token_opens_under_any_name() {
        let host = ("host", "netmon.example");
        for (authorization, status) in [
            ("Bearer 0123456789abcdef", 200),
            ("bearer  0123456789abcdef ", 200),
            ("Bearer 0123456789abcdeF", 401),
            ("Bearer", 401),
            ("Bearer ", 401),
            ("Basic 0123456789abcdef", 401),
            ("0123456789abcdef", 401),
        ] {
            let headers = [host, ("authorization", authorization)];
            assert_eq!(
                judge(&with_token(), false, &headers),
                status,
                "{authorization}"
            );
            assert_eq!(judge(&with_token(), true, &headers), 200, "{authorization}");
        }
        assert_eq!(judge(&with_token(), false, &[host]), 401);
        let right = ("authorization", "Bearer 0123456789abcdef");
        assert_eq!(judge(&with_token(), false, &[host, right, right]), 401);
    }

    #[test]
    fn pages_from_elsewhere_are_refused_with_the_token_too() {
        let right = ("authorization", "Bearer 0123456789abcdef");
        let host = ("host", "127.0.0.1:9600");
        for (header, status) in [
            (("origin", "http://127.0.0.1:9600"), 200),
            (("origin", "http://127.0.0.1:8080"), 403),
            (("origin", "http://evil.example"), 403),
            (("origin", "null"), 403),
            (("sec-fetch-site", "same-origin"), 200),
            (("sec-fetch-site", "none"), 200),
            (("sec-fetch-site", "cross-site"), 403),
        ] {
            for public in [false, true] {
                let headers = [host, right, header];
                assert_eq!(judge(&with_token(), public, &headers), status, "{header:?}");
            }
        }
        // Without a Host nothing is its own.
        let lone = [right, ("origin", "http://127.0.0.1:9600")];
        assert_eq!(judge(&with_token(), false, &lone), 403);
    }

    #[test]
    fn a_link_to_the_page_may_be_anywhere() {
        let guard = Guard::new(None, Vec::new());
        let link = [
            ("host", "127.0.0.1:9600"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert_eq!(judge(&guard, true, &link), 200);
        assert_eq!(judge(&guard, false, &link), 403);
        assert_eq!(judge(&guard, true, &link[..3]), 403);
        let frame = [link[0], link[1], link[2], ("sec-fetch-dest", "iframe")];
        assert_eq!(judge(&guard, true, &frame), 403);
        let renamed = [("host", "evil.example"), link[1], link[2], link[3]];
        assert_eq!(judge(&guard, true, &renamed), 403);
    }

    #[test]
    fn another_token_can_be_set() {
        let guard = with_token();
        assert!(guard.set_token(Token::new("fedcba9876543210").expect("a token")));
        let host = ("host", "127.0.0.1");
        let old = [host, ("authorization", "Bearer 0123456789abcdef")];
        let new = [host, ("authorization", "Bearer fedcba9876543210")];
        assert_eq!(judge(&guard, false, &old), 401);
        assert_eq!(judge(&guard, false, &new), 200);
        let open = Guard::new(None, Vec::new());
        assert!(!open.set_token(Token::new(SECRET).expect("a token")));
    }
}

//! Who is let in: tokens, names, pages, and addresses it refuses to listen on.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::client::{Events, ask, get};
use crate::netmon::{Scratch, netmon, run};
use crate::served::Served;
use crate::trial::{root, trial};

/// A token.
pub const TOKEN: &str = "correct-horse-battery-staple";

pub fn trials() -> Vec<Trial> {
    vec![
        root("guards::token", token),
        root("guards::names_and_pages", names),
        root("guards::open_to_all", open),
        trial("guards::refused_addresses", refused_addresses),
        trial("guards::refused_token_files", refused_tokens),
    ]
}

/// A directory with a token's file.
pub fn with_token(text: &str, mode: u32) -> anyhow::Result<(Scratch, PathBuf)> {
    let scratch = Scratch::new()?;
    let path = scratch.path.join("token");
    fs::write(&path, text)?;
    fs::set_permissions(&path, Permissions::from_mode(mode))?;
    Ok((scratch, path))
}

fn token() -> anyhow::Result<()> {
    let (scratch, path) = with_token(&format!("{TOKEN}\n"), 0o600)?;
    let path = path.display().to_string();
    let served = Served::start_in(scratch, &["--token-file", &path])?;
    let address = served.address;
    let ask = |target: &str, authorization: &str| {
        let headers = [
            ("Host", "anything.example"),
            ("Authorization", authorization),
        ];
        let given = if authorization.is_empty() { 1 } else { 2 };
        ask(address, "GET", target, &headers[..given])
    };
    let right = format!("Bearer {TOKEN}");
    for target in [
        "/metrics",
        "/api/openapi.json",
        "/api/metrics/realtime",
        "/api/nothing",
    ] {
        let answer = ask(target, "")?;
        answer.check_refusal(401, "Authorization: Bearer TOKEN")?;
        ensure!(answer.header("www-authenticate") == "Bearer", "{answer:?}");
        for wrong in [
            format!("{right}x"),
            right[..right.len() - 1].to_owned(),
            format!("Basic {TOKEN}"),
            TOKEN.to_owned(),
            "Bearer".to_owned(),
            format!("Bearer {}", TOKEN.to_uppercase()),
        ] {
            let answer = ask(target, &wrong)?;
            ensure!(answer.status == 401, "{target} {wrong}: {answer:?}");
            ensure!(
                !answer.body.contains(TOKEN),
                "it tells the token: {answer:?}"
            );
        }
        let answer = ask(target, &right)?;
        ensure!(![401, 403].contains(&answer.status), "{target}: {answer:?}");
    }
    ensure!(ask("/metrics", &right)?.status == 200, "with the token");
    for public in ["/", "/health"] {
        ensure!(ask(public, "")?.status == 200, "{public}");
    }
    let stream = Events::open(address, "/api/events", &[])?;
    ensure!(stream.err() == Some(401), "a stream without the token");
    let headers = [("Authorization", right.as_str())];
    let stream = Events::open(address, "/api/events", &headers)?;
    let mut stream = stream.map_err(|status| anyhow::anyhow!("{status}"))?;
    ensure!(stream.next()?.is_some(), "a stream with the token");
    let said = served.end()?;
    ensure!(!said.contains(TOKEN), "it logs the token: {said}");
    Ok(())
}

fn names() -> anyhow::Result<()> {
    let served = Served::start(&["--allow-host", "netmon.example,other.example"])?;
    let address = served.address;
    let port = address.port();
    let own = format!("127.0.0.1:{port}");
    let status = |target: &str, headers: &[(&str, &str)]| {
        anyhow::Ok(ask(address, "GET", target, headers)?.status)
    };
    for (host, expected) in [
        (own.as_str(), 200),
        ("127.0.0.1", 200),
        ("localhost:1", 200),
        ("[::1]:9600", 200),
        ("10.1.2.3:80", 200),
        ("netmon.example:443", 200),
        ("OTHER.example", 200),
        ("evil.example", 403),
        ("evil.example:9600", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("evil.example@127.0.0.1", 403),
        ("", 403),
    ] {
        for target in ["/metrics", "/", "/health", "/api/nothing"] {
            let found = status(target, &[("Host", host)])?;
            let found = if target == "/api/nothing" && found == 404 {
                200
            } else {
                found
            };
            ensure!(found == expected, "Host {host:?} at {target}: {found}");
        }
    }
    ensure!(status("/metrics", &[])? == 403, "no Host at all");
    let twice = [("Host", own.as_str()), ("Host", "evil.example")];
    ensure!(status("/metrics", &twice)? == 400, "two Hosts");
    let whole = "http://evil.example/metrics";
    ensure!(
        status(whole, &[("Host", &own)])? == 403,
        "another name in the request line"
    );

    let origin = format!("http://{own}");
    let other_port = format!("http://127.0.0.1:{}", port ^ 1);
    for (name, value, expected) in [
        ("Origin", origin.as_str(), 200),
        ("Origin", &other_port, 403),
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Sec-Fetch-Site", "same-origin", 200),
        ("Sec-Fetch-Site", "none", 200),
        ("Sec-Fetch-Site", "cross-site", 403),
    ] {
        let answer = ask(address, "GET", "/metrics", &[("Host", &own), (name, value)])?;
        ensure!(answer.status == expected, "{name} {value}: {answer:?}");
        ensure!(
            answer.header("access-control-allow-origin").is_empty(),
            "{answer:?}"
        );
    }
    let link = [
        ("Host", own.as_str()),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ];
    ensure!(status("/", &link)? == 200, "a link to the page");
    ensure!(status("/api/current", &link)? == 403, "a link to data");
    served.end()?;
    Ok(())
}

/// On every address without a token, since that was said: names count all the more.
fn open() -> anyhow::Result<()> {
    let served = Served::start(&["--listen", "0.0.0.0:0", "--no-auth"])?;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], served.address.port()));
    ensure!(get(address, "/metrics")?.status == 200, "by address");
    let evil = ask(address, "GET", "/metrics", &[("Host", "evil.example")])?;
    evil.check_refusal(403, "--allow-host")?;
    served.end()?;
    Ok(())
}

fn refused_addresses() -> anyhow::Result<()> {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9600"] {
        let done = run(&mut netmon(["serve", "--listen", address, "--no-history"]))?;
        done.check_code(2)?;
        done.check_says(&[address, "--token-file FILE", "--no-auth", "127.0.0.1"])?;
        ensure!(done.stderr.lines().count() == 1, "{}", done.stderr);
    }
    let both = ["serve", "--no-auth", "--token-file", "x"];
    run(&mut netmon(both))?.check_code(2)
}

fn refused_tokens() -> anyhow::Result<()> {
    for (text, mode, words) in [
        (TOKEN, 0o604, &["mode 604", "chmod 600 /"][..]),
        (TOKEN, 0o666, &["mode 666", "chmod 600 /"]),
        ("short", 0o600, &["5 characters", "accepted are 16 to 1024"]),
        ("", 0o600, &["0 characters"]),
        ("two words of a token", 0o600, &["with a space"]),
    ] {
        let (_scratch, path) = with_token(text, mode)?;
        let path = path.display().to_string();
        let options = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--no-history",
            "--token-file",
            &path,
        ];
        let done = run(&mut netmon(options))?;
        done.check_failure(words)?;
        done.check_says(&[&path])?;
        ensure!(
            text.is_empty() || !done.stderr.contains(text),
            "{}",
            done.stderr
        );
    }
    let options = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--token-file",
        "/nonexistent/token",
    ];
    run(&mut netmon(options))?.check_failure(&["could not open the token file /nonexistent/token"])
}

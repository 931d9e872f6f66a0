//! The configuration file with the real binary: what holds, what wins, what is refused.

use std::fs;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::netmon::{Done, Scratch, netmon, run};
use crate::trial::{root, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "config::the_typed_wins_over_a_table_and_that_over_the_top",
            precedence,
        ),
        root("config::stream_takes_its_options_from_the_file", stream),
        trial("config::which_file_is_read", which_file),
        trial("config::check_lists_every_problem", check),
        trial("config::a_broken_file_is_no_usage_error", broken),
        trial("config::a_wrong_option_is_one_whatever_the_file", usage),
    ]
}

/// A file with that text, and its path as it is typed.
fn file(text: &str) -> anyhow::Result<(Scratch, String)> {
    let scratch = Scratch::new()?;
    let path = scratch.path.join("netmon.toml");
    fs::write(&path, text)?;
    Ok((scratch, path.to_string_lossy().into_owned()))
}

fn check_line(done: &Done, line: &str) -> anyhow::Result<()> {
    let found = done.stdout.lines().any(|it| it == line);
    ensure!(found, "{line} is not in: {}", done.stdout);
    Ok(())
}

fn precedence() -> anyhow::Result<()> {
    let (_scratch, path) = file(
        "interval = \"2s\"\nalpha = 0.2\nkernel_threads = true\nverbose = true\n\
         [serve]\nalpha = 0.3\nverbose = false\nallow-host = [\"a\", \"b\"]\n",
    )?;
    let done = run(&mut netmon(["config", "show", "--config", &path]))?;
    done.check_quiet()?;
    for line in [
        "interval = \"2s\"",
        "alpha = \"0.3\"",
        "kernel-threads = true",
        "verbose = false",
        "allow-host = [\"a\", \"b\"]",
        "listen = \"127.0.0.1:9600\"",
    ] {
        check_line(&done, line)?;
    }
    // What it prints is a file again, and the same one.
    let (_scratch, again) = file(&done.stdout)?;
    let twice = run(&mut netmon(["config", "show", "--config", &again]))?;
    twice.check_quiet()?;
    ensure!(twice.stdout == done.stdout, "{}", twice.stdout);
    Ok(())
}

fn stream() -> anyhow::Result<()> {
    let (_scratch, path) =
        file("interval = \"100ms\"\n[stream]\nformat = \"csv\"\ncount = 1\npid = [1]\n")?;
    let done = run(&mut netmon(["stream", "--config", &path]))?;
    done.check_quiet()?;
    ensure!(!done.stdout.starts_with('{'), "not CSV: {}", done.stdout);
    let mut command = netmon(["stream", "--format=json", "--count", "2", "--config", &path]);
    let done = run(&mut command)?;
    done.check_quiet()?;
    let records = done.stdout.lines().filter(|line| line.starts_with('{'));
    ensure!(records.count() == 2, "{}", done.stdout);
    Ok(())
}

fn which_file() -> anyhow::Result<()> {
    let (_scratch, path) = file("interval = \"3s\"\n")?;
    let (_other, other) = file("interval = \"4s\"\n")?;
    let show = |words: &[&str], variable: &str| {
        let mut command = netmon(words);
        run(command.env("NETMON_CONFIG", variable))
    };
    for (words, variable, interval) in [
        (&["config", "show", "--config", &path][..], "none", "3s"),
        (&["--config", &path, "config", "show"], "none", "3s"),
        (&["config", "show"], &path, "3s"),
        (&["config", "show", "--config", &other], &path, "4s"),
        (&["config", "show", "--config", "none"], &path, "500ms"),
        (&["config", "show"], "none", "500ms"),
    ] {
        let done = show(words, variable)?;
        done.check_quiet()?;
        check_line(&done, &format!("interval = \"{interval}\""))?;
    }
    let missing = format!("{path}.missing");
    for (words, variable) in [
        (&["stream", "--config", &missing][..], "none"),
        (&["stream"], &missing),
        (&["config", "check", &missing], "none"),
        (&["config", "check"], &missing),
    ] {
        let done = show(words, variable)?;
        done.check_failure(&[&missing, "No such file", "--config none"])?;
    }
    for (words, variable) in [
        (&["config", "check"][..], "none"),
        (&["config", "check", "--config", "none"], &path),
        (&["config", "check", "none"], &path),
    ] {
        show(words, variable)?.check_failure(&["`none`", "no file to check"])?;
    }
    // An empty variable names no file: the machine's is looked at, if it has one.
    let done = show(&["config", "check"], "")?;
    let told = format!("{}{}", done.stdout, done.stderr);
    ensure!(told.contains("/etc/netmon.toml"), "{told}");
    Ok(())
}

fn check() -> anyhow::Result<()> {
    let (_scratch, path) = file("interval = \"2s\"\n[top]\nrecord = true\n")?;
    let done = run(&mut netmon(["config", "check", &path]))?;
    done.check_quiet()?;
    ensure!(done.stdout == format!("{path}: OK\n"), "{}", done.stdout);

    let (_scratch, path) = file("alpha = 0.3\n[serve]\nlisten = \"0.0.0.0:9600\"\n")?;
    let done = run(&mut netmon(["config", "check", &path]))?;
    done.check_code(1)?;
    let place = format!("{path}:3: [serve] --listen 0.0.0.0:9600 ");
    ensure!(done.stdout.starts_with(&place), "{}", done.stdout);
    ensure!(done.stdout.contains("--token-file"), "{}", done.stdout);

    let (_scratch, path) = file("[serve]\nkeep-10s = \"3h\"\nkeep-1m = \"2h\"\n")?;
    let done = run(&mut netmon(["config", "check", &path]))?;
    done.check_code(1)?;
    let place = format!("{path}:3: [serve] --keep-1m 2h is shorter than --keep-10s 3h");
    ensure!(done.stdout.starts_with(&place), "{}", done.stdout);

    let (_scratch, path) = file(
        "intervall = \"2s\"\nengine = \"turbo\"\n\n[serve]\nlisten = 9600\nno-auth = 1\n\
         [sream]\n",
    )?;
    let done = run(&mut netmon(["config", "check", &path]))?;
    done.check_code(1)?;
    ensure!(done.stderr.is_empty(), "{}", done.stderr);
    let wanted = [
        (1, &["intervall: ", "nearest is `interval`"][..]),
        (2, &["engine: ", "`turbo`", "syscall, socket"]),
        (5, &["[serve] listen: ", "`9600`", "127.0.0.1:9600"]),
        (6, &["[serve] no-auth: ", "true and false"]),
        (7, &["unknown table [sream]", "[stream]"]),
    ];
    let lines: Vec<&str> = done.stdout.lines().collect();
    ensure!(lines.len() == wanted.len(), "{}", done.stdout);
    for (line, (number, words)) in lines.into_iter().zip(wanted) {
        let place = format!("{path}:{number}: ");
        ensure!(line.starts_with(&place), "{place} is not of {line}");
        for word in words {
            ensure!(line.contains(word), "{word} is not in {line}");
        }
    }
    Ok(())
}

fn broken() -> anyhow::Result<()> {
    let (_scratch, path) = file("alpha = 0.3\ninterval = 5\nport = \"http\"\n")?;
    let first = format!("{path}:2: interval: `5` is not a time");
    for command in [
        &[][..],
        &["top"],
        &["stream"],
        &["serve"],
        &["history", "protocols"],
    ] {
        let done = run(&mut netmon(command.iter().chain(&["--config", &path])))?;
        done.check_failure(&[&first, "500ms", "(and 1 more: `netmon config check`"])?;
        ensure!(done.stdout.is_empty(), "{}", done.stdout);
    }
    // What looks at the machine takes nothing from a file, so it works with a broken one.
    let done = run(&mut netmon(["doctor", "--config", &path]))?;
    ensure!(done.stdout.starts_with("netmon "), "{}", done.stderr);
    ensure!(done.stderr.is_empty(), "{}", done.stderr);
    Ok(())
}

fn usage() -> anyhow::Result<()> {
    let (_scratch, good) = file("[serve]\notlp = \"http://127.0.0.1:1\"\n")?;
    let (_scratch, wrong) = file("interval = 5\n")?;
    for path in [&good, &wrong] {
        let done = run(&mut netmon(["stream", "--count", "0", "--config", path]))?;
        done.check_code(2)?;
        done.check_says(&["--count", "1 and above"])?;
    }
    // What a typed option needs can stand in the file.
    let done = run(&mut netmon(["top", "--token-file", "t", "--config", &good]))?;
    done.check_code(2)?;
    done.check_says(&["--connect"])?;
    let (_scratch, path) = file("[top]\nconnect = \"http://127.0.0.1:1\"\n")?;
    let done = run(&mut netmon(["top", "--token-file", "t", "--config", &path]))?;
    done.check_code(1)
}

//! The dashboard's files, as they are in the binary.
//!
//! Owns the list of what is served and as which type. Serves nothing itself; a
//! page of these files asks the HTTP interface for all data, so they hold none.

/// A file of the dashboard.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Path in the URL.
    pub path: &'static str,
    /// `Content-Type` header.
    pub content_type: &'static str,
    /// What is in it.
    pub body: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file that is called the same in the URL and here.
macro_rules! file {
    ($name:literal, $content_type:expr) => {
        File {
            path: concat!("/", $name),
            content_type: $content_type,
            body: include_bytes!($name),
        }
    };
}

/// All of them.
pub const FILES: &[File] = &[
    File {
        path: "/",
        content_type: HTML,
        body: include_bytes!("index.html"),
    },
    File {
        path: "/uplot.js",
        content_type: JS,
        body: include_bytes!("vendor/uplot.js"),
    },
    File {
        path: "/uplot.css",
        content_type: CSS,
        body: include_bytes!("vendor/uplot.css"),
    },
    file!("favicon.svg", SVG),
    file!("dashboard.css", CSS),
    file!("panel.css", CSS),
    file!("theme.js", JS),
    file!("dashboard.js", JS),
    file!("ask.js", JS),
    file!("beyond.js", JS),
    file!("charts.js", JS),
    file!("dom.js", JS),
    file!("events.js", JS),
    file!("header.js", JS),
    file!("interfaces.js", JS),
    file!("links.css", CSS),
    file!("lists.js", JS),
    file!("live.js", JS),
    file!("panel.js", JS),
    file!("points.js", JS),
    file!("prefs.js", JS),
    file!("recent.js", JS),
    file!("route.js", JS),
    file!("subject.js", JS),
    file!("table.js", JS),
    file!("timeline.js", JS),
    file!("units.js", JS),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of the scripts and pages between double or single quotes.
    fn quoted(text: &str) -> impl Iterator<Item = &str> {
        text.split(['"', '\'']).skip(1).step_by(2)
    }

    #[test]
    fn all_that_is_referred_to_is_served() {
        let served = |path: &str| FILES.iter().any(|file| file.path == path);
        let mut found = 0;
        for file in FILES.iter().filter(|file| !file.path.contains("uplot")) {
            let text = std::str::from_utf8(file.body).expect("text");
            for line in text.lines() {
                let refers = line.contains("src=") || line.contains("href=\"/");
                let imports = line.starts_with("import ");
                if !refers && !imports {
                    continue;
                }
                for word in quoted(line) {
                    let path = word.strip_prefix("./").map(|name| format!("/{name}"));
                    let path = path.unwrap_or_else(|| word.to_owned());
                    if path.starts_with('/') && path.contains('.') {
                        found += 1;
                        assert!(served(&path), "{}: {path}", file.path);
                    }
                }
            }
        }
        assert!(found > 30, "only {found} references were found");
    }

    #[test]
    fn nothing_is_asked_of_others_and_nothing_is_read_as_markup() {
        for file in FILES {
            let text = std::str::from_utf8(file.body).expect("text");
            // The names of XML namespaces are no addresses.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://"), "{}", file.path);
            if file.path != "/uplot.js" {
                assert!(!text.contains("https://"), "{}", file.path);
            }
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval("] {
                assert!(!text.contains(word), "{}: {word}", file.path);
            }
            let page = file.content_type == HTML;
            assert!(!page || !text.contains("style=") && !text.contains(" onclick"));
        }
    }
}

//! The description and the paths that are served: each has what the other has.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Scene, run};
use crate::sink::http::{plain, routes};

fn described() -> Value {
    serde_json::from_str(plain::OPENAPI).expect("JSON")
}

/// Names of the parameters that the description has for a path.
fn parameters(document: &Value, path: &str) -> BTreeSet<String> {
    let given = document["paths"][path]["get"]["parameters"].as_array();
    let named = |it: &Value| {
        let by_name = it["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
        let it = by_name.and_then(|at| document.pointer(at)).unwrap_or(it);
        it["name"].as_str().expect("a name").to_owned()
    };
    given.into_iter().flatten().map(named).collect()
}

#[test]
fn the_description_has_every_path_with_its_parameters_and_no_other() {
    run(async {
        let document = described();
        let described: BTreeSet<&str> = document["paths"]
            .as_object()
            .expect("paths")
            .keys()
            .map(String::as_str)
            .collect();
        let mut served: BTreeSet<&str> = routes().into_iter().map(|(path, _)| path).collect();
        assert!(served.insert("/"));
        assert_eq!(described, served);

        let scene = Scene::open();
        for path in served
            .iter()
            .filter(|path| !["/", "/health"].contains(path))
        {
            let (status, _, body) = scene.asked("GET", &format!("{path}?nobody=1")).await;
            assert_eq!(status, 400, "{path}");
            let body: Value = serde_json::from_str(&body).expect("JSON");
            let reason = body["error"].as_str().expect("a reason");
            let accepted = reason.split_once("accepted are ").map_or("", |(_, it)| it);
            let accepted = accepted.split(", ").filter(|it| !it.is_empty());
            let accepted: BTreeSet<String> = accepted.map(str::to_owned).collect();
            assert_eq!(parameters(&document, path), accepted, "{path}: {reason}");
        }
    });
}

#[test]
fn the_description_speaks_of_a_token_where_there_is_one() {
    run(async {
        let (_, _, open) = Scene::open().asked("GET", "/api/openapi.json").await;
        let open: Value = serde_json::from_str(&open).expect("JSON");
        assert_eq!(open["security"], serde_json::json!([]));
        assert_eq!(
            described()["security"],
            serde_json::json!([{ "token": [] }])
        );
    });
}

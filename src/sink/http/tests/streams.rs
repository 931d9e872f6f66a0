//! Event streams: who gets which event, and what encoding it costs.

use axum::body::Bytes;
use axum::http::HeaderValue;
use serde_json::Value;
use tokio_stream::StreamExt;

use super::{Scene, run};
use crate::sink::http::events;
use crate::sink::http::picture::View;

/// The first line of the next event, with its number.
async fn next(
    stream: &mut (impl StreamExt<Item = Result<Bytes, axum::Error>> + Unpin),
) -> Option<String> {
    let event = stream.next().await?.expect("no error");
    let text = String::from_utf8(event.to_vec()).expect("text");
    assert!(text.ends_with("}\n\n"), "{text}");
    Some(text.lines().take(2).collect::<Vec<_>>().join(" "))
}

#[test]
fn a_stream_tells_the_latest_and_every_later_one_and_ends() {
    run(async {
        let scene = Scene::open();
        scene.publish(1);
        scene.publish(2);
        let host = [("host", "127.0.0.1")];
        for (uri, name) in [
            ("/api/events", "record"),
            ("/api/events?view=summary", "summary"),
        ] {
            let response = scene.answer("GET", uri, &host).await;
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            let mut stream = response.into_body().into_data_stream();
            let first = scene.sources.live.latest().expect("a picture").record();
            let number = String::from_utf8_lossy(&first)
                .split("\"sequence\":")
                .nth(1)
                .and_then(|rest| rest.split(',').next()?.parse::<u64>().ok())
                .expect("a number");
            let line = |number: u64| Some(format!("event: {name} id: {number}"));
            assert_eq!(next(&mut stream).await, line(number));
            scene.publish(number + 1);
            assert_eq!(next(&mut stream).await, line(number + 1));
            // Too slow for one of two: it gets the latest.
            scene.publish(number + 2);
            scene.publish(number + 3);
            assert_eq!(next(&mut stream).await, line(number + 3));
        }
        let response = scene.answer("GET", "/api/events", &host).await;
        let mut stream = response.into_body().into_data_stream();
        scene.feed.end(None);
        while next(&mut stream).await.is_some() {}
    });
}

#[test]
fn an_event_is_encoded_once_and_only_for_those_who_listen() {
    let scene = Scene::open();
    let live = &scene.sources.live;
    scene.publish(1);
    let picture = live.latest().expect("a picture");
    assert!(View::ALL.iter().all(|view| !picture.is_encoded(*view)));
    let listener = live.listen(View::Summary);
    scene.publish(2);
    let picture = live.latest().expect("a picture");
    assert!(picture.is_encoded(View::Summary));
    assert!(!picture.is_encoded(View::Record));
    let [one, other] = [picture.event(View::Summary), picture.event(View::Summary)];
    assert_eq!(one.as_ptr(), other.as_ptr());
    drop(listener);
    scene.publish(3);
    let picture = live.latest().expect("a picture");
    assert!(!picture.is_encoded(View::Summary));
}

#[test]
fn an_event_is_the_record_with_one_member_more() {
    let scene = Scene::open();
    scene.publish(9);
    let picture = scene.sources.live.latest().expect("a picture");
    let event = picture.event(View::Record);
    let text = std::str::from_utf8(&event).expect("text");
    let data = text
        .strip_prefix("event: record\nid: 9\ndata: ")
        .expect("a head");
    let mut data: Value = serde_json::from_str(data).expect("JSON");
    let monitor = data.as_object_mut().expect("an object").remove("monitor");
    let record: Value = serde_json::from_slice(&picture.record()).expect("JSON");
    assert_eq!(data, record);
    let expected = serde_json::json!({
        "host": "a host", "version": "0", "engine_method": "a way", "blind_spots": ["a spot"],
        "threshold": 1.0, "nominal_interval_seconds": 0.5, "books_off_bytes": 0
    });
    assert_eq!(monitor, Some(expected));
}

#[test]
fn beyond_the_most_streams_one_is_refused() {
    run(async {
        let scene = Scene::open();
        let most = u32::try_from(events::MOST).expect("a number");
        let all = scene.sources.streams.acquire_many(most).await;
        let (status, headers, body) = scene.asked("GET", "/api/events").await;
        assert_eq!(
            (status, &headers["retry-after"]),
            (503, &HeaderValue::from_static("1"))
        );
        assert!(body.contains("all 512 event streams are taken"), "{body}");
        drop(all);
        let host = [("host", "127.0.0.1")];
        let response = scene.answer("GET", "/api/events", &host).await;
        assert_eq!(response.status(), 200);
        let free = || scene.sources.streams.available_permits();
        assert_eq!(free(), events::MOST - 1);
        drop(response);
        assert_eq!(free(), events::MOST);
    });
}

//! A collector: takes what is pushed by HTTP, and knows the protocol's own messages.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Text;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use prost::Message;

use crate::netmon::PATIENCE;

/// One request: its first line and what it carried.
pub type Push = (String, ExportMetricsServiceRequest);

/// Listens until the test program ends.
pub struct Collector {
    pub port: u16,
    pushes: Arc<Mutex<Vec<Push>>>,
}

impl Collector {
    /// On this port, or on any for 0.
    pub fn start(port: u16) -> anyhow::Result<Collector> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let port = listener.local_addr()?.port();
        let pushes = Arc::<Mutex<Vec<Push>>>::default();
        thread::spawn({
            let pushes = Arc::clone(&pushes);
            move || {
                for connection in listener.incoming().flatten() {
                    let pushes = Arc::clone(&pushes);
                    thread::spawn(move || {
                        let mut reader = BufReader::new(connection);
                        while let Ok(push) = receive(&mut reader) {
                            let mut pushes = pushes.lock().unwrap_or_else(PoisonError::into_inner);
                            pushes.push(push);
                        }
                    });
                }
            }
        });
        Ok(Collector { port, pushes })
    }

    fn last(&self) -> Option<Push> {
        let pushes = self.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        pushes.last().cloned()
    }

    /// Waits for a push that is `right`.
    pub fn wait_for(&self, right: impl Fn(&Push) -> bool) -> anyhow::Result<Push> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.last() {
                Some(push) if right(&push) => return Ok(push),
                last => ensure!(Instant::now() < deadline, "the last push is {last:?}"),
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn receive(reader: &mut BufReader<TcpStream>) -> anyhow::Result<Push> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    ensure!(length > 0, "nothing is pushed");
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request = ExportMetricsServiceRequest::decode(&body[..])?;
    let answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    reader.get_mut().write_all(answer.as_bytes())?;
    Ok((first.trim_end().to_owned(), request))
}

/// The text of an attribute, empty if it has none.
pub fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let found = attributes.iter().find(|it| it.key == key);
    match found.and_then(|it| it.value.as_ref()?.value.as_ref()) {
        Some(Text::StringValue(text)) => text,
        _ => "",
    }
}

/// The sum of the points of a metric that have all these attributes; `None` if none has.
pub fn sum(push: &Push, metric: &str, wanted: &[(&str, &str)]) -> Option<i64> {
    let metrics = push.1.resource_metrics.iter();
    let metrics = metrics
        .flat_map(|it| &it.scope_metrics)
        .flat_map(|it| &it.metrics);
    let points = metrics
        .filter(|it| it.name == metric)
        .filter_map(|it| match it.data.as_ref()? {
            Data::Sum(sum) => Some(&sum.data_points),
            Data::Gauge(gauge) => Some(&gauge.data_points),
            _ => None,
        })
        .flatten();
    let values = points
        .filter(|point| {
            let has = |(key, value): &(&str, &str)| attribute(&point.attributes, key) == *value;
            wanted.iter().all(has)
        })
        .filter_map(|point| match point.value? {
            Value::AsInt(value) => Some(value),
            Value::AsDouble(_) => None,
        });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0) + value))
}

/// A port on which nobody listens just now.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}

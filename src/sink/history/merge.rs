//! Buckets that become one: their rows added up by what makes two rows one.
//!
//! Owns that nothing of either is lost. When that is done is `backlog`'s business.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::model::endpoint::Address;
use crate::model::flow::Protocol;
use crate::model::ledger::{Bucket, BucketRow, InterfaceRow};

/// What makes two rows one.
type Key = (usize, u32, Option<Protocol>, Option<Address>);

/// Adds a later bucket to one.
pub fn append(to: &mut Bucket, bucket: Bucket) {
    let earlier = std::mem::take(&mut to.rows);
    to.rows = merged(earlier.into_iter().chain(bucket.rows));
    for (protocol, tx_bytes, rx_bytes) in bucket.protocols {
        match to.protocols.iter_mut().find(|row| row.0 == protocol) {
            Some(row) => {
                row.1 += tx_bytes;
                row.2 += rx_bytes;
            }
            None => to.protocols.push((protocol, tx_bytes, rx_bytes)),
        }
    }
    for row in bucket.interfaces {
        match to.interfaces.iter_mut().find(|it| it.name == row.name) {
            Some(there) => add_interface(there, row),
            None => to.interfaces.push(row),
        }
    }
    // The latest word on an alert holds all that came before.
    let latest = bucket.alerts;
    to.alerts
        .retain(|alert| !latest.iter().any(|other| other.number == alert.number));
    to.alerts.extend(latest);
}

fn add_interface(to: &mut InterfaceRow, row: InterfaceRow) {
    to.tx += row.tx;
    to.rx += row.rx;
    to.peak = to.peak.max(row.peak);
    for (class, tx, rx) in row.classes {
        match to.classes.iter_mut().find(|there| there.0 == class) {
            Some(there) => {
                there.1 += tx;
                there.2 += rx;
            }
            None => to.classes.push((class, tx, rx)),
        }
    }
}

/// Rows with those of the same key added up.
pub fn merged(rows: impl Iterator<Item = BucketRow>) -> Vec<BucketRow> {
    let mut places: HashMap<Key, usize, RandomState> = HashMap::default();
    let mut merged: Vec<BucketRow> = Vec::new();
    for row in rows {
        // The rows hold their identities, so no two of these have one address.
        let identity = Arc::as_ptr(&row.identity).addr();
        let key = (identity, row.pid, row.protocol, row.remote);
        let place = *places.entry(key).or_insert(merged.len());
        match merged.get_mut(place) {
            Some(there) => {
                there.tx_bytes += row.tx_bytes;
                there.rx_bytes += row.rx_bytes;
            }
            None => merged.push(row),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::interface::{Class, Count};
    use crate::model::ledger::Alert;

    #[test]
    fn the_latest_word_on_an_alert_stays() {
        let alert = |ended| Alert {
            number: 1,
            started: Duration::ZERO,
            ended,
            identity: Arc::default(),
            pid: 1,
            protocol: Protocol::Tcp,
            remote: None,
            remote_port: 0,
            peak: 1.0,
            threshold: 1.0,
        };
        let with = |ended| Bucket {
            alerts: vec![alert(ended)],
            ..Bucket::default()
        };
        let mut first = with(None);
        let second = with(Some(Duration::from_secs(12)));
        append(&mut first, second.clone());
        assert_eq!(first.alerts, second.alerts);
    }

    #[test]
    fn interfaces_of_one_name_are_added_and_keep_the_higher_peak() {
        let count = |packets| Count {
            packets,
            bytes: packets * 100,
        };
        let row = |name: &str, packets, peak, class| InterfaceRow {
            name: name.into(),
            tx: count(packets),
            rx: count(2 * packets),
            peak,
            classes: vec![(class, count(packets), count(packets))],
        };
        let with = |interfaces| Bucket {
            interfaces,
            ..Bucket::default()
        };
        let mut first = with(vec![row("eth0", 1, 50, Class::Tcp)]);
        append(
            &mut first,
            with(vec![
                row("lo", 3, 1, Class::Icmp),
                row("eth0", 10, 40, Class::Udp),
            ]),
        );
        append(&mut first, with(vec![row("eth0", 100, 90, Class::Tcp)]));
        let [eth0, lo] = &first.interfaces[..] else {
            panic!("{first:?}");
        };
        assert_eq!((eth0.tx, eth0.rx, eth0.peak), (count(111), count(222), 90));
        assert_eq!(
            eth0.classes,
            [
                (Class::Tcp, count(101), count(101)),
                (Class::Udp, count(10), count(10))
            ]
        );
        assert_eq!(*lo, row("lo", 3, 1, Class::Icmp));
    }
}

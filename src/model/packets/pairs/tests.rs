//! The rules of pairs, packet by packet.

use std::net::IpAddr;

use super::super::unattributed::Reason;
use super::*;
use crate::model::flow::ProcessId;
use crate::model::packets::number;
use crate::model::sample::{Identity, Sample};

const IN: Place = Place {
    interface: 2,
    outgoing: false,
};
const OUT: Place = Place {
    interface: 3,
    outgoing: true,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn packet(from: (&str, u16), to: (&str, u16), payload: u32) -> Packet {
    let parse = |text: &str| text.parse::<IpAddr>().unwrap();
    Packet {
        source: parse(from.0),
        destination: parse(to.0),
        protocol: number::TCP,
        ports: Some((from.1, to.1)),
        payload,
        fragment: false,
        id: 0,
    }
}

fn forth(payload: u32) -> Packet {
    packet(("10.0.0.1", 5000), ("10.0.0.2", 80), payload)
}

fn owner(pid: u32) -> Arc<Owner> {
    Arc::new(Owner {
        process: ProcessId { pid, start_ns: 1 },
        namespace: 7,
        identity: Arc::new(Identity::default()),
    })
}

fn pairs(max: usize) -> Pairs {
    Pairs::new(max, Arc::new(Reason::Ended.owner(7)))
}

fn owned(source: Option<u32>, destination: Option<u32>) -> Answer {
    Answer {
        verdict: Verdict::Owned {
            source: known(source),
            destination: known(destination),
        },
        gone: false,
    }
}

fn known(pid: Option<u32>) -> Party {
    let owner = pid.map(owner);
    Party { owner, sure: true }
}

fn likely(owner: Option<Arc<Owner>>) -> Party {
    Party { owner, sure: false }
}

fn ended() -> Arc<Owner> {
    Arc::new(Reason::Ended.owner(7))
}

/// The only pair that wants a look.
fn fresh(pairs: &mut Pairs, now: Duration) -> PairKey {
    let mut wanted = Vec::new();
    pairs.wanted(10, false, now, &mut wanted);
    assert_eq!(wanted.len(), 1);
    wanted[0].key
}

/// Bytes sent and received by each process, and the closed connections.
fn taken(pairs: &mut Pairs, books: &mut Books, now: Duration, all: bool) -> Vec<(u32, u64, u64)> {
    let mut sample = Sample::default();
    pairs.take(books, &mut sample.closed, now, all);
    books.fill(&mut sample);
    let rows = sample.processes.iter();
    let mut rows: Vec<_> = rows
        .map(|row| (row.id.pid, row.totals.tx_bytes, row.totals.rx_bytes))
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
fn a_packet_counts_at_the_first_place_only_and_at_both_ends() {
    let (mut pairs, mut books) = (pairs(10), Books::new(10));
    for payload in [100, 20] {
        pairs.count(IN, &forth(payload), seconds(1));
        pairs.count(OUT, &forth(payload), seconds(1));
    }
    let key = fresh(&mut pairs, seconds(1));
    pairs.settle(&key, owned(Some(1), Some(2)), seconds(1));
    let rows = taken(&mut pairs, &mut books, seconds(1), false);
    assert_eq!(rows, [(1, 120, 0), (2, 0, 120)]);
    // Once nothing was seen there for a while it has another way.
    pairs.count(OUT, &forth(3), seconds(3));
    pairs.count(IN, &forth(3), seconds(3));
    let rows = taken(&mut pairs, &mut books, seconds(3), false);
    assert_eq!(rows, [(1, 123, 0), (2, 0, 123)]);
}

#[test]
fn a_new_pair_waits_for_its_owner_and_not_for_ever() {
    let (mut pairs, mut books) = (pairs(10), Books::new(10));
    pairs.count(OUT, &forth(100), seconds(1));
    assert!(taken(&mut pairs, &mut books, seconds(1), false).is_empty());
    // At the end of a run there is nothing to wait for.
    let mut last = Books::new(10);
    assert_eq!(
        taken(&mut pairs, &mut last, seconds(1), true),
        [(0, 100, 0)]
    );
    pairs.count(OUT, &forth(7), seconds(1));
    assert_eq!(
        taken(&mut pairs, &mut books, seconds(2), false),
        [(0, 7, 0)]
    );
    // What was counted stays where it is; the rest goes to who was found.
    let key = fresh(&mut pairs, seconds(2));
    pairs.settle(&key, owned(Some(5), None), seconds(2));
    pairs.count(OUT, &forth(1), seconds(2));
    let rows = taken(&mut pairs, &mut books, seconds(2), false);
    assert_eq!(rows, [(0, 7, 0), (5, 1, 0)]);
}

#[test]
fn who_was_found_stays_when_the_socket_is_gone() {
    let (mut pairs, mut books) = (pairs(10), Books::new(10));
    pairs.count(OUT, &forth(100), seconds(1));
    let key = fresh(&mut pairs, seconds(1));
    pairs.settle(&key, owned(Some(5), None), seconds(1));
    let nobody = Answer {
        verdict: Verdict::Owned {
            source: likely(Some(ended())),
            destination: known(None),
        },
        gone: true,
    };
    pairs.settle(&key, nobody, seconds(2));
    pairs.count(OUT, &forth(1), seconds(2));
    let rows = taken(&mut pairs, &mut books, seconds(2), false);
    assert_eq!(rows, [(5, 101, 0)]);
    // Another process with the same ends takes over, and the pair is over in the end.
    pairs.settle(&key, owned(Some(6), None), seconds(3));
    pairs.count(OUT, &forth(2), seconds(3));
    let rows = taken(&mut pairs, &mut books, seconds(3), false);
    assert_eq!(rows, [(5, 101, 0), (6, 2, 0)]);
}

#[test]
fn a_connection_without_a_socket_is_told_as_closed() {
    let (mut pairs, mut books) = (pairs(10), Books::new(10));
    pairs.count(OUT, &forth(100), seconds(1));
    let key = fresh(&mut pairs, seconds(1));
    let gone = Answer {
        gone: true,
        ..owned(Some(5), None)
    };
    pairs.settle(&key, gone, seconds(1));
    let mut closed = Vec::new();
    pairs.take(&mut books, &mut closed, seconds(2), false);
    assert!(closed.is_empty() && !pairs.is_empty());
    pairs.take(&mut books, &mut closed, seconds(3), false);
    assert!(pairs.is_empty());
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].local, Some(key.source));
    assert_eq!(closed[0].network_namespace, 7);
}

#[test]
fn a_full_table_loses_no_bytes() {
    let (mut pairs, mut books) = (pairs(1), Books::new(1));
    pairs.count(OUT, &forth(100), seconds(1));
    let other = packet(("10.0.0.9", 1), ("10.0.0.2", 80), 11);
    pairs.count(IN, &other, seconds(1));
    let mut sample = Sample::default();
    pairs.take(&mut books, &mut sample.closed, seconds(1), true);
    books.fill(&mut sample);
    assert_eq!(sample.protocols[Protocol::Tcp.index()].bytes(), 111);
    assert_eq!(sample.untracked_flows.rx_bytes, 11);
    assert_eq!(sample.untracked_processes.rx_bytes, 11);
    // What is silent makes room.
    pairs.take(&mut books, &mut sample.closed, seconds(3), false);
    assert!(pairs.is_empty());
}

/// In whatever order they come, and whatever else is in parts between the same two.
#[test]
fn fragments_belong_to_the_one_with_the_ports() {
    let (mut pairs, mut books) = (pairs(10), Books::new(10));
    let part = |id: u32, first: bool, payload: u32| Packet {
        fragment: true,
        id,
        ports: first.then_some((id as u16, 80)),
        ..forth(payload)
    };
    for (id, first, payload) in [
        (1, true, 1000),
        (2, false, 20),
        (1, false, 3),
        (2, true, 2000),
        (3, false, 7),
        (2, false, 30),
        (1, false, 4),
    ] {
        pairs.count(OUT, &part(id, first, payload), seconds(1));
        // Where it passes, too, it counts nothing.
        pairs.count(IN, &part(id, first, payload), seconds(1));
    }
    let mut wanted = Vec::new();
    pairs.wanted(10, false, seconds(1), &mut wanted);
    assert_eq!(wanted.len(), 2);
    for it in wanted {
        let pid = u32::from(it.key.source.port);
        pairs.settle(&it.key, owned(Some(pid), None), seconds(1));
    }
    // Of the third the first never comes.
    let expected = [(1, 1007, 0), (2, 2050, 0)];
    assert_eq!(
        taken(&mut pairs, &mut books, seconds(1), false),
        expected.to_vec()
    );
    let rows = taken(&mut pairs, &mut books, seconds(2), true);
    assert_eq!(rows, [(0, 7, 0), (1, 1007, 0), (2, 2050, 0)]);
}

#[test]
fn what_passes_counts_once_and_what_is_translated_not_at_all() {
    let (mut pairs, mut books) = (pairs(10), Books::new(10));
    for (verdict, rows) in [
        (Verdict::Translated, vec![]),
        (
            Verdict::Passing(Arc::new(Reason::Passing.owner(7))),
            vec![(0, 0, 50)],
        ),
    ] {
        let port = if rows.is_empty() { 1 } else { 2 };
        let packet = packet(("10.0.0.9", port), ("10.1.0.2", 80), 50);
        pairs.count(IN, &packet, seconds(1));
        let key = fresh(&mut pairs, seconds(1));
        let answer = Answer {
            verdict,
            gone: false,
        };
        pairs.settle(&key, answer, seconds(1));
        assert_eq!(taken(&mut pairs, &mut books, seconds(2), false), rows);
    }
}

/// Bytes at an end that is only likely wait for who it really is.
#[test]
fn a_likely_owner_gives_way_with_the_bytes_that_wait() {
    let (mut pairs, mut books) = (pairs(10), Books::new(10));
    pairs.count(OUT, &forth(100), seconds(1));
    let key = fresh(&mut pairs, seconds(1));
    let listening = Answer {
        verdict: Verdict::Owned {
            source: known(Some(1)),
            destination: likely(Some(owner(2))),
        },
        gone: false,
    };
    pairs.settle(&key, listening.clone(), seconds(1));
    let rows = taken(&mut pairs, &mut books, seconds(1), false);
    assert_eq!(rows, [(1, 100, 0)]);
    pairs.settle(&key, owned(Some(1), Some(3)), seconds(1));
    pairs.count(OUT, &forth(7), seconds(1));
    let rows = taken(&mut pairs, &mut books, seconds(1), false);
    assert_eq!(rows, [(1, 107, 0), (3, 0, 107)]);
    // Who is known stays, and what was waited for in vain goes to who is likely.
    pairs.settle(&key, listening.clone(), seconds(2));
    let other = packet(("10.0.0.9", 1), ("10.0.0.2", 80), 11);
    pairs.count(OUT, &other, seconds(2));
    let key = fresh(&mut pairs, seconds(2));
    pairs.settle(&key, listening, seconds(2));
    pairs.count(OUT, &forth(1), seconds(2));
    let rows = taken(&mut pairs, &mut books, seconds(3), false);
    assert_eq!(rows, [(1, 119, 0), (2, 0, 11), (3, 0, 108)]);
}

/// In whatever order the answers come, a byte that one look gave to nobody is in one row.
#[test]
fn nobody_gives_way_to_a_translation_and_a_translation_only_to_somebody() {
    let (mut pairs, mut books) = (pairs(10), Books::new(10));
    pairs.count(OUT, &forth(100), seconds(1));
    let key = fresh(&mut pairs, seconds(1));
    let nobody = Answer {
        verdict: Verdict::Owned {
            source: likely(Some(ended())),
            destination: known(None),
        },
        gone: true,
    };
    let with = |verdict| Answer {
        verdict,
        gone: false,
    };
    pairs.settle(&key, nobody.clone(), seconds(1));
    assert!(taken(&mut pairs, &mut books, seconds(1), false).is_empty());
    pairs.settle(&key, with(Verdict::Translated), seconds(1));
    let passing = Verdict::Passing(Arc::new(Reason::Passing.owner(7)));
    for later in [nobody, with(passing.clone())] {
        pairs.count(OUT, &forth(10), seconds(1));
        pairs.settle(&key, later, seconds(1));
        assert!(taken(&mut pairs, &mut books, seconds(1), true).is_empty());
    }
    pairs.count(OUT, &forth(10), seconds(9));
    pairs.settle(&key, owned(None, Some(4)), seconds(9));
    pairs.settle(&key, with(passing), seconds(9));
    let rows = taken(&mut pairs, &mut books, seconds(9), false);
    assert_eq!(rows, [(4, 0, 10)]);
}

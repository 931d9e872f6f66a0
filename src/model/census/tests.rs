//! The census against a naive one, in random orders; what is never lost.

use std::collections::HashMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::model::packet::Packet;

const SECOND: Duration = Duration::from_secs(1);

fn packet(source: u8, destination: u8, port: u16) -> Packet {
    let address = |number: u8| match source % 2 {
        0 => IpAddr::from([10, 0, 0, number]),
        // The same as an IPv4 one, or not.
        _ if number.is_multiple_of(4) => {
            IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x0a00, u16::from(number)])
        }
        _ => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number)]),
    };
    Packet {
        source: address(source),
        destination: address(destination),
        protocol: 17,
        ports: (port > 0).then_some((port, 53)),
        payload: 0,
        fragment: port == 0,
        id: 0,
    }
}

fn facts() -> Facts {
    Facts {
        at: Moment::default(),
        elapsed: SECOND,
        interface: "eth0".into(),
        ignored: 0,
        not_ip: Some(0),
        workers: vec![Worker::default()],
    }
}

/// What happens: a packet at a worker, a worker hands over, a report.
#[derive(Debug, Clone)]
enum Event {
    Packet(usize, u8, u8, u16, u32),
    HandOver(usize),
    Report(usize),
}

const WORKERS: usize = 3;

fn event() -> impl Strategy<Value = Event> {
    // Of one worker and few hosts: trains, and answers to them.
    let packet = |workers, hosts: u8| {
        (0..workers, 0..hosts, 0..hosts, 0..3_u16, 14..65_536_u32)
            .prop_map(|(worker, a, b, port, length)| Event::Packet(worker, a, b, port, length))
    };
    prop_oneof![
        15 => packet(WORKERS, 40),
        15 => packet(1, 3),
        2 => (0..WORKERS).prop_map(Event::HandOver),
        1 => (1..50_usize).prop_map(Event::Report),
    ]
}

/// A flow's addresses and ports.
type Ends = (IpAddr, IpAddr, Option<(u16, u16)>);

/// What a naive counter without a limit knows.
#[derive(Default)]
struct Naive {
    addresses: HashMap<IpAddr, (BothWays, u64)>,
    flows: HashMap<Ends, (Count, u64)>,
    counted: Count,
}

impl Naive {
    fn count(&mut self, packet: &Packet, length: u32) {
        let bytes = u64::from(length);
        let count = Count { bytes, packets: 1 };
        self.counted += count;
        let [source, destination] =
            [packet.source, packet.destination].map(|address| address.to_canonical());
        let from = self.addresses.entry(source).or_default();
        from.0.tx += count;
        from.1 += bytes;
        let to = self.addresses.entry(destination).or_default();
        to.0.rx += count;
        to.1 += bytes;
        let key = (source, destination, packet.ports);
        let flow = self.flows.entry(key).or_default();
        flow.0 += count;
        flow.1 += bytes;
    }

    fn next(&mut self) {
        self.addresses.values_mut().for_each(|row| row.1 = 0);
        self.flows.values_mut().for_each(|row| row.1 = 0);
    }
}

/// All that a report lists is what the naive counter has, and what it does not list
/// is the rest, to the byte.
fn check(report: &Report, naive: &Naive) -> Result<(), TestCaseError> {
    prop_assert_eq!(report.frames.counted, naive.counted);
    let mut sum = report.other;
    sum += report.unlisted.total;
    for row in &report.addresses {
        let (total, new) = naive.addresses[&row.address];
        prop_assert_eq!(row.total, total);
        prop_assert_eq!((row.tx_rate + row.rx_rate) as u64, new);
        sum += row.total;
    }
    prop_assert_eq!((sum.tx, sum.rx), (naive.counted, naive.counted));

    let flows = report.flows.as_ref().expect("flows are counted");
    let mut sum = flows.other;
    sum += flows.unlisted;
    for row in &flows.rows {
        let flow = row.flow;
        let ends = (flow.source.address(), flow.destination.address());
        let (total, new) = naive.flows[&(ends.0, ends.1, flow.ports())];
        prop_assert_eq!(row.total, total);
        prop_assert_eq!(row.rate as u64, new);
        sum += row.total;
    }
    prop_assert_eq!(sum, naive.counted);
    let rates = report.addresses.iter().map(|row| row.tx_rate + row.rx_rate);
    prop_assert!(rates.is_sorted_by(|a, b| a >= b));
    prop_assert!(flows.rows.is_sorted_by(|a, b| a.rate >= b.rate));
    Ok(())
}

proptest! {
    #[test]
    fn every_report_is_the_naive_count_and_loses_nothing(
        limit in 1..90_u32,
        events in proptest::collection::vec(event(), 0..400),
    ) {
        let mut census = Census::new(limit, true).unwrap();
        let mut tallies: Vec<Tally> = (0..WORKERS).map(|_| Tally::new(limit, true).unwrap()).collect();
        let mut naive = Naive::default();
        let mut workers = vec![Worker::default(); WORKERS];
        let mut reported = workers.clone();
        let mut entries = 0;
        for event in events.into_iter().chain([Event::Report(1000)]) {
            match event {
                Event::Packet(worker, a, b, port, length) => {
                    let packet = packet(a, b, port);
                    prop_assert!(tallies[worker].count_packet(&packet, length).is_ok());
                    naive.count(&packet, length);
                }
                Event::HandOver(worker) => {
                    census.absorb(&mut tallies[worker], &mut workers[worker]);
                }
                Event::Report(top) => {
                    for (tally, worker) in tallies.iter_mut().zip(&mut workers) {
                        census.absorb(tally, worker);
                    }
                    let facts = Facts { workers: workers.clone(), ..facts() };
                    let report = census.report(facts, top);
                    check(&report, &naive)?;
                    let table = report.table;
                    prop_assert_eq!(table.limit, u64::from(limit));
                    let all = naive.addresses.len() as u64;
                    prop_assert_eq!(table.entries, all.min(table.limit));
                    prop_assert_eq!(table.new, table.entries - entries);
                    entries = table.entries;
                    let mut sum = Worker::default();
                    for (row, before) in report.workers.iter().zip(&reported) {
                        prop_assert_eq!(row.new, row.total.since(before));
                        sum.counted += row.total.counted;
                        sum.entries += row.total.entries;
                    }
                    prop_assert_eq!(sum.counted, naive.counted);
                    prop_assert_eq!(sum.entries, table.entries);
                    reported.clone_from(&workers);
                    let listed = (table.entries).min(top as u64);
                    prop_assert_eq!(report.addresses.len() as u64, listed);
                    prop_assert_eq!(report.unlisted.rows, table.entries - listed);
                    prop_assert_eq!(
                        report.other == BothWays::default(),
                        all <= u64::from(limit)
                    );
                    naive.next();
                }
            }
        }
    }
}

#[test]
fn a_tally_says_when_it_must_be_handed_over() {
    let mut tally = Tally::new(16, true).unwrap();
    let mut counted = 0_u64;
    let numbered = |number: u64| Packet {
        source: IpAddr::from([0; 16]),
        destination: IpAddr::from((1 + u128::from(number)).to_be_bytes()),
        ..packet(0, 0, 0)
    };
    while tally.count_packet(&numbered(counted), 100).is_ok() {
        counted += 1;
    }
    // What has its rows already needs no room.
    let last = numbered(counted - 1);
    assert_eq!(tally.count_packet(&last, 100), Ok(()));
    assert_eq!(tally.counted().packets, counted + 1);
    let answer = Packet {
        source: last.destination,
        destination: last.source,
        ..last
    };
    assert_eq!(tally.count_packet(&answer, 100), Ok(()));
    counted += 2;
    assert!(counted >= 512, "{counted}");
    let mut census = Census::new(16, true).unwrap();
    census.absorb(&mut tally, &mut Worker::default());
    let refused = numbered(counted - 2);
    assert_eq!(tally.count_packet(&refused, 100), Ok(()));
    assert_eq!(tally.counted().packets, 1);
    let report = census.report(facts(), 100);
    assert_eq!(report.frames.counted.packets, counted);
    assert_eq!(report.table.entries, 16);
    assert_eq!(report.other.rx.packets, counted - 16);
    assert_eq!(report.other.tx.packets, 1);
}

#[test]
fn a_row_is_a_cache_line() {
    assert_eq!(size_of::<(AddressKey, Entry<BothWays>)>(), 64);
    assert_eq!(size_of::<(FlowKey, Entry<Count>)>(), 64);
    // What the README says of the default.
    assert_eq!(Census::bytes(65_536, false) >> 10, 4864);
    assert_eq!(Tally::bytes(65_536, false) >> 10, 3584);
    assert_eq!(Tally::bytes(u32::MAX, true), Tally::bytes(65_536, true));
}

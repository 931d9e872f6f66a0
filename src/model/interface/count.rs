//! Packets and bytes of one direction, by class, and their pace.
//!
//! Owns the rule for a sampler's counters that began anew. Does not know whose they are.

use std::ops::{Add, AddAssign};
use std::time::Duration;

use crate::model::rate::per_second;

/// Packets and the bytes of their frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes from the Ethernet header to the payload's end.
    pub bytes: u64,
}

impl Count {
    /// Whether it is below what was there before in any part.
    pub(super) fn fell(self, before: Count) -> bool {
        self.packets < before.packets || self.bytes < before.bytes
    }

    /// What was added to `before`, which is not above it in any part.
    pub(super) fn beyond(self, before: Count) -> Count {
        Count {
            packets: self.packets.saturating_sub(before.packets),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }

    /// Per second, if it came in `elapsed`.
    pub(super) fn pace(self, elapsed: Duration) -> Pace {
        Pace {
            packets: per_second(self.packets, elapsed),
            bytes: per_second(self.bytes, elapsed),
        }
    }
}

impl Add for Count {
    type Output = Count;

    fn add(self, other: Count) -> Count {
        Count {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        *self = *self + other;
    }
}

/// Packets and bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pace {
    /// Packets/s.
    pub packets: f64,
    /// Bytes/s.
    pub bytes: f64,
}

impl AddAssign for Pace {
    fn add_assign(&mut self, other: Pace) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// What an interface sampler tells apart. The first five share out every packet; the
/// last two are parts of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// Any other packet of IPv4 or IPv6; a fragment beyond the first is of its
    /// protocol all the same.
    OtherIp,
    /// What is not IP: ARP, spanning tree, frames too short to tell.
    NotIp,
    /// TCP from or to port 80.
    Http,
    /// TCP or UDP from or to port 443.
    Https,
}

impl Class {
    /// All of them, in the order of the kernel program's counters.
    pub const ALL: [Class; 7] = [
        Class::Tcp,
        Class::Udp,
        Class::Icmp,
        Class::OtherIp,
        Class::NotIp,
        Class::Http,
        Class::Https,
    ];

    /// Number of classes.
    pub const COUNT: usize = Self::ALL.len();

    /// Those that share out every packet.
    pub const PARTS: [Class; 5] = [
        Class::Tcp,
        Class::Udp,
        Class::Icmp,
        Class::OtherIp,
        Class::NotIp,
    ];

    /// The name in records and labels.
    pub fn name(self) -> &'static str {
        match self {
            Class::Tcp => "tcp",
            Class::Udp => "udp",
            Class::Icmp => "icmp",
            Class::OtherIp => "other_ip",
            Class::NotIp => "not_ip",
            Class::Http => "http",
            Class::Https => "https",
        }
    }
}

/// One direction of a sampled interface, cumulative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Way {
    /// What the interface itself counts: a train of segments that is cut or joined
    /// elsewhere (TSO, GRO) is one.
    pub frames: Count,
    /// By [`Class`], each segment of a train a packet with headers of its own.
    pub classes: [Count; Class::COUNT],
}

impl Way {
    /// The sum of all packets.
    pub fn all(&self) -> Count {
        let mut all = Count::default();
        for part in Class::PARTS {
            all += self.of(part);
        }
        all
    }

    /// The packets of a class.
    pub fn of(&self, class: Class) -> Count {
        self.classes[class as usize]
    }

    /// What was added since `before`. Counters of which any part fell began anew from 0,
    /// so all of it is new.
    pub(super) fn since(&self, before: &Way) -> Way {
        let mut parts = self.classes.iter().zip(before.classes);
        if self.frames.fell(before.frames) || parts.any(|(now, before)| now.fell(before)) {
            return *self;
        }
        let mut moved = *self;
        moved.frames = moved.frames.beyond(before.frames);
        for (count, before) in moved.classes.iter_mut().zip(before.classes) {
            *count = count.beyond(before);
        }
        moved
    }
}

impl AddAssign for Way {
    fn add_assign(&mut self, other: Way) {
        self.frames += other.frames;
        for (count, other) in self.classes.iter_mut().zip(other.classes) {
            *count += other;
        }
    }
}

/// One direction of the last interval, per second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WayPace {
    /// As [`Way::frames`].
    pub frames: Pace,
    /// As [`Way::classes`].
    pub classes: [Pace; Class::COUNT],
}

impl WayPace {
    /// That of what moved in `elapsed`.
    pub fn new(moved: &Way, elapsed: Duration) -> WayPace {
        WayPace {
            frames: moved.frames.pace(elapsed),
            classes: moved.classes.map(|count| count.pace(elapsed)),
        }
    }

    /// The sum of all packets.
    pub fn all(&self) -> Pace {
        let mut all = Pace::default();
        for part in Class::PARTS {
            all += self.of(part);
        }
        all
    }

    /// The packets of a class.
    pub fn of(&self, class: Class) -> Pace {
        self.classes[class as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(packets: u64, bytes: u64) -> Count {
        Count { packets, bytes }
    }

    /// A train of ten segments of TCP to port 443, and an ARP.
    fn way() -> Way {
        let mut way = Way {
            frames: count(2, 14_542),
            ..Way::default()
        };
        way.classes[Class::Tcp as usize] = count(10, 15_094);
        way.classes[Class::Https as usize] = count(10, 15_094);
        way.classes[Class::NotIp as usize] = count(1, 42);
        way
    }

    #[test]
    fn the_index_of_a_class_is_its_place() {
        for (place, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, place);
        }
        assert_eq!(Class::ALL[..5], Class::PARTS);
    }

    #[test]
    fn parts_of_parts_are_not_summed() {
        let way = way();
        assert_eq!(way.all(), count(11, 15_136));
        assert_eq!(way.of(Class::Https), way.of(Class::Tcp));
        let pace = WayPace::new(&way, Duration::from_millis(500));
        assert_eq!((pace.all().packets, pace.all().bytes), (22.0, 30_272.0));
        assert_eq!((pace.frames.packets, pace.frames.bytes), (4.0, 29_084.0));
        assert_eq!(pace.of(Class::Udp), Pace::default());
        assert_eq!(WayPace::new(&way, Duration::ZERO), WayPace::default());
    }

    #[test]
    fn what_was_added_is_the_difference() {
        let before = way();
        let mut later = before;
        later += before;
        assert_eq!(later.since(&before), before);
        assert_eq!(later.since(&later), Way::default());
        assert_eq!(later.since(&Way::default()), later);
    }

    #[test]
    fn counters_of_which_any_part_fell_began_anew() {
        let before = way();
        let mut twice = before;
        twice += before;
        let fallen = |change: fn(&mut Way)| {
            let mut later = twice;
            change(&mut later);
            later
        };
        for later in [
            fallen(|way| way.frames.packets = 1),
            fallen(|way| way.frames.bytes = 14_541),
            fallen(|way| way.classes[Class::Tcp as usize].bytes = 0),
            fallen(|way| way.classes[Class::Https as usize].packets = 9),
        ] {
            assert_eq!(later.since(&before), later);
        }
    }
}

-- Version 2 of netmon's history: interfaces. Bytes are those of frames with their
-- headers, as the kernel or a sampler counts them, and not those of the other tables.

-- Which interface. One of the same name that comes later is the same.
CREATE TABLE interface (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    last_seen INTEGER NOT NULL DEFAULT 0  -- the hour in which it last moved bytes
);

-- What a sampler tells apart. tcp, udp, icmp, other_ip and not_ip share out every packet;
-- http and https are parts of tcp and udp.
CREATE TABLE class (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- The kernel's own counters, of interfaces that moved something. peak is the highest
-- rate of ten seconds, both directions, in bytes per second.
CREATE TABLE interface_10s (
    time       INTEGER NOT NULL,
    interface  INTEGER NOT NULL,
    tx_bytes   INTEGER NOT NULL,
    rx_bytes   INTEGER NOT NULL,
    tx_packets INTEGER NOT NULL,
    rx_packets INTEGER NOT NULL,
    peak       INTEGER NOT NULL,
    PRIMARY KEY (time, interface)
) WITHOUT ROWID;

CREATE TABLE interface_1m (
    time       INTEGER NOT NULL,
    interface  INTEGER NOT NULL,
    tx_bytes   INTEGER NOT NULL,
    rx_bytes   INTEGER NOT NULL,
    tx_packets INTEGER NOT NULL,
    rx_packets INTEGER NOT NULL,
    peak       INTEGER NOT NULL,
    PRIMARY KEY (time, interface)
) WITHOUT ROWID;

CREATE TABLE interface_1h (
    time       INTEGER NOT NULL,
    interface  INTEGER NOT NULL,
    tx_bytes   INTEGER NOT NULL,
    rx_bytes   INTEGER NOT NULL,
    tx_packets INTEGER NOT NULL,
    rx_packets INTEGER NOT NULL,
    peak       INTEGER NOT NULL,
    PRIMARY KEY (time, interface)
) WITHOUT ROWID;

-- By class, as far as a sampler was attached; each segment of a train is a packet here.
CREATE TABLE class_10s (
    time       INTEGER NOT NULL,
    interface  INTEGER NOT NULL,
    class      INTEGER NOT NULL,
    tx_bytes   INTEGER NOT NULL,
    rx_bytes   INTEGER NOT NULL,
    tx_packets INTEGER NOT NULL,
    rx_packets INTEGER NOT NULL,
    PRIMARY KEY (time, interface, class)
) WITHOUT ROWID;

CREATE TABLE class_1m (
    time       INTEGER NOT NULL,
    interface  INTEGER NOT NULL,
    class      INTEGER NOT NULL,
    tx_bytes   INTEGER NOT NULL,
    rx_bytes   INTEGER NOT NULL,
    tx_packets INTEGER NOT NULL,
    rx_packets INTEGER NOT NULL,
    PRIMARY KEY (time, interface, class)
) WITHOUT ROWID;

CREATE TABLE class_1h (
    time       INTEGER NOT NULL,
    interface  INTEGER NOT NULL,
    class      INTEGER NOT NULL,
    tx_bytes   INTEGER NOT NULL,
    rx_bytes   INTEGER NOT NULL,
    tx_packets INTEGER NOT NULL,
    rx_packets INTEGER NOT NULL,
    PRIMARY KEY (time, interface, class)
) WITHOUT ROWID;

-- For a person with a query: the buckets of ten seconds with names.
CREATE VIEW interfaces AS
SELECT datetime(t.time, 'unixepoch') AS time, i.name AS interface,
       t.tx_bytes, t.rx_bytes, t.tx_packets, t.rx_packets
FROM interface_10s t
JOIN interface i ON i.id = t.interface;

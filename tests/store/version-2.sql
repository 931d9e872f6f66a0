-- What version 2 added to a history of version 1: a frozen copy of its tables with some
-- rows. It stays as it is whatever becomes of the tables later.
BEGIN;
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

INSERT INTO interface (id, name, last_seen) VALUES (1, 'eth0', 1800000000);
INSERT INTO class (id, name) VALUES
    (1, 'tcp'), (2, 'udp'), (3, 'icmp'), (4, 'other_ip'), (5, 'not_ip'), (6, 'http'),
    (7, 'https');
INSERT INTO interface_10s
    (time, interface, tx_bytes, rx_bytes, tx_packets, rx_packets, peak) VALUES
    (1799999940, 1, 1000, 2000, 10, 20, 300), (1799999950, 1, 1000, 2000, 10, 20, 300),
    (1800000000, 1, 3000, 5000, 30, 50, 800);
INSERT INTO interface_1m
    (time, interface, tx_bytes, rx_bytes, tx_packets, rx_packets, peak) VALUES
    (1799999940, 1, 2000, 4000, 20, 40, 300);
INSERT INTO interface_1h
    (time, interface, tx_bytes, rx_bytes, tx_packets, rx_packets, peak) VALUES
    (1799996400, 1, 2000, 4000, 20, 40, 300);
INSERT INTO class_10s
    (time, interface, class, tx_bytes, rx_bytes, tx_packets, rx_packets) VALUES
    (1799999940, 1, 1, 900, 1900, 9, 19), (1799999940, 1, 7, 800, 1600, 8, 16),
    (1800000000, 1, 1, 2900, 4900, 29, 49), (1800000000, 1, 7, 1000, 2000, 10, 20);
INSERT INTO class_1m
    (time, interface, class, tx_bytes, rx_bytes, tx_packets, rx_packets) VALUES
    (1799999940, 1, 1, 900, 1900, 9, 19), (1799999940, 1, 7, 800, 1600, 8, 16);
INSERT INTO class_1h
    (time, interface, class, tx_bytes, rx_bytes, tx_packets, rx_packets) VALUES
    (1799996400, 1, 1, 900, 1900, 9, 19), (1799996400, 1, 7, 800, 1600, 8, 16);
PRAGMA user_version = 2;
COMMIT;

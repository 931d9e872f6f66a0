-- A history as version 1 was written: a frozen copy of its tables with some rows. It
-- stays as it is whatever becomes of the tables later.
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN;
-- The tables.
-- "ntmn" in ASCII, by which netmon knows its own.
PRAGMA application_id = 1853123950;

-- Who moved bytes. Empty text where something is not known, so that a row is unique.
CREATE TABLE process (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    executable TEXT NOT NULL,
    uid        INTEGER NOT NULL,
    user       TEXT NOT NULL,
    unit       TEXT NOT NULL,
    container  TEXT NOT NULL,
    last_seen  INTEGER NOT NULL DEFAULT 0,  -- the hour in which it last moved bytes
    UNIQUE (name, executable, uid, unit, container)
);

-- To whom; address is an IP address or the name of an interface. 0 is nobody known.
CREATE TABLE remote (
    id        INTEGER PRIMARY KEY,
    address   TEXT NOT NULL UNIQUE,
    last_seen INTEGER NOT NULL DEFAULT 0
);
INSERT INTO remote (id, address) VALUES (0, '');

-- By which protocol; 0 is not known.
CREATE TABLE protocol (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- The finest buckets: ten seconds, and each process id apart.
CREATE TABLE traffic_10s (
    time     INTEGER NOT NULL,
    process  INTEGER NOT NULL,
    remote   INTEGER NOT NULL,
    protocol INTEGER NOT NULL,
    pid      INTEGER NOT NULL,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL,
    PRIMARY KEY (time, process, remote, protocol, pid)
) WITHOUT ROWID;

-- Rolled up from the ten seconds: a minute, an hour. What belongs to times from the
-- mark in `progress` on is not whole yet.
CREATE TABLE traffic_1m (
    time     INTEGER NOT NULL,
    process  INTEGER NOT NULL,
    remote   INTEGER NOT NULL,
    protocol INTEGER NOT NULL,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL,
    PRIMARY KEY (time, process, remote, protocol)
) WITHOUT ROWID;

CREATE TABLE traffic_1h (
    time     INTEGER NOT NULL,
    process  INTEGER NOT NULL,
    remote   INTEGER NOT NULL,
    protocol INTEGER NOT NULL,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL,
    PRIMARY KEY (time, process, remote, protocol)
) WITHOUT ROWID;

-- The same without the remote, so that a day of processes is a short read; the index is
-- for the line of one of them.
CREATE TABLE process_1m (
    time     INTEGER NOT NULL,
    process  INTEGER NOT NULL,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL,
    PRIMARY KEY (time, process)
) WITHOUT ROWID;
CREATE INDEX process_1m_of ON process_1m (process, time, tx_bytes, rx_bytes);

CREATE TABLE process_1h (
    time     INTEGER NOT NULL,
    process  INTEGER NOT NULL,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL,
    PRIMARY KEY (time, process)
) WITHOUT ROWID;
CREATE INDEX process_1h_of ON process_1h (process, time, tx_bytes, rx_bytes);

-- The same by remote address alone.
CREATE TABLE remote_1m (
    time     INTEGER NOT NULL,
    remote   INTEGER NOT NULL,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL,
    PRIMARY KEY (time, remote)
) WITHOUT ROWID;

CREATE TABLE remote_1h (
    time     INTEGER NOT NULL,
    remote   INTEGER NOT NULL,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL,
    PRIMARY KEY (time, remote)
) WITHOUT ROWID;

-- All rows of a bucket together, for what is not shown apart.
CREATE TABLE total_10s (
    time     INTEGER PRIMARY KEY,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL
);

CREATE TABLE total_1m (
    time     INTEGER PRIMARY KEY,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL
);

CREATE TABLE total_1h (
    time     INTEGER PRIMARY KEY,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL
);

-- The whole machine by protocol, exact even where flows are not kept apart.
CREATE TABLE protocol_10s (
    time     INTEGER NOT NULL,
    protocol INTEGER NOT NULL,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL,
    PRIMARY KEY (time, protocol)
) WITHOUT ROWID;

CREATE TABLE protocol_1m (
    time     INTEGER NOT NULL,
    protocol INTEGER NOT NULL,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL,
    PRIMARY KEY (time, protocol)
) WITHOUT ROWID;

CREATE TABLE protocol_1h (
    time     INTEGER NOT NULL,
    protocol INTEGER NOT NULL,
    tx_bytes INTEGER NOT NULL,
    rx_bytes INTEGER NOT NULL,
    PRIMARY KEY (time, protocol)
) WITHOUT ROWID;

-- Flows above the threshold; ended is NULL while one still is (or netmon ended first).
CREATE TABLE alert (
    id          INTEGER PRIMARY KEY,
    started     REAL NOT NULL,
    ended       REAL,
    kind        TEXT NOT NULL,
    process     INTEGER NOT NULL,
    pid         INTEGER NOT NULL,
    protocol    INTEGER NOT NULL,
    remote      INTEGER NOT NULL,
    remote_port INTEGER,
    peak        REAL NOT NULL,
    threshold   REAL NOT NULL
);
CREATE INDEX alert_started ON alert (started);

-- Times before these are rolled up: what is in the finer tables is whole in '1m', '1h'.
-- Of '10s cut', '1m cut' some buckets before it are deleted; without one none is.
CREATE TABLE progress (
    level TEXT PRIMARY KEY,
    time  INTEGER NOT NULL
) WITHOUT ROWID;

-- For a person with a query: the buckets of ten seconds with names.
CREATE VIEW traffic AS
SELECT datetime(t.time, 'unixepoch') AS time, p.name, p.executable, p.user, p.unit,
       p.container, t.pid, c.name AS protocol, r.address AS remote_address,
       t.tx_bytes, t.rx_bytes
FROM traffic_10s t
JOIN process p ON p.id = t.process
JOIN remote r ON r.id = t.remote
LEFT JOIN protocol c ON c.id = t.protocol;

INSERT INTO process (id, name, executable, uid, user, unit, container, last_seen) VALUES
    (1, 'curl', '/usr/bin/curl', 1000, 'alice', '', '', 1799996400),
    (2, 'nginx', '/usr/sbin/nginx', 33, 'www-data', 'nginx.service', '', 1800000000),
    (3, '[kernel]', '', 0, '', '', '', 1800000000);
INSERT INTO remote (id, address, last_seen) VALUES
    (1, '192.0.2.1', 1799996400), (2, '2001:db8::1', 1800000000);
INSERT INTO protocol (id, name) VALUES
    (0, ''), (1, 'tcp'), (2, 'udp'), (3, 'icmp'), (4, 'sctp'), (5, 'mptcp'), (6, 'raw'),
    (7, 'packet'), (8, 'vsock'), (9, 'other');
INSERT INTO traffic_10s (time, process, remote, protocol, pid, tx_bytes, rx_bytes) VALUES
    (1799999940, 1, 1, 1, 4242, 100, 2000),
    (1799999950, 1, 1, 1, 4242, 10, 200),
    (1800000000, 2, 2, 1, 80, 7, 70),
    (1800000010, 3, 0, 0, 0, 1, 2);
INSERT INTO traffic_1m (time, process, remote, protocol, tx_bytes, rx_bytes) VALUES
    (1799999940, 1, 1, 1, 110, 2200);
INSERT INTO traffic_1h (time, process, remote, protocol, tx_bytes, rx_bytes) VALUES
    (1799996400, 1, 1, 1, 110, 2200);
INSERT INTO process_1m (time, process, tx_bytes, rx_bytes) VALUES (1799999940, 1, 110, 2200);
INSERT INTO process_1h (time, process, tx_bytes, rx_bytes) VALUES (1799996400, 1, 110, 2200);
INSERT INTO remote_1m (time, remote, tx_bytes, rx_bytes) VALUES (1799999940, 1, 110, 2200);
INSERT INTO remote_1h (time, remote, tx_bytes, rx_bytes) VALUES (1799996400, 1, 110, 2200);
INSERT INTO total_10s (time, tx_bytes, rx_bytes) VALUES
    (1799999940, 100, 2000), (1799999950, 10, 200), (1800000000, 7, 70), (1800000010, 1, 2);
INSERT INTO total_1m (time, tx_bytes, rx_bytes) VALUES (1799999940, 110, 2200);
INSERT INTO total_1h (time, tx_bytes, rx_bytes) VALUES (1799996400, 110, 2200);
INSERT INTO protocol_10s (time, protocol, tx_bytes, rx_bytes) VALUES
    (1799999940, 1, 100, 2000), (1799999950, 1, 10, 200), (1800000000, 1, 7, 70),
    (1800000010, 2, 1, 2);
INSERT INTO protocol_1m (time, protocol, tx_bytes, rx_bytes) VALUES (1799999940, 1, 110, 2200);
INSERT INTO protocol_1h (time, protocol, tx_bytes, rx_bytes) VALUES (1799996400, 1, 110, 2200);
INSERT INTO alert (id, started, ended, kind, process, pid, protocol, remote, remote_port,
                   peak, threshold) VALUES
    (1, 1799999945.5, 1799999949.25, 'rate', 1, 4242, 1, 1, 443, 2e7, 1e7);
INSERT INTO progress (level, time) VALUES ('1m', 1800000000), ('1h', 1800000000);
PRAGMA user_version = 1;
COMMIT;

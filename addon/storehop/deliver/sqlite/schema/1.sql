CREATE TABLE calls (
    id          TEXT PRIMARY KEY CHECK (id <> ''),
    host        TEXT NOT NULL CHECK (host LIKE 'http%://%'),
    url         TEXT NOT NULL CHECK (substr(url, 1, length(host)) = host),
    headers     TEXT NOT NULL CHECK (json_valid(headers)),
    rule        TEXT NOT NULL,
    created_at  REAL NOT NULL,                            -- wall clock, for people and over reboots
    born        REAL NOT NULL,                            -- uptime
    attempts    INTEGER NOT NULL CHECK (attempts >= 0),   -- spent ones
    last        TEXT,                                     -- outcome of the last attempt
    state       TEXT NOT NULL CHECK (state IN ('leased', 'due', 'dead')),
    due_at      REAL,                                     -- uptime
    holder      TEXT,
    lease_until REAL,                                     -- uptime
    dead_at     REAL,                                     -- wall clock
    reason      TEXT,
    CHECK ((state = 'leased') = (holder IS NOT NULL AND lease_until IS NOT NULL)),
    CHECK ((state = 'leased') OR (holder IS NULL AND lease_until IS NULL)),
    CHECK ((state = 'due') = (due_at IS NOT NULL)),
    CHECK ((state = 'dead') = (dead_at IS NOT NULL AND reason IS NOT NULL)),
    CHECK ((state = 'dead') OR (dead_at IS NULL AND reason IS NULL))
) STRICT;
CREATE INDEX calls_due ON calls (due_at) WHERE state = 'due';
CREATE INDEX calls_alive ON calls (born) WHERE state <> 'dead';
CREATE INDEX calls_dead ON calls (dead_at) WHERE state = 'dead';
CREATE TABLE machine (boot_id TEXT NOT NULL, probe BLOB) STRICT;
INSERT INTO machine (boot_id) VALUES ('');

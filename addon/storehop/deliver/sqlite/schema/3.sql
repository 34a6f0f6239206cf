-- A lease is an opaque token, and `holder` is what stands before the first colon, as older versions know it.
ALTER TABLE calls ADD COLUMN lease TEXT;
-- 1: waits for a browser's retry, which may amend it.
ALTER TABLE calls ADD COLUMN is_held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE calls ADD COLUMN size INTEGER
    GENERATED ALWAYS AS (length(CAST(url AS BLOB)) + length(CAST(headers AS BLOB))) VIRTUAL;
CREATE INDEX calls_dead_size ON calls (dead_at, size) WHERE state = 'dead';
-- Recovery's budget for all processes, in calls, and the uptime at which it was counted.
ALTER TABLE machine ADD COLUMN budget REAL NOT NULL DEFAULT 0;
ALTER TABLE machine ADD COLUMN budget_at REAL NOT NULL DEFAULT 0;
CREATE TABLE marks (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;

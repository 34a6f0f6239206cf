CREATE TABLE answers (
    key    BLOB PRIMARY KEY,
    until  REAL NOT NULL,                                 -- uptime
    answer TEXT NOT NULL
) STRICT, WITHOUT ROWID;

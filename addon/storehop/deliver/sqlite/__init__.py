"""An outbox in one SQLite file: the engine that storehop brings along. Nothing else in storehop knows SQLite."""

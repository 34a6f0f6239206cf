"""An outbox on Redis or Valkey, for many hosts. Nothing else in storehop knows Redis."""

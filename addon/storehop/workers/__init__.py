"""Several processes on one port: the supervisor, and what they say as one (design §8)."""

"""One module a format: each reads a recording from its beginning to its end and yields what it finds there."""

"""A package, so that no `tests` of some library's is taken for ours. What tests share is in tests.support."""

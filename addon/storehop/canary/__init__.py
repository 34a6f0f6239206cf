"""The canary: watches a rule's direct clicks, and stops the rule when they do harm (design §11).

A stop is a mark in the outbox: every process on it sees it, and it lasts until a person takes it away.
"""

"""The audit: recorded traffic through the same decision, before anybody switches storehop on (design §11).

It sends nothing and opens no socket. Data flows one way: `recordings` reads exchanges, `clicks` makes clicks of them,
`tally` counts what is decided, `report` is what comes of it.
"""

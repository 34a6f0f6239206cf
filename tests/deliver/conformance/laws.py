"""The laws of storehop.deliver.engine, one plain check each. A check gets a kit (tests.support.engines) and asserts."""

from tests.deliver.conformance import laws_of_calls, laws_of_outboxes, laws_of_upkeep

LAWS = {
    name: check
    for laws in (laws_of_calls, laws_of_outboxes, laws_of_upkeep)
    for name, check in vars(laws).items()
    if name.startswith("law_")
}

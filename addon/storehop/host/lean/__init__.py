"""mitmproxy's Master for production: only what a reverse proxy needs, on a shorter way (design §1, §8).

Nothing here changes what a layer or an addon sees, only how it gets there: `hooks` finds handlers, `handler` takes a
connection's events to its layers and their commands from them, `reading` brings bytes, `http` has HTTP's own layers,
`master` puts them together. Tests compare each with mitmproxy's own, so that a change there shows.
"""

from storehop.host.lean.master import LeanMaster

__all__ = ["LeanMaster"]

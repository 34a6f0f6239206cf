"""mitmproxy's Master for production: only what a reverse proxy needs, on a shorter way (design §1, §8).

Addons and peers see what mitmproxy would show them: `hooks` finds handlers, `handler` takes a connection's events to
its layers and their commands from them, `reading` brings bytes, `master` puts them together. HTTP's own layers are in
`storehop.host.layers.lean`. Tests compare all with mitmproxy's own, so that a change there shows.
"""

from storehop.host.lean.master import LeanMaster

__all__ = ["LeanMaster"]

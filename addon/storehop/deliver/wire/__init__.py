"""Bytes in, Outcome out: one S2S call, sent once, and what came of it, honestly.

The only folder that imports httpx, httpcore, httptools and aiohappyeyeballs. Its seam is `way.Transport`: `exact`
writes a call's bytes itself and is the default; `proxied` is httpx's own transport, where calls leave by a proxy;
`way` chooses. What both need to connect is in `dial`; `request` builds a call's bytes; `wire` makes an Outcome of an
answer or an error.
"""

from storehop.deliver.wire.request import UnsendableError
from storehop.deliver.wire.wire import Wire

__all__ = ["UnsendableError", "Wire"]

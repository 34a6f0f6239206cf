"""Bytes in, Outcome out: one S2S call, sent once, and what came of it, honestly.

The only folder that imports httpx, httpcore, httptools and aiohappyeyeballs. Its seam is httpx's transport API: `exact`
writes a call's bytes itself and is the default; `proxied` is httpx's own transport, where calls leave by a proxy;
`way` chooses. What both need to connect is in `dial`; `wire` turns a call into a request, and an answer or an error
into an Outcome.
"""

from storehop.deliver.wire.wire import UnsendableError, Wire

__all__ = ["UnsendableError", "Wire"]

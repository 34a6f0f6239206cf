"""Layers of our own between a client's bytes and mitmproxy's hooks, in reverse mode alone (design §2).

`stack` chooses the layers of a connection. `head` has the rules for request heads; `http1` and `http2` apply them while
the bytes arrive. A request that they refuse never becomes a flow: it reaches no hook and no upstream.
"""

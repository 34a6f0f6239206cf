"""Layers of our own between a client's bytes and mitmproxy's hooks, in reverse mode alone (design §2).

`stack` says which layers a connection gets. `head` has the rules for request heads, `http1` and `http2` hold clients
to them while the bytes arrive. What is refused here never becomes a flow: no hook, no upstream hears of it.
"""

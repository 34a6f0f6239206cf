"""The sockets that clients and probes come in by: bound, inherited, and handed on without a refused connection."""

"""TLS with clients: certificates, how they are chosen and reloaded, and mitmproxy's part in it."""

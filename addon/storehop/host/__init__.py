"""The host: the only folder that knows mitmproxy. Flows become clicks, decisions become responses."""

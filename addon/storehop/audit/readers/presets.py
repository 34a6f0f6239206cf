"""Loggers whose JSON has names of its own: where what stands there, and how they are told."""

from __future__ import annotations

from collections.abc import Collection, Mapping

PRESETS: Mapping[str, Mapping[str, str]] = {
    "caddy": {
        "ts": "time",
        "request.remote_ip": "ip",
        "request.method": "method",
        "request.host": "host",
        "request.uri": "uri",
        "request.tls": "scheme",
        "status": "status",
        "duration": "seconds",
    },
    "traefik": {
        "startutc": "time",
        "clienthost": "ip",
        "requestmethod": "method",
        "requestscheme": "scheme",
        "requestaddr": "host",
        "requestpath": "uri",
        "downstreamstatus": "status",
        "downstream_location": "location",
        "duration": "nanoseconds",
    },
    "cloudflare": {
        "edgestarttimestamp": "time",
        "clientip": "ip",
        "clientrequestmethod": "method",
        "clientrequestscheme": "scheme",
        "clientrequesthost": "host",
        "clientrequesturi": "uri",
        "clientrequestuseragent": "header.user-agent",
        "clientrequestreferer": "header.referer",
        "edgeresponsestatus": "status",
    },
    "gcp": {
        "timestamp": "time",
        "httprequest.remoteip": "ip",
        "httprequest.requestmethod": "method",
        "httprequest.requesturl": "url",
        "httprequest.useragent": "header.user-agent",
        "httprequest.referer": "header.referer",
        "httprequest.status": "status",
        "httprequest.latency": "seconds",
    },
    "envoy": {"start_time": "time", "duration": "milliseconds"},
    "nginx": {},
    "apache": {},
    "haproxy": {},
}
"""Format to lower-case dotted path to meaning. Other columns are told by their names."""
_SIGNS = {
    "caddy": {"request.remote_ip", "request.uri"},
    "traefik": {"requestaddr", "downstreamstatus"},
    "cloudflare": {"clientrequesturi", "clientrequesthost"},
    "gcp": {"httprequest.requesturl"},
    "envoy": {"start_time", "response_code"},
}
REMARKS = {"gcp": "a load balancer of Google's may log a sample of its requests only (sampleRate)"}


def preset_of(paths: Collection[str]) -> str | None:
    """The preset whose names these lower-case paths have."""
    return next((name for name, signs in _SIGNS.items() if signs.issubset(paths)), None)

"""What a column means, by its name: those that loggers, load balancers and trackers use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

type Path = tuple[str, ...]
"""Where a value stands: keys of nested JSON, or one column."""

_NAMES = {
    "link": "clickurl trackingurl trackinglink clicklink attributionlink attributionurl onelink onelinkurl"
    " appsflyerurl appsflyerlink link",
    "location": "senthttplocation downstreamlocation location headerlocation upstreamhttplocation originlocation"
    " redirecturl redirectto redirectlocation targeturl destinationurl",
    "ip": "remoteaddr remoteip clientip userip ip ipaddress clientaddr clienthost remoteaddress cip"
    " downstreamremoteaddress remotehost client deviceip sourceip sourceaddress",
    "time": "timeiso8601 msec time timestamp ts startutc starttime datetime clicktime clickedat eventtime createdat"
    " edgestarttimestamp timelocal requesttimestamp receivedat clicktimestamp eventtimestamp date",
    "method": "requestmethod method httpmethod verb",
    "url": "requesturl url urlfull fullurl pageurl",
    "request": "request requestline",
    "uri": "requesturi uri originalpath requestpath path",
    "query": "querystring querystr query args csuriquery",
    "scheme": "requestscheme scheme urlscheme xforwardedproto",
    "host": "httphost requesthost requestaddr host authority vhost servername domainname domain",
    "status": "downstreamstatus edgeresponsestatus status statuscode responsecode httpstatus responsestatus code",
    "seconds": "requesttime latency",
    "milliseconds": "durationms requestdurationms",
}
"""By meaning, squeezed; of several columns the first one here is taken."""
_KNOWN_HEADERS = (
    "user-agent accept-language referer x-forwarded-for x-forwarded-host forwarded x-real-ip true-client-ip"
    " cf-connecting-ip x-requested-with purpose sec-purpose x-purpose x-moz sec-gpc dnt"
    " sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-ch-ua-platform-version sec-ch-ua-model sec-ch-ua-arch"
    " sec-ch-ua-bitness sec-ch-ua-full-version sec-ch-ua-full-version-list"
    " sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user"
)
_HEADERS = {name.replace("-", ""): name for name in _KNOWN_HEADERS.split()} | {
    "ua": "user-agent",
    "browseruseragent": "user-agent",
    "useragentoriginal": "user-agent",
    "lang": "accept-language",
    "language": "accept-language",
    "referrer": "referer",
    "xff": "x-forwarded-for",
    "forwardedfor": "x-forwarded-for",
}
_PREFIXES = ("http", "requestheader", "request", "reqheader", "req", "header", "clientrequest", "cs", "client")
_REQUEST_MAPS = {"headers", "requestheaders", "reqheaders", "header"}
_ANSWER_MAPS = {"respheaders", "responseheaders", "responseheader"}
_LEFT_OUT = (
    "accept accept-encoding connection cache-control pragma upgrade-insecure-requests cookie authorization"
    " content-type content-length te priority host"
)
"""Headers that no decision looks at."""
_BY_NAME = {
    name: (meaning, rank) for meaning, names in _NAMES.items() for rank, name in enumerate(names.split(), start=1)
}
HEADER = "header."
"""In front of a header's name it is a meaning, too."""
MAP_NAMES = {"ua": f"{HEADER}user-agent", "lang": f"{HEADER}accept-language", "referer": f"{HEADER}referer"}
"""Names of `--map` that stand for headers."""
MEANINGS = (*_NAMES, "uri", "query")


def squeezed(name: str) -> str:
    """`user_agent`, `User-Agent` and `userAgent` are one name."""
    return "".join(filter(str.isalnum, name.lower()))


def meaning_of(path: Path, preset: Mapping[str, str], headers: Iterable[str] = ()) -> tuple[str, int] | None:
    """(what it means, rank) of a column; the lowest rank is taken first. `headers` are names that count, too."""
    if found := preset.get(".".join(path).lower()):
        return found, 0
    if len(path) > 1 and (folder := squeezed(path[-2])) in _REQUEST_MAPS | _ANSWER_MAPS:
        name = path[-1].lower()
        if folder in _ANSWER_MAPS:
            return ("location", 1) if name == "location" else None
        return None if name in _LEFT_OUT.split() else (HEADER + name, 1)
    asked = {squeezed(name): name.lower() for name in headers}
    for rank, name in ((1, squeezed("".join(path))), (100, squeezed(path[-1]))):
        if header := _header(name, _HEADERS | asked):
            return HEADER + header, rank
        if known := _BY_NAME.get(name):
            return known[0], known[1] + rank
    return None


def _header(name: str, known: Mapping[str, str]) -> str | None:
    if header := known.get(name):
        return header
    return next((known[rest] for prefix in _PREFIXES if (rest := name.removeprefix(prefix)) in known), None)

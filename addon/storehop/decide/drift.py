"""Drift: what AppsFlyer's own redirect did, against what we would do (design §11). Targets are compared, not bytes.

A difference that changes nothing for the user is harmless: it is named with its reason, and does not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from storehop.decide.points import REDIRECTS
from storehop.decide.rules import DEFAULT_HOSTS, ONELINK_SUFFIXES
from storehop.decide.target import INTENT, WEB, Target, Url, intended, parse, target_of
from storehop.settings import Store

NOT_FOLLOWED = frozenset({"about", "blob", "data", "file", "javascript", "view-source"})
"""Schemes of a Location that no browser follows (WHATWG Fetch §4.5)."""
OWN_HOP = "AppsFlyer's own hop is the last one that was seen"
MAX_CHARACTERS = 16_384
"""Of a Location that is read: a longer one is no target that a phone opens."""


class Kind(StrEnum):
    """How two targets differ. A closed list: it labels a metric."""

    SAME = "same"
    OTHER_APP = "other_app"
    OTHER_STORE = "other_store"
    OTHER_COUNTRY = "other_country"
    OTHER_LISTING = "other_listing"
    OPENS_APP = "opens_app"
    WEB_PAGE = "web_page"
    NOT_COMPARABLE = "not_comparable"

    @property
    def is_drift(self) -> bool:
        """Whether the user would get something else than from AppsFlyer."""
        return self not in {Kind.SAME, Kind.NOT_COMPARABLE}


IN_WORDS = {
    Kind.SAME: "AppsFlyer leads to the same page as storehop would",
    Kind.OTHER_APP: "drift: AppsFlyer leads to another app",
    Kind.OTHER_STORE: "drift: AppsFlyer leads to another store",
    Kind.OTHER_COUNTRY: "drift: AppsFlyer leads to another country's page",
    Kind.OTHER_LISTING: "drift: AppsFlyer leads to another listing of the app",
    Kind.OPENS_APP: "drift: AppsFlyer opens the app",
    Kind.WEB_PAGE: "drift: AppsFlyer leads to a web page",
    Kind.NOT_COMPARABLE: "AppsFlyer's answer can't be compared",
}


class Compared(NamedTuple):
    """What a comparison came to."""

    kind: Kind
    harmless: tuple[str, ...] = ()
    """Differences that do not count, each with its reason in words: a closed list."""
    why: str = ""
    """Why the two can't be compared: a closed list of sentences. Else empty."""


def compare(ours: str, theirs: str | None, status: int | None) -> Compared:
    """Compares our store URL with the Location of AppsFlyer's last answer for the same click.

    `theirs` is absolute. `status` is None where the recording does not say it: a Location is then a redirect's.
    Pure and total: it never raises. A country that only one of both names is harmless, since the store shows its
    user's own; of several differences the first of store, app, country, listing is the kind.
    """
    if theirs is None or (status is not None and status not in REDIRECTS):
        return Compared(Kind.NOT_COMPARABLE, why=_without_redirect(status))
    our_url, their_url = parse(ours), parse(theirs) if len(theirs) <= MAX_CHARACTERS else None
    if our_url is None or their_url is None or their_url.scheme in NOT_FOLLOWED:
        return Compared(Kind.NOT_COMPARABLE, why="AppsFlyer's Location is no URL that a phone opens")
    if is_own_hop(their_url):
        return Compared(Kind.NOT_COMPARABLE, why=OWN_HOP)
    return _compare(our_url, their_url)


def is_own_hop(url: Url) -> bool:
    """Whether AppsFlyer only redirects to itself."""
    host = url.host
    return url.scheme in WEB and (host in DEFAULT_HOSTS or host.endswith((".appsflyer.com", *ONELINK_SUFFIXES)))


def _without_redirect(status: int | None) -> str:
    if status is None:
        return "AppsFlyer's answer is not known"
    if status in REDIRECTS:
        return "AppsFlyer's redirect has no Location"
    if 200 <= status < 300:  # noqa: PLR2004  success
        return "AppsFlyer answered with a page: it opens the app, previews the link or redirects by script"
    return "AppsFlyer answered with an error"


def _compare(our_url: Url, their_url: Url) -> Compared:
    ours, theirs = target_of(our_url), target_of(their_url)
    if ours is None and theirs is None:
        return _compare_pages(our_url, their_url)
    if theirs is None:
        return Compared(Kind.WEB_PAGE if _is_web(their_url) else Kind.OPENS_APP)
    if ours is None:
        return Compared(Kind.OTHER_STORE)
    if ours.store == theirs.store and ours.is_own_number != theirs.is_own_number:
        return Compared(Kind.NOT_COMPARABLE, why="AppsFlyer names the app by the store's own number")
    return Compared(_kind(ours, theirs), tuple(_harmless(our_url, their_url, ours, theirs)))


def _is_web(url: Url) -> bool:
    """Whether a browser stays a browser. An `intent:` for an app opens the app, https or not."""
    return url.scheme in WEB


def _kind(ours: Target, theirs: Target) -> Kind:
    if ours.store != theirs.store:
        return Kind.OTHER_STORE
    if ours.app != theirs.app:
        return Kind.OTHER_APP
    if ours.country and theirs.country and ours.country != theirs.country:
        return Kind.OTHER_COUNTRY
    return Kind.SAME if ours.listing == theirs.listing else Kind.OTHER_LISTING


def _compare_pages(ours: Url, theirs: Url) -> Compared:
    """Of a rule with `store: custom`, whose store we don't know: host, path and the parameters that both have."""
    if not _is_web(theirs) and ours.scheme != theirs.scheme:
        return Compared(Kind.OPENS_APP)
    if ours.host != theirs.host:
        return Compared(Kind.WEB_PAGE)
    both = (ours.params.keys() & theirs.params.keys()) - _REFERRERS
    if ours.path.rstrip("/") != theirs.path.rstrip("/") or any(ours.params[key] != theirs.params[key] for key in both):
        return Compared(Kind.OTHER_APP)
    return Compared(Kind.SAME, (OTHER_PARAMETERS,) if ours.params != theirs.params else ())


# harmless differences

AF_TRANID = "af_tranid in the referrer: AppsFlyer's own token; the S2S call names ours as af_ref"
REFERRER = "the referrer's value: the store hands it to the app and shows the same page"
SCHEME = "the store's own scheme or its web page: both open the same page in the store's app"
HTTP = "http or https: the store redirects to https"
SLASH = "a slash after market://details: Google Play ignores it"
CASE = "letter case of the country: the App Store ignores it"
COUNTRY = "a country that only one of both names: the App Store shows its user's own"
NAME = "the app's name in the path: the App Store ignores it"
OLD_HOST = "an old address of the same store: it redirects to the new one"
MEDIA_TYPE = "mt: the App Store's media type, always 8 for apps"
TOKENS = "pt and ct: Apple's campaign statistics"
LANGUAGE = "hl and gl: language and country of Google Play's web page; its app shows its user's own"
ORDER = "order of the parameters"
OTHER_PARAMETERS = "other parameters: the store ignores what it does not know"
HARMLESS = (
    AF_TRANID, REFERRER, SCHEME, HTTP, SLASH, CASE, COUNTRY, NAME, OLD_HOST, MEDIA_TYPE, TOKENS, LANGUAGE, ORDER,
    OTHER_PARAMETERS,
)  # fmt: skip
"""All of them."""

_REFERRERS = frozenset({"referrer", "ref"})
_BY_PARAMETER = {"mt": MEDIA_TYPE, "pt": TOKENS, "ct": TOKENS, "hl": LANGUAGE, "gl": LANGUAGE}
_IDENTITY = frozenset({"id", "listing", "ppid", "pkgName", "appId", "p", "asin"})


def _harmless(our_url: Url, their_url: Url, ours: Target, theirs: Target) -> Iterator[str]:
    """Differences of two URLs in the same store that no store heeds."""
    if ours.store != theirs.store:
        return
    our_url, their_url = _opened(our_url), _opened(their_url)
    yield from _harmless_form(our_url, their_url)
    if ours.store == Store.APP_STORE:
        yield from _harmless_path(our_url, their_url, ours, theirs)
    yield from _harmless_parameters(our_url, their_url)


def _opened(url: Url) -> Url:
    """What a phone opens for it."""
    return (intended(url) or url) if url.scheme == INTENT else url


def _harmless_form(ours: Url, theirs: Url) -> Iterator[str]:
    if _is_web(ours) != _is_web(theirs):
        yield SCHEME
    elif ours.scheme != theirs.scheme:
        yield HTTP if _is_web(ours) else SCHEME
    elif ours.host != theirs.host:
        yield OLD_HOST
    if theirs.scheme == "market" and theirs.path == "/":
        yield SLASH


def _harmless_path(our_url: Url, their_url: Url, ours: Target, theirs: Target) -> Iterator[str]:
    """Of the App Store's `/CC/app/name/id1`."""
    if bool(ours.country) != bool(theirs.country):
        yield COUNTRY
    elif ours.country == theirs.country and _country(our_url) != _country(their_url):
        yield CASE
    if len(_names(our_url)) != len(_names(their_url)):
        yield NAME


def _names(url: Url) -> list[str]:
    return [part for part in url.path.split("/") if part and part != _country(url)]


def _country(url: Url) -> str:
    """The country as it is written."""
    first = url.path.strip("/").partition("/")[0]
    return first if len(first) == 2 else ""  # noqa: PLR2004  ISO 3166 alpha-2


def _harmless_parameters(our_url: Url, their_url: Url) -> Iterator[str]:
    ours, theirs = our_url.params, their_url.params
    differ = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)} - _IDENTITY
    if "referrer" in differ:
        yield AF_TRANID if theirs.get("referrer", "").startswith("af_tranid=") else REFERRER
    named = {_BY_PARAMETER.get(name, OTHER_PARAMETERS) for name in differ - {"referrer"}}
    yield from (reason for reason in HARMLESS if reason in named)
    common = [name for name in ours if name in theirs]
    if common != [name for name in theirs if name in ours]:
        yield ORDER

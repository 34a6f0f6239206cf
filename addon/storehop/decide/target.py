"""Where a redirect leads: which app in which store, whatever form its URL has (design §11, appsflyer-clicks.md §4).

Reads the forms that stores, browsers and AppsFlyer use: web pages, the stores' own schemes and Android's `intent:`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urljoin

from storehop.decide.link import decoded
from storehop.settings import Store

WEB = frozenset({"http", "https"})
INTENT = "intent"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,63}")
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_NUMBER = re.compile(r"id(\d{1,20})")
_AMAZON = re.compile(r"(?:www\.)?amazon(?:\.com?)?\.[a-z]{2,3}")


class Url(NamedTuple):
    """The parts of a URL of any scheme, for comparing only."""

    scheme: str
    """Lower case."""
    host: str
    """Lower case, without user, port and trailing dot. Empty where the URL has none."""
    path: str
    params: Mapping[str, str]
    """Decoded names and values; of one name the first."""
    fragment: str


class Target(NamedTuple):
    """An app's page in a store."""

    store: str
    """A name of `Store`, or of a store that no rule can name, such as `oppo`."""
    app: str
    """The package, or `id` and digits in the App Store. Letter case counts."""
    country: str = ""
    """Of the App Store's page, lower case."""
    listing: str = ""
    """Google Play's `listing`, or the App Store's `ppid` in lower case."""
    is_own_number: bool = False
    """The app is named by the store's own number, which nobody can compare with a package."""


def absolute(asked: str, location: str) -> str:
    """A Location as the browser reads it that asked for a URL. One that can't be joined stays as it is."""
    try:
        return urljoin(asked, location)
    except ValueError:
        return location


def parse(text: str) -> Url | None:
    """The parts of a URL; None where it names no scheme. One that begins with `//` counts as https."""
    text = text.strip()
    if text.startswith("//"):
        text = f"https:{text}"
    scheme, colon, rest = text.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        return None
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    host, path = "", rest
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        host = authority.rpartition("@")[2].partition(":")[0].lower().rstrip(".")
        path = slash + path
    return Url(scheme.lower(), host, path, _params(query), fragment)


def _params(query: str) -> dict[str, str]:
    params: dict[str, str] = {}
    for segment in query.split("&") if query else ():
        name, _, value = segment.partition("=")
        params.setdefault(decoded(name), decoded(value))
    return params


def read(text: str) -> Target | None:
    """The target of a URL; None where it is no app's page in a store that we know."""
    url = parse(text)
    return target_of(url) if url else None


def target_of(url: Url) -> Target | None:
    """As `read`, of a URL's parts."""
    if url.scheme == INTENT:
        inner = intended(url)
        return target_of(inner) if inner and inner.scheme != INTENT else None
    if url.scheme in WEB:
        reader = _PAGES.get(url.host) or (_amazon_page if _AMAZON.fullmatch(url.host) else None)
    else:
        reader = _SCHEMES.get(url.scheme)
    target = reader(url) if reader else None
    return target if target and target.app else None


def intended(url: Url) -> Url | None:
    """What Android opens for an `intent:` URL: the same with the scheme that its fragment names."""
    fields = dict(_pair(part) for part in url.fragment.split(";"))
    scheme = fields.get("scheme", "").lower()
    return url._replace(scheme=scheme, fragment="") if _SCHEME.fullmatch(scheme) else None


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name, value


# one function a store


def _google_play(url: Url) -> Target | None:
    if url.scheme in WEB and url.path.rstrip("/") not in {"/store/apps/details", "/details", "/d"}:
        return None
    return Target(Store.GOOGLE_PLAY, url.params.get("id", ""), listing=url.params.get("listing", ""))


def _app_store(url: Url) -> Target | None:
    """`/CC/app/name/id1`, where country and name may be missing; in old links `…/viewSoftware?id=1`."""
    parts = [part for part in url.path.split("/") if part]
    country = parts.pop(0).lower() if parts and _COUNTRY.fullmatch(parts[0]) else ""
    number = ""
    if parts and parts[0].lower() == "app" and (last := _NUMBER.fullmatch(parts[-1])):
        number = last[1]
    elif parts and parts[-1] == "viewSoftware" and url.params.get("id", "").isdecimal():
        number = url.params["id"]
    page = url.params.get("ppid", "").lower()
    return Target(Store.APP_STORE, f"id{number}", country, page) if number else None


def _huawei(url: Url) -> Target | None:
    """By package in `appDetail?pkgName=` and `appmarket:`; by Huawei's number in pages `/app/C1` and `hiapplink:`."""
    params = url.params
    if package := params.get("pkgName") or (params.get("id") if url.scheme not in WEB else None):
        return Target(Store.HUAWEI_APPGALLERY, package)
    last = f"{url.path}/{url.fragment}".rstrip("/").rpartition("/")[2]
    number = params.get("appId") or (last if last[:1] == "C" and last[1:].isdecimal() else "")
    return Target(Store.HUAWEI_APPGALLERY, number, is_own_number=True)


def _samsung(url: Url) -> Target | None:
    return Target(Store.SAMSUNG_GALAXY_STORE, url.params.get("appId") or url.path.rstrip("/").rpartition("/")[2])


def _xiaomi(url: Url) -> Target | None:
    return Target(Store.XIAOMI_GETAPPS, url.params.get("id", ""))


def _amazon(url: Url) -> Target | None:
    if package := url.params.get("p"):
        return Target(Store.AMAZON_APPSTORE, package)
    return Target(Store.AMAZON_APPSTORE, url.params.get("asin", ""), is_own_number=True)


def _amazon_page(url: Url) -> Target | None:
    return _amazon(url) if url.path.startswith("/gp/mas/") else None


def _other(name: str) -> Callable[[Url], Target | None]:
    """A store that no rule can name, with the app under any of the names that such stores use."""

    def read_other(url: Url) -> Target | None:
        found = (url.params.get(key) for key in ("id", "packagename", "pkgName", "packageName", "ProductId"))
        return Target(name, next(filter(None, found), "") or "unknown")

    return read_other


_PAGES: dict[str, Callable[[Url], Target | None]] = {
    **dict.fromkeys(("play.google.com", "market.android.com"), _google_play),
    **dict.fromkeys(("apps.apple.com", "itunes.apple.com", "geo.itunes.apple.com"), _app_store),
    **dict.fromkeys(("appgallery.cloud.huawei.com", "appgallery.huawei.com", "appgallery8.huawei.com"), _huawei),
    **dict.fromkeys(("galaxystore.samsung.com", "apps.samsung.com"), _samsung),
    **dict.fromkeys(("app.mi.com", "m.app.mi.com", "global.app.mi.com"), _xiaomi),
    "h5.appstore.vivo.com.cn": _other("vivo"),
    "apps.microsoft.com": _other("microsoft"),
}
_SCHEMES: dict[str, Callable[[Url], Target | None]] = {
    "market": _google_play,
    **dict.fromkeys(("itms-apps", "itms-appss", "itms", "itmss"), _app_store),
    **dict.fromkeys(("appmarket", "hiapplink"), _huawei),
    "samsungapps": _samsung,
    "mimarket": _xiaomi,
    "amzn": _amazon,
    "oppomarket": _other("oppo"),
    "heytapmarket": _other("oppo"),
    "vivomarket": _other("vivo"),
    "ms-windows-store": _other("microsoft"),
}


MAX_WORDS_CHARACTERS = 160


def in_words(text: str) -> str:
    """Where a URL leads, for people and logs: without user, query and fragment, and printable."""
    url = parse(text)
    if url is None:
        return "no URL"
    target = target_of(url)
    if target is None:
        words = f"{url.scheme}://{url.host}{url.path}"
    else:
        details = [f"country {target.country}"] if target.country else []
        details += [f"listing {target.listing}"] if target.listing else []
        words = " ".join((f"{target.app} in {target.store}", *(f"({detail})" for detail in details)))
    return "".join(one if one.isprintable() else "\ufffd" for one in words[:MAX_WORDS_CHARACTERS])


def difference(ours: str, theirs: str | None) -> str:
    """In a sentence, without any value of a parameter: what AppsFlyer did, and what we would do."""
    return f"AppsFlyer leads to {in_words(theirs or '')}, storehop would lead to {in_words(ours)}"

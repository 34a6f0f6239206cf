"""Where the user goes: store URLs built from the rule and a validated app id (design §3.1).

Nothing here takes a free parameter of the link into a URL unchecked: no open redirect, no header injection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from storehop.decide.link import APP_STORE_ID, PACKAGE, Link, encoded
from storehop.model import Platform
from storehop.settings import Rule, Store

HUAWEI_MAX_REFERRER_CHARACTERS = 500
TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,128}")
"""A referrer token that needs no encoding and that every store takes (appsflyer-clicks.md §1.3)."""

_PAGE_PARAMETERS = frozenset({"af_android_store_csl", "af_ios_store_cpp"})
_LISTING = re.compile(r"[A-Za-z0-9_.~-]{1,64}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_REFERRER = "{referrer}"
_WITH_REFERRER = {Store.GOOGLE_PLAY, Store.HUAWEI_APPGALLERY}


def package(app: str) -> str:
    """The package of an app id: the text before the first `-`."""
    return app.partition("-")[0]


def resolve(rule: Rule, app: str) -> Store | None:
    """The store of this app by this rule; None where `auto` can't tell or the id can't be in that store."""
    is_ios = APP_STORE_ID.fullmatch(app) is not None
    if rule.store is Store.CUSTOM:
        return Store.CUSTOM
    if rule.store is Store.AUTO:
        if is_ios:
            return Store.APP_STORE
        return Store.GOOGLE_PLAY if PACKAGE.fullmatch(app) else None
    return rule.store if is_ios == (rule.store is Store.APP_STORE) else None


def platform_of(store: Store, app: str) -> Platform:
    """The platform whose devices can use this store."""
    if store is Store.CUSTOM:
        return Platform.IOS if APP_STORE_ID.fullmatch(app) else Platform.ANDROID
    return Platform.IOS if store is Store.APP_STORE else Platform.ANDROID


def takes_referrer(store: Store, rule: Rule) -> bool:
    """Whether this store takes a referrer in its URL and hands it to the app."""
    if store is Store.CUSTOM:
        return _REFERRER in (rule.store_url or "")
    return store in _WITH_REFERRER


def custom_page(store: Store, app: str, link: Link) -> tuple[bool, str]:
    """(whether we can honour it, its name or "") of the custom store page that the link asks for.

    `af_android_store_csl` holds a listing's name or a whole Play URL of the same package; `af_ios_store_cpp`
    must be a UUID. Where we can't honour it, the link wants something other than the store's page: the click passes.
    """
    if _PAGE_PARAMETERS.isdisjoint(link.values):
        return True, ""
    if store is Store.GOOGLE_PLAY and (listing := link.real("af_android_store_csl")):
        name = _listing_of_play_url(listing, package(app)) if "/" in listing else listing
        return (_LISTING.fullmatch(name) is not None, name)
    if store is Store.APP_STORE and (page := link.real("af_ios_store_cpp")):
        return (_UUID.fullmatch(page) is not None, page)
    return True, ""


def _listing_of_play_url(text: str, package_name: str) -> str:
    """The `listing` of a Play URL for this package, else ""."""
    try:
        url = urlsplit(text)
    except ValueError:
        return ""
    query = parse_qs(url.query)
    is_play = url.scheme == "https" and url.netloc == "play.google.com" and url.path == "/store/apps/details"
    return query.get("listing", [""])[0] if is_play and query.get("id") == [package_name] else ""


def url(store: Store, rule: Rule, app: str, page: str, referrer: str | None, *, is_web_view: bool = False) -> str:
    """The Location of the store redirect. `page` is a validated custom page name or "". Raises ValueError for AUTO.

    Web views get Google Play's page even with `link: market`: most of them can't open `market://`.
    """
    return encoded(referrer or "").join(_around_referrer(store, rule, app, page, is_web_view=is_web_view))


def _around_referrer(store: Store, rule: Rule, app: str, page: str, *, is_web_view: bool) -> tuple[str, ...]:
    """The URL in its parts, between which the referrer stands; one part where the store takes none."""
    match store:
        case Store.GOOGLE_PLAY:
            base = (
                "market://details"
                if rule.market_link and not is_web_view
                else "https://play.google.com/store/apps/details"
            )
            listing = f"&listing={encoded(page)}" if page else ""
            return f"{base}?id={package(app)}{listing}&referrer=", ""
        case Store.APP_STORE:
            country = f"{rule.country}/" if rule.country else ""
            tokens = rule.campaign
            base = f"https://apps.apple.com/{country}app/{app}"
            return (_with_query(base, ("ppid", page), ("pt", tokens.pt), ("ct", tokens.ct), ("mt", tokens.mt)),)
        case Store.HUAWEI_APPGALLERY:
            page_url = _with_query("https://appgallery.cloud.huawei.com/appDetail", ("pkgName", package(app)))
            channel = f"&channelId={encoded(rule.channel_id)}" if rule.channel_id else ""
            return f"{page_url}&referrer=", f"&detailType=0&callType=AGDLINK{channel}"
        case Store.SAMSUNG_GALAXY_STORE:
            return (f"https://galaxystore.samsung.com/detail/{package(app)}",)
        case Store.XIAOMI_GETAPPS:
            return (_with_query("https://app.mi.com/details", ("id", package(app))),)
        case Store.AMAZON_APPSTORE:
            return (_with_query("https://www.amazon.com/gp/mas/dl/android", ("p", package(app))),)
        case Store.CUSTOM:
            return tuple([_expanded(part, app) for part in (rule.store_url or "").split(_REFERRER)])
        case Store.AUTO:
            raise ValueError("auto is no store: resolve() it first")


def _with_query(base: str, *pairs: tuple[str, str | None]) -> str:
    query = "&".join(f"{name}={encoded(value)}" for name, value in pairs if value)
    return f"{base}?{query}" if query else base


_PLACEHOLDER = re.compile(r"\{(app|package)\}")


def _expanded(template: str, app: str) -> str:
    values = {"app": app, "package": package(app)}
    return _PLACEHOLDER.sub(lambda placeholder: encoded(values[placeholder[1]]), template)


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Where a rule sends the clicks of an app: `RuleSet.route` makes it once for both."""

    rule: Rule
    app: str
    store: Store
    platform: Platform
    takes_referrer: bool
    in_browsers: tuple[str, ...]
    in_web_views: tuple[str, ...]
    """The URL of the app's usual page, as `_around_referrer` gives it."""

    def url(self, page: str, referrer: str, *, is_web_view: bool) -> str:
        """As the function of this name; `referrer` is encoded already, "" is none."""
        parts = self.in_web_views if is_web_view else self.in_browsers
        if page:
            parts = _around_referrer(self.store, self.rule, self.app, page, is_web_view=is_web_view)
        return referrer.join(parts)


def route(rule: Rule, app: str) -> Route | None:
    """The route of an app by this rule; None as for `resolve`."""
    store = resolve(rule, app)
    if store is None:
        return None
    in_browsers = _around_referrer(store, rule, app, "", is_web_view=False)
    in_web_views = _around_referrer(store, rule, app, "", is_web_view=True) if rule.market_link else in_browsers
    return Route(rule, app, store, platform_of(store, app), takes_referrer(store, rule), in_browsers, in_web_views)

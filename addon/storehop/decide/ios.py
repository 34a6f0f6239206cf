"""What an iPhone's, iPad's or iPod's User-Agent says of its version and model: the truth or nothing (design §3.3).

Safari 26 and its web views say iOS 18_6 or 18_7 for ever. Safari also names its own version, whose major and minor
numbers are those of iOS. A web view names none, except in apps that write the version themselves.
"""

from __future__ import annotations

import re

from storehop.decide import user_agent as ua

_TOKEN = re.compile(r"\bi?OS  ?(\d++(?:[._]\d++)++);? like Mac OS X", re.IGNORECASE)
_FIELD = re.compile(r"[(;] ?(?:iOS |iPhone OS |iPadOS |iphoneos)(\d++(?:[._]\d++)*+)[;)]")
"""A version alone between semicolons, as apps write it: `(iPhone; iOS 16.3.1; Scale/3.00)`."""
_APP = re.compile(r"\bFBSV/(\d++(?:\.\d++)*+)|\(i\w{1,12}\d,\d{1,2}; (?:iOS|iPadOS) (\d++(?:_\d++)*+);")
"""Facebook's apps (`FBSV/17.4.1`) and Instagram (`(iPhone14,5; iOS 26_2; …`) write the version that Safari hides."""

_SAFARI = re.compile(r"\bVersion/(\d++)\.(\d++)")
_FIRST_FROZEN_SAFARI = 26
_FROZEN_VERSIONS = ("18.6", "18.7")
_NOT_FROZEN = re.compile(r"\b(?:CriOS|GSA)/|\bMobile/22[A-H]")
"""Google's browsers write the true version, and so do web views that name a build of iOS 18."""
_FIRST_SAFARI_LIKE_IOS = 6
"""From iOS 6 on, Safari and iOS have the same major version."""
_NEVER_RELEASED = range(19, 26)
"""iOS 26 followed iOS 18."""

_DEVICE = re.compile(r"(?:^|[(;\[/])\s*+(iPhone|iPad|iPod)(?! OS)")


def read(user_agent: str) -> tuple[str | None, str | None]:
    """(version, `iphone` or `ipad`) of an iOS device; None for each that the User-Agent does not truthfully give."""
    version = _version(user_agent)
    is_released = version is not None and ua.major(version) not in _NEVER_RELEASED
    return version if is_released else None, _model(user_agent)


def _model(user_agent: str) -> str | None:
    """`iphone`, `ipad` or None. An app on an iPad may call it an iPhone too; an iPod is neither."""
    devices = set(_DEVICE.findall(user_agent))
    if "iPad" in devices:
        return "ipad"
    return "iphone" if devices == {"iPhone"} else None


def _version(user_agent: str) -> str | None:
    app = _APP.search(user_agent)
    if app:
        return _plain(app[1] or app[2])
    tokens = [_plain(text) for text in (*_TOKEN.findall(user_agent), *_FIELD.findall(user_agent))]
    if None in tokens or not tokens:
        return None
    versions = [token for token in tokens if token]
    if len({ua.major(version) for version in versions}) > 1:
        return None  # they contradict each other
    return _version_beside_safari(versions[0], user_agent)


def _version_beside_safari(token: str, user_agent: str) -> str | None:
    """The version of iOS: the token, or Safari's own version where the token is frozen; None where they differ."""
    safari = _SAFARI.search(user_agent)
    is_frozen = token.startswith(_FROZEN_VERSIONS)
    if safari is None:
        # an app's web view on iOS 26 says 18_6 too, and nothing in it tells the two apart
        return None if is_frozen and not _NOT_FROZEN.search(user_agent) else token
    if "FxiOS/" in user_agent:
        return None  # Firefox Focus: constants
    if is_frozen and int(safari[1]) >= _FIRST_FROZEN_SAFARI:
        return ua.os_version(f"{safari[1]}.{safari[2]}")
    differ = int(safari[1]) != ua.major(token) >= _FIRST_SAFARI_LIKE_IOS
    return None if differ else token


def _plain(text: str) -> str | None:
    """The version with dots, and without the zeros that iOS itself leaves out: 26.2.0 is 26.2."""
    parts = text.replace("_", ".").split(".")
    if len(parts) > 2 and set(parts[2:]) == {"0"}:  # noqa: PLR2004  major and minor stay
        parts = parts[:2]
    return ua.os_version(".".join(parts))

"""What an iPhone's, iPad's or iPod's User-Agent says of its version and model: the truth or nothing (design §3.3).

Safari 26 and its web views say iOS 18_6 or 18_7 for ever. Safari then tells its own version, which is that of iOS in
major and minor number only; a web view tells nothing, but for apps that name the version themselves.
"""

from __future__ import annotations

import re

from storehop.decide import user_agent as ua

_TOKEN = re.compile(r"\bi?OS  ?(\d++(?:[._]\d++)++);? like Mac OS X", re.IGNORECASE)
_FIELD = re.compile(r"[(;] ?(?:iOS |iPhone OS |iPadOS |iphoneos)(\d++(?:[._]\d++)*+)[;)]")
"""A version that stands alone between semicolons, as apps write it: `(iPhone; iOS 16.3.1; Scale/3.00)`."""
_APP = re.compile(r"\bFBSV/(\d++(?:\.\d++)*+)|\(i\w{1,12}\d,\d{1,2}; (?:iOS|iPadOS) (\d++(?:_\d++)*+);")
"""Facebook's apps (`FBSV/17.4.1`) and Instagram (`(iPhone14,5; iOS 26_2; …`), which know it while Safari hides it."""

_SAFARI = re.compile(r"\bVersion/(\d++)\.(\d++)")
_SAFARI_FROZE = 26
_FROZEN = ("18.6", "18.7")
_NOT_FROZEN = re.compile(r"\b(?:CriOS|GSA)/|\bMobile/22[A-H]")
"""Google's browsers, which write the true version, and web views that name a build of iOS 18."""
_SAFARI_AS_IOS = 6
"""Since iOS 6, Safari's major version is that of iOS."""
_NEVER_RELEASED = range(19, 26)
"""iOS 26 followed iOS 18."""

_DEVICE = re.compile(r"(?:^|[(;\[/])\s*+(iPhone|iPad|iPod)(?! OS)")


def read(user_agent: str) -> tuple[str | None, str | None]:
    """(version, `iphone` or `ipad`) of what is known to be an iOS device."""
    version = _version(user_agent)
    known = version is not None and ua.major(version) not in _NEVER_RELEASED
    return version if known else None, _model(user_agent)


def _model(user_agent: str) -> str | None:
    """An app on an iPad may call it an iPhone; an iPod is neither, whatever its app is called."""
    devices = set(_DEVICE.findall(user_agent))
    if "iPad" in devices:
        return "ipad"
    return "iphone" if devices == {"iPhone"} else None


def _version(user_agent: str) -> str | None:
    said = _APP.search(user_agent)
    if said:
        return _plain(said[1] or said[2])
    tokens = [_plain(text) for text in (*_TOKEN.findall(user_agent), *_FIELD.findall(user_agent))]
    if None in tokens or not tokens:
        return None
    versions = [token for token in tokens if token]
    if len({ua.major(version) for version in versions}) > 1:
        return None  # two statements that void each other
    return _behind_safari(versions[0], user_agent)


def _behind_safari(token: str, user_agent: str) -> str | None:
    """The token, or what Safari's own version says where the token is frozen or contradicts it."""
    safari = _SAFARI.search(user_agent)
    is_frozen = token.startswith(_FROZEN)
    if safari is None:
        # an app's web view on iOS 26 says 18_6 too, and nothing in it tells the two apart
        return None if is_frozen and not _NOT_FROZEN.search(user_agent) else token
    if "FxiOS/" in user_agent:
        return None  # Firefox Focus: constants
    if is_frozen and int(safari[1]) >= _SAFARI_FROZE:
        return ua.os_version(f"{safari[1]}.{safari[2]}")
    differ = int(safari[1]) != ua.major(token) >= _SAFARI_AS_IOS
    return None if differ else token


def _plain(text: str) -> str | None:
    """With dots, and as iOS itself counts: 26.2.0 is 26.2."""
    parts = text.replace("_", ".").split(".")
    if len(parts) > 2 and set(parts[2:]) == {"0"}:  # noqa: PLR2004  major and minor stay
        parts = parts[:2]
    return ua.os_version(".".join(parts))

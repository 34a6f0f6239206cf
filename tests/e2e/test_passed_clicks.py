"""Clicks that pass: the user gets what the ad stack sent, byte for byte, and nothing is sent (design §3)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.support.clients import ANDROID, DESKTOP, IPHONE, get
from tests.support.scenes import link_of, new_id, path_of
from tests.support.standins import response

GOOGLEBOT = (
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
)
PREVIEW = "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"
COOKIES = ("Set-Cookie: visitor=7; Path=/; HttpOnly", "Set-Cookie: seen=spring", "Cache-Control: max-age=60")


@dataclass(frozen=True, slots=True)
class Case:
    """A click that passes. In `link`, {id} is the click's id."""

    reason: str
    link: str
    method: str = "GET"
    headers: dict[str, str | None] = field(default_factory=dict)

    def __str__(self) -> str:
        extra = [self.method] if self.method != "GET" else []
        return " ".join([self.reason, *extra, *self.headers, self.link[:70]])


GOOD = link_of("{id}")
SHARED = [
    Case("impression", "https://impression.appsflyer.com/com.example.game?pid=networka_int&clickid={id}"),
    Case("impression", "https://impressions.appsflyer.com/com.example.game?pid=networka_int&clickid={id}"),
    Case("impression", "https://impressions.onelink.me/AbC1?pid=networka_int&clickid={id}"),
    Case("impression", "https://engagements.appsflyer.com/v1.0/com.example.game?pid=networka_int&clickid={id}"),
    Case("already_s2s", link_of("{id}", "&redirect=false")),
    Case("already_s2s", "https://app.appsflyer.com/v2.0/s2s/com.example.game?pid=networka_int&clickid={id}"),
    Case("invalid_link", "https://app.appsflyer.com/?pid=networka_int&clickid={id}"),
    Case("invalid_link", "https://app.appsflyer.com/game?pid=networka_int&clickid={id}"),
    Case("invalid_link", "https://app.appsflyer.com/id12?pid=networka_int&clickid={id}"),
    Case("invalid_link", "https://app.appsflyer.com/com.example.game/more?pid=networka_int&clickid={id}"),
    Case("short_link", "https://brand.onelink.me/AbC1/summer?x={id}"),
    Case("unknown_onelink", "https://brand.onelink.me/ZzZ9?pid=networka_int&clickid={id}"),
    Case("unknown_onelink", "https://other.onelink.me/AbC1?pid=networka_int&clickid={id}"),
    Case("no_rule", link_of("{id}", app="org.example.other")),
    Case("no_rule", "https://app.appsflyer.com/com.example.game?pid=networkb_int&clickid={id}"),
    Case("rule_off", link_of("{id}", app="com.example.off")),
    Case("no_store", link_of("{id}", app="com.example.game-huawei")),
    Case("not_get", GOOD, method="POST"),
    Case("not_get", GOOD, method="HEAD"),
    Case("prefetch", GOOD, headers={"sec_purpose": "prefetch;prerender"}),
    Case("prefetch", GOOD, headers={"purpose": "prefetch"}),
    Case("prefetch", GOOD, headers={"x_moz": "prefetch"}),
    Case("no_user_agent", GOOD, headers={"user_agent": None}),
    Case("no_user_agent", GOOD, headers={"user_agent": ""}),
    Case("bot", GOOD, headers={"user_agent": GOOGLEBOT}),
    Case("bot", GOOD, headers={"user_agent": PREVIEW}),
    Case("wrong_platform", GOOD, headers={"user_agent": DESKTOP}),
    Case("wrong_platform", GOOD, headers={"user_agent": IPHONE}),
    Case("wrong_platform", link_of("{id}", app="id123456789"), headers={"user_agent": ANDROID}),
    Case("signed", link_of("{id}", "&signature=Zm9v&expires=1700000000")),
    Case("other_target", link_of("{id}", "&af_r=https%3A%2F%2Fbrand.example%2F")),
    Case("other_target", link_of("{id}", "&af_android_url=https%3A%2F%2Fbrand.example%2F")),
    Case("other_target", link_of("{id}", "&af_ios_url=https%3A%2F%2Fbrand.example%2F")),
    Case("other_target", link_of("{id}", "&af_web_dp=https%3A%2F%2Fbrand.example%2F")),
    Case("deep_link", link_of("{id}", "&af_dp=game%3A%2F%2Flevel%2F5")),
    Case("deep_link", link_of("{id}", "&af_force_deeplink=true")),
    Case("retargeting", link_of("{id}", "&is_retargeting=true")),
    Case("too_long", link_of("{id}", f"&af_sub1={'a' * 1900}")),
    Case("not_sampled", link_of("{id}", app="com.example.nobody")),
    Case("observed", link_of("{id}", app="com.example.watched")),
]
"""Every reason that a request can cause, whichever way the link comes."""
ONLY_REDIRECTED = [
    Case("not_a_click", "https://brand.example/landing?clickid={id}"),
    Case("not_a_click", "/elsewhere?clickid={id}"),
    Case("not_a_click", "https://app.appsflyer.com.evil.example/com.example.game?pid=networka_int&clickid={id}"),
    Case("not_a_click", "ftp://app.appsflyer.com/com.example.game?pid=networka_int&clickid={id}"),
    Case("invalid_link", "https://user@app.appsflyer.com/com.example.game?pid=networka_int&clickid={id}"),
    Case("invalid_link", "https://app.appsflyer.com:8443/com.example.game?pid=networka_int&clickid={id}"),
    Case("invalid_link", link_of("{id}", "&af_sub1=a b")),
]
"""What only a Location header can say."""


async def next_is_good(world):
    """Clicks well, and sees that this click is the next that AppsFlyer gets: nothing was sent before it."""
    click_id = new_id()
    await get(world.port, world.ads.redirect(link_of(click_id)))
    return click_id, dict((await world.appsflyer.next_click()).params)["clickid"]


def usual(case):
    return {"method": case.method, "body": b"x=1" if case.method == "POST" else b"", **case.headers}


@pytest.mark.parametrize("case", SHARED + ONLY_REDIRECTED, ids=str)
async def test_a_redirect_that_passes_is_as_the_ad_stack_sent_it(world, case):
    """The user gets the very bytes that the ad stack sends without storehop, and AppsFlyer gets nothing."""
    path = world.ads.redirect(case.link.replace("{id}", new_id()), *COOKIES, body=b"<p>moved</p>")

    bare = await get(world.ads.port, path, **usual(case))
    answer = await get(world.port, path, **usual(case))

    assert bare.raw == answer.raw
    expected, received = await next_is_good(world)
    assert expected == received


@pytest.mark.parametrize("case", [*SHARED, *ONLY_REDIRECTED[4:]], ids=str)
async def test_the_log_says_why_it_passed(world, case):
    """One log line names the reason of a click that passed."""
    path, before = world.ads.redirect(case.link.replace("{id}", new_id())), await world.logged()

    await get(world.port, path, **usual(case))

    line = await world.host.log.saw("pass click=", since=before)
    assert f"reason={case.reason}" in line.split()


@pytest.mark.parametrize("case", SHARED, ids=str)
async def test_a_click_of_our_own_that_passes_goes_to_the_upstream(world, case):
    """A click addressed to an attribution host that passes is the upstream's to answer, byte for byte."""
    host, _, path = case.link.replace("{id}", new_id()).removeprefix("https://").partition("/")
    world.ads.routes[f"/{path}"] = response("302 Found", f"Location: {GOOD}", *COOKIES, body=b"AppsFlyer's own")

    bare = await get(world.ads.port, f"/{path}", host=host, **usual(case))
    answer = await get(world.port, f"/{path}", host=host, **usual(case))

    assert bare.raw == answer.raw
    expected, received = await next_is_good(world)
    assert expected == received


async def test_another_status_is_no_redirect(world):
    """A response with a Location that no browser follows is left alone."""
    path = world.ads.redirect(link_of(new_id()), status="201 Created")

    assert (await get(world.ads.port, path)).raw == (await get(world.port, path)).raw


async def test_two_locations_are_no_click(world):
    """A redirect with two Location lines passes as it is."""
    path = world.ads.redirect(link_of(new_id()), f"Location: {link_of(new_id())}")

    assert (await get(world.ads.port, path)).raw == (await get(world.port, path)).raw
    expected, received = await next_is_good(world)
    assert expected == received


async def test_what_is_no_click_is_not_logged(world):
    """A redirect to somewhere else has no log line: the next line is the next click's."""
    before = await world.logged()

    await get(world.port, world.ads.redirect("https://brand.example/landing"))
    await get(world.port, world.ads.redirect(link_of(new_id(), "&af_dp=x")))

    await world.host.log.saw("reason=deep_link", since=before)
    assert "not_a_click" not in world.host.log.text[before:]


async def test_the_same_link_passes_every_time(world):
    """A click that passed is no duplicate: the next one passes by its own."""
    path = world.ads.redirect(link_of(new_id(), "&is_retargeting=true"))

    first, second = await get(world.port, path), await get(world.port, path)

    assert first.raw == second.raw


async def test_a_click_of_our_own_keeps_its_target(world):
    """The upstream sees the path and query of a passed click byte for byte."""
    target = path_of(new_id(), "&af_dp=x&af_sub1=%7e%2F+a%20b&empty&&x=(a)!*'~")
    world.ads.forget()

    await get(world.port, target, host="app.appsflyer.com")

    assert target == (await world.ads.next_request()).target

"""The heart of it: the ad stack redirects to AppsFlyer, the user goes to the store, AppsFlyer gets the click."""

from __future__ import annotations

import pytest
from e2e.clients import ANDROID, IPHONE, PUBLIC, get
from e2e.scenes import APP_STORE, android_call, link_of, new_id, path_of, play

COOKIES = ("Set-Cookie: visitor=7; Path=/; HttpOnly", "Set-Cookie: seen=spring; Max-Age=60")


async def click(world, link, *headers, status="302 Found", body=b"", **changes):
    path = world.ads.redirect(link, *headers, status=status, body=body)
    return await get(world.port, path, **changes)


async def android_click(world):
    """A usual Android click: its id, and the S2S call that came of it."""
    click_id = new_id()
    await click(world, link_of(click_id))
    return click_id, await world.appsflyer.next_click()


async def ios_click(world):
    click_id = new_id()
    await click(world, link_of(click_id, app="id123456789"), user_agent=IPHONE)
    return click_id, await world.appsflyer.next_click()


@pytest.mark.parametrize(
    "status",
    ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"],
)
async def test_every_redirect_becomes_a_302_to_the_store(world, status):
    """Whatever redirect the ad stack chose, the user gets a 302 to Google Play with the click id as referrer."""
    click_id = new_id()

    answer = await click(world, link_of(click_id), status=status)

    assert ("HTTP/1.1 302 Found", play(click_id)) == (answer.lines[0], answer.location)
    await world.appsflyer.next_click()


async def test_cookies_of_the_ad_stack_stay(world):
    """Both Set-Cookie lines of the ad stack reach the user, in their order."""
    answer = await click(world, link_of(new_id()), *COOKIES)

    assert ["visitor=7; Path=/; HttpOnly", "seen=spring; Max-Age=60"] == answer.all("Set-Cookie")
    await world.appsflyer.next_click()


async def test_the_store_redirect_is_not_cached(world):
    """Cache-Control is no-store and nothing else, even where the ad stack allows caching."""
    answer = await click(world, link_of(new_id()), "Cache-Control: public, max-age=600")

    assert ["no-store"] == answer.all("Cache-Control")
    await world.appsflyer.next_click()


async def test_all_else_of_the_response_stays(world):
    """Other headers and the body of the redirect are the ad stack's, byte for byte."""
    answer = await click(world, link_of(new_id()), "Server: legacy/1.0", "P3P: CP=NOI", *COOKIES, body=b"<p>moved</p>")

    kept = [line for line in answer.lines[1:] if not line.lower().startswith(("location:", "cache-control:"))]
    assert ["Server: legacy/1.0", "P3P: CP=NOI", *COOKIES, "Content-Length: 12"] == kept
    assert b"<p>moved</p>" == answer.body
    await world.appsflyer.next_click()


async def test_the_s2s_call_has_the_links_parameters_and_ours(world):
    """AppsFlyer gets the link's parameters untouched and in order, then ours, and redirect=false last."""
    click_id, received = await android_click(world)

    assert f"GET {android_call(click_id, ANDROID)} HTTP/1.1".encode() == received.line


async def test_one_click_is_one_call(world):
    """A click makes exactly one call: the next that arrives is the next click's."""
    first, second = (await android_click(world), await android_click(world))

    assert [android_call(first[0], ANDROID), android_call(second[0], ANDROID)] == [
        first[1].target,
        second[1].target,
    ]


async def test_what_is_encoded_stays_encoded(world):
    """Odd but legal encodings, empty values and repeated names of the link reach AppsFlyer byte for byte."""
    more = "&af_sub1=%7e%2F+a%20b&af_sub2=&empty&af_sub3=x%3Dy&&af_sub3=z&af_ad=(a)!*'~"
    click_id = new_id()

    await click(world, link_of(click_id, more))

    received = await world.appsflyer.next_click()
    assert received.target.startswith(f"{path_of(click_id, more)}&af_ref=NetworkA_{click_id}&")


async def test_the_user_agent_header_equals_af_ua(world):
    """The call's User-Agent header is the browser's, and so is the decoded af_ua."""
    _, received = await android_click(world)

    assert [ANDROID, ANDROID] == [received.header("User-Agent"), dict(received.params)["af_ua"]]


async def test_the_call_says_where_the_user_is(world):
    """The call's X-Forwarded-For header is the user's address alone, equal to af_ip."""
    _, received = await android_click(world)

    assert [[PUBLIC], PUBLIC] == [received.all("X-Forwarded-For"), dict(received.params)["af_ip"]]


async def test_the_call_has_the_headers_that_appsflyer_asks_for_and_no_more(world):
    """Host, User-Agent, Accept, Content-Type, X-Forwarded-For and Accept-Language: above all no cookie."""
    _, received = await android_click(world)

    names = sorted(line.split(b":")[0].lower() for line in received.header_lines)
    assert [b"accept", b"accept-language", b"content-type", b"host", b"user-agent", b"x-forwarded-for"] == names


async def test_an_ios_click_goes_to_the_app_store(world):
    """An iPhone's click on an id… link goes to the App Store, in the country of the rule."""
    answer = await click(world, link_of(new_id(), app="id123456789"), user_agent=IPHONE)

    assert (302, APP_STORE) == (answer.status, answer.location)
    await world.appsflyer.next_click()


async def test_an_ios_call_has_no_referrer(world):
    """The App Store hands no referrer on, so the iOS call has no af_ref, and else what is known of an iPhone."""
    click_id, received = await ios_click(world)

    assert [
        ("pid", "networka_int"),
        ("c", "spring"),
        ("clickid", click_id),
        ("af_siteid", "77"),
        ("af_ip", PUBLIC),
        ("af_ua", IPHONE),
        ("af_lang", "en-US"),
        ("af_os_version", "17.5.1"),
        ("af_model", "iphone"),
        ("redirect", "false"),
    ] == received.params


async def test_an_ios_call_keeps_its_path(world):
    """The iOS call goes to the link's own path."""
    _, received = await ios_click(world)

    assert "/id123456789" == received.target.partition("?")[0]


async def test_client_hints_say_what_a_reduced_user_agent_hides(world):
    """Version and model come from the client hints where Chrome's User-Agent is frozen."""
    reduced = ANDROID.replace("Android 12; Pixel 5", "Android 10; K")

    await click(
        world,
        link_of(new_id()),
        user_agent=reduced,
        sec_ch_ua_platform_version='"14.0.0"',
        sec_ch_ua_model='"Pixel 8"',
    )

    values = dict((await world.appsflyer.next_click()).params)
    assert ("14", "Pixel 8") == (values["af_os_version"], values["af_model"])


async def test_a_known_onelink_goes_to_the_store(world):
    """A OneLink long link that the rules map to an app goes to that app's store."""
    click_id = new_id()

    answer = await click(world, f"https://brand.onelink.me/AbC1?pid=networka_int&clickid={click_id}")

    assert play(click_id) == answer.location
    await world.appsflyer.next_click()


async def test_a_onelinks_call_goes_to_the_onelink(world):
    """The call of a OneLink keeps the template as its path."""
    await click(world, f"https://brand.onelink.me/AbC1?pid=networka_int&clickid={new_id()}")

    assert "/AbC1" == (await world.appsflyer.next_click()).target.partition("?")[0]


async def test_a_click_without_id_gets_one(world):
    """A click without click id gets a new one, and store and AppsFlyer get the same token."""
    answer = await click(world, f"https://app.appsflyer.com/com.example.game?pid=networka_int&c={new_id()}")

    token = dict((await world.appsflyer.next_click()).params)["af_ref"]
    assert f"https://play.google.com/store/apps/details?id=com.example.game&referrer={token}" == answer.location

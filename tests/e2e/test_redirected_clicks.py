"""The heart of it: the ad stack redirects to AppsFlyer, the user goes to the store, AppsFlyer gets the click."""

from __future__ import annotations

import pytest

from tests.support.clients import ANDROID, IPHONE, PUBLIC, get
from tests.support.scenes import APP_STORE, android_call, link_of, new_id, path_of, play

OURS = ("Location", "Cache-Control", "Content-Length")
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


async def test_all_other_headers_stay(world):
    """Headers that are as true of the redirect to the store are the ad stack's, byte for byte and in order."""
    kept = ["Server: legacy/1.0", "P3P: CP=NOI", *COOKIES, "Content-Type: text/html", "Vary: Accept-Encoding"]
    answer = await click(world, link_of(new_id()), *kept)
    await world.appsflyer.next_click()

    assert kept == [line for line in answer.lines[1:] if line.partition(":")[0] not in OURS]


def old_page(link):
    """A page that says where the browser goes, as web servers send with a redirect."""
    return f'<a href="{link}">moved</a>'.encode()


async def test_the_old_page_goes(world):
    """The body of the redirect, which names the old link, is not sent on."""
    link = link_of(new_id())
    answer = await click(world, link, body=old_page(link))
    await world.appsflyer.next_click()

    assert (["0"], b"") == (answer.all("Content-Length"), answer.body)


@pytest.mark.parametrize("ends", ["Transfer-Encoding: chunked", "Connection: close"])
async def test_the_old_page_goes_however_it_was_framed(world, ends):
    """A chunked body with a trailer, and one that ends with its connection, are swallowed."""
    link = link_of(new_id())
    page = old_page(link)
    body = b"%x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(page), page) if "chunked" in ends else page

    async def respond(_request, _reader, writer):
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {link}\r\n{ends}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    answer = await get(world.port, world.ads.serve(respond))
    await world.appsflyer.next_click()

    assert (["0"], [], b"") == (answer.all("Content-Length"), answer.all("Transfer-Encoding"), answer.body)


LEFT_OUT = {
    "keeps it in nginx": "X-Accel-Expires: 180",
    "keeps it in a CDN": "CDN-Cache-Control: public, max-age=600",
    "keeps it at Cloudflare": "Cloudflare-CDN-Cache-Control: max-age=600",
    "keeps it at Vercel": "Vercel-CDN-Cache-Control: max-age=600",
    "keeps it at Netlify": "Netlify-CDN-Cache-Control: max-age=600",
    "keeps it in LiteSpeed": "X-LiteSpeed-Cache-Control: public,max-age=600",
    "keeps it at Fastly": "Surrogate-Control: max-age=600",
    "keeps it at Akamai": "Edge-Control: cache-maxage=600",
    "keeps it anywhere": "Expires: Fri, 01 Jan 2100 00:00:00 GMT",
    "says how old it is": "Age: 5",
    "validates it": 'ETag: "a"',
    "validates it by date": "Last-Modified: Fri, 01 Jan 2010 00:00:00 GMT",
    "goes there": "Refresh: 0; url={link}",
    "names it": "Content-Location: {link}",
    "links to it": 'Link: <{link}>; rel="canonical"',
    "names it in a header of its own": "X-Redirect-To: {link}",
    "speaks of the body": "Content-Encoding: gzip",
    "sums up the body": "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==",
}


@pytest.mark.parametrize("header", LEFT_OUT.values(), ids=LEFT_OUT)
async def test_what_is_not_true_of_the_new_redirect_goes(world, header):
    """Nothing lets a cache keep one person's answer, and nothing names the old link."""
    link = link_of(new_id())
    answer = await click(world, link, header.format(link=link))
    await world.appsflyer.next_click()

    assert [] == answer.all(header.partition(":")[0])


@pytest.mark.parametrize("header", LEFT_OUT.values(), ids=LEFT_OUT)
async def test_it_stays_where_the_click_passes(world, header):
    """A passing answer is the ad stack's own, byte for byte, over https too."""
    link = link_of(new_id(), "&is_retargeting=true")
    said = header.format(link=link)
    answer = await click(world, link, said, body=old_page(link), x_forwarded_proto="https")

    lines = ["HTTP/1.1 302 Found", f"Location: {link}", said, f"Content-Length: {len(old_page(link))}"]
    assert (lines, old_page(link)) == (answer.lines, answer.body)


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


async def test_what_a_browser_would_encode_is_encoded(world):
    """A raw quote or angle bracket of the link is encoded in the call: a strict server takes it."""
    since = await world.logged()

    await click(world, link_of("<<MSISDN>>", '&c=<YOUR_APP>&af_sub1="spring"'))

    received = await world.appsflyer.next_click()
    assert "&clickid=%3C%3CMSISDN%3E%3E&af_siteid=77&c=%3CYOUR_APP%3E&af_sub1=%22spring%22&" in received.target
    assert "outcome=200" in await world.host.log.saw(" s2s_delivered ", since)


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

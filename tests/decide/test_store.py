"""The store redirect: which store, which URL, which of its pages (design §3.1)."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.decide import store
from storehop.decide.link import split
from storehop.model import Platform
from storehop.settings import Campaign, Rule, Store

APP = "com.example.game"
CHANNEL = "com.example.game-xyz_store"
IOS = "id123456789"
PAGE = "45812c9b-c296-43d3-b6a1-c5a02f74bf6e"


def rule(**keys):
    return Rule("games", **keys)


@pytest.mark.parametrize(
    ("wanted", "app", "found"),
    [
        pytest.param(Store.AUTO, IOS, Store.APP_STORE, id="auto takes id… to the App Store"),
        pytest.param(Store.AUTO, APP, Store.GOOGLE_PLAY, id="auto takes a package to Google Play"),
        pytest.param(Store.AUTO, CHANNEL, None, id="auto cannot tell the store of a channel"),
        pytest.param(Store.GOOGLE_PLAY, CHANNEL, Store.GOOGLE_PLAY, id="a named store takes a channel"),
        pytest.param(Store.APP_STORE, IOS, Store.APP_STORE, id="App Store"),
        pytest.param(Store.APP_STORE, APP, None, id="a package is not in the App Store"),
        pytest.param(Store.GOOGLE_PLAY, IOS, None, id="an App Store id is not in Google Play"),
        pytest.param(Store.HUAWEI_APPGALLERY, IOS, None, id="nor in AppGallery"),
        pytest.param(Store.SAMSUNG_GALAXY_STORE, CHANNEL, Store.SAMSUNG_GALAXY_STORE, id="Galaxy Store"),
        pytest.param(Store.XIAOMI_GETAPPS, APP, Store.XIAOMI_GETAPPS, id="GetApps"),
        pytest.param(Store.AMAZON_APPSTORE, APP, Store.AMAZON_APPSTORE, id="Appstore"),
        pytest.param(Store.CUSTOM, APP, Store.CUSTOM, id="custom takes a package"),
        pytest.param(Store.CUSTOM, IOS, Store.CUSTOM, id="custom takes id…"),
    ],
)
def test_a_rule_and_an_app_id_make_a_store(wanted, app, found):
    """The rule names the store, or `auto` tells it by the app id; an id that it cannot hold has no store."""
    assert found == store.resolve(rule(store=wanted), app)


@pytest.mark.parametrize(
    ("shop", "app", "platform"),
    [
        (Store.GOOGLE_PLAY, APP, Platform.ANDROID),
        (Store.HUAWEI_APPGALLERY, APP, Platform.ANDROID),
        (Store.SAMSUNG_GALAXY_STORE, APP, Platform.ANDROID),
        (Store.XIAOMI_GETAPPS, APP, Platform.ANDROID),
        (Store.AMAZON_APPSTORE, APP, Platform.ANDROID),
        (Store.APP_STORE, IOS, Platform.IOS),
        (Store.CUSTOM, APP, Platform.ANDROID),
        (Store.CUSTOM, IOS, Platform.IOS),
    ],
)
def test_a_store_is_of_one_platform(shop, app, platform):
    """Every store is used by the devices of one platform; a custom one by those of the app id."""
    assert platform == store.platform_of(shop, app)


@pytest.mark.parametrize(
    ("shop", "takes"),
    [
        (Store.GOOGLE_PLAY, True),
        (Store.HUAWEI_APPGALLERY, True),
        (Store.APP_STORE, False),
        (Store.SAMSUNG_GALAXY_STORE, False),
        (Store.XIAOMI_GETAPPS, False),
        (Store.AMAZON_APPSTORE, False),
    ],
)
def test_a_store_takes_a_referrer_where_the_parameter_is_known(shop, takes):
    """Google Play and AppGallery take a referrer; of the others no parameter is known."""
    assert takes == store.takes_referrer(shop, rule())


@pytest.mark.parametrize(
    ("template", "takes"),
    [("https://s.example/{package}?r={referrer}", True), ("https://s.example/{package}", False)],
)
def test_a_custom_store_takes_a_referrer_as_its_template_says(template, takes):
    """A custom store takes a referrer where its template has a place for it."""
    assert takes == store.takes_referrer(Store.CUSTOM, rule(store_url=template))


@pytest.mark.parametrize(
    ("shop", "keys", "app", "page", "location"),
    [
        pytest.param(
            Store.GOOGLE_PLAY,
            {},
            APP,
            "",
            "https://play.google.com/store/apps/details?id=com.example.game&referrer=NetworkA_K1",
            id="Google Play",
        ),
        pytest.param(
            Store.GOOGLE_PLAY,
            {},
            CHANNEL,
            "summer",
            "https://play.google.com/store/apps/details?id=com.example.game&listing=summer&referrer=NetworkA_K1",
            id="Google Play with a listing, of a channel",
        ),
        pytest.param(
            Store.GOOGLE_PLAY,
            {"market_link": True},
            APP,
            "summer",
            "market://details?id=com.example.game&listing=summer&referrer=NetworkA_K1",
            id="market link",
        ),
        pytest.param(Store.APP_STORE, {}, IOS, "", "https://apps.apple.com/app/id123456789", id="App Store"),
        pytest.param(
            Store.APP_STORE,
            {"country": "us"},
            IOS,
            PAGE,
            f"https://apps.apple.com/us/app/id123456789?ppid={PAGE}",
            id="App Store of a country, with a product page",
        ),
        pytest.param(
            Store.APP_STORE,
            {"campaign": Campaign("1234", "spring sale", "8")},
            IOS,
            PAGE,
            f"https://apps.apple.com/app/id123456789?ppid={PAGE}&pt=1234&ct=spring%20sale&mt=8",
            id="App Store campaign",
        ),
        pytest.param(
            Store.HUAWEI_APPGALLERY,
            {},
            APP,
            "",
            "https://appgallery.cloud.huawei.com/appDetail?pkgName=com.example.game&referrer=NetworkA_K1"
            "&detailType=0&callType=AGDLINK",
            id="AppGallery",
        ),
        pytest.param(
            Store.HUAWEI_APPGALLERY,
            {"channel_id": "ch1"},
            CHANNEL,
            "",
            "https://appgallery.cloud.huawei.com/appDetail?pkgName=com.example.game&referrer=NetworkA_K1"
            "&detailType=0&callType=AGDLINK&channelId=ch1",
            id="AppGallery channel",
        ),
        pytest.param(
            Store.SAMSUNG_GALAXY_STORE,
            {},
            CHANNEL,
            "",
            "https://galaxystore.samsung.com/detail/com.example.game",
            id="Galaxy Store",
        ),
        pytest.param(
            Store.XIAOMI_GETAPPS, {}, CHANNEL, "", "https://app.mi.com/details?id=com.example.game", id="GetApps"
        ),
        pytest.param(
            Store.AMAZON_APPSTORE,
            {},
            CHANNEL,
            "",
            "https://www.amazon.com/gp/mas/dl/android?p=com.example.game",
            id="Appstore",
        ),
        pytest.param(
            Store.CUSTOM,
            {"store_url": "https://s.example/{package}/{app}?r={referrer}&x={other}"},
            CHANNEL,
            "",
            "https://s.example/com.example.game/com.example.game-xyz_store?r=NetworkA_K1&x={other}",
            id="custom",
        ),
        pytest.param(
            Store.CUSTOM,
            {"store_url": "oppomarket://details?packagename={package}"},
            APP,
            "",
            "oppomarket://details?packagename=com.example.game",
            id="custom app link",
        ),
    ],
)
def test_a_store_has_its_url(shop, keys, app, page, location):
    """Each store's URL has its documented form, with the package before the first `-` and nothing of the link."""
    referrer = "NetworkA_K1" if store.takes_referrer(shop, rule(**keys)) else None

    assert location == store.url(shop, rule(**keys), app, page, referrer)


def test_auto_has_no_url():
    """`auto` must be resolved before a URL is built."""
    with pytest.raises(ValueError, match="resolve"):
        store.url(Store.AUTO, rule(), APP, "", None)


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_referrer_is_encoded_once(referrer):
    """Whatever a referrer holds, decoding the store URL's own once gives it back."""
    location = store.url(Store.GOOGLE_PLAY, rule(), APP, "", referrer)
    before, _, encoded = location.partition("&referrer=")

    assert play(f"id={APP}") == before
    assert referrer == unquote(encoded)
    assert not set(encoded) & set("&=#? +/")


@pytest.mark.parametrize("value", ["{app}", "{package}", "{referrer}", "{{app}}"])
def test_a_template_is_expanded_once(value):
    """A placeholder within a value is never expanded again."""
    template = rule(store_url="https://s.example/?r={referrer}")

    assert f"https://s.example/?r={quote(value, safe='')}" == store.url(Store.CUSTOM, template, APP, "", value)


def listing(value):
    return split(f"https://app.appsflyer.com/{APP}?af_android_store_csl={quote(value, safe='')}")


def play(query):
    return f"https://play.google.com/store/apps/details?{query}"


@pytest.mark.parametrize(
    ("value", "page"),
    [
        pytest.param("summer_2026", "summer_2026", id="name"),
        pytest.param(play(f"id={APP}&listing=summer"), "summer", id="Play URL"),
        pytest.param(play(f"hl=en&listing=summer&id={APP}"), "summer", id="Play URL in another order"),
        pytest.param("", "", id="empty"),
        pytest.param("{listing}", "", id="macro"),
        pytest.param("null", "", id="null"),
    ],
)
def test_a_listing_is_taken_by_its_name(value, page):
    """`af_android_store_csl` holds a listing's name or a Play URL of the same package; only the name is taken."""
    assert (True, page) == store.custom_page(Store.GOOGLE_PLAY, CHANNEL, listing(value))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(play("id=com.other.game&listing=summer"), id="another package"),
        pytest.param(play(f"id={APP}"), id="no listing"),
        pytest.param(play(f"id={APP}&id=com.other&listing=summer"), id="two packages"),
        pytest.param(play(f"id={APP}&listing=a%26id%3Dcom.other"), id="more than a name in the listing"),
        pytest.param(f"http://play.google.com/store/apps/details?id={APP}&listing=summer", id="plain http"),
        pytest.param(f"https://evil.example/store/apps/details?id={APP}&listing=summer", id="another host"),
        pytest.param(f"https://play.google.com@evil.example/store/apps/details?id={APP}&listing=x", id="user name"),
        pytest.param(f"https://play.google.com/store/apps/dev?id={APP}&listing=x", id="another page"),
        pytest.param("https://[", id="no URL"),
        pytest.param("summer&referrer=evil", id="another parameter"),
        pytest.param("a b", id="space"),
        pytest.param("a\r\nb", id="line break"),
        pytest.param("é", id="not ASCII"),
        pytest.param("x" * 65, id="65 characters"),
    ],
)
def test_a_listing_that_cannot_be_taken_is_not_honoured(value):
    """A listing of another package, another site or with anything but a name's characters is refused."""
    honoured, _ = store.custom_page(Store.GOOGLE_PLAY, CHANNEL, listing(value))

    assert not honoured


def product_page(value):
    return split(f"https://app.appsflyer.com/{IOS}?af_ios_store_cpp={quote(value, safe='')}")


@pytest.mark.parametrize(
    ("value", "page"),
    [
        pytest.param(PAGE, PAGE, id="UUID"),
        pytest.param(PAGE.upper(), PAGE.upper(), id="upper case"),
        pytest.param("", "", id="empty"),
        pytest.param("{cpp}", "", id="macro"),
    ],
)
def test_a_product_page_is_a_uuid(value, page):
    """`af_ios_store_cpp` is taken as it is where it is a UUID, and counts as absent where it is a placeholder."""
    assert (True, page) == store.custom_page(Store.APP_STORE, IOS, product_page(value))


@pytest.mark.parametrize("value", ["summer", PAGE[:-1], PAGE + "0", f"{PAGE}&x=y", f"{PAGE}\n", PAGE.replace("-", "")])
def test_a_product_page_that_is_no_uuid_is_not_honoured(value):
    """An `af_ios_store_cpp` that is no UUID is refused."""
    honoured, _ = store.custom_page(Store.APP_STORE, IOS, product_page(value))

    assert not honoured


@pytest.mark.parametrize(
    ("shop", "app", "link"),
    [
        pytest.param(Store.GOOGLE_PLAY, APP, product_page("no UUID"), id="product page on Google Play"),
        pytest.param(Store.APP_STORE, IOS, listing("no name"), id="listing on the App Store"),
        pytest.param(Store.HUAWEI_APPGALLERY, APP, listing("no name"), id="listing on AppGallery"),
    ],
)
def test_a_page_of_another_store_does_not_matter(shop, app, link):
    """A listing counts for Google Play only, a product page for the App Store only."""
    expected = (True, "")

    assert expected == store.custom_page(shop, app, link)


@pytest.mark.parametrize("token", ["NetworkA_K1", "a", "A-b.c_9", "x" * 128])
def test_a_token_needs_no_encoding(token):
    """A referrer token is 1 to 128 letters, digits and `_ . -`."""
    assert store.TOKEN.fullmatch(token)
    assert token == quote(token, safe="")


@pytest.mark.parametrize("token", ["", "a b", "a&b", "a%5Fb", "é", "x" * 129, "a\n"])
def test_what_would_need_encoding_is_no_token(token):
    """Any other character, and any more of them, make no referrer token."""
    assert store.TOKEN.fullmatch(token) is None

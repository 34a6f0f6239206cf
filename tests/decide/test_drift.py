"""Drift: what AppsFlyer's redirect did against what we would do; differences that change nothing are named (§11)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.decide import drift
from storehop.decide.drift import HARMLESS, OWN_HOP, Kind, compare
from storehop.decide.target import Target, in_words, read

APP = "com.example.game"
PLAY = f"https://play.google.com/store/apps/details?id={APP}&referrer=NetworkA_K1"
LISTED = f"https://play.google.com/store/apps/details?id={APP}&listing=spring&referrer=NetworkA_K1"
IOS = "https://apps.apple.com/app/id123456789"
GERMAN = "https://apps.apple.com/de/app/id123456789"
PAGE = "45812c9b-c296-43d3-b6a1-c5a02f74bf6e"
HUAWEI = (
    f"https://appgallery.cloud.huawei.com/appDetail?pkgName={APP}&referrer=NetworkA_K1&detailType=0&callType=AGDLINK"
)
CUSTOM = f"https://store.example/get/{APP}?ref=NetworkA_K1"
TRANID = "af_tranid%3DQWJjZGVmZ2hpamtsbW5vcA%26pid%3Dnetworka_int%26c%3Dspring"

PROBES = [
    f"market://details/?id={APP}&referrer={TRANID}",
    f"market://details/?id={APP}&referrer=af_tranid%3DMTIzNDU2Nzg5MDEy%26c%3Dspring%26pid%3Dnetworka_int",
    f"market://details/?id={APP}&referrer=af_tranid%3DMTIzNA%3D%3D%26pid%3DNetwork%2BA%26af_siteid%3D7%26shortlink%3Dx",
    f"market://details/?id={APP}&referrer=af_tranid%3DAAAAAAAAAAAAAAAAAAAAAA%26pid%3Dx%26af_web_id%3D1%26clickid%3DK1",
    f"market://details/?referrer={TRANID}&id={APP}",
]
"""The form of the five answers that AppsFlyer gave in July 2026 (appsflyer-clicks.md §5), here for our own app."""

READ = {
    f"market://details?id={APP}": Target("google_play", APP),
    f"market://details/?id={APP}&listing=spring": Target("google_play", APP, listing="spring"),
    f"http://play.google.com/store/apps/details/?hl=de&id={APP}": Target("google_play", APP),
    f"//play.google.com:443/store/apps/details?id={APP}": Target("google_play", APP),
    f"intent://details?id={APP}#Intent;scheme=market;package=com.android.vending;end": Target("google_play", APP),
    f"intent://play.google.com/store/apps/details?id={APP}#Intent;scheme=https;end": Target("google_play", APP),
    "https://play.google.com/store/apps/dev?id=57004": None,
    "https://play.google.com/store/apps/details": None,
    "https://apps.apple.com/app/id123456789": Target("app_store", "id123456789"),
    "https://apps.apple.com/DE/app/id123456789?mt=8": Target("app_store", "id123456789", "de"),
    "https://apps.apple.com/us/app/a-game/id123456789": Target("app_store", "id123456789", "us"),
    f"itms-apps://apps.apple.com/app/id1?ppid={PAGE.upper()}": Target("app_store", "id1", listing=PAGE),
    "itms-appss://itunes.apple.com/app/id1": Target("app_store", "id1"),
    "https://itunes.apple.com/WebObjects/MZStore.woa/wa/viewSoftware?id=12&mt=8": Target("app_store", "id12"),
    "https://apps.apple.com/us/developer/example/id526656015": None,
    HUAWEI: Target("huawei_appgallery", APP),
    f"appmarket://details?id={APP}": Target("huawei_appgallery", APP),
    "https://appgallery.huawei.com/#/app/C101": Target("huawei_appgallery", "C101", is_own_number=True),
    "hiapplink://com.huawei.appmarket?appId=C101": Target("huawei_appgallery", "C101", is_own_number=True),
    f"https://galaxystore.samsung.com/detail/{APP}": Target("samsung_galaxy_store", APP),
    f"samsungapps://ProductDetail/{APP}/": Target("samsung_galaxy_store", APP),
    f"https://apps.samsung.com/appquery/appDetail.as?appId={APP}": Target("samsung_galaxy_store", APP),
    f"https://app.mi.com/details?id={APP}": Target("xiaomi_getapps", APP),
    f"mimarket://details?id={APP}&back=true&ref=x": Target("xiaomi_getapps", APP),
    f"https://www.amazon.com/gp/mas/dl/android?p={APP}": Target("amazon_appstore", APP),
    f"https://www.amazon.co.uk/gp/mas/dl/android?p={APP}": Target("amazon_appstore", APP),
    f"amzn://apps/android?p={APP}": Target("amazon_appstore", APP),
    "https://www.amazon.de/gp/mas/dl/android?asin=B01": Target("amazon_appstore", "B01", is_own_number=True),
    f"oppomarket://details?packagename={APP}": Target("oppo", APP),
    f"vivomarket://details?id={APP}": Target("vivo", APP),
    "https://www.example.com/": None,
    "examplegame://open": None,
    f"intent://open#Intent;scheme=examplegame;package={APP};end": None,
    "intent://open#Intent;end": None,
    "intent://open#Intent;scheme=intent;end": None,
    "/store": None,
    "": None,
}


@pytest.mark.parametrize("url", READ)
def test_a_target_is_read_from_any_form_of_its_url(url):
    """Pages, the stores' own schemes and Android's `intent:` name the same apps."""
    assert READ[url] == read(url)


KINDS = [
    (PLAY, f"market://details?id={APP}", Kind.SAME),
    (PLAY, "market://details?id=com.example.other", Kind.OTHER_APP),
    (PLAY, "market://details?id=com.example.Game", Kind.OTHER_APP),
    (PLAY, HUAWEI, Kind.OTHER_STORE),
    (PLAY, f"oppomarket://details?packagename={APP}", Kind.OTHER_STORE),
    (PLAY, IOS, Kind.OTHER_STORE),
    (PLAY, LISTED, Kind.OTHER_LISTING),
    (LISTED, PLAY, Kind.OTHER_LISTING),
    (LISTED, f"market://details?id={APP}&listing=spring", Kind.SAME),
    (GERMAN, "https://apps.apple.com/us/app/id123456789?mt=8", Kind.OTHER_COUNTRY),
    (GERMAN, "https://apps.apple.com/DE/app/id123456789?mt=8", Kind.SAME),
    (GERMAN, "itms-apps://apps.apple.com/app/id123456789", Kind.SAME),
    (IOS, "https://apps.apple.com/us/app/a-game/id123456789", Kind.SAME),
    (IOS, "https://apps.apple.com/app/id987654321", Kind.OTHER_APP),
    (IOS, f"{IOS}?ppid={PAGE}", Kind.OTHER_LISTING),
    (f"{IOS}?ppid={PAGE}", f"{IOS}?mt=8&ppid={PAGE.upper()}", Kind.SAME),
    (GERMAN, f"https://apps.apple.com/us/app/id987654321?ppid={PAGE}", Kind.OTHER_APP),
    (GERMAN, f"https://apps.apple.com/us/app/id123456789?ppid={PAGE}", Kind.OTHER_COUNTRY),
    (HUAWEI, f"appmarket://details?id={APP}", Kind.SAME),
    (HUAWEI, "https://appgallery.huawei.com/app/C101", Kind.NOT_COMPARABLE),
    (PLAY, "https://appgallery.huawei.com/app/C101", Kind.OTHER_STORE),
    (PLAY, "examplegame://open?id=1", Kind.OPENS_APP),
    (PLAY, f"intent://open#Intent;scheme=examplegame;package={APP};end", Kind.OPENS_APP),
    (PLAY, f"intent://www.example.com/x#Intent;scheme=https;package={APP};end", Kind.OPENS_APP),
    (PLAY, f"intent://details?id={APP}#Intent;scheme=market;package=com.android.vending;end", Kind.SAME),
    (PLAY, "https://www.example.com/landing", Kind.WEB_PAGE),
    (PLAY, "https://play.google.com/store/apps/dev?id=57004", Kind.WEB_PAGE),
    (PLAY, "https://app.appsflyer.com/com.example.game?pid=x", Kind.NOT_COMPARABLE),
    (PLAY, "https://brand.onelink.me/AbC1?pid=x", Kind.NOT_COMPARABLE),
    (PLAY, "javascript:alert(1)", Kind.NOT_COMPARABLE),
    (PLAY, "/somewhere", Kind.NOT_COMPARABLE),
    (PLAY, "", Kind.NOT_COMPARABLE),
    (CUSTOM, f"https://store.example/get/{APP}/?ref=other", Kind.SAME),
    (CUSTOM, "https://store.example/get/com.example.other", Kind.OTHER_APP),
    (CUSTOM, "https://www.example.com/landing", Kind.WEB_PAGE),
    (CUSTOM, PLAY, Kind.OTHER_STORE),
    (CUSTOM, "examplegame://open", Kind.OPENS_APP),
]


@pytest.mark.parametrize(("ours", "theirs", "kind"), KINDS)
def test_a_redirect_is_of_one_kind(ours, theirs, kind):
    """Of several differences the first of store, app, country and listing counts."""
    assert kind is compare(ours, theirs, 302).kind


@pytest.mark.parametrize("status", [200, 204, 400, 404, 500, 304, None])
@pytest.mark.parametrize("theirs", [None, PLAY])
def test_what_is_no_redirect_cannot_be_compared(status, theirs):
    """A page of AppsFlyer's, or an error; and it is said why. A Location whose status is not known is a redirect's."""
    compared = compare(PLAY, theirs, status)

    if status is None and theirs:
        assert (Kind.SAME, ()) == compared[:2]
    else:
        assert (Kind.NOT_COMPARABLE, True) == (compared.kind, bool(compared.why))


@pytest.mark.parametrize("theirs", PROBES)
@pytest.mark.parametrize("ours", [PLAY, PLAY.replace("https://play.google.com/store/apps/details", "market://details")])
def test_appsflyer_s_own_form_is_no_drift(ours, theirs):
    """What AppsFlyer answered in July 2026: a market: link with a slash and with af_tranid."""
    compared = compare(ours, theirs, 301)

    assert (Kind.SAME, True) == (compared.kind, {drift.AF_TRANID, drift.SLASH} <= set(compared.harmless))


@pytest.mark.parametrize(
    ("ours", "theirs", "harmless"),
    [
        (PLAY, PLAY, []),
        (PLAY, f"{PLAY}&hl=de&gl=DE", [drift.LANGUAGE]),
        (PLAY, f"market://details?id={APP}&referrer=NetworkA_K1", [drift.SCHEME]),
        (PLAY, PLAY.replace("https", "http"), [drift.HTTP]),
        (PLAY, PLAY.replace("K1", "K2"), [drift.REFERRER]),
        (PLAY, f"https://play.google.com/store/apps/details?referrer=NetworkA_K1&id={APP}", [drift.ORDER]),
        (PLAY, f"{PLAY}&utm_source=x", [drift.OTHER_PARAMETERS]),
        (IOS, f"{IOS}?mt=8", [drift.MEDIA_TYPE]),
        (IOS, f"{IOS}?pt=1&ct=spring", [drift.TOKENS]),
        (IOS, "https://apps.apple.com/us/app/id123456789", [drift.COUNTRY]),
        (GERMAN, "https://apps.apple.com/DE/app/id123456789?mt=8", [drift.CASE, drift.MEDIA_TYPE]),
        (GERMAN, "https://apps.apple.com/de/app/a-game/id123456789", [drift.NAME]),
        (GERMAN, "https://itunes.apple.com/de/app/id123456789", [drift.OLD_HOST]),
        (PLAY, "market://details?id=com.example.other", [drift.SCHEME, drift.REFERRER]),
    ],
)
def test_a_harmless_difference_is_named(ours, theirs, harmless):
    """With its reason, once, and nothing else is."""
    assert harmless == list(compare(ours, theirs, 302).harmless)


TEXTS = st.one_of(
    st.text(),
    st.text(st.characters(codec=None, exclude_categories=())),
    st.sampled_from([*READ, *PROBES, *(theirs for _, theirs, _ in KINDS)]),
    st.builds("{}{}{}".format, st.sampled_from(list(READ)), st.sampled_from("?#&;=/:%@"), st.text(max_size=40)),
)


@given(TEXTS, st.none() | TEXTS, st.none() | st.integers(0, 999))
def test_any_two_texts_are_compared(ours, theirs, status):
    """Whatever AppsFlyer answers: one kind, harmless differences of the closed list, and never an exception."""
    compared = compare(ours, theirs, status)

    assert compared.kind in Kind
    assert set(compared.harmless) <= set(HARMLESS)
    assert (compared.kind is Kind.NOT_COMPARABLE) == bool(compared.why)
    hash(compared)


@given(TEXTS.filter(lambda text: read(text) is not None))
def test_a_target_is_the_same_as_itself(url):
    """Nothing but `same`, without any difference."""
    kind, harmless, why = compare(url, url, 302)

    assert (Kind.SAME, set(), "") == (kind, set(harmless) - {drift.SLASH, drift.AF_TRANID}, why)


def test_a_huge_location_is_not_read():
    """No phone opens it."""
    assert Kind.NOT_COMPARABLE is compare(PLAY, "https://a.example/" + "a" * 100_000, 302).kind


def test_the_own_hop_is_said():
    """AppsFlyer that redirects to itself has not answered yet."""
    assert OWN_HOP == compare(PLAY, "https://app.appsflyer.com/x.y?af_dp=z", 302).why


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (PLAY, f"{APP} in google_play"),
        (LISTED, f"{APP} in google_play (listing spring)"),
        (GERMAN, "id123456789 in app_store (country de)"),
        ("https://u:p@www.example.com:81/x?user=7#y", "https://www.example.com/x"),
        ("examplegame://open/7?user=8", "examplegame://open/7"),
        ("nothing", "no URL"),
    ],
)
def test_a_target_in_words_holds_no_values(url, words):
    """For logs and reports: no user, no parameter."""
    assert words == in_words(url)


@given(TEXTS)
def test_words_are_one_printable_line(url):
    """Also where a stranger wrote the URL."""
    words = in_words(url)

    assert words.isprintable()
    assert len(words) <= 160

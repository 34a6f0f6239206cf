"""Values that were never filled in (design §3.2): every form that is known, and no real value among them."""

from base64 import urlsafe_b64encode
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from storehop.decide import unfilled
from storehop.decide.decision import decide
from storehop.decide.link import decoded
from storehop.model import Param, Source
from storehop.settings import Rule
from tests.support.clicks import PIXEL, click, params, rule_set

FILE = YAML(typ="safe").load(Path(__file__).with_name("unfilled.yaml"))
UNFILLED = {f"{entry['form']}, {value}": value for entry in FILE["unfilled"] for value in entry["values"]}
REAL = {f"{entry['what']}, {value}": value for entry in FILE["real"] for value in entry["values"]}
GAME = "https://app.appsflyer.com/com.example.game"
NEW_TOKEN = f"NetworkA_{click().id}"
SILENT = rule_set(Rule("silent", partner="NetworkA", enrich=frozenset()))

of_every_form = pytest.mark.parametrize("raw", UNFILLED.values(), ids=UNFILLED)
of_real_values = pytest.mark.parametrize("raw", REAL.values(), ids=REAL)


def direct(query, rules=None, **more):
    return decide(click(f"{GAME}?{query}", **more), rules or rule_set())


@of_every_form
def test_a_value_that_nobody_filled_in_is_known(raw):
    """Every form is known, as it is written in the link or encoded."""
    assert unfilled.is_unfilled(decoded(raw))


@of_real_values
def test_a_real_value_is_real(raw):
    """No real value is taken for one that nobody filled in."""
    assert not unfilled.is_unfilled(decoded(raw))


@of_every_form
def test_such_a_click_id_makes_a_new_token(raw):
    """A click id that nobody filled in says nothing: the referrer is new, and the parameter stays byte for byte."""
    found = direct(f"clickid={raw}&pid=x")

    assert NEW_TOKEN == found.referrer == decoded(params(found)["af_ref"])
    assert raw.replace("<", "%3C").replace(">", "%3E") == params(found)["clickid"]


@of_every_form
def test_such_a_referrer_makes_a_new_token(raw):
    """A referrer that nobody filled in is replaced, by one from the click id where that is real."""
    assert "NetworkA_K1" == direct(f"af_ref={raw}&clickid=K1").referrer


@of_every_form
def test_a_referrer_whose_transaction_part_is_such_makes_a_new_token(raw):
    """The network's fixed prefix before a macro makes it no better."""
    assert NEW_TOKEN == direct(f"af_ref=NetworkA_{raw}").referrer


@of_every_form
@pytest.mark.parametrize("name", ["advertising_id", "android_id", "sha1_android_id", "md5_idfa", "oaid", "imei"])
def test_such_a_device_id_is_dropped(raw, name):
    """A device id that nobody filled in is dropped, hashed or not, and `explain` says why."""
    found = direct(f"{name}={raw}&pid=x")

    assert name not in params(found)
    assert Param(name, None, Source.OMITTED, "never filled in") in found.params


@of_every_form
@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("af_ip", "93.184.216.34"),
        ("af_ua", PIXEL),
        ("af_lang", "de-DE"),
        ("af_os_version", "12"),
        ("af_model", "Pixel 5"),
    ],
)
def test_such_a_parameter_of_ours_is_ours(raw, name, ours):
    """What we know goes out in place of what nobody filled in, and `explain` says so."""
    found = direct(f"{name}={raw}", headers={"Accept-Language": "de-DE"})

    assert ours == decoded(params(found)[name])
    assert "the link's own is never filled in" in next(param.why for param in found.params if param.name == name)


@of_every_form
@pytest.mark.parametrize("name", ["af_ip", "af_ua", "af_lang", "af_os_version", "af_model"])
def test_such_a_parameter_is_dropped_where_nothing_is_to_be_said(raw, name):
    """Where the rule adds nothing a macro is not sent either, and never becomes a header."""
    found = direct(f"{name}={raw}", SILENT)

    assert name not in params(found)
    assert PIXEL == dict(found.call.headers)["User-Agent"]
    assert "X-Forwarded-For" not in dict(found.call.headers)


@of_every_form
def test_any_other_parameter_stays_byte_for_byte(raw):
    """What is not ours to say stays, but for what a browser would encode."""
    assert raw.replace("<", "%3C").replace(">", "%3E") == params(direct(f"c={raw}"))["c"]


@pytest.mark.parametrize(
    ("referrer", "is_unfilled"),
    [
        pytest.param("NetworkA_", True, id="empty transaction part"),
        pytest.param("NetworkA_null", True, id="word"),
        pytest.param("NetworkA_{clickid}", True, id="braces"),
        pytest.param("NetworkA_[CLICK_ID]", True, id="a macro's name with an underscore"),
        pytest.param("NetworkA___CLICK_ID__", True, id="underscores"),
        pytest.param("NetworkA_--CLICK_ID--", True, id="dashes"),
        pytest.param("Network_A_@CLICK_ID@", True, id="a prefix with an underscore"),
        pytest.param("NetworkA_00000000-0000-0000-0000-000000000000", True, id="zeroed id"),
        pytest.param("{partner}_K1", True, id="prefix"),
        pytest.param("NetworkA_K1", False, id="real"),
        pytest.param("NetworkA_K_1", False, id="real with an underscore"),
        pytest.param("K1", False, id="no prefix"),
        pytest.param("null_K1", False, id="a word as prefix"),
    ],
)
def test_a_referrer_is_judged_by_its_transaction_part(referrer, is_unfilled):
    """What follows the last underscore is the transaction part; a macro's own underscores do not cut it."""
    assert is_unfilled == unfilled.is_unfilled_referrer(referrer)


@given(st.binary(min_size=16, max_size=16))
def test_sixteen_random_bytes_are_no_macro(random):
    """A random id as base64url is real, whatever its bytes."""
    assert not unfilled.is_absent(urlsafe_b64encode(random).rstrip(b"=").decode())


@given(st.binary(min_size=16, max_size=16))
def test_sixteen_random_bytes_are_no_macro_percent_encoded(random):
    """Random bytes that hold a macro's marks, `<`, `{` or `#`, are real: they decode to what no macro holds."""
    assume(any(byte < 0x20 or byte > 0x7E for byte in random))
    encoded = "".join(f"%{byte:02X}" for byte in random)

    assert not unfilled.is_unfilled(decoded(encoded)) or random.decode(errors="replace").isprintable()


@given(st.text(min_size=1).filter(str.isprintable))
def test_encoding_makes_no_value_a_macro(text):
    """Percent-encoding a real value never makes it look like one that nobody filled in."""
    assume(not unfilled.is_absent(text) and text == text.encode(errors="replace").decode())
    encoded = "".join(f"%{byte:02X}" for byte in text.encode())

    assert text == decoded(encoded) == decoded(quote(text, safe=""))


def tokens_of_two_people(query):
    """The referrers of two people's clicks on one link."""
    first = click(f"{GAME}?{query}")
    second = replace(first, id="0191d8a4-7c00-7000-8000-ffffffffffff", peer="8.8.8.8")
    return [decide(one, rule_set()).referrer for one in (first, second)]


@of_every_form
@pytest.mark.parametrize("query", ["clickid={}", "af_ref={}", "af_ref=NetworkA_{}", "af_ref={}&clickid={}"])
def test_two_people_never_share_what_nobody_filled_in(raw, query):
    """A macro as click id or in the referrer gives each click a token of its own."""
    first, second = tokens_of_two_people(query.replace("{}", raw))

    assert first != second


@given(st.text(), st.sampled_from(["clickid={}", "af_ref={}", "af_ref=NetworkA_{}"]))
def test_two_people_share_a_token_only_where_their_links_carry_a_real_id(value, query):
    """Two tokens are equal only where the link's own id is real, and then they hold it."""
    raw = quote(value, safe="")
    first, second = tokens_of_two_people(query.replace("{}", raw))

    assert first != second or (not unfilled.is_absent(value) and first.endswith(decoded(raw)))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        pytest.param("clickid={x}", ("click_id",), id="click id"),
        pytest.param("clickid=K1&af_ip=__IP__&af_ua={ua}", ("af_ip", "af_ua"), id="ours"),
        pytest.param("advertising_id={gaid}&sha1_idfa=null", ("advertising_id", "sha1_idfa"), id="device ids"),
        pytest.param("af_ref=NetworkA_{x}", ("af_ref",), id="referrer"),
        pytest.param("af_ref=NetworkA_%AD_ID%", ("af_ref",), id="referrer whose macro looks like a percent-code"),
        pytest.param("clickid=K1&c={campaign}&af_siteid=[site]", (), id="others"),
        pytest.param("clickid=&af_ip=&advertising_id=", (), id="empty"),
    ],
)
def test_a_decision_names_what_nobody_filled_in(query, names):
    """Ours, the click id and device ids are named for the metric; all other names are the link's own business."""
    assert names == direct(query).unfilled

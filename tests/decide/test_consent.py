"""Consent: how each signal is read, what each limit does, and that no text makes reading raise."""

import re
from dataclasses import replace
from fnmatch import translate
from ipaddress import ip_address
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storehop.decide import consent
from storehop.decide.decision import decide
from storehop.decide.link import split
from storehop.model import Direct, Param, Pass, Reason, Source
from storehop.settings import Consent, Enrich, Gdpr, Limit, Rule
from tests.support.clicks import ANDROID_LINK, IOS_LINK, IPHONE, PEER, PIXEL, click, params, rule_set, segments

GAID = "38400000-8cf0-11bd-b23e-10b96e40000d"
IDS = ("advertising_id", "android_id", "idfa", "idfv", "oaid", "imei", "fire_advertising_id", "mac")
APPLIES, UNSAID = frozenset({Gdpr.APPLIES}), frozenset({Gdpr.UNSAID})
EVERYTHING = frozenset(range(1, 12))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def tc_string(purposes, version=2, language="EN"):
    """The shortest TC string that consents to these purposes: version, language and they, and all else zero."""
    first, second = map(ALPHABET.index, language)
    bits = version << 258 | first << 150 | second << 144 | sum(1 << (264 - 152 - purpose) for purpose in purposes)
    return "".join(ALPHABET[bits >> shift & 63] for shift in range(258, -1, -6))


ALL = tc_string(EVERYTHING)


def when(*limits, **signals):
    """A case: limits, and the signals that they wait for."""
    return Consent(frozenset(limits or [Limit.PASS]), **signals)


def rules(*cases, **keys):
    return rule_set(Rule("games", **{"partner": "NetworkA", "consent": cases, **keys}))


def limited(query="", *limits, headers=None, start=ANDROID_LINK, user_agent=PIXEL, peer=PEER, **keys):
    """The direct decision about a click on which these limits are put."""
    more = f"&{query}" if query else ""
    decision = decide(click(f"{start}{more}", headers, user_agent=user_agent, peer=peer), rules(when(*limits), **keys))
    assert isinstance(decision, Direct), decision
    return decision


def shown(decision):
    return {param.name: param for param in decision.params}


def holds(case, query="", headers=None):
    found = click(f"{ANDROID_LINK}&{query}", headers)
    return bool(consent.limits((case,), found, split(found.link)))


# Signals


@pytest.mark.parametrize(
    ("query", "states"),
    [
        pytest.param("gdpr=1", APPLIES, id="1"),
        pytest.param("gdpr=0", frozenset(), id="0"),
        pytest.param("gdpr=%200", frozenset(), id="0 with a space"),
        pytest.param("", UNSAID, id="absent"),
        pytest.param("gdpr=", UNSAID, id="empty"),
        pytest.param("gdpr=${GDPR}", UNSAID, id="macro"),
        pytest.param("gdpr=$%7BGDPR%7D", UNSAID, id="macro, encoded"),
        pytest.param("GDPR=1", UNSAID, id="another name"),
        pytest.param("gdpr=yes", APPLIES, id="unreadable"),
        pytest.param("gdpr=%ff", APPLIES, id="no UTF-8"),
        pytest.param("gdpr=0&gdpr=1", APPLIES, id="a contradiction"),
        pytest.param("gdpr=&gdpr=0", frozenset(), id="empty, then 0"),
        pytest.param("%67dpr=1", APPLIES, id="name encoded"),
        pytest.param(f"gdpr_consent={ALL}", APPLIES, id="a TC string alone"),
        pytest.param(f"gdpr=&gdpr_consent={ALL}", APPLIES, id="empty, and a TC string"),
        pytest.param(f"gdpr=0&gdpr_consent={ALL}", frozenset(), id="0, and a TC string"),
        pytest.param("gdpr_consent=", UNSAID, id="an empty TC string alone"),
    ],
)
def test_what_a_link_says_about_the_gdpr(query, states):
    """`gdpr` other than 0 applies, and so does a TC string without it; a link that has neither leaves it unsaid."""
    assert states == {state for state in Gdpr if holds(when(gdpr=frozenset({state})), query)}


@pytest.mark.parametrize(
    ("query", "lacks"),
    [
        pytest.param(f"gdpr_consent={ALL}", False, id="all purposes"),
        pytest.param(f"gdpr_consent={tc_string({1, 7})}", False, id="the wanted purposes"),
        pytest.param(f"gdpr_consent={tc_string({1, 7})}.YAAAAAAAAAA", False, id="more segments"),
        pytest.param(f"gdpr_consent={tc_string(EVERYTHING - {7})}", True, id="one is missing"),
        pytest.param(f"gdpr_consent={tc_string(())}", True, id="none"),
        pytest.param("", True, id="absent"),
        pytest.param("gdpr_consent=", True, id="empty"),
        pytest.param("gdpr_consent=${GDPR_CONSENT_123}", True, id="macro"),
        pytest.param("gdpr_consent=1", True, id="no TC string"),
        pytest.param(f"gdpr_consent={tc_string(EVERYTHING, version=1)}", True, id="version 1"),
        pytest.param(f"gdpr_consent={tc_string(EVERYTHING, version=3)}", True, id="version 3"),
        pytest.param(f"gdpr_consent={ALL[:29]}", True, id="cut within the purposes"),
        pytest.param(f"gdpr_consent={ALL[:43]}", True, id="one character too short"),
        pytest.param(f"gdpr_consent={ALL[:43]}.YAAAAAAAAAA", True, id="too short, and more segments"),
        pytest.param(f"gdpr_consent={tc_string(EVERYTHING, language='Zz')}", True, id="a language in small letters"),
        pytest.param(f"gdpr_consent={tc_string(EVERYTHING, language='1E')}", True, id="a language with a digit"),
        pytest.param(f"gdpr_consent={tc_string(EVERYTHING, language='ZZ')}", False, id="any two letters"),
        pytest.param("gdpr_consent=CookieConsentNotGivenByTheUserYet", True, id="words that begin with a C"),
        pytest.param(f"gdpr_consent=CookieConsentNotGivenByTheUserYet{'A' * 60}", True, id="more words"),
        pytest.param("gdpr_consent=REDACTED", True, id="a word"),
        pytest.param("gdpr_consent=0", True, id="0"),
        pytest.param("gdpr_consent=00000000", True, id="zeros"),
        pytest.param("gdpr_consent=BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA", True, id="a string of TCF 1"),
        pytest.param(f"gdpr_consent={ALL}%20x", True, id="rubbish behind it"),
        pytest.param(f"gdpr_consent={ALL}&gdpr_consent={tc_string({1})}", True, id="a contradiction"),
    ],
)
def test_what_a_tc_string_lacks(query, lacks):
    """A TC string lacks purposes where it does not consent to each of them, is missing or can't be read."""
    assert lacks is holds(when(gdpr_consent_lacks=frozenset({1, 7})), query)


@pytest.mark.parametrize(
    ("text", "purposes"),
    [
        pytest.param(
            "CLcVDxRMWfGmWAVAHCENAXCkAKDAADnAABRgA5mdfCKZuYJez-NQm0TBMYA4oCAAGQYIAAAAAAEAIAEgAA", {1, 3, 9, 10}
        ),
        pytest.param("COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA.IFoEUQQgAIQwgIwQABAEAAAAOIAACAIAAAAQ", {1, 2, 3}),
        pytest.param(
            "COrEAV4OrXx94ACABBENAHCIAD-AAAAAAACAAxAAAAgAIAwgAgAAAAEAgQAAAAAEAYQAQAAAACAAAABAAA"
            ".IBAgAAAgAIAwgAgAAAAEAAAACA.QAagAQAgAIAwgA",
            {3, 4, 5, 6, 7, 8, 9},
        ),
    ],
    ids=["one segment", "the specification's example, two segments", "IAB's own test, three segments"],
)
def test_a_tc_string_of_the_wild(text, purposes):
    """The purposes of a TC string are those that other readers of the format find in it."""
    assert purposes == consent.consented_purposes(text)


UNFILLED = [
    "",
    "%20",
    "${GDPR}",
    "${GDPR_CONSENT_755}",
    "$%7BGDPR_CONSENT_123%7D",
    "${GPP_STRING_755}",
    "${GPP_SID}",
    "${US_PRIVACY}",
    "[GDPRCONSENT]",
    "[sas_gdpr_consent]",
    "%5BGDPR%5D",
    "[gdpr%20consent%20string%20from%20CMP]",
    "{gdpr_consent}",
    "{{gdpr_consent}}",
    "%%GDPR%%",
    "%%GDPR_CONSENT_755%%",
    "%%CONSENT%%",
    "%25%25GDPR%25%25",
    "%%GDPR_CONSENT_{GVL_ID}%%",
    "__GDPR__",
    "__gdpr_consent__",
    "@GDPR@",
    "<gdpr>",
    "null",
    "undefined",
    "None",
]


@pytest.mark.parametrize("raw", UNFILLED)
def test_a_signal_that_was_never_filled_in_says_nothing(raw):
    """What an ad stack left of a template is no consent, no refusal and no sign that a law applies."""
    query = "&".join(f"{name}={raw}" for name in ("gdpr", "gdpr_consent", "us_privacy", "gpp", "gpp_sid"))

    assert holds(when(gdpr=UNSAID), query)
    assert not any(holds(case, query) for case in (when(gdpr=APPLIES), when(us_privacy=True), when(gpp=True)))


@pytest.mark.parametrize("raw", UNFILLED)
def test_a_signal_counts_beside_one_that_was_never_filled_in(raw):
    """Of a signal that stands twice the one that was filled in counts, first or last."""
    opted_out, lacking = when(us_privacy=True), when(gdpr_consent_lacks=frozenset({1}))

    assert all(
        holds(opted_out, query) for query in (f"us_privacy={raw}&us_privacy=1YYN", f"us_privacy=1YYN&us_privacy={raw}")
    )
    assert not holds(lacking, f"gdpr_consent={raw}&gdpr_consent={ALL}")


@pytest.mark.parametrize("value", ["CookieConsentNotGivenByTheUserYet", "00000000", "0", "no", "-", "consent%20string"])
def test_a_signal_that_nobody_understands_is_a_refusal(value):
    """What was filled in and can't be read is taken for a refusal: of the TC string, of the sale, of the sections."""
    query = "&".join(f"{name}={value}" for name in ("gdpr_consent", "us_privacy", "gpp"))
    cases = (when(gdpr=APPLIES), when(gdpr_consent_lacks=frozenset({1})), when(us_privacy=True), when(gpp=True))

    assert all(holds(case, query) for case in cases)


@given(st.frozensets(st.integers(1, 24)))
def test_the_purposes_of_a_tc_string_are_read_back(purposes):
    """Whatever purposes a TC string consents to, they are found."""
    assert purposes == consent.consented_purposes(tc_string(purposes))


@given(st.text() | st.text(ALPHABET + ".").map("C".__add__) | st.from_regex(r"\AC[\w.=-]{0,80}\Z"))
def test_no_text_makes_reading_a_tc_string_raise(text):
    """Any text is a TC string or none."""
    found = consent.consented_purposes(text)

    assert found is None or found <= set(range(1, 25))


@pytest.mark.parametrize(
    ("query", "opted_out"),
    [
        pytest.param("us_privacy=1YYN", True, id="opted out"),
        pytest.param("us_privacy=1yyn", True, id="lower case"),
        pytest.param("us_privacy=1-Y-", True, id="without notice"),
        pytest.param("us_privacy=1YNN", False, id="not opted out"),
        pytest.param("us_privacy=1---", False, id="does not apply"),
        pytest.param("us_privacy=1YN", True, id="cut"),
        pytest.param("us_privacy=2YNN", True, id="another version"),
        pytest.param("us_privacy=no", True, id="unreadable"),
        pytest.param("us_privacy=1YNN&us_privacy=1YYN", True, id="a contradiction"),
        pytest.param("us_privacy=", False, id="empty"),
        pytest.param("us_privacy=${US_PRIVACY}", False, id="macro"),
        pytest.param("", False, id="absent"),
    ],
)
def test_what_a_us_privacy_string_says(query, opted_out):
    """A US Privacy string opts out by its third letter, and where it can't be read; one that is absent says nothing."""
    assert opted_out is holds(when(us_privacy=True), query)


@pytest.mark.parametrize(
    ("query", "present"),
    [
        pytest.param("gpp=DBABLA~BVQqAAAAAgA.QA&gpp_sid=7", True, id="string and section"),
        pytest.param("gpp=DBAA", True, id="string"),
        pytest.param("gpp_sid=7", True, id="section"),
        pytest.param("gpp_sid=-1", False, id="no section in force"),
        pytest.param("gpp=DBACNYA~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN&gpp_sid=2,6", True, id="two"),
        pytest.param("gpp=&gpp_sid=${GPP_SID}", False, id="empty and macro"),
        pytest.param("", False, id="absent"),
    ],
)
def test_what_a_gpp_string_says(query, present):
    """A GPP string is present or not; a list that says that no section is in force does not make it so."""
    assert present is holds(when(gpp=True), query)


@pytest.mark.parametrize(
    ("value", "found"),
    [("1", True), (" 1 ", True), ("1, 1", True), ("true", True), ("0", False), ("", False), (None, False)],
)
def test_what_sec_gpc_says(value, found):
    """Sec-GPC is a refusal where it says anything but 0."""
    assert found is holds(when(gpc=True), headers={"Sec-GPC": value})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("npa=1", True, id="exact"),
        pytest.param("npa=true", True, id="glob"),
        pytest.param("npa=t%0Ae", True, id="glob over a line break"),
        pytest.param("npa=0&npa=1", True, id="second"),
        pytest.param("npa=0", False, id="another value"),
        pytest.param("npa=11", False, id="longer"),
        pytest.param("npa=xtrue", False, id="glob is whole"),
        pytest.param("Npa=1", False, id="another name"),
        pytest.param("", False, id="absent"),
    ],
)
def test_what_a_configured_parameter_says(query, found):
    """A parameter of the link is a signal where one of its values is as the rule says: exact or glob."""
    pattern = re.compile(f"1|{translate('t*')}")

    assert found is holds(when(params=(("npa", pattern),)), query)


@pytest.mark.parametrize(
    ("query", "headers", "found"),
    [
        pytest.param("us_privacy=1YYN", {"Sec-GPC": "1"}, True, id="both"),
        pytest.param("us_privacy=1YYN", {}, False, id="one"),
        pytest.param("", {"Sec-GPC": "1"}, False, id="the other"),
    ],
)
def test_the_signals_of_a_case_must_all_hold(query, headers, found):
    """A case with two signals waits for both."""
    assert found is holds(when(us_privacy=True, gpc=True), query, headers)


def test_a_case_without_signals_always_holds():
    """A case that waits for nothing holds for every click, and says so."""
    assert {Limit.PASS: "consent (always)"} == consent.limits((when(),), click(), split(ANDROID_LINK))


@pytest.mark.parametrize(
    ("case", "query", "why"),
    [
        pytest.param(when(gdpr=APPLIES), "gdpr=1", "gdpr applies", id="gdpr"),
        pytest.param(when(gdpr=UNSAID), "", "gdpr unsaid", id="gdpr unsaid"),
        pytest.param(when(gdpr_consent_lacks=frozenset({1})), "", "gdpr_consent missing", id="missing"),
        pytest.param(when(gdpr_consent_lacks=frozenset({1})), "gdpr_consent=x", "gdpr_consent unreadable", id="bad"),
        pytest.param(
            when(gdpr_consent_lacks=frozenset({7, 1, 2})),
            f"gdpr_consent={tc_string({2})}",
            "gdpr_consent lacks 1, 7",
            id="lacks",
        ),
        pytest.param(when(us_privacy=True), "us_privacy=1YYN", "us_privacy opted_out", id="us_privacy"),
        pytest.param(when(gpp=True), "gpp=DBAA", "gpp present", id="gpp"),
        pytest.param(when(gpc=True), "", "Sec-GPC", id="gpc"),
        pytest.param(when(params=(("npa", re.compile("1")),)), "npa=1", "param npa", id="param"),
        pytest.param(when(gpc=True, gpp=True), "gpp=DBAA", "gpp present, Sec-GPC", id="two"),
    ],
)
def test_a_limit_names_its_signals(case, query, why):
    """What is limited says which signals led to it, without their values."""
    found = click(f"{ANDROID_LINK}&{query}", {"Sec-GPC": "1"})

    assert {Limit.PASS: f"consent ({why})"} == consent.limits((case,), found, split(found.link))


def test_the_limits_of_all_cases_count_together():
    """Every case that holds adds its limits, and a limit names the first case that put it."""
    cases = (
        when(Limit.OMIT_IDS, gpc=True),
        when(Limit.PASS, gpp=True),
        when(Limit.TRUNCATE_IP, Limit.OMIT_IDS),
    )

    expected = {Limit.OMIT_IDS: "consent (Sec-GPC)", Limit.TRUNCATE_IP: "consent (always)"}
    assert expected == consent.limits(cases, click(headers={"Sec-GPC": "1"}), split(ANDROID_LINK))


# Limits


def test_pass_passes_and_says_why():
    """A click passes for consent, and the decision names the signals."""
    decision = decide(click(headers={"Sec-GPC": "1"}), rules(when(gpc=True)))

    expected = Pass(Reason.CONSENT, "games", "com.example.game", "android", "google_play", why="consent (Sec-GPC)")
    assert expected == decision


def test_pass_is_stronger_than_every_other_limit():
    """Where one case limits and another lets pass, the click passes."""
    decision = decide(click(), rules(when(Limit.OMIT_IDS), when(Limit.PASS)))

    assert Reason.CONSENT == decision.reason


def test_a_case_that_does_not_hold_changes_nothing():
    """A click without the signal is decided as if the rule had no consent."""
    cases = [when(limit, gpc=True) for limit in Limit]
    found = click(f"{ANDROID_LINK}&advertising_id={GAID}&af_ip=8.8.8.8")

    assert decide(found, rules()) == decide(found, rules(*cases))


@pytest.mark.parametrize("name", [f"{hashed}{name}" for name in IDS for hashed in ("", "sha1_", "md5_")])
def test_an_id_is_left_out(name):
    """No device id goes out, plain or hashed, and each one says why."""
    decision = limited(f"{name}={GAID}", Limit.OMIT_IDS)

    assert name not in params(decision)
    assert Param(name, None, Source.OMITTED, "consent (always)") == shown(decision)[name]


@pytest.mark.parametrize("name", ["sha1_el", "md5_el", "af_web_id", "%61dvertising_id"])
def test_a_persons_id_is_left_out(name):
    """Nor does the hash of an e-mail address, a browser's id, or an id by an encoded name."""
    assert unquote(name) not in {unquote(sent) for sent in params(limited(f"{name}={GAID}", Limit.OMIT_IDS))}


def test_an_android_id_is_not_hashed_instead():
    """An Android id that may not be said does not go out as its SHA-1 either."""
    assert "sha1_android_id" not in params(limited("android_id=9774d56d682e549c", Limit.OMIT_IDS))


def test_an_id_is_no_transaction():
    """An id that the rule takes for the click's does not get into the referrer."""
    decision = limited(f"advertising_id={GAID}", Limit.OMIT_IDS, click_id=("advertising_id",))

    assert GAID not in decision.location + decision.call.url


def test_what_is_no_id_stays_byte_for_byte():
    """Every other parameter of the link stays as it is, in order."""
    decision = limited(f"c=a%20b+c&idfa={GAID}&&af_sub1=%2f&is_lat=1", Limit.OMIT_IDS)

    expected = ["pid=networka_int", "clickid=K1", "c=a%20b+c", "", "af_sub1=%2f", "is_lat=1"]
    assert expected == segments(decision)[:6]


@pytest.mark.parametrize(
    ("full", "network"),
    [
        ("93.184.216.34", "93.184.216.0"),
        ("93.184.216.0", "93.184.216.0"),
        ("2606:4700:1:2:3:4:5:6", "2606:4700:1::"),
        ("2606:4700::1", "2606:4700::"),
    ],
)
def test_an_address_is_truncated(full, network):
    """IPv4 loses its last octet, IPv6 all but its first 48 bits."""
    assert ip_address(network) == consent.truncate(ip_address(full))


@pytest.mark.parametrize(
    ("query", "keys", "sent", "source"),
    [
        pytest.param("", {}, "93.184.216.0", "address: client address, truncated: consent (always)", id="the client's"),
        pytest.param("af_ip=8.8.8.8", {}, "8.8.8.0", "link: truncated: consent (always)", id="the link's"),
        pytest.param(
            "af_ip=2606%3A4700%3A1%3A2%3A%3A3", {}, "2606:4700:1::", "link: truncated: consent (always)", id="IPv6"
        ),
        pytest.param(
            "af_ip=nowhere",
            {},
            "93.184.216.0",
            "address: client address; the link's own is no single public address, truncated: consent (always)",
            id="the link's is none",
        ),
        pytest.param(
            "af_ip={ip}",
            {},
            "93.184.216.0",
            "address: client address; the link's own is never filled in, truncated: consent (always)",
            id="macro",
        ),
        pytest.param(
            "af_ip=8.8.8.8%3A80",
            {},
            "93.184.216.0",
            "address: client address; the link's own is no single public address, truncated: consent (always)",
            id="the link's has a port",
        ),
        pytest.param(
            "af_ip=8.8.8.8%3A80",
            {"enrich": frozenset()},
            None,
            "omitted: the link's own is no single public address",
            id="with a port, enrich: []",
        ),
        pytest.param(
            "af_ip=8.8.8.8%20x",
            {"enrich": frozenset()},
            None,
            "omitted: the link's own is no single public address",
            id="no address, enrich: []",
        ),
        pytest.param("", {"enrich": frozenset()}, None, None, id="none, enrich: []"),
    ],
)
def test_af_ip_is_truncated(query, keys, sent, source):
    """`af_ip` goes out truncated, whoever wrote it; one of the link's that can't be truncated is left out."""
    decision = limited(query, Limit.TRUNCATE_IP, **keys)
    found = shown(decision).get("af_ip")
    told = f"{found.source}: {found.why}" if found else None

    assert (sent and quote(sent, safe="")) == params(decision).get("af_ip")
    assert source is None or source == told


@pytest.mark.parametrize("keys", [{}, {"enrich": frozenset()}], ids=["enriched", "enrich: []"])
def test_x_forwarded_for_is_truncated(keys):
    """The call's X-Forwarded-For is the truncated address, too."""
    assert dict(limited("af_ip=8.8.8.8", Limit.TRUNCATE_IP, **keys).call.headers)["X-Forwarded-For"] == "8.8.8.0"


def test_a_private_address_stays_unsaid():
    """A client address that is not public is left out, as without consent."""
    decision = decide(click(peer="10.1.2.3"), rules(when(Limit.TRUNCATE_IP)))

    assert Param("af_ip", None, Source.OMITTED, "not a public address") == shown(decision)["af_ip"]


def test_two_people_of_one_network_stay_two():
    """Duplicates go by the whole address, whatever of it is said."""
    found = [limited("", Limit.TRUNCATE_IP, peer=peer).likeness for peer in (PEER, "93.184.216.35")]

    assert found[0] != found[1]


@pytest.mark.parametrize("name", [*Enrich, "af_os"])
@pytest.mark.parametrize("keys", [{}, {"enrich": frozenset()}], ids=["enriched", "enrich: []"])
def test_enrichment_is_left_out(name, keys):
    """Nothing is said about the device, by the link neither, whatever the rule's `enrich`."""
    decision = limited(f"{name}=8.8.8.8", Limit.OMIT_ENRICHMENT, headers={"Accept-Language": "de"}, **keys)

    assert {"pid", "clickid", "af_ref", "redirect"} == set(params(decision))
    assert Param(name, None, Source.OMITTED, "consent (always)") == shown(decision)[name]


@pytest.mark.parametrize("query", ["", "af_ua=x&af_ip=8.8.8.8&af_lang=de"])
def test_the_headers_say_no_more_than_the_parameters(query):
    """Without enrichment the call's headers say who calls, and nothing about the device."""
    headers = {"Accept-Language": "de", "Sec-CH-UA-Model": '"A1"'}
    expected = {"User-Agent": "storehop", "Accept": "*/*", "Content-Type": "application/json"}

    assert expected == dict(limited(query, Limit.OMIT_ENRICHMENT, headers=headers).call.headers)


def test_what_is_omitted_is_shown_once_and_before_the_end():
    """Each parameter that is left out is listed once, and `redirect=false` stays the last."""
    decision = limited("af_ua=x&af_ua=y&idfa=1&idfa=2", Limit.OMIT_ENRICHMENT, Limit.OMIT_IDS)

    expected = "pid clickid af_ref af_ua idfa af_ip af_lang af_os_version af_model redirect"
    assert expected.split() == [param.name for param in decision.params]


def test_the_store_is_the_same():
    """Limits change what AppsFlyer is told, never where the user goes."""
    limits = set(Limit) - {Limit.PASS}
    link = f"advertising_id={GAID}&af_ip=8.8.8.8&af_android_store_csl=summer"
    free = decide(click(f"{ANDROID_LINK}&{link}"), rules())

    assert free.location == limited(link, *limits).location


def test_what_is_left_out_makes_room():
    """A link that would be too long with its ids and the enrichment goes direct without them."""
    long = f"advertising_id={GAID}&c={'x' * 1750}"
    found = click(f"{ANDROID_LINK}&{long}")

    assert Reason.TOO_LONG == decide(found, rules()).reason
    assert isinstance(decide(found, rules(when(Limit.OMIT_ENRICHMENT))), Direct)


# Laws

NAMES = st.sampled_from(
    [
        *(f"{hashed}{name}" for name in IDS for hashed in ("", "sha1_")),
        *Enrich,
        "gdpr",
        "gdpr_consent",
        "gpp",
        "c",
        "%61f_ip",
    ],
)
VALUES = st.sampled_from(
    [GAID, "8.8.8.8", "%5B8.8.8.8%5D", "2606%3A4700%3A%3A9", "1", "", "{x}", "%ff%0a", ALL, "x" * 300]
)
QUERIES = st.lists(st.builds("{}={}".format, NAMES, VALUES), max_size=12).map("&".join)
ADDRESSES = ("8.8.8.8", "2606:4700::9", PEER)
LIMITS = st.frozensets(st.sampled_from([Limit.OMIT_IDS, Limit.TRUNCATE_IP, Limit.OMIT_ENRICHMENT]), min_size=1)
ENRICH = st.frozensets(st.sampled_from(list(Enrich)))


@given(QUERIES, LIMITS, ENRICH, st.sampled_from([(ANDROID_LINK, PIXEL), (IOS_LINK, IPHONE)]))
def test_nothing_gets_past_a_limit(query, limits, enrich, meeting):
    """Whatever the link holds and the rule adds, what may not be said is neither in the URL nor in a header."""
    start, user_agent = meeting
    found = click(f"{start}&{query}", {"Accept-Language": "de"}, user_agent=user_agent, peer=PEER)
    decision = decide(found, rules(when(*limits), enrich=enrich))
    if isinstance(decision, Pass):
        assert Reason.TOO_LONG == decision.reason
        return
    said = unquote(decision.call.url) + "\n".join(value for _, value in decision.call.headers)
    sent = {unquote(segment.partition("=")[0]) for segment in segments(decision)}

    if Limit.OMIT_IDS in limits:
        assert not {name for name in sent if name.removeprefix("sha1_") in IDS}
    if Limit.TRUNCATE_IP in limits or Limit.OMIT_ENRICHMENT in limits:
        kept = {unquote(part) for part in segments(decision) if unquote(part).partition("=")[0] != "af_ip"}
        own = {part for part in map(unquote, query.split("&")) if part in kept}
        addresses = [full for full in ADDRESSES if not any(full in part for part in own)]
        assert not [full for full in addresses if full in said]
    if Limit.OMIT_ENRICHMENT in limits:
        assert not sent & set(Enrich)
        assert user_agent not in said


@given(st.text(), st.dictionaries(st.sampled_from(["user-agent", "sec-gpc", "accept-language"]), st.text()))
def test_no_text_makes_consent_raise(text, headers):
    """Whatever stands in link and headers, consent is read and obeyed."""
    every = (
        when(Limit.OMIT_IDS, gdpr=APPLIES),
        when(Limit.TRUNCATE_IP, gdpr_consent_lacks=frozenset({1})),
        when(Limit.OMIT_ENRICHMENT, us_privacy=True),
        when(Limit.TRUNCATE_IP, gpp=True, gpc=True),
    )
    found = replace(click(f"{ANDROID_LINK}&{text}"), headers={"user-agent": PIXEL, **headers})

    assert decide(found, rules(*every)) is not None

"""The page of an audit as text: complete, well-formed, safe whatever stands in a link, and small (design §11)."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storehop.audit.page import drawings, parts, render, words
from storehop.audit.report import OTHERS, Change, Configured, Counts, Gate, Input, Report, Sample
from storehop.decide.drift import Kind
from storehop.model import Reason
from storehop.observe.coverage import NAMES
from tests.support.audit_report import usual_report

MOST_BYTES = 300_000
VOID = {"meta", "wbr"}
WITHIN_LINES = {"a", "bdi", "code", "small", "span", "strong", "wbr"}
HOSTILE = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt;&#60;i>",
    "<!--",
    "]]>",
    "{clickid}",
    "\u202egnp.exe\u2066\u0000\ud800",
)


class Page(HTMLParser):
    """What a parser finds: tags with their attributes in order, all text, and ends that do not fit."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.misfits: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag not in WITHIN_LINES:
            self.texts.append(" ")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.misfits.append(tag)
        if tag not in WITHIN_LINES:
            self.texts.append(" ")

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """As people read it."""
        return " ".join("".join(self.texts).replace(parts.SPACE, " ").split())

    @property
    def skeleton(self) -> list[tuple[str, tuple[str, ...]]]:
        """Tags and the names of their attributes; where a name may break is left out."""
        return [(tag, tuple(attributes)) for tag, attributes in self.tags if tag != "wbr"]


SAMPLED = (
    *Reason,
    *Kind,
    "direct",
    "missing_click_ids",
    "never_filled_in",
    "other_networks",
    "page_redirects",
    "private_addresses",
    "repeated_click_ids",
    "store_redirects",
)
OURS = {*SAMPLED, *words.GATES, *words.SIGNALS}
"""Keys of a report that have a place of their own on the page."""


def page_of(**fields):
    return Page(render(Report(**fields)))


def report_full_of(text: str) -> Report:
    """A report in which this text stands wherever a stranger's can stand."""
    counts = Counts(9, 5, {text: 4}, {"ip": 5, text: 1}, 2, {text: 2, "same": 1})
    sample = Sample(text, text, text, text, text, text)
    return Report(
        version=text,
        rules_path=f"rules/{text}",
        rules_digest=text,
        inputs=[Input(text, text, text, 1.0, 2.0, 9, 1, (text,), is_truncated=True, cannot_tell=(text,))],
        not_read={text: text},
        is_stopped_early=True,
        exchanges=10,
        further_hops=1,
        clicks=9,
        direct=5,
        reasons={text: 4},
        rules={text: counts},
        apps={text: counts},
        campaigns={text: counts},
        sources={text: counts},
        signals=counts.signals,
        ip_and_user_agent_only=2,
        parameters={text: {text: 3, "link": 2}},
        never_filled_in={text: 1},
        never_filled_in_clicks=1,
        private_addresses=1,
        repeated_click_ids=1,
        missing_click_ids=1,
        other_networks={text: 1},
        page_redirects=1,
        store_redirects=1,
        peak_calls_per_second=2,
        per_minute=[(0, 4, 2), (60, 5, 3)],
        drift=counts.drift,
        drift_examples=[sample],
        harmless={text: 1},
        not_comparable={text: 1},
        configured=Configured(9, 1, 1, {text: 7}),
        samples={key: [sample] * 3 for key in (*SAMPLED, text)},
        gates=[Gate(text, text, 0.5, 0.6, holds=False, why=text), Gate(text, text, None, 0.6, holds=False, why=text)],
        baseline=text,
        baseline_digest=text,
        new_parameters=[text],
        changes=[Change(text, 0.1, 0.2)],
        cannot_tell=[text],
    )


def words_before(markup: str, html: str) -> list[str]:
    """Of the cell that this stands in."""
    cell = html.partition(markup)[0].rpartition("<th ")[2].partition(">")[2]
    return Page(cell).text.split()


def hidden_in(html: str) -> list[str]:
    return [char for char in html if char != "\n" and unicodedata.category(char) in parts.HIDDEN]


@given(st.text(max_size=60).filter(lambda text: text.strip("./") and text not in OURS))
@example(HOSTILE[0])
@example(HOSTILE[1])
@example(HOSTILE[2])
@example(HOSTILE[3])
@example(HOSTILE[8])
def test_no_markup_of_a_stranger_survives(text):
    """Whatever stands in a link, the page has the elements and attributes that it has with plain words."""
    assert Page(render(report_full_of("plain"))).skeleton == Page(render(report_full_of(text))).skeleton


@given(st.text(max_size=60))
def test_nothing_of_a_stranger_is_hidden(text):
    """No control character, no override of the direction of writing, no half of a character: all of it is shown."""
    html = render(report_full_of(text))

    assert ([], html) == (hidden_in(html), html.encode().decode())


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_can_be_read(text):
    """It is shown as it was written, except for what can't be seen."""
    assert " ".join(parts.visible(text).split()) in Page(render(report_full_of(text))).text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("com.example.game", "com.example.game"),
        ("a\u202eb", r"a\u{202e}b"),
        ("a\nb\x00", r"a\u{a}b\u{0}"),
        ("\ud800", r"\u{d800}"),
        ("e\u0301\u0302\u0303", "e\u0301\u0302\\u{303}"),
        ("游戏 & Spiel", "游戏 & Spiel"),
        ("x" * 81, "x" * 80 + "…"),
        ("&" * 100, "&" * 16 + "…"),
    ],
)
def test_a_name_is_shown_safely(text, shown):
    """What can't be seen has its number; what is long ends in an ellipsis, by the bytes that it takes in the file."""
    assert shown == parts.visible(text)


@pytest.mark.parametrize("report", [Report(), usual_report(), report_full_of("<b>")], ids=["empty", "usual", "hostile"])
def test_the_page_is_well_formed(report):
    """Each element ends where it should, ids are there once, and what names an id names one that exists."""
    page = Page(render(report))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    named = [
        one
        for _, attributes in page.tags
        for one in (attributes.get("aria-labelledby") or attributes.get("href", "").removeprefix("#")).split()
    ]

    assert ([], []) == (page.misfits, page.open)
    assert (len(ids), set()) == (len(set(ids)), set(named) - set(ids))


def test_the_page_stands_alone():
    """No script, nothing that is loaded, nothing that leads away; and a policy that allows none of it."""
    html = render(usual_report())
    page = Page(html)
    loading = {"script", "link", "img", "iframe", "object", "embed", "base", "form", "use", "image", "audio", "video"}
    names = {name for _, attributes in page.tags for name in attributes}
    policy = [attributes.get("content") for _, attributes in page.tags if attributes.get("http-equiv")]

    assert set() == {tag for tag, _ in page.tags} & loading
    assert set() == {
        name for name in names if name.startswith("on") or name in {"src", "srcset", "style", "xlink:href"}
    }
    assert all(attributes["href"].startswith("#") for _, attributes in page.tags if "href" in attributes)
    assert (False, False) == ("url(" in html, "@import" in html)
    assert ["default-src 'none'; style-src 'unsafe-inline'"] == policy


def test_readers_aloud_find_their_way():
    """One title, headings in order, heads of tables with their scope, drawings with words or silent."""
    page = Page(render(usual_report()))
    of = {tag: [attributes for one, attributes in page.tags if one == tag] for tag in ("html", "th", "svg", "table")}
    levels = [int(tag[1]) for tag, _ in page.tags if tag in {"h1", "h2", "h3", "h4"}]
    captions = sum(tag == "caption" for tag, _ in page.tags)

    assert "en" == of["html"][0]["lang"]
    assert ([1], {2}) == (levels[:1], set(levels[1:]))
    assert {"col", "row"} == {attributes.get("scope") for attributes in of["th"]}
    assert len(of["table"]) == captions
    assert all(
        svg.get("aria-hidden") or (svg.get("role"), bool(svg.get("aria-labelledby"))) == ("img", True)
        for svg in of["svg"]
    )


def test_every_fold_has_content():
    """Nobody opens a fold for nothing."""
    html = render(usual_report())
    folds = html.split("<details>")[1:]

    assert len(folds) > 15
    assert all(fold.partition("</summary>")[2].startswith('<div class="folded"><') for fold in folds)


def test_a_page_stays_small():
    """2,000 apps, campaigns, rules, parameters and gates with long names of signs that take most room: below 300 kB."""
    names = [f"{number:04}{'<&>' * 300}" for number in range(2_000)]
    counts = {
        name: Counts(9_000, 5_000, dict.fromkeys(names[:50], 80), dict.fromkeys(NAMES, 4_000), 3, {name: 1, "same": 2})
        for name in names
    }
    sample = Sample(*("&" * 9_000,) * 6)
    one = report_full_of("&")
    many = dict.fromkeys(names, 5)
    report = replace(
        one,
        inputs=[replace(one.inputs[0], name=name, first_faults=(name,) * 3, cannot_tell=(name,) * 5) for name in names],
        clicks=18_000_000,
        direct=10_000_000,
        reasons=many | dict.fromkeys(Reason, 7),
        **dict.fromkeys(("rules", "apps", "campaigns", "sources"), counts),
        parameters={name: dict.fromkeys(names[:50], 3) for name in names},
        per_minute=[(1_764_115_200 + 360 * i, 10_000 + i, 9_000 - i) for i in range(240)],
        **dict.fromkeys(("never_filled_in", "other_networks", "drift", "harmless", "not_comparable"), many),
        not_read=dict.fromkeys(names, names[0]),
        new_parameters=names,
        drift_examples=[sample] * 2_000,
        samples={key: [sample] * 100 for key in (*names, *one.samples)},
        gates=[Gate(name, ">=", 0.5, 0.6, holds=False, why=name) for name in names],
        changes=[Change(name, 0.1, 0.2) for name in names],
        cannot_tell=names,
    )
    html = render(report)

    assert len(html.encode()) < MOST_BYTES
    assert "… and 1,950 more." in html


def test_what_is_left_out_comes_last():
    """Apps stand by their clicks; all beyond those that were counted one by one stand behind them."""
    apps = {OTHERS: Counts(900), "small": Counts(1), "large": Counts(50), "also small": Counts(1)}

    assert ["large", "also small", "small", OTHERS] == [name for name, _ in parts.largest(apps, 9)[0]]


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (99_999, 100_000, "99.9 %"),
        (1, 100_000, "< 0.1 %"),
        (1, 3, "33.3 %"),
        (9, 10, "90.0 %"),
        (29, 100, "29.0 %"),
    ],
)
def test_a_share_is_rounded_down(part, whole, shown):
    """Only all are 100 %, and only none are 0 %."""
    assert shown == parts.share(part, whole).replace(parts.SPACE, " ")


@pytest.mark.parametrize(
    ("gate", "shown"),
    [
        (Gate("direct", ">=", 0.8873, 0.8, holds=True), "direct 88.7 % at least 80 % holds"),
        (Gate("direct", ">=", 0.79999, 0.8, holds=False), "direct 79.9 % at least 80 % does not hold"),
        (Gate("unreadable", "<=", 0.00104, 0.001, holds=False), "unreadable 0.104 % at most 0.1 % does not hold"),
        (Gate("unreadable", "<=", 0.00002, 0.001, holds=True), "unreadable 0.002 % at most 0.1 % holds"),
        (Gate("unreadable", "<=", 0.0, 0.0001, holds=True), "unreadable 0 % at most 0.01 % holds"),
        (Gate("ip", ">=", 0.29, 0.29, holds=True), "ip 29 % at least 29 % holds"),
        (
            Gate("ip", ">=", None, 0.9, holds=False, why="these recordings do not hold the clients' addresses"),
            "ip These recordings do not hold the clients' addresses. nobody can tell at least 90 % does not hold",
        ),
        (Gate("ip", ">", 0.5, 0.29, holds=True), "ip 50 % more than 29 % holds"),
        (Gate("drift", "==", 1_234.0, 0.0, holds=False), "drift 1,234 exactly 0 does not hold"),
    ],
)
def test_a_figure_and_its_limit_are_told_apart(gate, shown):
    """A limit that just fails does not look as if it held."""
    report = replace(usual_report(), gates=[gate])
    cells = render(report).partition('id="verdict-title"')[2].partition("<tbody>")[2].partition("</tbody>")[0]

    assert shown in Page(cells).text


@pytest.mark.parametrize(
    ("holds", "title"),
    [
        ((), "No limits were set: the figures are yours to judge"),
        ((True,), "The limit holds"),
        ((True, True), "All 2 limits hold"),
        ((True, False), "1 of 2 limits does not hold"),
        ((False, False), "2 of 2 limits do not hold"),
        ((False,), "1 of 1 limit does not hold"),
    ],
)
def test_the_verdict_is_the_first_thing(holds, title):
    """Before all figures it says whether the limits hold."""
    gates = [Gate("direct", ">=", 0.5, 0.8, holds=one) for one in holds]
    html = render(replace(usual_report(), gates=gates))

    assert title in Page(html.partition("</h2>")[0]).text


TEXTS = {
    "nothing was sent": "Nothing was sent.",
    "what was read": "access.log.gz sha256 9f86d081884c",
    "its format": "nginx",
    "from and to": "26 Nov 2025, 00:00 26 Nov 2025, 23:59",
    "the zone": "From (UTC)",
    "lines": "1,204,118",
    "unreadable": "access.log.gz:5,120: it is no JSON",
    "rules": "Rules: storehop.yaml sha256 b1946ac92492",
    "version": "Made by storehop 0.1.0",
    "coverage": "88.7 % of the clicks would go straight to the store",
    "a reason": "It is a retargeting click retargeting; a rule may say deep_links: store",
    "a sample": "An iPhone cannot use Google Play.",
    "as configured": "By the rules as they are set now: 8,090 of 930,112 clicks",
    "by probability": "24.0 % of the direct clicks have neither a referrer nor a device id",
    "never filled in": "9,534 direct clicks (1.1 %) have at least one.",
    "longest call": "Longest call, in characters (at most 2,000) 1,644",
    "concurrency": "delivery.concurrency allows 64 calls at a time.",
    "sources of values": "the User-Agent 255,921; a client hint of the browser 222,899",
    "trusted proxies": "client_ip.trusted_proxies",
    "repeated ids": "2,118 direct clicks with a click id that another click had before",
    "missing ids": "1,204 direct clicks without a click id",
    "bots": "29,593 clicks by crawlers and link previews (3.1 % of all)",
    "other services": "Adjust 14,092, Branch 3,310",
    "pages": "612 redirects by a page, not by a 302",
    "drift": "2 clicks of 144 that can be compared would come to another place.",
    "kind of drift": "AppsFlyer leads to the store of another country other_country",
    "harmless": "mt=8: the App Store ignores it",
    "savings": "half of them waited for it 187 ms or longer",
    "unknown": "the clients' addresses: af_ip is missing here, and live it will not be (phones.har)",
    "answers of AppsFlyer": "147 are AppsFlyer's answers to clicks.",
    "what cannot be compared": "AppsFlyer answered with a page 3",
    "where a click leads": "user https://apps.apple.com/us/app/id123456789",
    "what AppsFlyer gets": "&redirect=false",
    "the outbox's room": "When AppsFlyer is away for two minutes, the outbox needs room for 3,214 calls.",
    "the same rules": "The rules are the same.",
    "new parameters": "Parameters that no link had then: af_channel.",
    "changes": "app com.example.farm: direct 92.1 % 88.7 %",
    "signatures": "Checked by Name Date Signature",
}


@pytest.fixture(scope="module")
def usual_text():
    return Page(render(usual_report())).text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_it_is_said(usual_text, text):
    """A usual report says it in these words."""
    assert text in usual_text


def test_names_are_explained(usual_text):
    """Match keys have the names that storehop gives them everywhere."""
    assert all(name.lower() in usual_text.lower() for name in NAMES.values())


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_words(reason):
    """No reason stands by its name alone."""
    html = render(Report(clicks=4, direct=1, reasons={reason: 3}))

    assert len(words_before(f"<small>{reason}", html)) > 2


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_of_drift_has_words(kind):
    """As a reason."""
    html = render(Report(clicks=4, direct=1, drift={kind: 3}))

    assert len(words_before(f"<small>{kind}", html)) > 4


EMPTY = {
    "no click": "No click was found in this recording",
    "no recording": "No recording was read.",
    "coverage": "There is no click to speak of.",
    "keys": "No click would be direct, so there is nothing to match.",
    "calls": "No click would be direct, so nothing would be sent.",
    "surprises": "There were none.",
    "drift": "Not observable in this recording.",
    "savings": "How long such a hop takes is not recorded, so no time is claimed.",
    "unknown": "whether an install follows a click",
    "date": "on unknown UTC",
}


@pytest.mark.parametrize("text", EMPTY.values(), ids=EMPTY)
def test_emptiness_has_words(text):
    """Where there is nothing to show, the page says so."""
    assert text in page_of(made_at=float("nan")).text


def test_without_a_baseline_nothing_has_changed():
    """There is no such section; with one and no changes it says that there are none."""
    assert "What has changed" not in page_of().text
    assert "No share has changed by two points and more." in page_of(baseline="last.json").text


def test_a_filled_in_macro_is_said():
    """No call has a macro left: that is said, too."""
    assert "Every value was filled in" in page_of(clicks=2, direct=2).text


def test_unknown_rates_are_said():
    """A recording without times has no calls a second."""
    assert "This recording has no times" in page_of(clicks=2, direct=2).text


def test_a_high_peak_asks_for_more_concurrency():
    """Below a second a call at the peak, it says what `delivery.concurrency` should be."""
    text = page_of(clicks=2, direct=2, peak_calls_per_second=256, concurrency=64).text

    assert "only if AppsFlyer answers within 250 ms. Raise it to 256 to leave it a second." in text


def test_a_broken_end_is_said():
    """Somebody pressed Ctrl-C, or a file could not be read: the figures are those of a part."""
    text = page_of(is_stopped_early=True, not_read={"lost.log": "no such file"}).text

    assert "Somebody stopped the audit: all figures are of what was read until then." in text
    assert "Not read: lost.log: no such file" in text


def test_other_rules_are_said():
    """A report by other rules can't be compared without a thought."""
    assert "The rules are other ones now." in page_of(baseline="last.json", baseline_digest="1", rules_digest="2").text


def test_an_app_that_differs_comes_first():
    """However few clicks it has: it is the one to look at."""
    apps = {"large": Counts(9_000, drift={"same": 9}), "small": Counts(2, drift={"other_app": 1})}
    text = page_of(clicks=9_002, drift={"same": 9, "other_app": 1}, apps=apps).text.partition("What differs")[2]

    assert text.index("small") < text.index("large")


def test_a_gap_in_time_is_empty():
    """Slots in which nothing came are left out of a report, and drawn as nothing."""
    drawing = drawings.over_time([(0, 10, 5), (60, 10, 5), (180, 10, 10)], 60)

    assert 'd="M0 120V0.0H240.0V0.0H480.0V120H720.0V0.0H960.0V120Z" class="rest"' in drawing
    assert 'd="M0 120V60.0H240.0V60.0H480.0V120H720.0V0.0H960.0V120Z" class="direct"' in drawing
    assert "From 1 Jan 1970, 00:00 to 1 Jan 1970, 00:04 UTC; at most 10 clicks in 1 minute." in drawing.replace(
        parts.SPACE, " "
    )


@pytest.mark.parametrize("at", [None, float("inf"), float("nan"), 1e300, -1e300])
def test_a_time_that_no_calendar_has_is_unknown(at):
    """A column of a log may hold anything."""
    assert "unknown" == parts.day_and_time(at)


def test_folders_stay_at_home():
    """The file gets mailed: the rules' folder is nobody's business."""
    assert "/etc/" not in render(usual_report())

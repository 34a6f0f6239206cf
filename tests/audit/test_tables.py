"""CSV and TSV, as trackers and data warehouses export them."""

import csv
import io
from dataclasses import replace
from urllib.parse import quote

import pytest

from storehop.audit.exchange import Exchange, Known, RecordingError, Unreadable
from tests.support.recordings import ANDROID, AT, LINK, described, exchanges, only, opened

AGENT = ANDROID.replace("KHTML, like", "KHTML; like")
ROW = [LINK, "198.51.100.7", AGENT, "de-DE", "2026-11-30 10:00:00 UTC"]
CLICK = Exchange(
    place=2,
    at=AT,
    headers={"user-agent": AGENT, "accept-language": "de-DE"},
    client_ip="198.51.100.7",
    link=LINK,
)


def table(*rows, delimiter=",", quoting=csv.QUOTE_MINIMAL):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize(
    "header",
    [
        ["click_url", "user_ip", "user_agent", "accept_language", "ts"],
        ["Tracking URL", "IP", "UA", "Accept-Language", "Timestamp"],
        ["tracking_link", "ip_address", "userAgent", "language", "click_time"],
        ["LINK", "Client IP", "User-Agent", "Lang", "Created At"],
        ["what", "remote_addr", "http_user_agent", "http_accept_language", "time"],
        ["url", "client_ip", "browser_user_agent", "lang", "datetime"],
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_columns_are_found_by_usual_names_and_by_values(header, delimiter, quoting, tmp_path):
    """In any spelling, with any usual delimiter; the links by what they are."""
    exchange = only(tmp_path, table(header, ROW, delimiter=delimiter, quoting=quoting))

    assert LINK in {exchange.link, exchange.url}
    assert (exchange.at, exchange.headers, exchange.client_ip) == (CLICK.at, CLICK.headers, CLICK.client_ip)


def test_what_a_table_knows_are_its_columns(tmp_path):
    """And its format is told by its delimiter."""
    recording = described(tmp_path, table(["click_url", "ip", "ua", "lang", "ts"], ROW))

    assert recording.format == "csv"
    assert recording.knows == {Known.LINK, Known.TIME, Known.USER_AGENT, Known.LANGUAGE, Known.CLIENT_IP}
    assert described(tmp_path, table(["click_url", "ip"], ROW[:2], delimiter="\t")).format == "tsv"


def test_a_table_without_header_row_is_read_by_its_values(tmp_path):
    """Its columns have numbers."""
    first, second = exchanges(tmp_path, table(ROW, ROW))

    assert (first.place, second.place) == (1, 2)
    assert (first.link, first.client_ip, first.at) == (LINK, "198.51.100.7", AT)
    assert first.headers == CLICK.headers
    assert exchanges(tmp_path, table(ROW, ROW), columns={"link": "1"})[0].link == LINK


@pytest.mark.parametrize("head", ["", "link\n", "anything\n"], ids=["links alone", "link", "another name"])
def test_a_single_column_of_links_is_a_table(head, tmp_path):
    """With a name or without, whatever stands in the links."""
    links = [LINK, LINK + "&x=a,b", LINK + "&x=a;b|c", LINK + "&x=a,b,c"]
    found = exchanges(tmp_path, head + "\n".join(links))

    assert [one.link for one in found] == links


def test_a_quoted_field_goes_over_lines(tmp_path):
    """A record's place is its first line."""
    content = table(["link", "note"], [LINK, 'a "b"\n\n,c'], [LINK, "d"])

    assert [one.place for one in exchanges(tmp_path, content)] == [2, 5]


@pytest.mark.parametrize("behind", [3, 100])
def test_a_quote_that_nobody_closes_costs_one_line(behind, tmp_path):
    """The lines behind it are read as they are."""
    content = table(["link", "note"], [LINK, "a"]) + f'{LINK},"open\n' + f"{LINK},b\n" * behind
    found = list(opened(tmp_path, content))

    assert found[1] == Unreadable(3, "a quote that is not closed")
    assert [one.place for one in found] == list(range(2, behind + 4))


def test_a_row_of_another_width_is_broken(tmp_path):
    """As where a User-Agent with a comma was not quoted."""
    found = list(opened(tmp_path, f"link,ua,ip\n{LINK},x,198.51.100.7\n{LINK},(KHTML, like),198.51.100.7\n{LINK}\n"))

    assert found[1:] == [Unreadable(3, "has 4 columns, expected 3"), Unreadable(4, "has 1 columns, expected 3")]


def test_a_table_without_links_is_refused_with_its_columns(tmp_path):
    """And with what to write."""
    with pytest.raises(RecordingError, match=r"Columns seen: campaign, id, ip\.[\s\S]*--map link=COLUMN"):
        opened(tmp_path, table(["id", "campaign", "ip"], [1, "summer", "198.51.100.7"]))


def test_map_names_columns(tmp_path):
    """As the manual shows it."""
    content = table(["to", "ip_1", "agent", "l", "at_ms"], [*ROW[:4], int(AT * 1000)])
    columns = {"link": "to", "ip": "ip_1", "ua": "agent", "lang": "l", "time": "at_ms"}

    assert only(tmp_path, content, columns=columns) == CLICK


def test_times_without_a_zone_are_said(tmp_path):
    """They are taken as UTC; times that nobody can read are said, too."""
    zoneless = described(tmp_path, table(["link", "ts"], [LINK, "2026-11-30 10:00:00"]))
    strange = described(tmp_path, table(["link", "ts"], [LINK, "yesterday"]))

    assert zoneless.remarks == ("its times name no zone: they are taken as UTC",)
    assert strange.remarks == ("its times can't be read",)
    assert Known.TIME not in strange.knows


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_every_row_may_have_fields_over_lines(delimiter, tmp_path):
    """A line break in each record, as in exports of notes: records are split, not lines."""
    rows = [[*ROW, f'a note\nof {number} "lines"\nin quotes'] for number in range(30)]
    header = ["click_url", "ip", "ua", "language", "time", "note"]
    found = exchanges(tmp_path, table(header, *rows, delimiter=delimiter, quoting=csv.QUOTE_ALL))

    assert [replace(CLICK, place=one.place) for one in found] == found
    assert len(found) == 30


@pytest.mark.parametrize("before", ["sep=;\r\n", "Clicks of November\r\n\r\n", "Clicks;;;;\r\nfrom yesterday\r\n"])
def test_lines_in_front_of_the_header_row_are_no_columns(before, tmp_path):
    """Excel's `sep=;`, and titles of reports: the header row is the first one of the usual width."""
    rows = table(["click_url", "ip", "ua", "language", "time"], *[ROW] * 5, delimiter=";")
    found = [one for one in opened(tmp_path, before + rows) if isinstance(one, Exchange)]

    assert [replace(CLICK, place=one.place) for one in found] == found
    assert len(found) == 5


@pytest.mark.parametrize("link", [quote(LINK, safe=""), quote(LINK), LINK.partition("://")[2], LINK.partition(":")[2]])
@pytest.mark.parametrize("name", ["click_url", "Klick-Link"])
def test_links_may_be_encoded_and_lack_their_scheme(link, name, tmp_path):
    """As exports of warehouses write them: each is the link that people clicked."""
    assert only(tmp_path, table([name, "ip"], [link, "198.51.100.7"])).link == LINK


def test_links_that_were_written_for_html_are_said(tmp_path):
    """`&amp;` may be the export's or the ad stack's own: nothing is changed, and people are told."""
    link = LINK.replace("&", "&amp;")
    header = ["time", "ip", "click_url", "ua", "language"]
    recording = opened(tmp_path, table(header, *[[ROW[4], ROW[1], link, AGENT, "de-DE,de;q=0.9"]] * 9))

    assert {one.link for one in recording} == {link}
    assert any("&amp;" in remark for remark in recording.remarks)


@pytest.mark.parametrize("browser", ["Юзер агент", "Browser", "Gerät"])
def test_user_agents_are_known_whatever_their_column_is_called(browser, tmp_path):
    """They look like nothing else. Columns that nobody knows are named, so that `--map` can say what they are."""
    recording = opened(tmp_path, table(["Link", "IP-Adresse", browser, "Zeitpunkt"], [*ROW[:3], ROW[4]]))
    (exchange,) = recording

    assert exchange.headers == {"user-agent": AGENT}
    assert any("IP-Adresse, Zeitpunkt" in remark and "--map" in remark for remark in recording.remarks)


@pytest.mark.parametrize("value", ["300,250", "a;b;c", "x|y", "1,2,3"])
def test_a_list_of_links_with_commas_is_one_column(value, tmp_path):
    """No link is cut at a comma of its own, even where all have one."""
    link = f"{LINK}&af_sub1={value}"

    assert {one.link for one in exchanges(tmp_path, f"{link}\n" * 9)} == {link}
    assert {one.link for one in exchanges(tmp_path, f"{LINK},198.51.100.7\n" * 9)} == {LINK}

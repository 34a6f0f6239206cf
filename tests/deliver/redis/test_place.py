"""The URL of a shared outbox."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from storehop.deliver.redis.place import Credentials, Kind, Place

HOSTS = st.lists(
    st.tuples(
        st.from_regex(r"[a-z][a-z0-9]{0,9}(\.[a-z][a-z0-9]{0,9}){0,2}", fullmatch=True) | st.ip_addresses().map(str),
        st.integers(1, 65535),
    ),
    min_size=1,
    max_size=3,
)
SECRETS = st.text(st.characters(codec="utf-8"), min_size=1)


@st.composite
def places(draw):
    kind = draw(st.sampled_from(Kind))
    tls = draw(st.booleans())
    hosts = draw(HOSTS)
    return Place(
        kind,
        tuple(hosts[:1] if kind is Kind.SERVER else hosts),
        draw(st.from_regex(r"[A-Za-z0-9._-]{1,9}", fullmatch=True)) if kind is Kind.SENTINEL else "",
        0 if kind is Kind.CLUSTER else draw(st.integers(0, 99)),
        tls,
        draw(st.none() | st.just(Path("/etc/a b&c/ü+%41@?.pem"))) if tls else None,
    )


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://one", Place(Kind.SERVER, (("one", 6379),))),
        ("redis://one:7000/3", Place(Kind.SERVER, (("one", 7000),), db=3)),
        ("redis://one?db=3", Place(Kind.SERVER, (("one", 6379),), db=3)),
        ("redis://[::1]/", Place(Kind.SERVER, (("::1", 6379),))),
        ("rediss://one?ca_file=/ca.pem", Place(Kind.SERVER, (("one", 6379),), tls=True, ca_file=Path("/ca.pem"))),
        (
            "redis+sentinel://one,[::1]:7000/my-primary?db=2",
            Place(Kind.SENTINEL, (("one", 26379), ("::1", 7000)), "my-primary", 2),
        ),
        ("rediss+sentinel://one/my", Place(Kind.SENTINEL, (("one", 26379),), "my", tls=True)),
        ("redis+cluster://one,two:7000", Place(Kind.CLUSTER, (("one", 6379), ("two", 7000)))),
        ("rediss+cluster://one/0", Place(Kind.CLUSTER, (("one", 6379),), tls=True)),
        ("redis://me:s%3Acret%40@one", Place(Kind.SERVER, (("one", 6379),), username="me", password="s:cret@")),
        ("redis://:a:b@c@one", Place(Kind.SERVER, (("one", 6379),), password="a:b@c")),
        ("redis://me@one", Place(Kind.SERVER, (("one", 6379),), username="me")),
    ],
)
def test_a_url_names_a_place(url, place):
    assert Place.from_url(url) == place


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis+other://one", r"redis\+sentinel://"),
        ("redis://", "host"),
        ("redis://one,two", "one host"),
        ("redis://one:0", "hosts such as"),
        ("redis://one:", "hosts such as"),
        ("redis://one:99999", "hosts such as"),
        ("redis://::1", "hosts such as"),
        ("redis://[1::2::3]", "hosts such as"),
        ("redis+cluster://one,,two", "hosts such as"),
        ("redis://one/x", "database as a number"),
        ("redis://one?db=", "database as a number"),
        ("redis://one/1?db=2", "differ"),
        ("redis+cluster://one/1", "number 0 only"),
        ("redis+sentinel://one,two", "the primary's name"),
        ("redis+sentinel://one/a%20b", "the primary's name"),
        ("redis://one?timeout=1", "no others"),
        ("redis://one?db=1&db=1", "each once"),
        ("redis://one?ca_file=/ca.pem", "expected rediss"),
        ("rediss://one?ca_file=ca.pem", "absolute path"),
        ("redis://one#part", "expected redis://"),
        ("redis://:%ff@one", "percent-encoded UTF-8"),
    ],
)
def test_what_is_no_place_is_told_what_was_expected(url, expected):
    with pytest.raises(ValueError, match=expected):
        Place.from_url(url)


def test_credentials_come_from_elsewhere_where_the_url_has_none():
    elsewhere = Credentials("user", "pass", "sentinels' user", "sentinels' pass")

    place = Place.from_url("redis+sentinel://one/name", elsewhere)

    assert (place.username, place.password) == ("user", "pass")
    assert (place.sentinel_username, place.sentinel_password) == ("sentinels' user", "sentinels' pass")


def test_the_urls_own_credentials_are_stronger():
    place = Place.from_url("redis://mine:own@one", Credentials("user", "pass"))

    assert (place.username, place.password) == ("mine", "own")


@given(places())
def test_what_it_says_of_itself_names_the_same_place(place):
    assert Place.from_url(str(place)) == place


@given(places(), SECRETS, SECRETS)
def test_any_credentials_come_through_encoded(place, user, password):
    scheme, _, rest = str(place).partition("://")

    read = Place.from_url(f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}")

    assert (read.username, read.password) == (user, password)
    assert str(read) == str(place)


@given(places(), st.text(st.sampled_from("abc@:/?#%,[]&=+\\\n ü")), st.sampled_from(["", "?db=x", "/x/y", "#", ":0"]))
def test_no_credential_is_in_text_or_error(place, salt, end):
    secret = f"s3cr3t{salt}s3cr3t"
    scheme, _, rest = str(place).partition("://")
    assume("s3cr3t" not in rest)
    url = f"{scheme}://s3cr3t:{secret}@{rest}{end}"

    try:
        read = Place.from_url(url)
    except ValueError as error:
        shown = f"{error} {error.__cause__} {error.__context__ if not error.__suppress_context__ else ''}"
    else:
        shown = f"{read} {read!r}"

    assert "s3cr3t" not in shown


def test_credentials_are_not_in_their_repr():
    assert "secret" not in repr(Credentials("secret", "secret", "secret", "secret"))

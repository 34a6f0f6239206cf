"""Every regular expression that sees a stranger's bytes is linear, whatever these are.

A new one is found and tried without being named here. Matchers of many patterns at once, ua-parser's and what is built
with it, are Rust's `regex`: automata, which are linear by construction. What is tried here is what `re` runs.
"""

import re
from fnmatch import translate

import pytest

from storehop.decide import crawler
from storehop.decide.rules import Patterns
from tests.support.attacks import attacks
from tests.support.linear import MOST_GROWTH, growth
from tests.support.patterns import WORK, imports_of_re, made_while_running, modules, patterns

OPERATORS = {
    "storehop.addresses.": "options, which the operator writes",
    "storehop.durations.": "options and rule files, which the operator writes",
    "storehop.host.tls.certificate.": "certificates, which the operator has",
    "storehop.rulefile.": "rule files, which the operator writes",
    "storehop.state.": "where the outbox lies, an option",
}
"""Where patterns see the operator's own text and nothing else, and what that is."""
MADE_OF_RULES = {"storehop.decide.rules.Patterns.of", "storehop.rulefile.compiling._pattern"}
"""Functions that make patterns of globs, which see strangers' bytes: see `GLOBS`."""
SEE_RULES = {"storehop.rulefile.cover.Texts.of", "storehop.rulefile.mistakes.in_words"}
"""Functions that make patterns which see rule files and nothing else."""
FOUND = {one.place: one for one in patterns() if not one.place.startswith(tuple(OPERATORS))}


def slowest(pattern, work):
    """(growth, what was done, the text) of the first text that is too slow for this pattern, or None."""
    if isinstance(pattern.pattern, bytes):  # bytes are read as characters of ASCII are
        pattern = re.compile(pattern.pattern.decode("latin-1"), pattern.flags | re.ASCII)
    for attack in attacks(pattern):
        for name in sorted(work):
            if (found := growth(attack.text, lambda text, do=WORK[name]: do(pattern, text))) > MOST_GROWTH:
                return found, name, attack
    return None


@pytest.mark.measures
@pytest.mark.parametrize("place", FOUND)
def test_a_pattern_that_sees_strangers_bytes_is_linear(place):
    """No text makes it take more than in proportion to its length, in any way in which the code uses it."""
    found = FOUND[place]

    assert slowest(found.pattern, found.work) is None


@pytest.mark.measures
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(r"\s+$", id="spaces, then the end"),
        pytest.param(r"(?:\.0)+$", id="a group, then the end"),
        pytest.param(r"x*y", id="a loop in front"),
        pytest.param(r"a*a*b", id="two loops over the same"),
        pytest.param(r"(a+)+b", id="a loop in a loop"),
        pytest.param(r"(?:a|a)*b", id="two ways to read the same"),
        pytest.param(r"^(?:[a-z]+-?)+$", id="a part that may be missing"),
        pytest.param(r"(\w+)\s*=\s*(\w+)$", id="name and value"),
        pytest.param(r"\{[^}]*\}", id="an opening brace that may stand within"),
        pytest.param(r"<!--.*?-->", id="a comment without an end"),
        pytest.param(r"(?:^|\s+)(?:Build[/ ]|Sony/).*", id="spaces in front of a word"),
        pytest.param(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+', id="quotes that stay open"),
        pytest.param(r"\bApp [\d.]+ Android (?:; [^;]*)*;x", id="a start in each field"),
        pytest.param(
            r"\(([^()]*\b(?:Android|Adr)[ /-]?\d[^()]*(?:\([^()]*\)[^()]*)*)\)",
            id="a word within, as often as it may be",
        ),
    ],
)
def test_a_slow_pattern_is_found(text):
    """The judge finds patterns that are known to be slow, quadratic and worse."""
    assert slowest(re.compile(text), {"search", "findall"})


@pytest.mark.measures
@pytest.mark.parametrize(
    "text", [r"[a-z]*", r"\(([^()]*)\)", r'"(?:[^"\\]|\\.)*+(?:"|\Z)', r"(?>.*?a)(?>.*?b).*c\Z", r"(?:a|b)*c"]
)
def test_a_linear_pattern_is_not_taken_for_a_slow_one(text):
    """Patterns that read each character once, or a few times, are fine."""
    assert slowest(re.compile(text), {"match"}) is None


GLOBS = [
    ["*"],
    ["*a"],
    ["a*"],
    ["*a*b*c*"],
    ["*a*a*a*a*a*a*a*a*"],
    ["**a**"],
    ["*?*?*?*"],
    ["*a?b*a?b"],
    ["com.*.game", "*.example.*"],
    ["[a-z]*[!a-z]*[]-]*"],
    ["*" + "ab" * 20 + "*"],
    ["a*", "*a", "aa", "*a*a"],
]


@pytest.mark.measures
@pytest.mark.parametrize("globs", GLOBS, ids=" ".join)
def test_a_glob_is_linear(globs):
    """A rule's globs, by themselves and as one pattern, are linear in what a link says."""
    one = re.compile("|".join(map(translate, globs)))
    tried = [*((glob, "match") for glob in Patterns.of(globs).globs), (one, "fullmatch")]

    assert [None] * len(tried) == [slowest(pattern, {work}) for pattern, work in tried]


def test_patterns_are_not_made_of_text_that_nobody_knows_before():
    """Within functions, patterns are made of literals, which are tried above, or of what is known here."""
    unknown = {made.place for made in made_while_running() if made.literal is None}

    assert unknown == MADE_OF_RULES | SEE_RULES | {"storehop.decide.crawler._finder"}


def test_bots_are_found_by_automata():
    """The matcher of crawlers knows every pattern of today's list: `re` sees none of them."""
    assert all(map(crawler._is_supported, crawler._PATTERNS))


def test_each_use_of_re_can_be_found():
    """Nothing of `re` is imported by name, so that the search for its calls misses none."""
    assert not imports_of_re()


def test_the_search_finds_what_there_is():
    """Modules of each folder were walked, and every entry of the operator's own text is still needed."""
    folders = {module.__name__.split(".")[1] for module in modules()}

    assert {"cli", "decide", "deliver", "host", "observe", "rulefile"} <= folders
    assert all(any(one.place.startswith(start) for one in patterns()) for start in OPERATORS)
    assert {"storehop.decide.link._URL", "storehop.host.hints._LOOPBACK"} <= set(FOUND)

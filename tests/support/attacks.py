"""Texts that make a pattern slow if anything does, read off the pattern itself.

A pattern is slow where it enters a loop, runs far and fails, from many places or in many ways. So each text is a start
that leads into a loop, one unit many times over, and an end that lets the pattern fail.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from itertools import product
from re import _constants as ops
from re import _parser as parser
from typing import Any, NamedTuple

CHARACTERS = (*string.printable, "\x00", "\x7f", "é", "ſ", "٣", "\udcff", "\U0001f4f1")
"""Every printable character, and some that are letters, digits or bytes in other alphabets."""
ENDS = ("", "\x00")
FAR = 16
"""Repetitions that make a loop."""
MOST_SAMPLES = 6
MOST_TOGETHER = 1_000
"""Pairs and triples, each behind each of the first starts: behind fewer of them where a pattern names much."""
MOST_TRIPLES = 216
"""Where a pattern names no more than six characters, triples of them are tried, too."""

type Tree = Any
"""What the standard library's parser makes of a pattern: pairs of an operation and its arguments."""

_LOOPS = frozenset({ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT})
_CATEGORIES = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
}


class Attack(NamedTuple):
    start: str
    unit: str
    end: str

    def text(self, size: int) -> str:
        """At least `size` characters."""
        return self.start + self.unit * -(-size // len(self.unit)) + self.end


def attacks(pattern: re.Pattern[str]) -> Iterator[Attack]:
    """For every printable character, pairs and triples of those that the pattern names, and what its loops read."""
    tree = parser.parse(pattern.pattern, pattern.flags)
    named = sorted(set(_named(tree)))
    loops = list(_loops(tree, [""]))
    starts = list(dict.fromkeys(["", *(start for start, _ in loops)]))
    triples = product(named, repeat=3) if len(named) ** 3 <= MOST_TRIPLES else ()
    together = ["".join(few) for few in (*product(named, repeat=2), *triples)]
    bodies = [body for _, body in loops]
    units = dict.fromkeys([*CHARACTERS, *named, *bodies, *_samples(tree)])
    known = {Attack(*parts) for parts in product(starts, units, ENDS)}
    known |= {Attack(*parts) for parts in product(starts[: 1 + MOST_TOGETHER // (len(together) + 1)], together, ENDS)}
    for start, body in loops:
        known |= {Attack(start, body, end) for end in named}
        known |= {Attack(start, body + other, end) for other in bodies for end in ENDS}
        known |= {Attack("", start + body, end) for end in (*ENDS, *named)}  # from each place where it may begin
        # through one loop to another, in as many ways as there are ways from one to the other
        ways = {later.removeprefix(start) for later in starts if later.startswith(start)}
        known |= {Attack(start, way + more, end) for way in ways for more in ("", body) for end in ENDS}
    yield from sorted(attack for attack in known if attack.unit)


def _named(tree: Tree) -> Iterator[str]:
    """The characters that a pattern names, ends of ranges included."""
    for part in tree:
        match part:
            case (ops.LITERAL | ops.NOT_LITERAL, int(code)):
                yield chr(code)
            case (ops.RANGE, (int(first), int(last))):
                yield from (chr(first), chr(last))
            case _:
                yield from (char for inner in _inside(part) for char in _named(inner))


def _inside(part: Tree) -> list[Tree]:
    """The sequences within one part of a pattern."""
    match part:
        case (ops.IN, members):
            return [members]
        case (ops.BRANCH, (_, branches)):
            return list(branches)
        case (ops.SUBPATTERN, (*_, body)) | (ops.ATOMIC_GROUP, body) | (ops.ASSERT | ops.ASSERT_NOT, (_, body)):
            return [body]
        case (op, (_, _, body)) if op in _LOOPS:
            return [body]
        case (ops.GROUPREF_EXISTS, (_, yes, no)):
            return [branch for branch in (yes, no) if branch is not None]
    return []


def _loops(tree: Tree, starts: list[str]) -> Iterator[tuple[str, str]]:
    """Each loop, as a text that leads into it and one that it reads."""
    for part in tree:
        match part:
            case (op, (_, most, body)) if op in _LOOPS and most > FAR:
                yield from product(starts, _samples(body))
        if part[0] is not ops.IN:
            for inner in _inside(part):
                yield from _loops(inner, starts)
        starts = [start + sample for sample in _part_samples(part) for start in starts][:MOST_SAMPLES]


def _samples(tree: Tree) -> list[str]:
    """A few texts that a sequence reads: the usual one, and those with one part read in another way."""
    choices = [_part_samples(part) for part in tree]
    usual = [choice[0] for choice in choices]
    others = (
        [*usual[:place], sample, *usual[place + 1 :]] for place, choice in enumerate(choices) for sample in choice[1:]
    )
    return list(dict.fromkeys(map("".join, [usual, *others])))[:MOST_SAMPLES]


def _part_samples(part: Tree) -> list[str]:
    match part:
        case (ops.LITERAL, int(code)):
            return [chr(code)]
        case (ops.NOT_LITERAL | ops.IN | ops.ANY, _):
            return [char for char in _usual_first(part) if _reads(part, char)][:3] or [""]
        case (ops.BRANCH, (_, branches)):
            return [sample for branch in branches for sample in _samples(branch)[:2]]
        case (op, (least, _, body)) if op in _LOOPS:
            few = [sample * max(least, 1) for sample in _samples(body)]
            return few if least else ["", *few]
        case (ops.ASSERT | ops.ASSERT_NOT | ops.AT | ops.GROUPREF, _):
            return [""]
    return [sample for inner in _inside(part) for sample in _samples(inner)] or [""]


def _usual_first(part: Tree) -> list[str]:
    return [*_named([part]), *"a 1A.;-_", *CHARACTERS]


def _reads(part: Tree, char: str) -> bool:
    """Whether a set, or any other part that stands for one character, reads this one."""
    match part:
        case (ops.LITERAL, code):
            return ord(char) == code
        case (ops.NOT_LITERAL, code):
            return ord(char) != code
        case (ops.RANGE, (first, last)):
            return first <= ord(char) <= last
        case (ops.CATEGORY, category):
            return re.fullmatch(_CATEGORIES[category], char) is not None
        case (ops.IN, [(ops.NEGATE, None), *members]):
            return not any(_reads(member, char) for member in members)
        case (ops.IN, members):
            return any(_reads(member, char) for member in members)
    return char != "\n"

"""A rule file's YAML as a document, and what is wrong with it, in plain words (design §4).

Numbers and dates stay text as written: `5e22` is a OneLink's template, `012345` a provider token. A check that needs
a number parses the text.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import Node, ScalarNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import RoundTripScanner, ScannerError

from storehop.rulefile import mistakes

MAX_DEPTH = 100
"""How deep brackets and braces may be nested."""
MAX_VALUES = 5_000_000
"""Values of a document with its aliases written out. 64 MB without aliases have fewer."""


class NoDocumentError(ValueError):
    """The text is no document of keys and values. `position`: line and column, from 1."""

    def __init__(self, message: str, position: tuple[int, int] = (1, 1)) -> None:
        super().__init__(message)
        self.position = position


def parse(text: str) -> CommentedMap:
    """The document. Raises NoDocumentError."""
    try:
        document = _yaml().load(text)
        values = _values_of(document, {})
    except MarkedYAMLError as error:
        position, message = mistakes.in_words(error, text)
        raise NoDocumentError(message, position) from error
    except ReaderError as error:
        before = text[: error.position]
        position = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise NoDocumentError(f"holds the control character #x{error.character:04x}: take it out", position) from error
    except RecursionError as error:
        raise NoDocumentError("is no valid YAML: it is nested too deeply, or holds itself") from error
    except (YAMLError, ValueError) as error:
        raise NoDocumentError(f"is no valid YAML: {' '.join(str(error).split())}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # ruamel.yaml's own way to say so
        raise NoDocumentError("is no valid YAML: an alias, merge or directive in it makes no sense") from error
    if not isinstance(document, CommentedMap):
        raise NoDocumentError("expected keys and values, with version: 1 first")
    if values > MAX_VALUES:
        raise NoDocumentError(f"its aliases make more than {MAX_VALUES:,} values of it: write out what you mean")
    return document


class _Constructor(RoundTripConstructor):
    pass


class _Composer(Composer):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.warn_double_anchors = False  # an anchor's name may be used again


class _Scanner(RoundTripScanner):
    """Refuses deep nesting, which no rule needs: the scanner's time for each token grows with the depth."""

    def fetch_flow_collection_start(self, *arguments: Any, **options: Any) -> None:
        if len(self.flow_context) >= MAX_DEPTH:
            raise ScannerError(None, None, "nested too deeply", self.reader.get_mark())
        super().fetch_flow_collection_start(*arguments, **options)


def _as_written(_: Any, node: ScalarNode) -> str:
    return str(node.value)


def _no_tag(_: Any, node: Node) -> Any:
    raise ConstructorError(None, None, f"{node.tag} means nothing here: take the tag out", node.start_mark)


for _kind in ("int", "float", "timestamp"):
    _Constructor.add_constructor(f"tag:yaml.org,2002:{_kind}", _as_written)
for _kind in ("binary", "omap", "pairs", "set"):
    _Constructor.add_constructor(f"tag:yaml.org,2002:{_kind}", _no_tag)
_Constructor.add_constructor(None, _no_tag)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.Composer, yaml.Constructor, yaml.Scanner = _Composer, _Constructor, _Scanner
    return yaml


def _values_of(node: Any, counts: dict[int, int]) -> int:
    """How many values the node has with its aliases written out. Raises RecursionError for a node within itself."""
    if not isinstance(node, dict | list):
        return 1
    if id(node) not in counts:
        inner = node.values() if isinstance(node, dict) else node
        counts[id(node)] = 1 + sum(_values_of(one, counts) for one in inner)
    return counts[id(node)]

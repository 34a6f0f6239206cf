"""The parameters of an S2S call as people see them: made when somebody looks, since most clicks are never looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import overload

from storehop.decide.device_ids import DEVICE_IDS
from storehop.decide.own_words import OURS
from storehop.model import Param

type Shape = tuple[tuple[str, str, bool], ...]
"""(name, source, whether it has a value) of each parameter that is one of ours or a device's id: there are few."""


_IN_SHAPES = DEVICE_IDS.union(OURS)


def shape_of(params: Iterable[Param]) -> Shape:
    """The shape of these parameters."""
    if isinstance(params, Params):
        return params.shape
    return tuple([(name, source.value, bool(value)) for name, value, source, _ in params if name in _IN_SHAPES])


class Params(Sequence[Param]):
    """A call's parameters. `make` gives them; `shape` is known before."""

    __slots__ = ("_made", "_make", "shape")

    def __init__(self, make: Callable[[], tuple[Param, ...]], shape: Shape) -> None:
        self._make = make
        self._made: tuple[Param, ...] | None = None
        self.shape = shape

    @property
    def _all(self) -> tuple[Param, ...]:
        if self._made is None:
            self._made = self._make()
        return self._made

    @overload
    def __getitem__(self, place: int) -> Param: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Param]: ...
    def __getitem__(self, place: int | slice) -> Param | Sequence[Param]:
        return self._all[place]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Param]:
        return iter(self._all)

    def __eq__(self, other: object) -> bool:
        return self._all == (other._all if isinstance(other, Params) else other)

    def __hash__(self) -> int:
        return hash(self._all)

    def __repr__(self) -> str:
        return repr(self._all)

"""One walk over all recordings: each exchange into the tally, each recording into a line of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from storehop.audit.exchange import Asked, Known, Recording, RecordingError, Unreadable
from storehop.audit.pace import is_time
from storehop.audit.recordings import open_recording
from storehop.audit.report import Input, Report
from storehop.audit.tally import Tally

FAULTS_SHOWN = 3
WATCHED = 256
"""Exchanges between two looks at how far it is."""
CANNOT_TELL = {
    Known.TIME: "when clicks came: no calls a second, no duplicates",
    Known.LINK: "where the ad stack's redirects led",
    Known.USER_AGENT: "which devices clicked: without a User-Agent every click passes",
    Known.LANGUAGE: "the language (af_lang)",
    Known.HINTS: "client hints and fetch metadata: live there may be more models and versions, and more prefetches",
    Known.CLIENT_IP: "the clients' addresses: af_ip is missing here, and live it will not be",
    Known.HOPS: "AppsFlyer's own redirects: no drift, no time saved",
    Known.BODIES: "pages that lead to a link by meta refresh or script",
}
"""What is missing where a format does not know something."""

type Watch = Callable[[Recording], None]
"""Told now and then how far a recording is read."""


@dataclass(slots=True)
class _Progress:
    """What is known of a recording that is being read."""

    lines: int = 0
    unreadable: int = 0
    faults: list[str] = field(default_factory=list)
    first: float | None = None
    last: float | None = None

    def met(self, at: float | None) -> None:
        if is_time(at):
            self.first = at if self.first is None else min(self.first, at)
            self.last = at if self.last is None else max(self.last, at)

    def failed(self, fault: Unreadable) -> None:
        self.unreadable += 1
        if len(self.faults) < FAULTS_SHOWN:
            self.faults.append(f"{fault.place}: {fault.why}")


class Walk:
    """Reads recordings into a tally. `most`: so many lines of each recording at the most."""

    def __init__(self, tally: Tally, asked: Asked, *, most: int | None = None, watch: Watch = lambda _: None) -> None:
        self._tally = tally
        self._asked = asked
        self._most = most
        self._watch = watch
        self._inputs: list[Input] = []
        self._not_read: dict[str, str] = {}
        self._is_stopped = False
        self._is_counting = False
        self._is_to_stop = False

    def interrupt(self) -> None:
        """For Ctrl-C. Raises KeyboardInterrupt, or while a click is being counted sees that it comes behind it."""
        if not self._is_counting:
            raise KeyboardInterrupt
        self._is_to_stop = True

    def read(self, paths: Iterable[str]) -> None:
        """Reads these files, `-` for stdin. One that can't be read is kept with the reason; Ctrl-C ends all."""
        try:
            for path, name in _named(list(paths)):
                self._read(path, name)
        except KeyboardInterrupt:
            self._is_stopped = True

    def _read(self, path: str, name: str) -> None:
        try:
            recording = open_recording(path, self._asked)
        except RecordingError as error:
            self._not_read[name] = str(error)
            return
        recording.name = name
        progress = _Progress()
        before = self._tally.so_far
        is_whole = False
        try:
            is_whole = self._follow(recording, progress)
        except RecordingError as error:
            self._not_read[recording.name] = str(error)
        finally:
            self._tally.end_recording()
            if progress.lines or recording.name not in self._not_read:
                counted = _input(recording, progress, is_whole=is_whole)
                clicks, direct = self._tally.so_far
                self._inputs.append(replace(counted, clicks=clicks - before[0], direct=direct - before[1]))

    def _follow(self, recording: Recording, progress: _Progress) -> bool:
        """Whether all of it was read."""
        add, name = self._tally.add, recording.name
        for exchange in recording:
            if progress.lines == self._most:
                return False
            self._is_counting = True
            progress.lines += 1
            if isinstance(exchange, Unreadable):
                self._tally.add_unreadable()
                progress.failed(exchange)
            else:
                progress.met(exchange.at)
                add(exchange, name)
            self._is_counting = False
            if self._is_to_stop:
                raise KeyboardInterrupt
            if not progress.lines % WATCHED:
                self._watch(recording)
        return True

    def report(self) -> Report:
        """The report of all that was read, without gates and baseline."""
        report = self._tally.report()
        report.inputs = self._inputs
        report.not_read = self._not_read
        report.is_stopped_early = self._is_stopped
        report.cannot_tell = self._cannot_tell()
        return report

    def _cannot_tell(self) -> list[str]:
        """What all recordings lack, and what some of them lack, with their names."""
        found = []
        for words in CANNOT_TELL.values():
            names = [one.name for one in self._inputs if words in one.cannot_tell]
            if names and len(names) == len(self._inputs):
                found.append(words)
            elif names:
                found.append(f"{words} ({', '.join(names[:FAULTS_SHOWN])})")
        for one in self._inputs:
            found += [f"{one.name}: {remark}" for remark in one.cannot_tell if remark not in CANNOT_TELL.values()]
        found += _twins(self._inputs)
        if self._tally.forgets_ids:
            found.append(
                "click ids that come again later: there are too many of them, and only the first ones are known"
            )
        return found


def _named(paths: list[str]) -> list[tuple[str, str]]:
    """Each path with its name in the report: without its folder, where that tells it from the others."""
    paths_of = Counter(Path(path).name for path in dict.fromkeys(paths))
    return [(path, Path(path).name if paths_of[Path(path).name] == 1 else path) for path in paths]


def _twins(inputs: Iterable[Input]) -> Iterator[str]:
    """Recordings that were given twice, in words."""
    first: dict[str, str] = {}
    for one in inputs:
        if one.sha256 and one.lines:
            if one.sha256 in first:
                yield f"{one.name}: it is the same as {first[one.sha256]}: its clicks are counted twice"
            first.setdefault(one.sha256, one.name)


def _input(recording: Recording, progress: _Progress, *, is_whole: bool) -> Input:
    lacks = tuple(words for known, words in CANNOT_TELL.items() if known not in recording.knows)
    first_only = () if is_whole else (f"all behind its line {progress.lines:,}: it was read up to there only",)
    return Input(
        recording.name,
        recording.format,
        recording.sha256 if is_whole else "",
        progress.first,
        progress.last,
        progress.lines,
        progress.unreadable,
        tuple(progress.faults),
        recording.is_truncated,
        (*lacks, *recording.remarks, *first_only),
        tuple(sorted(recording.knows)),
    )

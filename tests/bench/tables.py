"""The report in Markdown: one table a part, what each was measured on, and what to think of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tests.bench.cost import in_words
from tests.bench.report import GOALS, REFERENCE_MS, YARDSTICK, doubts, spread, within_rounds

RATES = {
    "stock, forwarding": "stock mitmdump, forwarding (the yardstick)",
    "naive, clicks": "naive mitmdump addon, whole clicks",
    "storehop, forwarding": "storehop, forwarding",
    "storehop, clicks": "storehop, whole clicks",
    "storehop, rewritten clicks": "storehop, whole clicks on the ad stack's redirects",
    "nginx, forwarding": "nginx, forwarding",
    "no proxy, forwarding": "no proxy: what load and ad stack can do",
}
TLS = {
    "stock, forwarding": "stock mitmdump, forwarding",
    "storehop, forwarding": "storehop, forwarding",
    "storehop, clicks": "storehop, whole clicks",
}
REDIRECTS = {
    "stock, forwarding": "stock mitmdump, forwarding nginx's redirects",
    "storehop, clicks": "storehop, whole clicks on nginx's redirects",
}
WORKERS = {"one worker, clicks": "one worker, whole clicks", "two workers, clicks": "two workers, whole clicks"}


def markdown(found: dict) -> str:
    """The report for people, of the parts that were measured."""
    parts = found["parts"]
    tables = [_goals(found), *(table(parts[name]) for name, table in _TABLES.items() if name in parts)]
    return "\n\n".join(filter(None, [*tables, _machines(parts)]))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], f"|{'---|' * len(head)}", *lines[1:]])


def _with_doubts(part: dict, *texts: str) -> str:
    skipped = [f"Not measured: {what} ({why})." for what, why in part["skipped"].items()]
    remarks = "\n".join([*skipped, *doubts(part)])
    return "\n\n".join(filter(None, [*texts, remarks]))


def _goals(found: dict) -> str:
    rows = []
    for goal in GOALS:
        if result := found["goals"].get(goal.name):
            part = found["parts"][goal.part]
            measured = spread(result["value"], result["least"], result["most"])
            limit = f"{'≤' if goal.most else '≥'} {result['goal']:.3g}{goal.unit}"
            if goal.is_of_the_machine:
                limit += f" ({goal.limit:g}{goal.unit} × {part['median']['loop_ms']:.1f} ms ÷ {REFERENCE_MS:g} ms)"
            what = goal.what.format(**part["median"])
            rows.append((what, f"{measured}{goal.unit}", limit, "✓" if result["reached"] else "✗"))
    return _table(("ratio or limit", "measured", "to reach", ""), rows) if rows else ""


def _rates(part: dict, title: str, rows: Mapping[str, str], yardstick: str, mark: str) -> str:
    lines = []
    for name, words in rows.items():
        if figures := part["median"].get(name):
            cost = figures.get("cpu_us")
            lines.append(
                (
                    words,
                    f"{figures['rate']:,.0f}",
                    within_rounds(part, _ratio(name, yardstick, "rate")),
                    "–" if cost is None else f"{cost:,.0f} µs",
                    within_rounds(part, _ratio(name, yardstick, "cpu_us")),
                )
            )
    return _table((title, "a second", f"÷ {mark}", "processor time each", f"÷ {mark}"), lines)


def _ratio(above: str, below: str, what: str) -> Callable[[dict], float]:
    return lambda one: one[above][what] / one[below][what]


def _speed(part: dict) -> str:
    rates = _rates(part, "one process on one core", RATES, YARDSTICK, "stock")
    median = part["median"]
    rows = {
        "stock, forwarded request at light load": median.get("stock, light load"),
        "storehop, forwarded request at light load": median.get("storehop, forwarding at light load"),
        "storehop, answer to a click at light load": median.get("storehop, light load"),
    }
    if half := median.get("storehop, half load"):
        rows |= _half_rows(half)
    return _with_doubts(part, rates, _times("milliseconds", rows))


def _half_rows(half: dict) -> dict[str, dict]:
    return {
        f"answer to a click at half load ({half['rate']:,.0f} clicks/s)": half["answer"],
        "click to arrival at AppsFlyer, half load": half["click_to_arrival"],
        "answer to arrival at AppsFlyer, half load": half["answer_to_arrival"],
    }


_CUTS = {"p50": "p50", "p90": "p90", "p99": "p99"}
_LONG_CUTS = {"p50": "p50", "p99": "p99", "p99.9": "p999", "max": "max"}


def _times(title: str, rows: Mapping[str, dict | None], cuts: Mapping[str, str] = _CUTS) -> str:
    measured = ((words, *(f"{found[name]:.2f}" for name in cuts.values())) for words, found in rows.items() if found)
    return _table((title, *cuts), measured)


def _tls(part: dict) -> str:
    return _with_doubts(part, _rates(part, "clients speak HTTP/2 over TLS", TLS, YARDSTICK, "stock"))


def _redirects(part: dict) -> str:
    if not part["median"]:
        return _with_doubts(part)
    return _with_doubts(part, _rates(part, "before a real nginx", REDIRECTS, YARDSTICK, "stock"))


def _workers(part: dict) -> str:
    cores = part["machine"]["cores"]
    if cores < 3:
        title = f"{cores} cores shared with load and neighbours"
        text = (
            "Workers, load and neighbours share these cores, so two workers cannot do twice as much as one. "
            "The table shows that they do not get into each other's way."
        )
    else:
        title, text = "each worker on a core of its own", ""
    return _with_doubts(part, _rates(part, title, WORKERS, "one worker, clicks", "one"), text)


def _decision(part: dict) -> str:
    (figures,) = part["rounds"]
    times = ", ".join(f"{taken:.1f} µs with {int(size):,}" for size, taken in figures["us"].items())
    return f"Decision by number of app ids: {times}. {in_words(figures['instructions'])}"


def _memory(part: dict) -> str:
    (figures,) = part["rounds"]
    words = {"answer": "usual clicks", "hostile": "clicks of which each header value is new"}
    rows = (
        (words[kind], *(f"{_megabytes(held[mb])} after {held[number]:,}" for mb, number in _MOMENTS))
        for kind, held in figures.items()
    )
    return _with_doubts(part, _table(("resident memory", "first", "half way", "last"), rows))


_MOMENTS = (("first_mb", "few"), ("middle_mb", "half"), ("last_mb", "many"))


def _megabytes(held: float | None) -> str:
    return "unknown" if held is None else f"{held:.0f} MB"


def _connections(part: dict) -> str:
    kept = part["median"]["kept"]
    flat = part | {"rounds": [one["kept"] for one in part["rounds"]], "median": kept}
    rows = {"alone": "whole clicks", "beside": f"the same beside {kept['kept']:,} kept connections"}
    each = "unknown" if kept["kb_each"] is None else f"{kept['kb_each']:.1f} kB"
    text = f"A kept connection takes {each} of resident memory."
    return _with_doubts(part, _rates(flat, "clients that keep their connections", rows, "alone", "alone"), text)


def _tail(part: dict) -> str:
    (figures,) = part["rounds"]
    half, collector = figures["half"], figures["collector"]
    seconds = half["end"] - half["begin"]
    title = f"milliseconds, {half['rate']:,.0f} clicks/s for {_duration(seconds)}"
    rows = {
        "answer to a click": half["answer"],
        "of it: waiting for the commit": figures["wait"],
        "click to arrival at AppsFlyer": half["click_to_arrival"],
        "answer to arrival at AppsFlyer": half["answer_to_arrival"],
    }
    text = (
        f"Python's garbage collector had {collector['share']:.2%} of the time: {collector['number']:,} runs, "
        f"{collector['full']:,} of them over everything, {collector['sum_ms']:,.0f} ms together, "
        f"the longest {collector['longest_ms']:.1f} ms."
    )
    return _with_doubts(part, _times(title, rows, _LONG_CUTS), text)


def _start(part: dict) -> str:
    (figures,) = part["rounds"]
    words = {"warm": "storehop run", "read-only": "storehop run where the code can't be written, as in a container"}
    rows = (
        (words[name], f"{taken['seconds']:.2f} s", f"{taken['processor_seconds']:.2f} s")
        for name, taken in figures.items()
    )
    return _with_doubts(part, _table(("from the start to the first answered click", "time", "processor time"), rows))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


_TABLES: dict[str, Callable[[dict], str]] = {
    "speed": _speed,
    "tls": _tls,
    "redirects": _redirects,
    "workers": _workers,
    "connections": _connections,
    "tail": _tail,
    "memory": _memory,
    "decision": _decision,
    "start": _start,
}


def _machines(parts: dict[str, dict]) -> str:
    """What was measured when and on what: one line for all parts that agree, then how often."""
    names_by_machine: dict[str, list[str]] = {}
    for name, part in parts.items():
        names_by_machine.setdefault(_in_words(part["machine"]), []).append(name)
    lines = list(names_by_machine)
    if len(lines) > 1:
        lines = [f"{', '.join(names)}: {words}" for words, names in names_by_machine.items()]
    rounds = (f"{name} {len(part['rounds'])}" for name, part in parts.items())
    return "\n".join([*lines, f"Medians of rounds, with the spread in brackets; rounds: {', '.join(rounds)}."])


def _in_words(machine: dict) -> str:
    where = f"{machine['processor']}, {machine['cores']} cores ({machine['pinning']}); {machine['system']}"
    software = f"Python {machine['python']}, mitmproxy {machine['mitmproxy']}, load by {machine['load']}"
    speed = (
        f"100,000 additions in Python take {machine['loop_ms']:.1f} ms, "
        f"one commit to this disk {machine['commit_ms']:.2f} ms"
    )
    return f"{where}; {software}; {speed}; {machine['date']}."

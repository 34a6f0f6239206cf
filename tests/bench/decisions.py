"""Decision time by number of app ids, in this process. The sizes take turns, so that noise meets all alike."""

from __future__ import annotations

import statistics
import time
from itertools import islice
from pathlib import Path

from storehop.decide.decision import decide
from storehop.decide.rules import RuleSet
from storehop.model import Click, Direct
from storehop.rulefile import load
from tests.bench.traffic import Kind, headers, link_path, requests, user_agents

SIZES = (10, 1_000, 100_000)
BATCH = 100
RULES = """
version: 1
partner: NetworkA
client_ip: {trusted_proxies: [127.0.0.0/8]}
rules:
  - {name: games, match: {app_file: apps.txt, pid: networka_int}}
"""


def rules_with(apps: int, folder: Path) -> RuleSet:
    """A rule for this many exact app ids, read from its file."""
    folder.mkdir(parents=True)
    (folder / "apps.txt").write_text("".join(f"com.example.game{number}\n" for number in range(apps)))
    file = folder / "rules.yaml"
    file.write_text(RULES)
    return load(file)


def batch_of_clicks(prefix: str) -> list[Click]:
    """BATCH clicks that differ in link, address and User-Agent, on apps that every size of rules has."""
    shapes = [
        {name.lower(): value for name, value in headers(agent, number).items()}
        for number, agent in enumerate(user_agents())
    ]
    return [
        Click(click_id, "GET", f"https://app.appsflyer.com{link_path(click_id, app)}", sent, "127.0.0.1")
        for number, (click_id, _) in enumerate(islice(requests(Kind.ANSWER, prefix), BATCH))
        for sent, app in [(shapes[number % len(shapes)], f"com.example.game{number % SIZES[0]}")]
    ]


def decision_microseconds(folder: Path, batches: int) -> dict[int, float]:
    """Number of app ids to the median over batches of the time that one decision takes."""
    all_rules = {size: rules_with(size, folder / str(size)) for size in SIZES}
    taken: dict[int, list[float]] = {size: [] for size in SIZES}
    for rules in all_rules.values():
        assert all(isinstance(decide(click, rules), Direct) for click in batch_of_clicks("warm"))
    for number in range(batches):
        for size, rules in all_rules.items():
            clicks = batch_of_clicks(f"{number}n{size}x")
            begin = time.perf_counter()
            for click in clicks:
                decide(click, rules)
            taken[size].append((time.perf_counter() - begin) / BATCH)
    return {size: statistics.median(seconds) * 1e6 for size, seconds in taken.items()}

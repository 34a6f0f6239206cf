"""What is told of the phones in public corpora: true, left out or false; people taken for bots, and bots missed.

    make corpora                    # fetches the corpora with npm and pip into .venv/corpora, once
    make corpora ADDON=../old/addon # the same for another checkout's addon folder
    make corpora ISBOT=../isbot     # with the crawlers of a checkout of omrilotan/isbot, whose package has none

Nobody wrote down what is true of a corpus's User-Agents. So what is told counts as false where one of the rules below
is broken, which need no knowledge of the phone, and as true where none is. None of the corpora's data is kept here.
"""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

from storehop.decide import device
from storehop.model import Platform

FOLDER = Path(".venv/corpora")
PHONES = {Platform.ANDROID, Platform.IOS}

MAKERS = {
    "google",
    "honor",
    "htc",
    "huawei",
    "lge",
    "motorola",
    "nokia",
    "oneplus",
    "oppo",
    "samsung",
    "vivo",
    "xiaomi",
}
WORDS = MAKERS | {
    "phone",
    "mobile",
    "tablet",
    "generic",
    "unknown",
    "k",
    "arm64-v8a",
    "armeabi-v7a",
    "unspecified device",
}
PLAIN = re.compile(r"like Gecko\) Chrome/(?:1[1-9]|[2-9]\d)\d\.0\.0\.0 (?:Mobile )?Safari/537\.36$")
"""Plain Chrome since 110: it names no device."""
LOCALE = re.compile(r"-*|[a-z]{2,3}[-_](?:[A-Za-z]{2}|[A-Z][a-z]{3}|#.*)?(?:_?#.*)?")
RANDOM = re.compile(r"; ([A-Za-z0-9]{10}); U; [a-z]{2}\)")
FIRMWARE = re.compile(r"/(?!\d+GB)|Build/|\bBuild\b|://|HarmonyOS|\bOS\d")
TOKEN = re.compile(r"\bi?OS (\d+)[._]\d[\d._]*;? like Mac OS X")
SAFARI = re.compile(r"\bVersion/(\d+)(\.[\d.]+)?")
SAID_BY_APP = re.compile(r"\bFBSV/|\(i\w+,\d+; (?:iOS|iPadOS) |[(;] ?(?:iOS|iPhone OS|iPadOS) \d[\d._]*[;)]")


def false_version(user_agent, platform, version):
    """Why this version cannot be true, or is no more than a guess; "" where nothing speaks against it."""
    major = int(version.partition(".")[0])
    if platform is Platform.ANDROID:
        if major > 18:
            return "an API level"
        if PLAIN.search(user_agent):
            return "beside plain Chrome's N.0.0.0"
        return "UC Mini's proxies invent it" if "UCMini/" in user_agent else ""
    if 18 < major < 26:
        return "iOS 19 to 25 were never released"
    if SAID_BY_APP.search(user_agent):
        return ""
    token, safari = TOKEN.search(user_agent), SAFARI.search(user_agent)
    if token is None:
        return "no token of iOS: from Darwin's or an app's version"
    if safari is None:
        return ""
    if token[1] == "18" and int(safari[1]) > 25:
        return "Safari's third number" if version.count(".") > 1 else ""
    return "two statements that differ" if int(token[1]) > 5 and token[1] != safari[1] else ""


def false_model(user_agent, platform, model):
    """Why this model cannot be true, or is no more than a guess; "" where nothing speaks against it."""
    if platform is Platform.IOS:
        return "an iPod" if model == "iphone" and re.search(r"[(/;] ?iPod", user_agent) else ""
    first, _, rest = model.partition(" ")
    if model.lower() in WORDS or " like " in model:
        return "a word or a maker alone"
    if LOCALE.fullmatch(model):
        return "a locale"
    if first == "samsung" and "-" in rest:
        return "the maker before the model"
    if FIRMWARE.search(model):
        return "firmware, another system or an address"
    if "_" in model and user_agent.startswith("UCWEB"):
        return "UC's underscores for spaces"
    random = RANDOM.search(user_agent)
    if random and random[1] == model:
        return "random letters"
    return "beside plain Chrome's N.0.0.0" if PLAIN.search(user_agent) else ""


class Tally:
    """What is told of one corpus, in shares of its phones' weight."""

    def __init__(self):
        self.told = {"version": Counter(), "model": Counter()}
        self.why = defaultdict(Counter)

    def add(self, user_agent, found, weight):
        for name, value, judge in (
            ("version", found.os_version, false_version),
            ("model", found.model, false_model),
        ):
            why = judge(user_agent, found.platform, value) if value else ""
            self.told[name]["false" if why else "true" if value else "left out"] += weight
            if why:
                self.why[name][why] += 1

    def show(self):
        for name, told in self.told.items():
            total = sum(told.values()) or 1
            shares = ", ".join(f"{kind} {told[kind] / total:.2%}" for kind in ("true", "left out", "false"))
            print(f"  {name}: {shares}")
            for why, count in self.why[name].most_common():
                print(f"    {count:6} User-Agents: {why}")


def poses(sample):
    """Whether the page that was opened saw another platform (navigator.platform) than the User-Agent's."""
    user_agent, platform = sample["userAgent"], sample.get("platform", "")
    if "iPhone" in user_agent or "iPad" in user_agent:
        return platform not in {"iPhone", "iPad"}
    return "Android" in user_agent and ("x86" in platform or not platform.startswith("Linux"))


def run(*command):
    subprocess.run(command, cwd=FOLDER, check=True, stdout=subprocess.DEVNULL)


def fetch():
    """Downloads the packages' archives: nothing in them is run, but for isbot's pattern."""
    if shutil.which("npm") is None:
        sys.exit("npm is missing: the corpora of user-agents and isbot come from there (Debian: apt install npm)")
    FOLDER.mkdir(parents=True, exist_ok=True)
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
    for package, source in (("fake_useragent", False), ("crawlerdetect", True)):
        if not [*FOLDER.glob(f"{package}-*")]:
            run(*pip, *(("--no-binary", ":all:") if source else ()), package.replace("_", "-"))
    for package in ("user-agents", "isbot"):
        if not [*FOLDER.glob(f"{package}-*.tgz")]:
            run("npm", "pack", "--silent", package)
        shutil.rmtree(FOLDER / package, ignore_errors=True)
        with tarfile.open(next(FOLDER.glob(f"{package}-*.tgz"))) as archive:
            archive.extractall(FOLDER / package, filter="data")


def crawlerdetect(name):
    with tarfile.open(next(FOLDER.glob("crawlerdetect-*.tar.gz"))) as archive:
        member = next(m for m in archive.getmembers() if m.name.endswith(f"/user_agent/{name}.txt"))
        return archive.extractfile(member).read().decode(errors="replace").splitlines()


def fake_useragent():
    with zipfile.ZipFile(next(FOLDER.glob("fake_useragent-*.whl"))) as archive:
        lines = archive.read("fake_useragent/data/browsers.jsonl").splitlines()
    return [(sample["useragent"], sample["percent"]) for sample in map(json.loads, lines)]


def isbot(user_agents):
    """Those that isbot's pattern takes for bots, another opinion."""
    script = (
        "const {isbot} = require('./isbot/package/index.js');"
        "const all = JSON.parse(require('fs').readFileSync(0));"
        "console.log(JSON.stringify(all.filter(ua => isbot(ua))))"
    )
    done = subprocess.run(
        ("node", "-e", script), cwd=FOLDER, check=True, input=json.dumps(user_agents), capture_output=True, text=True
    )
    return json.loads(done.stdout)


def show_phones(title, samples):
    """`samples`: (User-Agent, weight). Counted is whoever looks like a person on a phone."""
    tally, bots, total, weights = Tally(), 0, 0, 0
    for user_agent, weight in samples:
        found = device.read(user_agent)
        total += found.platform in PHONES
        if found.platform not in PHONES:
            continue
        weights += weight
        if found.is_bot:
            bots += weight
            continue
        tally.add(user_agent, found, weight)
    print(f"{title}: {total} of phones; {bots / (weights or 1):.2%} of them are called bots, of the others is told")
    tally.show()


def show_missed(title, user_agents):
    missed = [user_agent for user_agent in user_agents if user_agent and not device.read(user_agent).is_bot]
    as_phones = [user_agent for user_agent in missed if device.read(user_agent).platform in PHONES]
    print(f"{title}: {len(missed)} of {len(user_agents)} missed, {len(as_phones)} that look like phones")
    for user_agent in as_phones:
        print(f"        {user_agent[:110]}")


def show_posing(samples):
    """Programs by what the page saw: how many of them are called bots, say nothing, or say something."""
    kinds, total = Counter(), sum(sample["weight"] for sample in samples)
    for sample in filter(poses, samples):
        found = device.read(sample["userAgent"])
        says = "told of" if found.os_version or found.model not in {None, "iphone", "ipad"} else "nothing told of"
        kinds["called bots" if found.is_bot else says] += sample["weight"] / total
    shares = ", ".join(f"{kind} {kinds[kind]:.2%}" for kind in ("called bots", "nothing told of", "told of"))
    print(f"user-agents, programs that pose as phones by navigator.platform: {shares} (of all traffic)")


def main(arguments):
    """Prints the figures."""
    fetch()
    samples = json.loads((FOLDER / "user-agents/package/dist/user-agents.json").read_text())
    people, crawlers = crawlerdetect("devices"), crawlerdetect("crawlers")
    show_phones("npm user-agents, by traffic", [(sample["userAgent"], sample["weight"]) for sample in samples])
    show_posing(samples)
    show_phones("PyPI fake-useragent, by traffic", fake_useragent())
    show_phones("PyPI crawlerdetect, devices", [(user_agent, 1) for user_agent in people])
    hits = [user_agent for user_agent in people if device.read(user_agent).is_bot]
    print(f"PyPI crawlerdetect, devices: {len(hits)} of {len(people)} taken for bots")
    for user_agent in hits[:10]:
        print(f"        {user_agent[:110]}")
    show_missed("PyPI crawlerdetect, crawlers", crawlers)
    show_missed("those of them that npm's isbot calls bots too", isbot(crawlers))
    for checkout in arguments:
        lines = (Path(checkout) / "fixtures/crawlers.yml").read_text().splitlines()
        listed = [line.strip()[2:].strip("\"'") for line in lines if line.strip().startswith("- ")]
        show_missed("isbot's crawlers", listed)


if __name__ == "__main__":
    main(sys.argv[1:])

"""What is told of the phones in public corpora: true, left out or false; people taken for bots, and bots missed.

    make corpora                    # fetches the corpora with npm and pip into .venv/corpora, once
    make corpora ADDON=../old/addon # the same for the addon folder of another checkout
    make corpora ISBOT=../isbot     # and the crawlers of a checkout of omrilotan/isbot, whose package has none

`verdicts` says by which rules. A corpus that knows how much of the traffic a User-Agent is counts by that. Of bots,
those count that look like phones: a click of anything else passes anyway. None of the corpora's data is kept here.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

from ruamel.yaml import YAML

from storehop.decide import device
from storehop.model import Platform
from tests.support.verdicts import FALSE, LEFT_OUT, TRUE, judge, poses

FOLDER = Path(".venv/corpora")
NPM = {"user-agents": "2.1.198", "isbot": "5.2.3"}
PYPI = {"fake_useragent": "2.2.0", "crawlerdetect": "0.4.2"}
"""Names and versions: the figures are of these."""
BOT = "bot"
SHOWN = 10
"""User-Agents of a kind that are printed at the most."""
PHONES = {Platform.ANDROID, Platform.IOS}
ROW = "{:36} {:>9} {:>8} {:>9} {:>9} {:>9} {:>9}"


def run(*command):
    subprocess.run(command, cwd=FOLDER, check=True, stdout=subprocess.DEVNULL)


def fetch():
    """Downloads the archives of the packages. Nothing in them is run, but for isbot's pattern."""
    for program in ("npm", "node"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing: user-agents and isbot are npm's packages (Debian: apt install npm)")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for package, version in NPM.items():
        if not archive(package, version, "tgz").exists():
            run("npm", "pack", "--silent", "--ignore-scripts", f"{package}@{version}")
    download = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
    if not archive("fake_useragent", PYPI["fake_useragent"], "whl").exists():
        run(*download, f"fake_useragent=={PYPI['fake_useragent']}")
    if not archive("crawlerdetect", PYPI["crawlerdetect"], "tar.gz").exists():  # its wheel has no tests
        run(*download, "--no-binary", ":all:", f"crawlerdetect=={PYPI['crawlerdetect']}")


def archive(package, version, kind):
    return FOLDER / f"{package}-{version}{'-py3-none-any' if kind == 'whl' else ''}.{kind}"


def tar_member(path, end):
    """The bytes of the one file in an archive whose path ends so."""
    with tarfile.open(path) as tar:
        return tar.extractfile(next(member for member in tar.getmembers() if member.name.endswith(end))).read()


def user_agents():
    """Samples of real traffic: `userAgent`, `weight` (all are 1) and what the page saw as `platform`."""
    return json.loads(tar_member(archive("user-agents", NPM["user-agents"], "tgz"), "/dist/user-agents.json"))


def fake_useragent():
    """(User-Agent, percent of the traffic)."""
    with zipfile.ZipFile(archive("fake_useragent", PYPI["fake_useragent"], "whl")) as wheel:
        lines = wheel.read("fake_useragent/data/browsers.jsonl").splitlines()
    return [(sample["useragent"], sample["percent"]) for sample in map(json.loads, lines)]


def crawlerdetect(name):
    """`devices` or `crawlers`: each User-Agent once."""
    found = tar_member(archive("crawlerdetect", PYPI["crawlerdetect"], "tar.gz"), f"/user_agent/{name}.txt")
    return [*dict.fromkeys(line for line in found.decode(errors="replace").splitlines() if line)]


def isbot(tried):
    """Those that isbot takes for bots: another opinion."""
    script = """
        const module_ = {exports: {}};
        const {code, tried} = JSON.parse(require("fs").readFileSync(0));
        new Function("module", "exports", code)(module_, module_.exports);
        console.log(JSON.stringify(tried.filter((one) => module_.exports.isbot(one))));
    """
    code = tar_member(archive("isbot", NPM["isbot"], "tgz"), "/index.js").decode()
    given = json.dumps({"code": code, "tried": tried})
    done = subprocess.run(("node", "-e", script), check=True, input=given, capture_output=True, text=True)
    return json.loads(done.stdout)


def isbot_crawlers(checkout):
    listed = YAML(typ="safe").load(Path(checkout) / "fixtures/crawlers.yml")
    return [user_agent for user_agents in listed.values() for user_agent in user_agents]


def show_phones(title, samples):
    """One row a value; `samples`: (User-Agent, weight, whether it is known to pose as a phone)."""
    phones = [
        (*sample, found) for sample in samples if (found := device.read(sample[0])).platform in PHONES or sample[2]
    ]
    for what in ("version", "model"):
        shares, kinds = Counter(), Counter()
        for user_agent, weight, is_program, found in phones:
            value = found.model if what == "model" else found.os_version
            verdict, why = (BOT, None) if found.is_bot else judge(user_agent, found.platform, what, value)
            if is_program and verdict == TRUE:
                verdict, why = FALSE, "a program's, by navigator.platform"
            shares[verdict] += weight
            kinds[why] += verdict == FALSE
        total = shares.total() or 1
        print(
            ROW.format(
                title, len(phones), what, *(f"{shares[one] / total:.2%}" for one in (BOT, TRUE, LEFT_OUT, FALSE))
            )
        )
        for why, count in kinds.most_common():
            if why:
                print(f"    {count:6} false: {why}")


def show_bots(title, counted, found):
    print(f"{title}: {len(found)} of {len(counted)}")
    for user_agent in found[:SHOWN]:
        print(f"    {user_agent[:112]}")


def phones_missed(bots):
    """Those that look like phones and are taken for a person's."""
    return [one for one in bots if not (found := device.read(one)).is_bot and found.platform in PHONES]


def show_posing(samples):
    """What becomes of programs: shares of all traffic."""
    shares = Counter()
    for sample in samples:
        if not poses(sample["userAgent"], sample["platform"]):
            continue
        found = device.read(sample["userAgent"])
        told = "version or model told" if found.os_version or found.model else "nothing told"
        shares[BOT if found.is_bot else told] += sample["weight"]
    print("user-agents, programs by navigator.platform, of all traffic:", end=" ")
    print(", ".join(f"{name} {share:.2%}" for name, share in sorted(shares.items())))


def main(arguments):
    """Prints the figures."""
    print(f"measured: {Path(device.__file__).parent}")
    fetch()
    samples, people, crawlers = user_agents(), crawlerdetect("devices"), crawlerdetect("crawlers")
    print(ROW.format("phones of", "number", "", "bot", "true", "left out", "false"))
    weighed = [(one["userAgent"], one["weight"], poses(one["userAgent"], one["platform"])) for one in samples]
    show_phones("user-agents, by traffic", weighed)
    show_phones("fake-useragent, by traffic", [(*sample, False) for sample in fake_useragent()])
    show_phones("crawlerdetect, devices", [(user_agent, 1, False) for user_agent in people])
    show_posing(samples)
    honest = [user_agent for user_agent, _, is_program in weighed if not is_program]
    show_bots("user-agents, people taken for bots", honest, [one for one in honest if device.read(one).is_bot])
    show_bots("crawlerdetect, people taken for bots", people, [one for one in people if device.read(one).is_bot])
    show_bots("crawlerdetect, bots missed that look like phones", crawlers, phones_missed(crawlers))
    agreed = isbot(crawlers)
    show_bots("those of them that are bots to isbot, too", agreed, phones_missed(agreed))
    for checkout in arguments:
        listed = isbot_crawlers(checkout)
        show_bots("isbot's crawlers missed that look like phones", listed, phones_missed(listed))


if __name__ == "__main__":
    main(sys.argv[1:])

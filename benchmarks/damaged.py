"""Damaged documents: ten thousand of them through the loader, each to be loaded or told.

    python -m benchmarks.damaged [--json] [--count 10000] [--seed 1]

The supervisor's part runs in this process; it must be alive at the end, and every file either
loaded or reported by its name. Prints how often each reason was given.
"""

import argparse
import logging
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

import structlog

from demo.report import Goal, report
from insights import errors
from insights.documents.folder import Folder
from insights.documents.messages import Limits
from tests.mutants import mutants


def main() -> None:
    """Write, load and count."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.damaged", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=quiet)  # each doubt is a warning
    reasons: Counter[str] = Counter()
    longest = (0.0, "")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for file, data in mutants(arguments.seed, arguments.count):
            (root / file).write_bytes(data)
        began = time.monotonic()
        with Folder(root, limits=Limits(cpu_s=10)) as documents:
            for uri, _ in documents.listing():
                start = time.monotonic()
                try:
                    documents.load(uri)
                    reasons["loaded"] += 1
                except errors.KnowledgeError as exc:
                    assert exc.where == str(root / uri)  # noqa: PT017 - no test
                    reasons[re.sub(r"\d+", "#", f"{Path(uri).suffix} {exc.what}")] += 1
                longest = max(longest, (time.monotonic() - start, uri))
        took = time.monotonic() - began
    silent = arguments.count - reasons.total()
    goals = [Goal("files neither loaded nor told by name", silent, 0, at_least=False)]
    table = [["files", "what came of them"]]
    table += [[f"{count:,}", reason] for reason, count in reasons.most_common()]
    notes = [f"{took:.0f} s, the longest {longest[0]:.1f} s ({longest[1]})"]
    title = f"Damaged documents: {arguments.count:,} through the loader"
    report(title, goals, notes, arguments.json, table)


if __name__ == "__main__":
    main()

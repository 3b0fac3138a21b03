"""Run every benchmark, one after another: `python -m benchmarks [--json] [NAME ...]`."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from demo.report import Goal, report

# Run by hand: it compares files of one's own with what other programs show of them.
_BY_HAND = {"documents"}


def names() -> list[str]:
    """Return the names of the benchmarks that `make bench` runs."""
    modules = {path.stem for path in Path(__file__).parent.glob("[!_]*.py")}
    return sorted(filter(_has_main, modules - _BY_HAND))


def _has_main(name: str) -> bool:
    text = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return 'if __name__ == "__main__"' in text


def main() -> int:
    """Run them; return 1 if one could not run. A missed goal is a figure, not a failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of: {', '.join(names())}; all by default")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    results: dict[str, object] = {}
    failed = []
    for name in options.names or names():
        print(f"benchmarks.{name} ...", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--json"],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            failed.append(name)
            continue
        result = json.loads(done.stdout)
        results[name] = result
        if not options.json:
            goals = [
                Goal(**{key: value for key, value in goal.items() if key != "holds"})
                for goal in result["goals"]
            ]
            report(result["title"], goals, result["notes"], table=result["table"])
    if options.json:
        print(json.dumps(results, ensure_ascii=False, indent=2))
    for name in failed:
        print(f"benchmarks.{name} could not run: see above", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

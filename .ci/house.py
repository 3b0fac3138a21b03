"""The project's own rules that no linter knows; run by `make check`."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
# A file that needs a table of contents is two files; scripts and tests get a tenth more.
LONGEST_MODULE, LONGEST_OTHER = 400, 440
TOP_LEVEL = {
    "pyproject.toml", "insights", "migrations", "sql", "config", "tests", "systemd", "README.md",
    "Makefile", "requirements.lock", "benchmarks", "demo", "docs", "deploy", "CHANGELOG.md",
    "SECURITY.md", "LICENSE",
}  # fmt: skip
BUILT = {"build", "dist", "legacy_insights.egg-info"}
LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]*)?\)")
RUN_MODULE = re.compile(r"-m ((?:benchmarks|demo)(?:\.[a-z_]+)*|insights(?:\.[a-z_]+)+)")
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
STATEMENT = re.compile(r"^-- name: \w+\s*\n(?P<comment>(?:--.*\n)*)", re.MULTILINE)


def short_modules() -> Iterator[str]:
    """A file that needs a table of contents is two files."""
    for folder in ("insights", "tests", "benchmarks", "demo", ".ci"):
        for file in (ROOT / folder).rglob("*.py"):
            lines = len(file.read_text(encoding="utf-8").splitlines())
            name = str(file.relative_to(ROOT))
            most = LONGEST_MODULE if folder == "insights" else LONGEST_OTHER
            if lines > most:
                yield f"{name}: {lines} lines, at most {most}"


def tidy_root() -> Iterator[str]:
    """The top level holds what it was agreed to hold."""
    for path in ROOT.iterdir():
        if not path.name.startswith(".") and path.name not in TOP_LEVEL | BUILT:
            yield f"{path.name}: does not belong at the top level"


def live_links() -> Iterator[str]:
    """Links between documents point at files and headings that exist."""
    for document in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("demo/**/*.md"),
    ]:
        text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
        for match in LINK.finditer(text):
            target = document.parent / unquote(match[1]) if match[1] else document
            if not target.exists():
                yield f"{document.relative_to(ROOT)}: no file {match[1]}"
            elif match[2] and target.suffix == ".md" and match[2][1:] not in anchors(target):
                yield f"{document.relative_to(ROOT)}: no heading {match[1]}{match[2]}"


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = HEADING.findall(document.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in headings}


def shipped_packages() -> Iterator[str]:
    """The wheel's list of packages names every folder that the program needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    present = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for file in (ROOT / "insights").rglob("__init__.py")
    }
    for folder, suffix in (("sql", "sql"), ("migrations", "py"), ("systemd", "service")):
        present |= {
            ".".join(("insights", *file.parent.relative_to(ROOT).parts))
            for file in (ROOT / folder).rglob(f"*.{suffix}")
        }
    for package in sorted(present ^ listed):
        yield f"pyproject.toml: tool.setuptools.packages and the folders disagree on {package}"


def live_modules() -> Iterator[str]:
    """The modules that documents and the Makefile run exist."""
    for file in [ROOT / "Makefile", *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for module in sorted(set(RUN_MODULE.findall(file.read_text(encoding="utf-8")))):
            path = ROOT.joinpath(*module.split("."))
            if not path.with_suffix(".py").is_file() and not (path / "__main__.py").is_file():
                yield f"{file.relative_to(ROOT)}: no module {module}"


def explained_statements() -> Iterator[str]:
    """Each statement that the store runs says what it is for."""
    for file in (ROOT / "sql" / "store").glob("*.sql"):
        text = file.read_text(encoding="utf-8")
        for match in STATEMENT.finditer(text):
            if not match["comment"]:
                yield f"{file.relative_to(ROOT)}: {match[0].strip()} has no comment"


def one_audit_writer() -> Iterator[str]:
    """Events are written by one statement, so that a chain over them has one place to be kept."""
    for file in (ROOT / "sql" / "store").glob("*.sql"):
        text = file.read_text(encoding="utf-8")
        if re.search(r"INTO store\.audit_|append_events\(", text) and file.stem != "audit":
            yield f"{file.relative_to(ROOT)}: writes audit events; call store/audit.py"


def no_conflict_marks() -> Iterator[str]:
    """No file that a merge left undecided: what no parser reads here, a DBA would run."""
    folders = ("config", "deploy", "docs", "insights", "migrations", "sql", "systemd", "tests")
    files = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    for file in (*files, *ROOT.glob("*.*")):
        if file.is_file() and "__pycache__" not in file.parts:
            for number, line in enumerate(file.read_bytes().splitlines(), 1):
                if line.startswith((b"<" * 7 + b" ", b">" * 7 + b" ")):
                    yield f"{file.relative_to(ROOT)}:{number}: a mark of a merge conflict"


def main() -> int:
    """Print what breaks a rule; return 1 if anything does."""
    rules = (
        short_modules,
        tidy_root,
        live_links,
        live_modules,
        shipped_packages,
        explained_statements,
        one_audit_writer,
        no_conflict_marks,
    )
    broken = [problem for rule in rules for problem in rule()]
    for problem in broken:
        sys.stdout.write(problem + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

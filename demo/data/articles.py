"""The 40 knowledge articles: four a category, in held-out phrasings, as committed files.

`python -m demo.data` writes them again; a test checks that files and code agree.
"""

import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from demo.model.grammar import CATEGORIES, Issue, issues
from demo.model.rows import Article, article

FOLDER = Path(__file__).parent.parent / "knowledge"
_PER_CATEGORY = 4


@dataclass(frozen=True)
class Entry:
    """An article of the knowledge base: its id, and the issue that it answers."""

    article_id: str
    issue: Issue
    article: Article


@lru_cache(maxsize=1)
def articles() -> tuple[Entry, ...]:
    """Return the articles in the order of their ids."""
    chosen = [
        issue
        for category in CATEGORIES
        for issue in [issue for issue in issues() if issue.category == category][:_PER_CATEGORY]
    ]
    return tuple(
        Entry(f"kb-{number:04}", issue, article(random.Random(issue.name), issue, held=True))
        for number, issue in enumerate(chosen, 1)
    )


def file_name(entry: Entry) -> str:
    """Return the name of an article's file."""
    return f"{entry.article_id}-{entry.issue.name}.md"


def write_knowledge(folder: Path = FOLDER) -> None:
    """Write the articles as Markdown files."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in articles():
        (folder / file_name(entry)).write_text(entry.article.text + "\n", encoding="utf-8")

import json
import random
import sqlite3
from pathlib import Path

import jsonschema
import pytest

from demo import data
from demo.data.articles import FOLDER, file_name
from demo.model.grammar import CATEGORIES, alternatives, issues, phrases
from demo.model.rows import Made, group, make
from insights.site.files import load

CONFIG = Path("demo/config")
TRAINING_ROWS = 3_000


@pytest.fixture(scope="module")
def training() -> list[Made]:
    rng = random.Random("test")
    return [made for _ in range(TRAINING_ROWS // 3) for made in group(rng, held=False, tickets=3)]


def test_no_text_of_the_demo_is_one_that_training_draws(training: list[Made]) -> None:
    bodies = "\n".join(row.ticket.body for row in training)
    articles = {passage.text for row in training for passage in row.passages}
    problems = {row.ticket.problem.lower() for row in training}
    for ticket in data.tickets():
        assert ticket.problem not in bodies
        assert ticket.problem.lower() not in problems
    for entry in data.articles():
        assert entry.article.text not in articles
        assert not any(entry.article.answer in text for text in articles)


def test_held_out_lines_share_no_text_with_trainings() -> None:
    for issue in issues():
        for letter, lines in issue.held.items():
            assert lines
            assert not _texts(lines) & _texts(issue.seen[letter]), (issue.name, letter)


@pytest.mark.parametrize(
    "pool", ["opener-calm", "opener-annoyed", "opener-angry", "cue-low", "cue-high", "cue-urgent"]
)
def test_held_out_phrases_share_no_text_with_trainings(pool: str) -> None:
    assert not _texts(phrases(pool, held=True)) & _texts(phrases(pool, held=False))


def test_there_are_300_different_tickets_on_every_category() -> None:
    tickets = data.tickets()
    assert len({ticket.ticket_id for ticket in tickets}) == 300
    assert len({ticket.problem for ticket in tickets}) == 300
    assert {ticket.category for ticket in tickets} == set(CATEGORIES)
    assert all(ticket.problem in ticket.body for ticket in tickets)
    assert 20 < sum(ticket.article_id is None for ticket in tickets) < 80


def test_the_committed_articles_are_what_the_code_makes() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert files == {file_name(entry): entry.article.text + "\n" for entry in data.articles()}


def test_truth_is_what_the_output_schema_allows() -> None:
    schema = json.loads((CONFIG / "schemas" / "triage.json").read_text(encoding="utf-8"))
    rng = random.Random("schema")
    for _ in range(200):
        row = make(rng, held=True)
        answer = json.loads(row.output())
        if row.cited is None:
            assert answer == {"abstain": "no passage answers"}
            continue
        jsonschema.validate(answer, schema)
        assert answer["next_step"] in row.passages[row.cited - 1].text
        assert answer["problem"] in row.ticket.body


def test_a_change_adds_five_edits_two_deletes_one_and_can_be_repeated(tmp_path: Path) -> None:
    path = data.build_database(tmp_path / "helpdesk.sqlite")
    before = _rows(path)
    for _ in range(2):
        change = data.change_database(path)
        after = _rows(path)
        assert set(after) - set(before) == set(change.added)
        assert set(before) - set(after) == set(change.deleted)
        edited = {key for key in set(before) & set(after) if before[key] != after[key]}
        assert edited == set(change.edited)
        assert (len(change.added), len(change.edited), len(change.deleted)) == (5, 2, 1)
        newest = max(row[1] for row in before.values())
        assert all(after[key][1] >= newest for key in change.added)
        before = after


def test_the_demos_settings_load() -> None:
    settings = load(CONFIG / "insights.toml")
    assert settings.pipeline["triage"].retrieval.passages == 3


def _texts(lines: tuple[str, ...]) -> set[str]:
    return {text.lower() for line in lines for text in alternatives(line)}


def _rows(path: Path) -> dict[int, tuple[str, str]]:
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT ticket_id, body, updated_at FROM ticket").fetchall()
    database.close()
    return {key: (body, updated) for key, body, updated in rows}

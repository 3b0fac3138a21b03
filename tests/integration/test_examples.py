"""Labelled rows as examples: in a prompt, beside the choice, and in the place of a model."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from insights import cli
from insights.embedding.files import ModelFiles
from insights.knowledge.chunking import Chunker, Chunking
from insights.knowledge.examples import NearestExamples, Wanted
from insights.knowledge.indexer import Collection, Indexer
from insights.model import Document, Json, Row
from insights.store.passages import PassageStore
from insights.store.postgres import Store
from insights.wiring import app
from insights.wiring.daemon import ALL_ROLES, build
from tests.helpdesk import Helpdesk
from tests.site import Site
from tests.wordbag import Embedder, WordBag

_SCHEMA: Json = {
    "type": "object",
    "properties": {"kind": {"enum": ["Printer", "Network"]}},
    "required": ["kind"],
}


class _Resolved:
    """Implements `ports.Documents` on rows: (key, text, label, when, tenant)."""

    def __init__(self, rows: list[tuple[str, str, str | None, int | None, str]]) -> None:
        self.rows = {row[0]: row for row in rows}

    def listing(self) -> Iterator[tuple[str, bytes]]:
        yield from ((key, repr(row).encode()) for key, row in self.rows.items())

    def load(self, uri: str, *more: object) -> Document:
        del more
        _, text, label, when, tenant = self.rows[uri]
        return Document(
            uri=uri,
            title=f"Case {uri}",
            text=text,
            is_markdown=False,
            filters={"tenant": tenant},
            labels={"decided_kind": label} if label else {},
            moment=None if when is None else Decimal(when),
        )


class _Site:
    def __init__(self, store: Store) -> None:
        self.passages = PassageStore(store)
        self.embedder = WordBag()

    def sync(self, *rows: tuple[str, str, str | None, int | None, str]) -> None:
        chunker = Chunker(ModelFiles().tokenizer, Chunking(tokens=20), 256)
        resolved = _Resolved(list(rows))
        collection = Collection(name="resolved")
        Indexer(collection, resolved, self.passages, self.embedder, chunker).sync()

    def nearest(self, key: str, body: str, opened: str | None = None, **more: object) -> list[str]:
        wanted = {
            "collection": "resolved",
            "labels": {"kind": "decided_kind"},
            "schema": _SCHEMA,
            "columns": ("body",),
            "filter_types": {"tenant": "text"},
            **more,
        }
        found = NearestExamples(Wanted(**wanted), self.passages, [self.embedder])  # type: ignore[arg-type]
        values = {"body": body, "opened": opened, "tenant": "a"}
        (examples,) = found.nearest([Row(key=key, input_hash=b"", cursor=None, values=values)])
        assert [example.number for example in examples] == list(range(1, len(examples) + 1))
        return [f"{example.uri} {example.output['kind']}" for example in examples]


@pytest.fixture
def resolved(store_url: str) -> Iterator[_Site]:
    store = Store(store_url, connections=3).open()
    yield _Site(store)
    store.close()


def test_the_nearest_labelled_rows_are_the_examples(resolved: _Site) -> None:
    resolved.sync(
        ("1", "paper jam in the printer", "printer ", 10, "a"),  # an enumeration's other spelling
        ("2", "printer shows paper jam again", "Printer", 20, "a"),
        ("3", "paper jam in the printer tray", None, 30, "a"),  # nobody has decided yet
        ("4", "printer paper jam", "Toaster", 40, "a"),  # nothing that the schema allows
        ("5", "vpn network down", "Network", 50, "b"),
    )
    assert resolved.nearest("9", "paper jam in the printer") == ["1 Printer", "2 Printer"]
    assert resolved.nearest("9", "paper jam in the printer", k=1) == ["1 Printer"]
    assert resolved.nearest("9", "vpn network") == ["5 Network"]
    assert resolved.nearest("9", "vpn network", filters={"tenant": "tenant"}) == []
    assert resolved.nearest("9", "cake") == []
    assert resolved.nearest("9", "") == []


def test_a_row_is_no_example_of_itself_and_its_future_none_of_it(resolved: _Site) -> None:
    text = "paper jam in the printer"
    resolved.sync(
        ("1", text, "Printer", 10, "a"),
        ("2", text, "Network", 20, "a"),
        ("3", text, "Printer", None, "a"),  # decided, and nobody knows when
    )
    assert resolved.nearest("1", text) == ["2 Network", "3 Printer"]
    assert resolved.nearest("9", text, "20", time="opened") == ["1 Printer"]
    assert resolved.nearest("1", text, "20", time="opened") == []
    assert resolved.nearest("9", text, "1970-01-01 00:00:21", time="opened") == [
        "1 Printer",
        "2 Network",
    ]
    assert resolved.nearest("9", text, None, time="opened") == []
    assert resolved.nearest("9", text, "yesterday", time="opened") == []


def test_among_many_rows_the_same_are_left_out(resolved: _Site) -> None:
    text, other = "paper jam in the printer", "vpn token network sign in. " * 8
    resolved.sync(
        ("1", text, "Network", 10, "a"),  # the row itself
        ("2", text, "Network", 20, "a"),  # its future
        ("3", text, "Network", 10, "b"),  # another tenant's
        ("4", text, None, 10, "a"),
        ("5", f"{other}\n\n{text}", "Network", 10, "a"),  # it begins otherwise
        *((str(at), f"{text} again", "Printer", 10, "a") for at in range(6, 12)),
    )
    plan = {"k": 1, "time": "opened", "filters": {"tenant": "tenant"}}
    assert resolved.nearest("1", text, "20", **plan) == ["6 Printer"]


def test_a_long_row_is_one_example(resolved: _Site) -> None:
    long = " ".join(["paper jam in the printer"] * 12)
    resolved.sync(("1", long, "Printer", 1, "a"), ("2", "printer paper", "Network", 1, "a"))
    assert resolved.nearest("9", "paper jam in the printer") == ["1 Printer", "2 Network"]


_STREAMS = """
[stream.resolved]
source = "legacy"
table = "ticket"
key = ["ticket_id"]
where = "kind IS NOT NULL"
[collection.resolved]
stream = "resolved"
text = ["subject", "body"]
labels = ["kind"]
time = "closed_at"
"""
_EXAMPLES = """
[examples]
collection = "resolved"
columns = ["subject", "body"]
labels = { category = "kind" }
k = 2
time = "opened_at"
"""
_PROMPT = """Decide the category.
{% for example in examples %}
Ticket: {{ example.text }}
{{ example.output }}
{% endfor %}
Ticket: {{ row.subject }} {{ row.body }}
"""
_CASES = (
    (1, "Printer", "The printer shows a paper jam, ask anna@example.com.", "problem", "01", "02"),
    (2, "Printer", "Printer with paper jam <EMAIL_9>, 4711 pages.", "problem", "03", "04"),
    (3, "Question", "How do I change my password for the portal?", "question", "05", "06"),
    (4, "Printer", "A paper jam in the printer on floor two.", None, "05", None),
    (5, "Password", "How can I change the password of the portal?", None, "07", None),
    (6, "Zebra", "Xylophone quartet rehearsal.", None, "07", None),
)


@pytest.fixture
def cases(tmp_path: Path, store_url: str, stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A table of tickets: what people have decided is in the same table, with the time."""
    legacy = Helpdesk(tmp_path / "legacy.sqlite")
    for column in ("kind", "opened_at", "closed_at"):
        legacy.execute(f"ALTER TABLE ticket ADD {column} VARCHAR(19)")
    for key, subject, body, kind, opened, closed in _CASES:
        legacy.execute(
            "INSERT INTO ticket VALUES (?, ?, ?, '2026-01-01 00:00:00', ?, ?, ?)",
            *(key, subject, body, kind, f"2026-01-{opened}"),
            closed and f"2026-01-{closed}",
        )
    site = Site(tmp_path, store_url, legacy.odbc, stand_in)
    site.stream += '\nwhere = "kind IS NULL"'
    site.prompt, site.pipeline, site.extra = _PROMPT, _EXAMPLES, _STREAMS
    site.write()
    nearest = "".join(
        line
        for line in (tmp_path / "pipelines" / "triage.toml").read_text().splitlines(keepends=True)
        if not line.startswith(("prompt", "sink"))
    )
    nearest = nearest.replace('"stand_in"', '"nearest"').replace("schema.json", "nearest.json")
    (tmp_path / "pipelines" / "similar.toml").write_text(nearest)
    enum = {"type": "string", "enum": ["question", "problem", "other"]}
    (tmp_path / "nearest.json").write_text(
        json.dumps({"type": "object", "properties": {"category": enum}, "required": ["category"]})
    )
    monkeypatch.setattr(app, "EmbedderClient", Embedder)
    for name, value in site.env().items():
        monkeypatch.setenv(name, value)
    command(site, "migrate")
    command(site, "knowledge", "sync")
    return site


def command(site: Site, *arguments: str) -> str:
    """Run a command here, where the embedder is a stand-in; return what it printed."""
    done = CliRunner().invoke(cli.app, ["-c", str(site.config), *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_examples_are_shown_to_the_model_and_beside_its_choice(cases: Site) -> None:
    tried = json.loads(command(cases, "try", "4", "-p", "triage", "--json"))
    assert [example["uri"] for example in tried["examples"]] == ["1", "2"]
    segments = tried["request"]["messages"][0]["segments"]
    data = {part["source"]: part for part in segments if not part["is_template"]}
    assert not data["example.1"]["is_template"]
    assert "<EMAIL_1>" in data["example.1"]["text"]
    assert "anna" not in json.dumps(tried)
    assert data["example.1.labels"]["text"] == '{"category":"problem"}'
    assert tried["request"]["passages"] == {}
    assert "neighbour" in command(cases, "try", "4", "-p", "similar")

    with app.open_app(cases.config, begin=True) as wired:
        build(wired, ALL_ROLES, once=True).run_once(lambda _: None)
    written = {
        pipeline: cases.query(
            "SELECT row_key, status, output ->> 'category', reason FROM insights.current"
            " WHERE pipeline = %s ORDER BY 1",
            pipeline,
        )
        for pipeline in ("similar", "triage")
    }
    assert written["similar"] == [
        ("4", "ok", "problem", None),
        ("5", "ok", "question", None),
        ("6", "abstained", None, "no labelled row is near"),
    ]
    assert [row[1] for row in written["triage"]] == ["ok"] * 3
    chosen = {row[0]: row[2] for row in written["triage"]}
    beside = cases.query(
        "SELECT c.row_key, n.neighbour, n.field, n.label, n.chosen, n.agrees"
        " FROM insights.neighbour n JOIN insights.current c USING (insight_id)"
        " WHERE pipeline = 'triage' ORDER BY 1"
    )
    assert beside == [
        ("4", "1", "category", "problem", chosen["4"], chosen["4"] == "problem"),
        ("5", "3", "category", "question", chosen["5"], chosen["5"] == "question"),
    ]
    cited = cases.query(
        "SELECT DISTINCT c.row_key, c.source, c.uri FROM insights.citation c"
        " JOIN insights.current USING (insight_id) WHERE pipeline = 'triage' AND source ~ 'example'"
        " ORDER BY 1, 2"
    )
    assert cited == [("4", "example.1", "1"), ("4", "example.2", "2"), ("5", "example.1", "3")]
    legacy = Helpdesk.of(cases.folder / "legacy.sqlite")
    assert legacy.execute("SELECT DISTINCT citations FROM ai_insight") == [(None,)]

    sampled = json.loads(command(cases, "try", "--sample", "3", "-p", "similar", "--json"))
    agreements = [one["neighbour"] and one["neighbour"]["agrees"] for one in sampled[0]["tried"]]
    assert agreements == [True, True, None]


def test_what_was_decided_later_is_no_example(cases: Site) -> None:
    legacy = Helpdesk.of(cases.folder / "legacy.sqlite")
    legacy.execute("UPDATE ticket SET opened_at = '2026-01-04' WHERE ticket_id = 4")
    tried = json.loads(command(cases, "try", "4", "-p", "similar", "--json"))
    assert [example["uri"] for example in tried["examples"]] == ["1"]


def test_doctor_tells_which_pipeline_needs_no_model(cases: Site) -> None:
    done = CliRunner().invoke(cli.app, ["-c", str(cases.config), "doctor", "--json"])
    told = {one["place"]: one["what"] for one in json.loads(done.stdout)}
    assert told["pipeline similar"] == "the nearest labelled row answers, and no model"

"""The whole daemon in `benchmarks.engine`: its own wiring over real databases, poll to publish.

A SQLite table read over ODBC, the store in PostgreSQL with fsync, the model in its child process,
and a sink table in the same legacy database. Only retrieval is replaced: every row is given the
passages that were drawn for it, so that the prompts are the ones the engine alone is timed with.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import textwrap
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec

from benchmarks._tickets import HEAD, SCHEMA, drawn, passage, ticket
from insights.enriching.recipe import Recipe
from insights.ground import logs
from insights.model import (
    GenerateRequest,
    Generation,
    Json,
    ModelInfo,
    Passage,
    SinkResult,
    SinkState,
)
from insights.ports import Generator
from insights.service.daemon import Progress
from insights.sinks.client import SinkClient
from insights.site import files
from insights.store import derived, migrate
from insights.wiring import daemon, enriching
from insights.wiring.adapters import derived_objects, open_generator, open_sink, open_store
from insights.wiring.app import App
from tests import servers

_SETTINGS = """
    state_dir = "state"
    [log]
    level = "error"
    [store]
    url = "{store}"
    [source.desk]
    odbc = "Driver=SQLite3;Database={legacy}"
    [stream.ticket]
    source = "desk"
    table = "ticket"
    key = ["id"]
    cursor = "updated_at"
    [model.bench]
    path = "{model}"
    sha256 = "{sha256}"
    [sink.desk]
    source = "desk"
    table = "ticket_insight"
"""
_PIPELINE = """
    stream = "ticket"
    model = "bench"
    prompt = "prompt.j2"
    schema = "schema.json"
    sink = "desk"
    abstain = []
    timeout = "1h"
    [sampling]
    max_tokens = 256
"""
_PROMPT = (
    "{% raw %}{head}\n{% endraw %}"
    "{% for passage in passages %}Passage {{ passage.number }}: {{ passage.text }}\n{% endfor %}"
    "Ticket: {{ row.body }}"
)


class _Drawn:
    """Gives each row the passages that were drawn for it."""

    def __init__(self, rows: int) -> None:
        self._by_text = {ticket(row): numbers for row, numbers in enumerate(drawn(rows))}

    def retrieve(
        self,
        queries: Sequence[str],
        filters: Sequence[Mapping[str, str]] | None = None,  # noqa: ARG002
    ) -> list[tuple[Passage, ...]]:
        """Return each query's passages."""
        return [
            tuple(
                Passage(passage_id=n, number=at, uri=f"p{n}", title="", text=passage(n))
                for at, n in enumerate(self._by_text[query], start=1)
            )
            for query in queries
        ]


class _Watched:
    """A generator that remembers what it was asked."""

    def __init__(self, inner: Generator, asked: list[GenerateRequest]) -> None:
        self._inner = inner
        self._asked = asked

    def info(self) -> ModelInfo:
        """Return the model's identity."""
        return self._inner.info()

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        """Remember the request and pass it on."""
        self._asked.append(request)
        return self._inner.submit(request)


class _App(App):
    """The daemon's wiring, with a watched generator."""

    asked: list[GenerateRequest]

    def generator(self, name: str) -> Generator:
        """Return the model's generator, watched."""
        if name not in self.generators:
            made = open_generator(self.settings, name)
            self.stack.callback(made.close)
            self.generators[name] = _Watched(made, self.asked)
        return self.generators[name]


def _draw(rows: int) -> None:
    """Give pipelines drawn passages in place of a search."""
    bound = enriching.recipe

    def drawn(app: App, name: str) -> Recipe:
        made = bound(app, name)
        return msgspec.structs.replace(
            made, retriever=_Drawn(rows), query_columns=("body",), canonical_passages=True
        )

    enriching.recipe = drawn


def run_daemon(path: Path, rows: int, settings: Json, requests: str) -> Json:
    """Run the daemon over `rows` rows and keep what it asked its generator for in `requests`."""
    folder = servers.scratch()
    try:
        with servers.running(servers.Postgres(folder / "store", durable=True).create()) as server:
            return _run(folder, server, path, rows, settings, Path(requests))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(
    folder: Path,
    server: servers.Postgres,
    path: Path,
    rows: int,
    settings: Json,
    requests: Path,
) -> Json:
    server.create_database("bench")
    url = server.url("bench")
    os.environ["INSIGHTS_CREDENTIAL_HASH_KEY"] = "benchmark"
    os.environ["INSIGHTS_CREDENTIAL_STORE_PASSWORD"] = server.password
    migrate.upgrade(url)
    legacy = _legacy(folder, rows)
    found = files.load(_configure(folder, url, legacy, path, settings))
    logs.configure(found.log.format, found.log.level)
    derived.make(url, derived_objects(found, url))
    with open_sink(found, "desk") as sink, closing(sqlite3.connect(legacy)) as link:
        link.executescript(sink.ddl("sqlite"))
    with open_store(found) as store, ExitStack() as stack:
        made = _App(found, store, stack)
        made.asked = []
        _draw(rows)
        supervisor = daemon.build(made, daemon.ALL_ROLES, once=True)
        # As in a daemon that runs: the model is loaded, and the reader is there.
        made.generator("bench").info()
        made.source("desk").fingerprint()
        published = _times_of_publishing()
        begun = time.perf_counter()
        supervisor.run_once(_quiet)
        took = published[-1] - begun
    with closing(sqlite3.connect(legacy)) as link:
        (shown,) = link.execute("SELECT count(*) FROM ticket_insight").fetchone()
    if shown != rows:
        raise SystemExit(f"{shown} of {rows} rows are in the sink")
    requests.write_bytes(msgspec.msgpack.encode(made.asked))
    return {"took_s": took, "rows": rows}


def _times_of_publishing() -> list[float]:
    """Return, filled while the daemon runs, when each batch was in the sink."""
    times: list[float] = []
    apply = SinkClient.apply

    def timed(self: SinkClient, states: Sequence[SinkState]) -> list[SinkResult]:
        results = apply(self, states)
        times.append(time.perf_counter())
        return results

    SinkClient.apply = timed  # type: ignore[method-assign]
    return times


def _legacy(folder: Path, rows: int) -> Path:
    """Make the legacy application's database."""
    legacy = folder / "legacy.sqlite"
    with closing(sqlite3.connect(legacy)) as link, link:
        link.execute(
            "CREATE TABLE ticket (id INTEGER NOT NULL PRIMARY KEY, body VARCHAR(2000) NOT NULL,"
            " updated_at TIMESTAMP NOT NULL)"
        )
        link.executemany(
            "INSERT INTO ticket VALUES (?, ?, ?)",
            [
                (
                    row + 1,
                    ticket(row),
                    f"2026-01-01 {row // 3600:02}:{row // 60 % 60:02}:{row % 60:02}",
                )
                for row in range(rows)
            ],
        )
        link.execute("CREATE INDEX ticket_changed ON ticket (updated_at)")
    return legacy


def _configure(folder: Path, url: str, legacy: Path, path: Path, settings: Json) -> Path:
    """Write the settings and the pipeline."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    text = textwrap.dedent(_SETTINGS).format(
        store=url.replace(os.environ["INSIGHTS_CREDENTIAL_STORE_PASSWORD"], "${store_password}"),
        legacy=legacy,
        model=path,
        sha256=sha256,
    )
    chosen = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    text = text.replace("[sink.desk]", f"{chosen}[sink.desk]")
    pipelines = folder / "pipelines"
    pipelines.mkdir()
    (pipelines / "bench.toml").write_text(textwrap.dedent(_PIPELINE))
    (pipelines / "prompt.j2").write_text(_PROMPT.replace("{head}", HEAD))
    (pipelines / "schema.json").write_text(json.dumps(SCHEMA))
    config = folder / "insights.toml"
    config.write_text(text)
    return config


def _quiet(at: Progress) -> None:
    del at

"""`insights export pairs`: what leaves, of whom, who took it; and what does not leave."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from insights import errors
from tests import servers
from tests.helpdesk import Helpdesk
from tests.site import Site

PLANTED = ("zelda.quimby@example.net", "Quimby", "4111 1111 1111 1111", "+41 44 668 18 00")
STREAM = (
    'table = "ticket"\nkey = ["ticket_id"]\ncursor = "updated_at"\noverlap = "0.5s"\n'
    'consent = "training"\n[stream.ticket.redact]\ncolumns = ["customer"]'
)
PROMPT = "{# system #}\nDecide.\n{# user #}\n{{ row.subject }}\n{{ row.body }}\n"
WRONG = errors.SettingsError.exit_code


@pytest.fixture(scope="module")
def judged(
    tmp_path_factory: pytest.TempPathFactory, store_server: servers.Postgres, stand_in: Path
) -> Iterator[Site]:
    """A site whose tickets hold personal data; every fourth customer did not consent."""
    place, name = tmp_path_factory.mktemp("export"), "export"
    store_server.create_database(name, "template_store")
    legacy = Helpdesk(place / "legacy.sqlite", 12)
    legacy.execute("ALTER TABLE ticket ADD COLUMN training TEXT")
    legacy.execute("ALTER TABLE ticket ADD COLUMN customer TEXT")
    legacy.execute(
        "UPDATE ticket SET training = CASE WHEN ticket_id % 4 THEN 'yes' ELSE 'no' END,"
        " customer = 'Zelda Quimby', body = ? || ticket_id",
        f"Mrs {PLANTED[1]}, {PLANTED[0]}, card {PLANTED[2]}, phone {PLANTED[3]}: ticket ",
    )
    found = written(Site(place, store_server.url(name), legacy.odbc, stand_in))
    found.insights("migrate")
    found.run_once()
    yield found
    store_server.drop_database(name)


def written(site: Site) -> Site:
    site.stream, site.pipeline, site.extra, site.prompt = STREAM, "abstain = []\n", "", PROMPT
    return site.write()


@pytest.fixture
def site(judged: Site) -> Site:
    """The site as it was, and each insight of its first version said to be right."""
    with psycopg.connect(judged.store_url) as link:
        link.execute("DELETE FROM store.feedback")
        link.execute(
            "INSERT INTO insights.verdict (insight_id, verdict)"
            " SELECT insight_id, 'right' FROM store.insight"
            " WHERE status = 'ok' AND pipeline_version_id ="
            " (SELECT min(pipeline_version_id) FROM store.pipeline_version)"
        )
    return written(judged)


def export(site: Site, name: str = "pairs.jsonl", **env: str) -> tuple[list[dict[str, Any]], Any]:
    out = site.folder / name
    told = json.loads(site.insights("export", "pairs", "--out", str(out), "--json", env=env).stdout)
    assert told["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()], told


def test_pairs_hold_what_the_model_saw_of_who_consented_and_the_audit_knows(site: Site) -> None:
    ok = {key: number for number, key in site.query(
        "SELECT insight_id, row_key FROM insights.verdict")}  # fmt: skip
    agree = {key for key in ok if int(key) % 4}
    corrected = min(agree)
    ((said,),) = site.query("SELECT output ->> 'category' FROM store.insight WHERE insight_id = %s",
                            ok[corrected])  # fmt: skip
    right = "other" if said != "other" else "problem"
    with psycopg.connect(site.store_url) as link:
        link.execute(
            "INSERT INTO insights.verdict (insight_id, verdict, corrected)"
            " VALUES (%s, 'wrong', %s)",
            (ok[corrected], json.dumps({"category": right})),
        )
    lines, told = export(site)
    assert {one["insight_id"] for one in lines} == {ok[key] for key in agree}
    assert told["left_out"] == {"nobody consented": len(ok) - len(agree)}
    for one in lines:
        assert [message["role"] for message in one["messages"]] == ["system", "user", "assistant"]
        assert all(message["content"] for message in one["messages"])
        assert set(json.loads(one["messages"][2]["content"])) == {"category", "urgent"}
        assert (one["split"] in ("train", "validation", "test"), one["consent"]) == (
            True,
            "training",
        )
        assert "<EMAIL_1>" in one["messages"][1]["content"]
    text = (site.folder / "pairs.jsonl").read_text(encoding="utf-8")
    assert [planted for planted in PLANTED if planted in text] == []
    (mended,) = (one for one in lines if one["insight_id"] == ok[corrected])
    assert mended["corrected"] == ["category"]
    assert json.loads(mended["messages"][2]["content"])["category"] == right
    # Who took which rows, and which file.
    read = site.query(
        "SELECT e.row_id FROM store.audit_event e JOIN store.audit_chain c USING (chain_id)"
        " WHERE c.actor = 'insights export' AND e.action = 'row read'"
        " AND e.details ->> 'file' = %s", told["sha256"]
    )  # fmt: skip
    rows = site.query("SELECT row_id FROM store.ledger WHERE row_key = ANY (%s)", sorted(agree))
    assert sorted(read) == sorted(rows)
    ((event,),) = site.query(
        "SELECT details FROM store.audit_event WHERE action = 'pairs exported'"
        " AND details ->> 'file' = %s",
        told["sha256"],
    )
    assert (event["pairs"], event["file"], event["splits"]) == (
        len(lines), told["sha256"], told["splits"],
    )  # fmt: skip
    assert event["user"]
    # The next version's export has these pairs still, each in the split that it had.
    site.prompt += "Decide well.\n"
    site.write()
    site.run_once()
    again, _ = export(site, "again.jsonl", INSIGHTS_CREDENTIAL_HASH_KEY="a key for tests")
    assert again == lines


def test_rows_without_consent_and_sensitive_ones_are_refused_before_they_are_read(
    site: Site,
) -> None:
    out = site.folder / "none.jsonl"
    told = "SELECT count(*) FROM store.audit_event WHERE action IN ('row read', 'pairs exported')"
    before = site.query(told)
    for stream, why in (
        (STREAM.replace('consent = "training"\n', ""), "do not say who consented"),
        (STREAM.replace('"training"', "true\nsensitive = true"), "the stream is sensitive"),
    ):
        site.stream = stream
        site.write()
        said = site.insights("export", "pairs", "triage", "--out", str(out), code=WRONG).stderr
        assert why in " ".join(said.split())
    assert not out.exists()
    assert site.query(told) == before
    site.stream = STREAM.replace('"training"', "true")
    site.write()
    lines, _ = export(site)
    assert {one["consent"] for one in lines} == {"stream"}


def test_prompts_that_show_other_rows_need_the_consent_of_those(site: Site) -> None:
    site.extra = '[collection.solved]\nstream = "ticket"\ntext = ["body"]\n'
    site.pipeline += '[retrieval]\ncollections = ["solved"]\n'
    site.prompt += "{% for p in passages %}{{ p.text }}{% endfor %}"
    site.write()
    said = site.insights("export", "pairs", "--out", str(site.folder / "x"), code=WRONG).stderr
    assert "of which each has a consent of its own" in " ".join(said.split())


def test_where_nobody_said_anything_there_is_no_file(site: Site) -> None:
    with psycopg.connect(site.store_url) as link:
        link.execute("DELETE FROM store.feedback")
    out = site.folder / "none.jsonl"
    said = site.insights("export", "pairs", "--out", str(out), code=WRONG).stderr
    assert "there is no pair to export" in said
    assert not out.exists()

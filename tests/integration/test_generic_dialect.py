"""The dialect of engines without one of their own (DB2, …), run on two that are here."""

from pathlib import Path

import pytest

from insights import errors
from insights.model import Bookmark
from insights.odbc import door
from tests.legacy import Legacy, open_legacy, reading, stream, walk


@pytest.fixture(params=["mariadb", "postgres"])
def legacy(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Legacy:
    made = open_legacy(request.param, request, tmp_path)
    monkeypatch.setattr(door, "drivername", lambda _: "ansi+insights")
    return made


def test_it_reads_pages_and_rows(legacy: Legacy) -> None:
    legacy.execute(
        "CREATE TABLE ticket (id INTEGER NOT NULL, part VARCHAR(9) NOT NULL, subject VARCHAR(99),"
        f" body {legacy.text}, price DECIMAL(9,2), changed {legacy.timestamp},"
        " PRIMARY KEY (id, part))"
    )
    for number in range(10):
        legacy.execute(
            "INSERT INTO ticket VALUES (?, 'p', 'grün', NULL, 1.50, ?)",
            number,
            f"2024-05-01 10:00:00.00000{number // 4}",
        )
    legacy.sync()
    with reading(legacy.odbc) as client:
        spec = stream(
            key=("id", "part"),
            inputs=("subject", "body", "price", "changed"),
            cursor="changed",
            page_rows=3,
        )
        assert client.inspect(spec).grade == "L2"
        paged = walk(client, spec, by="cursor")
        assert len(paged) == 10
        assert paged == walk(client, spec, by="key")
        later = client.page(spec, Bookmark(key=(), cursor=paged['["9","p"]'][1]), by="cursor")
        assert later.rows == 2
        (row,) = client.fetch(spec, ['["3","p"]'])
        assert row.input_hash.hex() == paged['["3","p"]'][0]
        assert row.values["subject"] == "grün"
        assert row.values["price"] == "1.50"
        assert client.window(spec, None).rows == 10
        assert client.fingerprint().position is None
        with pytest.raises(errors.StreamError, match="tocket"):
            client.inspect(stream(table="tocket"))

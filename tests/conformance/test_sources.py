"""What every engine's source does alike: pages, rows by key, windows, positions."""

from pathlib import Path

import pytest

from insights import errors
from insights.model import Bookmark, Redaction
from tests.legacy import ENGINES, Legacy, open_legacy, reading, stream, walk


@pytest.fixture(params=ENGINES)
def legacy(request: pytest.FixtureRequest, tmp_path: Path) -> Legacy:
    return open_legacy(request.param, request, tmp_path)


def _tickets(legacy: Legacy, *rows: tuple[object, ...]) -> None:
    legacy.execute(
        "CREATE TABLE ticket (id INTEGER PRIMARY KEY, subject VARCHAR(200),"
        f" body {legacy.text}, customer VARCHAR(80), updated_at {legacy.timestamp})"
    )
    legacy.execute("CREATE INDEX ticket_updated ON ticket (updated_at, id)")
    for row in rows:
        legacy.execute("INSERT INTO ticket VALUES (?, ?, ?, ?, ?)", *row)
    legacy.sync()


def _ticket(number: int, at: str | None = "2024-05-01 10:00:00.000000") -> tuple[object, ...]:
    return number, f"subject {number}", f"body {number}", None, at


def test_pages_return_every_row_once_ties_and_fractions_included(legacy: Legacy) -> None:
    times = [f"2024-05-01 10:00:00.{number // 5:06d}" for number in range(40)]
    _tickets(legacy, *(_ticket(number, at) for number, at in enumerate(times)))
    with reading(legacy.odbc, child=True) as client:
        for rows in (1, 3, 5, 40, 1_000):
            spec = stream(cursor="updated_at", page_rows=rows)
            found = walk(client, spec, by="cursor")
            assert set(found) == {str(number) for number in range(40)}
            assert found == walk(client, spec, by="key")
        middle = walk(client, spec, by="cursor", after=Bookmark(key=(), cursor=found["20"][1]))
        assert set(middle) == {str(number) for number in range(20, 40)}


def test_a_page_and_a_fetch_hash_alike(legacy: Legacy) -> None:
    texts = ["plain", "", "tab\tnew\nline \\ slash", "grün 😀 \u05d0\u05d1", "e\u0301", " pad "]
    rows = [(n, text, text * 50, None, None) for n, text in enumerate(texts)]
    _tickets(legacy, *rows, (90, None, None, None, None))
    with reading(legacy.odbc) as client:
        spec = stream(page_rows=2)
        paged = walk(client, spec)
        fetched = {row.key: row for row in client.fetch(spec, list(paged))}
        assert {key: row.input_hash.hex() for key, row in fetched.items()} == {
            key: digest for key, (digest, _) in paged.items()
        }
        assert len({digest for digest, _ in paged.values()}) == len(rows) + 1
        assert fetched["3"].values["subject"] == texts[3]
        assert fetched["4"].values["subject"] == "é"
        assert fetched["1"].values["subject"] == ""
        assert fetched["90"].values == {"subject": None, "body": None}


def test_null_cursors_are_found_by_key_and_not_by_cursor(legacy: Legacy) -> None:
    _tickets(legacy, _ticket(1), _ticket(2, None), _ticket(3))
    with reading(legacy.odbc) as client:
        spec = stream(cursor="updated_at", page_rows=1)
        assert set(walk(client, spec, by="cursor")) == {"1", "3"}
        assert set(walk(client, spec, by="key")) == {"1", "2", "3"}
        assert walk(client, spec)["2"][1] == "\\N"
        window = client.window(spec, None)
        assert window.rows == 2


def test_a_window_counts_and_its_safe_end_is_not_in_the_future(legacy: Legacy) -> None:
    _tickets(legacy, _ticket(1), _ticket(2, "2024-06-01 00:00:00.500000"), _ticket(3, "2999-01-01"))
    with reading(legacy.odbc) as client:
        spec = stream(cursor="updated_at")
        window = client.window(spec, None)
        assert window.rows == 3
        assert window.high is not None
        assert window.high.startswith("2999-01-01")
        assert (window.safe_high or "").startswith("2024-06-01 00:00:00.5")
        assert client.window(spec, window.safe_high).rows == 2
        empty = client.window(stream(cursor="updated_at", where="id > 100"), None)
        assert (empty.rows, empty.low, empty.high, empty.safe_high) == (0, None, None, None)


def test_filters_and_marks_narrow_what_is_read(legacy: Legacy) -> None:
    _tickets(legacy, *(_ticket(number) for number in range(10)))
    with reading(legacy.odbc) as client:
        spec = stream(
            where="id <> 4 AND '10:30:00 a?' <> body",
            pending="subject LIKE '%5' OR id < 5",
            page_rows=2,
        )
        assert set(walk(client, spec)) == {"0", "1", "2", "3", "5"}
        found = client.fetch(spec, ["4", "5", "9", "77"])
        assert {row.key for row in found} == {"5", "9"}  # the filter holds, the mark may be gone


def test_a_query_is_a_stream_like_a_table(legacy: Legacy) -> None:
    _tickets(legacy, *(_ticket(number) for number in range(7)))
    query = "SELECT id, subject || ':x' AS subject, body, updated_at FROM ticket WHERE id > 1;"
    if legacy.name == "mariadb":
        query = query.replace("subject || ':x'", "CONCAT(subject, ':x')")
    with reading(legacy.odbc) as client:
        spec = stream(table=None, query=query, cursor="updated_at", page_rows=2)
        client.inspect(spec)
        assert set(walk(client, spec, by="cursor")) == {"2", "3", "4", "5", "6"}
        (row,) = client.fetch(spec, ["3"])
        assert row.values["subject"] == "subject 3:x"


def test_what_is_personal_leaves_as_placeholders(legacy: Legacy) -> None:
    _tickets(
        legacy, (1, "Mail from ANN  Berg", "ann@berg.example or +49 30 901820", "Ann Berg", None)
    )
    with reading(legacy.odbc) as client:
        spec = stream(redaction=Redaction(columns=("customer",)))
        (row,) = client.fetch(spec, ["1"])
        assert row.values == {"subject": "Mail from <CUSTOMER_1>", "body": "<EMAIL_1> or <PHONE_1>"}
        assert row.redactions == {"customer": 2, "email": 1, "phone": 1}


def test_what_is_redacted_does_not_change_the_hash(legacy: Legacy) -> None:
    _tickets(legacy, (1, "Mail from Ann Berg", "ann@berg.example", "Ann Berg", None))
    with reading(legacy.odbc) as client:
        policies = (
            Redaction(kinds=()),
            Redaction(),
            Redaction(columns=("customer",), deny=("Mail",)),
        )
        specs = [stream(redaction=policy) for policy in policies]
        fetched = [client.fetch(spec, ["1"])[0] for spec in specs]
        assert len({row.input_hash for row in fetched}) == 1
        assert len({str(row.values) for row in fetched}) == 3
        paged = {walk(client, spec)["1"][0] for spec in specs}
        assert len(paged) == 1


def test_five_key_columns_of_mixed_types(legacy: Legacy) -> None:
    legacy.execute(
        "CREATE TABLE ticket (a VARCHAR(20) NOT NULL, b INTEGER NOT NULL, c DECIMAL(12,3) NOT NULL,"
        f" d {legacy.timestamp} NOT NULL, e CHAR(8) NOT NULL, subject VARCHAR(20), body TEXT,"
        " PRIMARY KEY (a, b, c, d, e))"
    )
    keys = [
        (a, b, c, d, e)
        for a in ("x", 'quo"te', "back\\slash")
        for b in (-5, 10)
        for c in ("0.100", "1234567.125")
        for d in ("2024-01-01 00:00:00", "2024-01-01 00:00:00.000001")
        for e in ("k", "K2")
    ]
    for key in keys:
        legacy.execute("INSERT INTO ticket VALUES (?, ?, ?, ?, ?, 's', 'b')", *key)
    legacy.sync()
    with reading(legacy.odbc) as client:
        spec = stream(key=("a", "b", "c", "d", "e"), page_rows=7)
        client.inspect(spec)
        found = walk(client, spec)
        assert len(found) == len(keys)
        unescaped = [key.replace("\\\\", "\\") for key in found]
        assert len(client.fetch(spec, unescaped)) == len(keys)


def test_a_megabyte_is_cut_and_said_so(legacy: Legacy) -> None:
    _tickets(legacy, (1, "long", None, None, None))
    legacy.execute(f"UPDATE ticket SET body = {legacy.repeated('é', 1_000_000)}")
    legacy.sync()
    with reading(legacy.odbc) as client:
        spec = stream(max_text_chars=1_000)
        (row,) = client.fetch(spec, ["1"])
        assert row.values["body"] == "é" * 1_000
        assert row.notes == ("body: cut",)
        assert walk(client, spec)["1"][0] == row.input_hash.hex()


def test_a_replaced_column_stops_the_stream_and_is_named(legacy: Legacy) -> None:
    _tickets(legacy, *(_ticket(number) for number in range(4)))
    with reading(legacy.odbc) as client:
        spec = stream(page_rows=2)
        before = client.inspect(spec)
        page = client.page(spec, None, by="key")
        legacy.execute("ALTER TABLE ticket RENAME COLUMN body TO text")
        legacy.sync()
        with pytest.raises(errors.StreamError, match="body") as caught:
            client.page(spec, page.last, by="key")
        assert "tickets" in str(caught.value)
        assert "text" in caught.value.fix
        legacy.execute("ALTER TABLE ticket RENAME COLUMN text TO body")
        legacy.sync()
        assert client.inspect(spec) == before
        assert client.page(spec, page.last, by="key").rows == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"table": "tickets"}, "table tickets does not exist"),
        ({"inputs": ("subject", "boddy")}, "column boddy"),
        ({"cursor": "changed_at"}, "column changed_at"),
        ({"key": ("subject",)}, "not unique"),
        ({"key": ("customer",)}, "NULL"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    legacy: Legacy, changes: dict[str, object], says: str
) -> None:
    _tickets(legacy, _ticket(1), (2, "subject 1", "body", "Ann", None))
    with reading(legacy.odbc) as client:
        with pytest.raises(errors.StreamError, match=says) as caught:
            client.inspect(stream(**changes))
        assert "tickets" in caught.value.where
        assert caught.value.fix


def test_a_table_without_any_key_is_refused(legacy: Legacy) -> None:
    legacy.execute("CREATE TABLE ticket (id INTEGER, subject VARCHAR(9), body VARCHAR(9))")
    legacy.sync()
    with (
        reading(legacy.odbc) as client,
        pytest.raises(errors.StreamError, match="no unique key within"),
    ):
        client.inspect(stream())


def test_a_page_that_would_scan_a_large_table_is_refused(legacy: Legacy) -> None:
    legacy.execute("CREATE TABLE digit (n INTEGER)")
    legacy.execute("INSERT INTO digit VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")
    legacy.execute(
        "CREATE TABLE ticket (id INTEGER NOT NULL PRIMARY KEY, subject VARCHAR(9), body VARCHAR(9),"
        " changed INTEGER)"
    )
    number = "a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n"
    legacy.execute(
        f"INSERT INTO ticket SELECT {number}, 's', 'b', 0 FROM digit a, digit b, digit c, digit d,"
        f" digit e WHERE {number} < 12000"
    )
    if legacy.name == "mariadb":
        legacy.execute("ANALYZE TABLE ticket")
    legacy.sync()
    spec = stream(cursor="changed")
    with reading(legacy.odbc) as client:
        with pytest.raises(errors.StreamError, match="by cursor would scan") as caught:
            client.inspect(spec)
        assert "CREATE INDEX insights_tickets_cursor ON ticket (changed, id)" in caught.value.fix
        client.inspect(stream(cursor="changed", accept_scan=True))
        client.inspect(stream())  # by key there is an index
        legacy.execute("CREATE INDEX changed_at ON ticket (changed, id)")
        legacy.sync()
        client.inspect(spec)
        legacy.execute("DROP INDEX changed_at" + " ON ticket" * (legacy.name == "mariadb"))
        legacy.execute("DELETE FROM ticket WHERE id > 100")
        legacy.sync()
        client.inspect(spec)  # small: a scan is what any engine would do


def test_an_empty_table_is_an_empty_page(legacy: Legacy) -> None:
    _tickets(legacy)
    with reading(legacy.odbc) as client:
        spec = stream(cursor="updated_at")
        client.inspect(spec)
        page = client.page(spec, None, by="cursor")
        assert (page.rows, page.last, page.complete) == (0, None, True)
        assert not [found for found in client.examine(spec) if found.level == "error"]


def test_a_view_with_a_key_twice_is_refused_only_if_the_rows_differ(legacy: Legacy) -> None:
    _tickets(legacy, *(_ticket(number) for number in range(4)))
    legacy.execute(
        "CREATE VIEW doubled AS SELECT id, subject, body FROM ticket"
        " UNION ALL SELECT id, subject, body FROM ticket WHERE id = 2"
    )
    legacy.execute(
        "CREATE VIEW differing AS SELECT id, subject, body FROM ticket"
        " UNION ALL SELECT id, 'other', body FROM ticket WHERE id = 2"
    )
    legacy.sync()
    with reading(legacy.odbc) as client:
        same = stream(table="doubled", page_rows=3)
        assert set(walk(client, same)) == {"0", "1", "2", "3"}
        for rows in (2, 3, 4):
            with pytest.raises(errors.StreamError, match="twice"):
                walk(client, stream(table="differing", page_rows=rows))


def test_the_position_moves_with_the_data_and_tells_an_older_copy(legacy: Legacy) -> None:
    _tickets(legacy, _ticket(1))
    with reading(legacy.odbc) as client:
        before = client.fingerprint()
        assert before.identity is not None
        assert before.position is not None
        assert not client.is_behind(before.identity, before.position)
        legacy.execute("UPDATE ticket SET body = 'new' WHERE id = 1")
        legacy.sync()
        after = client.fingerprint()
        assert after.identity == before.identity
        assert after.position != before.position
        assert not client.is_behind(before.identity, before.position)
        assert client.is_behind("another", before.position)


def test_doctor_finds_nothing_to_fix_in_a_sound_stream(legacy: Legacy) -> None:
    _tickets(legacy, *(_ticket(number) for number in range(50)))
    with reading(legacy.odbc) as client:
        found = client.examine(stream(cursor="updated_at"))
        assert [finding for finding in found if finding.level not in ("ok", "note")] == []
        assert any("round trip" in finding.what for finding in found)


def test_init_sees_columns_and_key(legacy: Legacy) -> None:
    _tickets(legacy)
    with reading(legacy.odbc) as client:
        table = client.describe("ticket")
        assert list(table.columns) == ["id", "subject", "body", "customer", "updated_at"]
        assert table.key == ("id",)
        with pytest.raises(errors.StreamError, match="write ticket"):
            client.describe("tickets")

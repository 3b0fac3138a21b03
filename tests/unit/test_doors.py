"""What is sent is checked field by field, and whoever sends at once shares a transaction."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from insights import errors
from insights.doors.accepting import Doors, Entrance
from insights.doors.checking import checked
from insights.model import Answer, Prepared, Redaction, Sent, StreamSpec, Submission, Ticket

SPEC = StreamSpec(
    name="ticket",
    source="inbox",
    key=("id",),
    inputs=("body",),
    extra=("name",),
    redaction=Redaction(columns=("name",)),
    max_text_chars=100,
)
GOOD = {"id": 1, "body": "text", "name": None}


def test_values_become_canonical_text() -> None:
    (sent,) = checked(SPEC, [{"id": 7, "body": True, "name": 1.5}])
    assert sent == Sent(key="7", fields={"id": "7", "body": "true", "name": "1.5"})


@pytest.mark.parametrize(
    ("rows", "where", "said"),
    [
        ([], "", "0 rows"),
        ([GOOD] * 1001, "", "1,001 rows"),
        (["text"], "/", "an object"),
        ([{"id": 1, "body": "x"}], "/", "'name' is missing"),
        ([{**GOOD, "more": 1}], "/", "no field 'more'"),
        ([GOOD, {**GOOD, "id": 2, "body": ["x"]}], "/1/body", "text, number"),
        ([{**GOOD, "body": {"a": 1}}], "/body", "text, number"),
        ([{**GOOD, "body": "x" * 101}], "/body", "101 characters"),
        ([{**GOOD, "body": 10**200}], "/body", "201 characters"),
        ([{**GOOD, "body": 10**5000}], "/body", "too long"),
        ([{**GOOD, "body": "a\0b"}], "/body", "NUL"),
        ([{**GOOD, "body": "\ud800"}], "/body", "Unicode"),
        ([{**GOOD, "id": None}], "/id", "no value"),
        ([{**GOOD, "id": "  "}], "/id", "no value"),
        ([GOOD, GOOD], "/1", "same key"),
    ],
)
def test_a_mistake_names_its_place(rows: list[object], where: str, said: str) -> None:
    with pytest.raises(errors.RequestRefused, match=said) as caught:
        checked(SPEC, rows)
    assert caught.value.where == where
    assert "xxx" not in str(caught.value)  # never the text itself


class Slow:
    """An intake that a bad row ends, and an inbox that counts its transactions."""

    def __init__(self) -> None:
        self.transactions: list[int] = []

    def prepare(self, _stream: StreamSpec, rows: Sequence[Sent]) -> list[Prepared]:
        if any(row.fields["body"] == "deadly" for row in rows):
            raise errors.WorkerDied("the intake ended", where="intake")
        return [Prepared(key=row.key, values={}, digests={}) for row in rows]

    def submit(
        self, _stream: str, submissions: Sequence[Submission]
    ) -> list[tuple[Ticket, ...] | errors.RequestRefused]:
        time.sleep(0.05)
        keys = [row.key for sent in submissions for row in sent.rows]
        assert len(keys) == len(set(keys))
        self.transactions.append(len(keys))
        return [
            tuple(Ticket(id=f"t{row.key}", key=row.key, is_new=True) for row in sent.rows)
            for sent in submissions
        ]

    def outcomes(self, _ids: Sequence[str], *, delivers: bool = False) -> dict[str, Answer]:
        raise AssertionError(delivers)

    def cancel(self, _id: str, *, actor: str) -> Answer | None:
        raise AssertionError(actor)

    def forget(self) -> int:
        return 0

    def waiting(self, _pipeline: str, most: int) -> int:
        raise AssertionError(most)


def test_whoever_sends_at_once_shares_a_transaction_and_one_bad_row_harms_no_other() -> None:
    slow = Slow()
    entrance = Entrance(pipeline="triage", stream=SPEC, keep_s=60)
    door = Doors({"triage": entrance}, slow, slow)
    start = threading.Barrier(20)

    def send(number: int) -> str:
        start.wait()
        body = "deadly" if number == 7 else "text"
        try:
            row = {"id": number // 2, "body": body, "name": None}
            return door.submit("triage", [row], client="c")[0].id
        except errors.WorkerDied:
            return "died"

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(send, range(20)))
    assert [one for n, one in enumerate(found) if n != 7] == [
        f"t{n // 2}" for n in range(20) if n != 7
    ]
    assert found[7] == "died"
    assert sum(slow.transactions) == 19
    assert len(slow.transactions) < 19


class Gated(Slow):
    """An inbox whose second transaction lasts until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.second, self.goes_on = threading.Event(), threading.Event()

    def submit(
        self, stream: str, submissions: Sequence[Submission]
    ) -> list[tuple[Ticket, ...] | errors.RequestRefused]:
        if self.transactions:
            self.second.set()
            assert self.goes_on.wait(60)
        return super().submit(stream, submissions)


def test_who_has_an_answer_waits_for_no_transaction_of_others() -> None:
    gated = Gated()
    door = Doors({"triage": Entrance(pipeline="triage", stream=SPEC, keep_s=60)}, gated, gated)
    sent = [
        door.send("triage", [{"id": n, "body": "text", "name": None}], client="c")
        for n in range(30)
    ]
    try:
        assert gated.second.wait(60)
        answered = [one for one in sent if one.done()]
        assert len(answered) == gated.transactions[0]
    finally:
        gated.goes_on.set()
    assert [one.result(60)[0].id for one in sent] == [f"t{n}" for n in range(30)]


def test_there_is_no_other_pipeline() -> None:
    slow = Slow()
    with pytest.raises(errors.RequestRefused, match="no such pipeline"):
        Doors({}, slow, slow).submit("triage", [GOOD], client="c")
    assert slow.transactions == []

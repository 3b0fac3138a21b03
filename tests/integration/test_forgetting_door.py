"""A row that came through a door is forgotten: what was sent of it goes, and no door takes it."""

import pytest

from insights import errors
from insights.doors.accepting import Doors
from insights.store.forgetting import Forgetting
from insights.wiring.app import App
from tests.forgetting import standing
from tests.integration.test_inbox import app, door, inbox_site, row, send  # noqa: F401 - fixtures
from tests.site import Site

WORDS = "the zither is out of tune"


def test_what_was_sent_of_a_row_goes_and_is_not_taken_again(
    inbox_site: Site,  # noqa: F811
    app: App,  # noqa: F811
    door: Doors,  # noqa: F811
) -> None:
    sent = [row(1, body=WORDS), row(2)]
    both = door.submit("triage", sent, client="test", idempotency_key="k 1")
    assert {"store.inbox"} <= set(standing(inbox_site.store_url, WORDS))
    forgetting = Forgetting(app.store)
    forgetting.forget("ticket", "1", [])
    while forgetting.go_on():
        pass
    assert standing(inbox_site.store_url, WORDS, "k 1") == []
    assert door.outcomes([one.id for one in both], delivers=False).keys() == {both[1].id}
    with pytest.raises(errors.RequestRefused, match="was forgotten") as refused:
        door.submit("triage", [row(3), row(1, body=WORDS)], client="test")
    assert refused.value.where == "/1"
    assert standing(inbox_site.store_url, WORDS) == []
    assert inbox_site.query("SELECT row_key FROM store.ledger") == [("2",)]
    send(door, 3)
    forgetting.allow("ticket", "1")
    send(door, 1, body=WORDS)

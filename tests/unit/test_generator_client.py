"""What the daemon asks of a generator about itself ends no child that is only busy."""

from concurrent.futures import Future

import pytest

from insights.inference import client
from insights.inference.messages import Counters
from insights.model import GenerateRequest, Generation, Message, Segment

REQUEST = GenerateRequest(
    messages=(Message(role="user", segments=(Segment("x", is_template=True),)),),
    output_schema={"type": "object"},
    deadline_s=7200.0,
)


class Child:
    """Stands for the child: keeps what it is asked, and answers nothing by itself."""

    pid = 4711

    def __init__(self, *_: object, **__: object) -> None:
        self.asked: list[tuple[str, float, Future[object]]] = []

    def submit(
        self, method: str, _request: object, _reply: object, *, deadline_s: float
    ) -> Future[object]:
        answer: Future[object] = Future()
        self.asked.append((method, deadline_s, answer))
        return answer

    def questions(self) -> list[tuple[float, Future[object]]]:
        return [
            (within_s, answer) for method, within_s, answer in self.asked if method != "generate"
        ]


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    found = Child()
    monkeypatch.setattr(client, "Worker", lambda *_, **__: found)
    return found


def test_health_and_progress_share_one_question(child: Child) -> None:
    generator = client.LocalGenerator("x.gguf")
    assert generator.tokens() is None
    generator.look()
    assert generator.tokens() is None
    [(_, answer)] = child.questions()
    answer.set_result(Counters(worked_tokens=7))
    assert (generator.engine.worked_tokens, generator.tokens()) == (7, 7)
    assert len(child.questions()) == 2


def test_a_busy_child_has_as_long_as_its_row(child: Child) -> None:
    generator = client.LocalGenerator("x.gguf")
    generator.look()
    [(idle_s, answer)] = child.questions()
    answer.set_result(Counters())
    generator.submit(REQUEST)
    generator.look()
    (_, row_s, row), (busy_s, _) = child.asked[1], child.questions()[-1]
    assert idle_s <= 60 < row_s < busy_s
    row.set_result(Generation(text="{}", finish="stop", model="m"))
    assert generator.in_flight == 0

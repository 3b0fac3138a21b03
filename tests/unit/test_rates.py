"""How many rows a client may send: buckets that fill by the clock."""

from insights.web.rates import Rates


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_by_rows_and_fills_by_the_clock() -> None:
    clock = Clock()
    rates = Rates(60, {}, clock)
    first = rates.take("erp", "triage", 20)
    assert first is not None
    assert (first.left, first.full_s, first.again_s) == (40, 20, 0)
    assert first.headers == {
        "RateLimit-Policy": '"rows";q=60;w=60',
        "RateLimit": '"rows";r=40;t=20',
    }
    for _ in range(40):
        last = rates.take("erp", "triage", 1)
    assert last is not None
    assert (last.left, last.again_s) == (0, 0)
    refused = rates.take("erp", "triage", 1)
    assert refused is not None
    assert refused.headers["Retry-After"] == "1"
    clock.now += refused.again_s
    again = rates.take("erp", "triage", 1)
    assert again is not None
    assert again.again_s == 0


def test_more_rows_than_a_minute_has_are_taken_whole_and_paid_for_after() -> None:
    clock = Clock()
    rates = Rates(60, {}, clock)
    all_of_it = rates.take("erp", "triage", 150)
    assert all_of_it is not None
    assert (all_of_it.left, all_of_it.again_s, all_of_it.full_s) == (0, 0, 150)
    refused = rates.take("erp", "triage", 1)
    assert refused is not None
    assert refused.again_s == 91
    clock.now += 90
    still = rates.take("erp", "triage", 1)
    assert still is not None
    assert still.again_s == 1
    clock.now += 1
    assert getattr(rates.take("erp", "triage", 1), "again_s", None) == 0


def test_clients_and_pipelines_have_buckets_of_their_own_and_some_another_size() -> None:
    rates = Rates(1, {"erp": 2, "batch": 1_000}, Clock())
    said = [rates.take(*one, 1) for one in [("a", "x"), ("a", "y"), ("b", "x"), ("a", "x")]]
    assert [room is not None and room.again_s for room in said] == [0, 0, 0, 60]
    assert [getattr(rates.take("erp", "x", 1), "again_s", None) for _ in range(3)] == [0, 0, 30]
    assert Rates(None, {}).take("a", "x", 1_000_000) is None
    assert Rates(None, {"erp": 1}).take("a", "x", 1_000_000) is None


def test_what_was_refused_for_another_reason_costs_nothing() -> None:
    rates = Rates(60, {}, Clock())
    rates.take("erp", "triage", 60)
    rates.give_back("erp", "triage", 60)
    assert getattr(rates.take("erp", "triage", 60), "again_s", None) == 0
    rates.give_back("nobody", "triage", 60)


def test_buckets_that_are_full_again_are_forgotten() -> None:
    clock = Clock()
    rates = Rates(60, {}, clock)
    for n in range(10_000):
        rates.take(f"jwt:{n}", "triage", 1)
    clock.now += 2
    rates.take("jwt:new", "triage", 60)
    assert len(rates._buckets) == 1
    assert getattr(rates.take("jwt:new", "triage", 1), "again_s", None) == 1

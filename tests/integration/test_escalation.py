"""A cascade of two models on a real installation: calibrated together, marked, exactly once."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from demo import standin
from insights import errors
from insights.steps.cascading import LARGER
from insights.steps.certifying import THRESHOLDS
from tests.site import Site

KINDS = ("question", "problem", "other")


@pytest.fixture(scope="session")
def larger_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another GGUF with random weights."""
    shape = standin.Shape(3, 64, 160, 4, 2, 1_024)
    return standin.build(tmp_path_factory.mktemp("larger") / "larger.gguf", shape)


@pytest.fixture
def two(site: Site, larger_model: Path) -> Site:
    """An installation with a second model, and labels: the first is right in three of four."""
    sha256 = hashlib.sha256(larger_model.read_bytes()).hexdigest()
    site.extra = (
        f'[model.large]\npath = "{larger_model}"\nsha256 = "{sha256}"\nparallel = 4\n'
        "context = 512\n"
    )
    site.write()
    tried = json.loads(site.insights("try", "--sample", "40", "--json").stdout)
    said = {row["key"]: row["output"]["category"] for row in tried[0]["tried"]}
    lines = [
        f"{key},{kind if at % 4 else KINDS[(KINDS.index(kind) + 1) % 3]}"
        for at, (key, kind) in enumerate(said.items())
    ]
    (site.folder / "labels.csv").write_text("\n".join(["ticket_id,category", *lines]) + "\n")
    return site


def calibrated(site: Site) -> dict[str, Any]:
    """Calibrate both; then have it say that half of the rows go on, and a pair is certified."""
    labels = str(site.folder / "labels.csv")
    made = site.insights("calibrate", "--labels", labels, "--escalate-to", "large").stdout
    assert "both" in made
    file = site.folder / "pipelines" / "triage.calibration.json"
    counts: dict[str, Any] = json.loads(file.read_text())
    pairs = counts["pairs"]["category"]
    half = min(range(len(THRESHOLDS)), key=lambda at: abs(pairs["asked"][at] - pairs["rows"] / 2))
    assert 0 < pairs["asked"][half] < pairs["rows"]
    lenient = LARGER.index(0.05)
    pairs["rows"] = 1_000
    pairs["kept"] = [[1_000] * len(LARGER) for _ in THRESHOLDS]
    pairs["wrong"] = [
        [0 if (at, to) == (half, lenient) else 1_000 for to in range(len(LARGER))]
        for at in range(len(THRESHOLDS))
    ]
    file.write_text(json.dumps(counts))
    site.pipeline = (
        '[confidence]\ncalibration = "triage.calibration.json"\nmax_error = { category = 0.1 }\n'
        'escalate_to = "large"\n'
    )
    site.write()
    return {"first": THRESHOLDS[half], **counts}


def made(site: Site) -> dict[str, tuple[Any, ...]]:
    found = site.query(
        "SELECT l.row_key, i.insight_id, i.status, i.route, i.notes, i.prompt_tokens"
        " FROM store.insight i JOIN store.ledger l USING (row_id)"
    )
    return {row[0]: row[1:] for row in found}


def test_rows_that_the_first_is_not_sure_of_are_the_larger_one_s_and_everything_says_so(
    two: Site,
) -> None:
    certified = calibrated(two)
    assert two.run_once()["insights"] == 40
    rows = made(two)
    onward = {key: row for key, row in rows.items() if row[2].endswith(" (escalated)")}
    assert 0 < len(onward) < 40
    assert {row[1] for key, row in rows.items() if key not in onward} == {"ok"}
    number, _, _, notes, tokens = next(iter(onward.values()))
    (note,) = [one for one in notes if one.startswith("the larger model was asked: ")]
    assert f"its error is certified from {certified['first']:.3f} on" in note
    ((told,),) = two.query(
        "SELECT details FROM store.audit_event WHERE action = 'insight' AND insight_id = %s", number
    )
    assert told["escalated"] in note
    assert tokens == told["tokens"][0] + told["first"]["tokens"][0]
    story = two.insights("audit", "show", str(number)).stdout.replace("\n", " ")
    assert "It went on to the pipeline's larger model: category has a confidence" in story
    # Counted where people look.
    day = json.loads(two.insights("status", "--json").stdout)["last_day"]
    assert day["escalated"] == len(onward)
    assert f"{len(onward)} went on to a larger model" in two.insights("status").stdout
    labels = str(two.folder / "labels.csv")
    found = json.loads(two.insights("evaluate", "--labels", labels, "--json").stdout)
    (side,) = found["sides"]
    assert side["escalated"] == sum(key in onward for key in made(two))
    # Made again it goes the same way; and the version says which model it is.
    assert json.loads(two.insights("replay", str(number), "--json").stdout)["same"]
    shown = json.loads(two.insights("pipeline", "show", "triage", "--json").stdout)
    assert certified["first"] == pytest.approx(_definition(shown)["confidence"]["category"])
    assert _definition(shown)["larger"]["confidence"] == {"category": 0.05}
    # An evaluation against that version takes its larger model and thresholds.
    two.prompt += "Decide.\n"
    two.pipeline = ""
    two.write()
    against = two.insights("evaluate", "--labels", labels, "--against", "live", "--json").stdout
    first, second = json.loads(against)["sides"]
    assert (first["escalated"], second["escalated"]) == (side["escalated"], 0)


def _definition(shown: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = shown["definition"]
    return found


@pytest.mark.parametrize("failpoint", ["before-escalation", "after-escalation:3"])
def test_a_kill_between_the_two_models_loses_and_doubles_nothing(two: Site, failpoint: str) -> None:
    calibrated(two)
    assert two.killed(failpoint), f"{failpoint} was never reached"
    two.run_once()
    two.assert_exactly_once({str(key) for key in range(1, 41)})


def test_a_larger_model_that_cannot_be_is_refused_by_name(two: Site) -> None:
    wrong = errors.SettingsError.exit_code
    asked = ("calibrate", "--labels", str(two.folder / "labels.csv"), "--escalate-to")
    assert "there is no model 'huge'" in two.insights(*asked, "huge", code=wrong).stderr
    assert "it is no larger model" in two.insights(*asked, "stand_in", code=wrong).stderr
    calibrated(two)
    two.pipeline = two.pipeline.replace('"large"', '"stand_in"')
    two.write()
    assert "it is no larger model" in two.insights("run", "--once", code=wrong).stderr
    two.extra += '[model.far]\nurl = "https://models.example/v1"\nmodel = "m"\n'
    two.stream += "\nsensitive = true"
    two.pipeline = two.pipeline.replace('"stand_in"', '"far"')
    two.write()
    refused = two.insights("run", "--once", code=wrong).stderr
    assert "may not leave this machine" in refused
    assert "confidence.escalate_to" in refused
    two.pipeline = two.pipeline.replace("category = 0.1", "category = 0.1, urgent = 0.1")
    two.write()
    assert (
        "two models are certified together of one field"
        in two.insights("run", "--once", code=wrong).stderr
    )
    # A calibration with one larger model is none with another, nor without one.
    two.stream = two.stream.replace("\nsensitive = true", "")
    two.pipeline = (
        '[confidence]\ncalibration = "triage.calibration.json"\nmax_error = { category = 0.9 }\n'
    )
    two.write()
    stale = two.insights("run", "--once", code=wrong).stderr
    assert "the calibration is of another version" in stale


def test_a_plan_pays_both_models_each_at_its_own_tariff(two: Site) -> None:
    two.extra += "tariff = { prompt = 100.0, output = 100.0 }\n"
    two.extra += "[model.stand_in.tariff]\nprompt = 1.0\noutput = 1.0\n"
    calibrated(two)
    own = json.loads(two.insights("plan", "--json", "--sample", "40").stdout)[0]
    assert own["money"] > 2 * own["tokens"] / 1e6  # not at the tariff of the first alone
    two.run_once()
    spent = two.query("SELECT sum(money) FROM store.insight")[0][0]
    assert abs(own["money"] / spent - 1) < 0.2
    two.query("UPDATE store.work SET state = 'pending', finished_at = NULL RETURNING 1")
    two.query(
        "INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, output, model,"
        " route, prompt_tokens, reused_tokens, sampled_tokens, forced_tokens, queue_ms, prompt_ms,"
        " decode_ms, compute_ms, money) SELECT row_id, pipeline_version_id, gen_random_uuid(),"
        " 'ok', '{}', 'm', 'local', 70, 0, 20, 10, 0, 0, 0, 36.0, 0.5"
        " FROM store.insight, generate_series(1, 25) RETURNING 1"
    )
    own = json.loads(two.insights("plan", "--json").stdout)[0]
    assert own["basis"] == "its last 1,000 rows"
    assert own["money"] == pytest.approx(40 * 0.5)

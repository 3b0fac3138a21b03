"""`insights evaluate` and `calibrate` on a real database, store and (untrained) model."""

import csv
import json
from pathlib import Path

import pytest

from insights import errors
from tests.helpdesk import Helpdesk
from tests.site import Site

_READS = "SELECT count(*) FROM store.audit_event WHERE action = 'row read'"
KINDS = ("question", "problem", "other")


@pytest.fixture
def labelled(site: Site) -> Path:
    """Labels of the tickets: what the model says, and of every fourth something else."""
    tried = json.loads(site.insights("try", "--sample", "40", "--json").stdout)
    said = {row["key"]: row["output"]["category"] for row in tried[0]["tried"]}
    file = site.folder / "labels.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["ticket_id", "category"])
        for number, (key, kind) in enumerate(said.items()):
            label = kind if number % 4 else KINDS[(KINDS.index(kind) + 1) % 3]
            writer.writerow([key, label])
    return file


def test_an_evaluation_of_two_versions_is_one_command_and_one_report(
    site: Site, labelled: Path
) -> None:
    rows = len(labelled.read_text().splitlines()) - 1
    site.run_once()
    site.prompt += "Decide.\n"
    site.write()
    page = site.folder / "report.html"
    before = site.query("SELECT count(*) FROM store.insight")
    ((reads,),) = site.query(_READS)
    found = json.loads(
        site.insights(
            "evaluate", "triage", "--labels", str(labelled), "--against", "live",
            "--html", str(page), "--json",
        ).stdout
    )  # fmt: skip
    first, second = found["sides"]
    assert "(full)" in first["version"]
    assert "(the files here)" in second["version"]
    assert (first["rows"], second["rows"]) == (rows, rows)
    (field,) = first["fields"]
    assert field["accuracy"]["share"] == pytest.approx(1 - -(-rows // 4) / rows)
    assert field["macro_f1"] is not None
    assert found["paired"]["category"]["rows"] == rows
    assert found["disagreements"]
    assert "Evaluation of triage" in page.read_text()
    assert site.query("SELECT count(*) FROM store.insight") == before  # nothing is written
    shown = {one["key"] for one in found["disagreements"]}
    assert site.query(_READS) == [(reads + len(shown),)]
    text = site.insights("evaluate", "--labels", str(labelled)).stdout
    assert "right of answered" in text


def test_labels_of_a_column_and_rows_that_are_gone(site: Site, labelled: Path) -> None:
    legacy = Helpdesk.of(site.folder / "legacy.sqlite")
    legacy.execute("ALTER TABLE ticket ADD COLUMN decided TEXT")
    legacy.execute("UPDATE ticket SET decided = 'Problem' WHERE ticket_id % 2 = 0")
    legacy.execute("UPDATE ticket SET decided = 'unheard of' WHERE ticket_id % 2 = 1")
    found = json.loads(site.insights("evaluate", "--labels", "category=decided", "--json").stdout)
    assert found["labels"] == "decided"
    assert found["left_out"]["the schema does not allow its label"] > 0
    assert found["sides"][0]["fields"][0]["commonest"] == 1.0
    missing = site.insights(
        "evaluate", "--labels", "category=nowhere", code=errors.StreamError.exit_code
    )
    assert "nowhere" in missing.stderr
    with labelled.open("a") as out:
        out.write("999999,question\n")
    gone = json.loads(site.insights("evaluate", "--labels", str(labelled), "--json").stdout)
    assert gone["absent"] == 1


def test_a_calibration_lets_unsure_rows_abstain_and_is_of_one_version(
    site: Site, labelled: Path
) -> None:
    refused = site.insights(
        "calibrate", "--labels", str(labelled), "--max-error", "category=2%",
        code=errors.SettingsError.exit_code,
    )  # fmt: skip
    assert "do not certify that category is wrong in at most 2.0%" in refused.stderr
    made = site.insights(
        "calibrate", "--labels", str(labelled), "--max-error", "category=80%", "--level", "0.6"
    ).stdout
    assert "max_error = { category = 0.8 }" in made
    assert "level = 0.6" in made
    counts = json.loads((site.folder / "pipelines" / "triage.calibration.json").read_text())
    assert set(counts["fields"]) == {"category"}
    # The certificate asks for more than every second row has: those abstain.
    fields = counts["fields"]["category"]
    at = next(n for n, kept in enumerate(fields["kept"]) if kept >= fields["rows"] / 2)
    fields["wrong"] = [0 if n <= at else kept for n, kept in enumerate(fields["kept"])]
    fields["kept"] = [kept * 1000 if n <= at else kept for n, kept in enumerate(fields["kept"])]
    fields["rows"] *= 1000
    calibration = site.folder / "pipelines" / "triage.calibration.json"
    calibration.write_text(json.dumps(counts))
    site.pipeline = (
        '[confidence]\ncalibration = "triage.calibration.json"\nmax_error = { category = 0.1 }\n'
    )
    site.write()
    site.run_once()
    told = dict(site.query("SELECT status, count(*) FROM store.insight GROUP BY 1"))
    assert told["ok"] > 0
    assert told["abstained"] > 0
    reasons = site.query("SELECT DISTINCT left(reason, 26) FROM store.insight"
                         " WHERE status = 'abstained'")  # fmt: skip
    assert reasons == [("category has a confidence ",)]
    site.prompt += "Decide.\n"
    site.write()
    stale = site.insights("run", "--once", code=errors.SettingsError.exit_code)
    assert "the calibration is of another version" in stale.stderr


def test_reports_that_cannot_be_written_and_calibrations_that_are_none(
    site: Site, labelled: Path
) -> None:
    gone = str(site.folder / "gone" / "x")
    wrong = errors.SettingsError.exit_code
    asked = ("--labels", str(labelled), "--rows", "2")
    refused = site.insights("evaluate", *asked, "--html", gone, code=wrong)
    assert "the file cannot be written: No such file or directory" in refused.stderr
    refused = site.insights("calibrate", *asked, "--out", gone, code=wrong)
    assert "the file cannot be written: No such file or directory" in refused.stderr
    site.pipeline = '[confidence]\ncalibration = "c.json"\nmax_error = { category = 0.1 }\n'
    site.write()
    file = site.folder / "pipelines" / "c.json"
    assert "the calibration cannot be read" in site.insights("run", "--once", code=wrong).stderr
    file.write_text("{}")
    assert "it is no calibration" in site.insights("run", "--once", code=wrong).stderr
    counts = {"rows": 9, "kept": [9], "wrong": [0]}
    told = {"pipeline": "triage", "version": "0", "labels": "x", "made_at": "x"}
    file.write_text(json.dumps({**told, "fields": {"category": counts}}))
    said = site.insights("run", "--once", code=wrong).stderr
    assert "its counts are not at the thresholds of this release" in said

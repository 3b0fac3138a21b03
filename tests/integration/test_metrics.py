"""A scrape of a real daemon: what it has, what it never has, and what alerts and pictures name."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from insights.site.settings import HealthSettings
from tests.answering import Answering, answering
from tests.integration.test_door_metrics import OF_DAEMONS
from tests.site import Site
from tests.symptoms import FAULTS, OF_DOORS, QUIET

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NAME = re.compile(r"\b(?:insights|gen_ai|process)_[a-z_]+\b(?!\s*=)")
LABELS = {
    "pipeline", "status", "step", "charged", "kind", "where", "stream", "change", "sink", "result",
    "budget", "unit", "door", "state", "child", "method", "name", "part", "model", "le", "daemon",
    "gen_ai_request_model", "gen_ai_token_type", "gen_ai_operation_name",
}  # fmt: skip


def _scrape(daemon: Answering) -> dict[str, Metric]:
    status, text = daemon.get("/metrics")
    assert status == 200
    return {one.name: one for one in text_string_to_metric_families(text)}


def _sum(found: dict[str, Metric], name: str, /, **labels: str) -> float:
    family = found.get(name.removesuffix("_total")) or found[re.sub("_(sum|count)$", "", name)]
    return sum(
        one.value
        for one in family.samples
        if one.name == name and labels.items() <= one.labels.items()
    )


def _tells_lag(site: Site, daemon: Answering) -> bool:
    """SQLite has no lag to tell, and each poll says so: it is said again until it was seen."""
    site.query("UPDATE store.stream SET lag_s = 3 RETURNING 1")
    return "insights_replica_lag_seconds" in _scrape(daemon)


def _named() -> Iterator[tuple[str, str]]:
    rules = (DEPLOY / "prometheus" / "insights.rules.yml").read_text()
    for expr in re.findall(r"expr: >-\n\s+(.*)", rules):
        yield from ((name, "rules") for name in NAME.findall(expr))
    for panel in json.loads((DEPLOY / "grafana" / "insights.json").read_text())["panels"]:
        for target in panel["targets"]:
            bare = re.sub(r"by \([^)]*\)", "", target["expr"])
            yield from ((name, panel["title"]) for name in NAME.findall(bare))


def test_a_scrape_tells_what_happened_and_has_all_that_rules_and_dashboard_name(site: Site) -> None:
    site.extra += '[budget.daily]\nunit = "rows"\nper = "day"\nhard = 1000\n'
    with answering(site.write()) as daemon:
        daemon.until(lambda: site.query("SELECT count(*) = 40 FROM store.insight")[0][0])
        daemon.until(lambda: _tells_lag(site, daemon))
        daemon.until(lambda: _sum(_scrape(daemon), "insights_engine_rows_total") >= 40)
        daemon.until(
            lambda: _sum(_scrape(daemon), "insights_published_rows_total", result="delivered") == 40
        )
        found = _scrape(daemon)
        assert _sum(found, "insights_outcomes_total") == 40
        assert _sum(found, "insights_claimed_rows_total", pipeline="triage") >= 40
        assert _sum(found, "insights_changes_total", change="new", stream="ticket") == 40
        assert _sum(found, "gen_ai_client_token_usage_count", gen_ai_token_type="output") == 40
        assert _sum(found, "gen_ai_server_time_to_first_token_seconds_count") == 40
        assert _sum(found, "insights_child_call_seconds_count", child="reader legacy") > 0
        assert _sum(found, "insights_store_statement_seconds_count", name="work.claim_within") > 0
        assert _sum(found, "insights_visible_delay_seconds_count", sink="legacy") == 40
        assert 0 < _sum(found, "insights_visible_delay_seconds_sum") < 40 * 300
        cells = _sum(found, "insights_kv_cache_cells", model="stand_in")
        assert 0 < _sum(found, "insights_kv_cache_used_cells", model="stand_in") <= cells
        assert _sum(found, "insights_ready") == 1
        assert _sum(found, "insights_check_status") == 0
        assert _sum(found, "insights_pending_rows", pipeline="triage") == 0
        assert _sum(found, "process_resident_memory_bytes") < 120e6
        assert _sum(found, "insights_child_resident_memory_bytes", child="generator stand_in") > 1e6
        assert {key for one in found.values() for s in one.samples for key in s.labels} <= LABELS
        samples = {s.name for one in found.values() for s in one.samples}
        known = samples | set(found) | {f"{name}_total" for name in found}
        known |= {f"{one.name}_bucket" for one in found.values() if one.type == "histogram"}
        known |= {f"{one.name}_sum" for one in found.values()}
        known |= OF_DAEMONS  # of sites with doors: they are scraped there
        missing = {(name, where) for name, where in _named() if name not in known}
        assert not missing
        text = daemon.get("/metrics")[1]
        for (key,) in site.query("SELECT row_key FROM store.ledger"):
            assert f'"{key}"' not in text  # nothing of any row


def _case(name: str, alert: str | None, series: dict[str, str], at: str) -> dict[str, object]:
    values = {**QUIET, **series}
    written = {
        one if "{" in one else f"{one}{{}}": value
        if " " in value or "+" in value
        else f"{value}x400"
        for one, value in values.items()
    }
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if alert else []
    return {
        "name": name,
        "interval": "15s",
        "input_series": [
            {"series": one.replace("{", '{instance="i",'), "values": value}
            for one, value in written.items()
        ],
        "promql_expr_test": [{"expr": firing, "eval_time": at, "exp_samples": expected}],
    }


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_each_fault_has_one_alert_within_two_minutes_and_a_quiet_hour_has_none(
    tmp_path: Path,
) -> None:
    rules = DEPLOY / "prometheus" / "insights.rules.yml"
    faults = FAULTS | OF_DOORS
    cases = [_case(name, alert, series, "2m") for name, (alert, series) in faults.items()]
    cases.append(_case("a quiet hour", None, {}, "60m"))
    tests = tmp_path / "rules.test.yml"
    tests.write_text(  # JSON is YAML
        json.dumps({"rule_files": [str(rules)], "evaluation_interval": "15s", "tests": cases})
    )
    done = subprocess.run(
        ["promtool", "test", "rules", tests], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = {alert for alert, _ in faults.values()} | {"InsightsBehind"}
    assert tested == set(re.findall(r"alert: (\w+)", rules.read_text()))


def _with_doors(scrape: str) -> str:
    """Return a scrape configuration whose job for doors is no comment."""
    return re.sub(r"^#(?=  )", "", scrape, flags=re.MULTILINE)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_promtool_takes_rules_and_scrape_configuration(tmp_path: Path) -> None:
    folder = shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    doors = folder / "doors.yml"
    doors.write_text(_with_doors((folder / "scrape.yml").read_text()))
    for kind, file in (
        ("rules", "insights.rules.yml"),
        ("config", "scrape.yml"),
        ("config", doors),
    ):
        command = ["promtool", "check", kind, str(folder / file)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_site_without_doors_has_no_alert_of_one_that_is_down() -> None:
    """Doors are off at first, and what is scraped and not there is an alert."""
    scrape = (DEPLOY / "prometheus" / "scrape.yml").read_text()
    rules = (DEPLOY / "prometheus" / "insights.rules.yml").read_text()
    (job,) = yaml.safe_load(scrape)["scrape_configs"]
    assert job["static_configs"] == [{"targets": [HealthSettings().listen]}]
    _, doors = yaml.safe_load(_with_doors(scrape))["scrape_configs"]
    assert f'up{{job="{doors["job_name"]}"}} == 0' in rules


def test_each_alert_names_cause_and_fix_and_has_its_section() -> None:
    rules = (DEPLOY / "prometheus" / "insights.rules.yml").read_text()
    headings = re.findall(
        r"^### (\w+)$", (DEPLOY.parent / "docs" / "operations.md").read_text(), re.MULTILINE
    )
    alerts = re.findall(r"alert: (\w+)", rules)
    assert headings == alerts
    assert re.findall(r"runbook_url: docs/operations\.md#(\w+)", rules) == [
        alert.lower() for alert in alerts
    ]
    described = re.findall(r"description: (.*)", rules)
    assert len(described) == len(alerts)
    assert all("Fix: " in words for words in described)

"""The dashboard and the alert rules, judged by Prometheus' own tool and held against what the daemon really tells."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.control.sample_signs import BOX, ENGINE
from ucm_provision.control.exposition import expose

pytestmark = pytest.mark.system

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "config" / "observability"
RULES = FOLDER / "prometheus-alerts.yml"
DASHBOARD = FOLDER / "grafana-dashboard.json"
TEXT = expose(ENGINE, BOX).decode()
# Prometheus makes it itself.
UP = "up"


def promtool(*arguments: str | Path, text: str = "") -> str:
    """What it says; the test fails if it is not content."""
    if shutil.which("promtool") is None:
        pytest.fail("promtool is missing: apt-get install --no-install-recommends prometheus")
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def told() -> dict[str, set[str]]:
    """Every metric that the daemon tells, with the labels that it can have."""
    found: dict[str, set[str]] = {UP: set()}
    for family in text_string_to_metric_families(TEXT):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric in an expression, with the labels that it is chosen by."""
    for name, chosen in re.findall(r"\b((?:ucm|process)_\w+|up)\b(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*=~?", chosen))


def test_the_metrics_are_as_prometheus_wants_them() -> None:
    assert promtool("check", "metrics", text=TEXT) == ""


def test_the_rules_parse() -> None:
    assert f"SUCCESS: {len(rules())} rules found" in promtool("check", "rules", RULES)


def test_whatever_rules_and_dashboard_name_exists() -> None:
    known = told()
    named = [each for expression in expressions() for each in selectors(expression)]
    assert {name for name, _ in named} <= known.keys()
    for name, labels in named:
        assert labels <= known[name] | {"job", "instance"}, name


def test_the_dashboard_leaves_out_nothing() -> None:
    """A metric of ours that nobody is shown is one too many."""
    shown = {name for panel in panels() for each in panel["targets"] for name, _ in selectors(each["expr"])}
    assert {name for name in told() if name.startswith("ucm_")} - shown == {"ucm_provision_campaign_open"}


def test_the_dashboard_s_panels_fill_the_grid_without_overlapping() -> None:
    taken = [
        (x, y)
        for panel in panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert {x for x, _ in taken} == set(range(24))
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_the_dashboard_s_expressions_parse(tmp_path: Path) -> None:
    """As rules, with the dashboard's variables filled in."""
    filled = [expression.replace("$job", "ucm-provisiond").replace("$instance", ".*") for expression in expressions()]
    group = {"name": "dashboard", "rules": [{"record": f"r{at}", "expr": each} for at, each in enumerate(filled)]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [group]}))
    promtool("check", "rules", tmp_path / "rules.yml")


def anchors() -> set[str]:
    """The places in the manual, as a page of it would name them."""
    titles = re.findall(r"(?m)^#+ (.+)$", (REPOSITORY / "docs" / "OPERATIONS.md").read_text())
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def test_the_manual_tells_of_every_metric() -> None:
    manual = (
        (REPOSITORY / "docs" / "OPERATIONS.md").read_text().partition("## Metrics and alerts")[2].partition("\n## ")[0]
    )
    told_of = set(re.findall(r"`(\w+)`", manual))
    assert {name.removeprefix("ucm_provision_") for name in told() if name.startswith("ucm_")} <= told_of


def test_every_alert_says_what_is_wrong_and_where_to_read_on() -> None:
    for rule in rules():
        annotations = rule["annotations"]
        assert annotations.keys() == {"summary", "description", "manual"}, rule["alert"]
        page, _, anchor = annotations["manual"].partition("#")
        assert (page, anchor in anchors()) == ("docs/OPERATIONS.md", True), rule["alert"]
        assert rule["labels"]["severity"] in ("person", "urgent")


# What is so for hours, and which alerts it must raise. Whatever is left out stands at a value without an alert.
QUIET = {
    'up{job="ucm-provisiond"}': "1",
    "ucm_provision_api_up": "1",
    "ucm_provision_witness_up": "1",
    "ucm_provision_fleet_up": "1",
    "ucm_provision_clock_synchronized": "1",
    "ucm_provision_event_loop_lag_seconds": "0.01",
    "ucm_provision_state_free_bytes": "1e9",
    "ucm_provision_fleet_dropped_events_total": "3",
    "ucm_provision_certificate_earliest_end_timestamp_seconds": str(40 * 86400),
    'process_resident_memory_bytes{job="ucm-provisiond"}': "9e7",
    'process_start_time_seconds{job="ucm-provisiond"}': "5",
    'ucm_provision_campaign_open{kind="change",state="running"}': "1",
    'ucm_provision_modules_waiting{waits="retry_at",code="api_failed"}': "4",
    'ucm_provision_session_failures_total{code="link_silent"}': "9",
}
RAISED = {
    "UcmProvisiondDown": {'up{job="ucm-provisiond"}': "0"},
    "UcmProvisiondRestarts": {'process_start_time_seconds{job="ucm-provisiond"}': "0+60x300"},
    "UcmModulesNeedPerson": {'ucm_provision_modules_waiting{waits="operator",code="pop_wrong"}': "2"},
    "UcmModulesUnwell": {'ucm_provision_modules_unwell{code="not_online"}': "1"},
    "UcmProvisioningStopped": {'ucm_provision_paused{code="api_unauthorized"}': "1"},
    "UcmAttemptsFail": {'ucm_provision_session_failures_total{code="link_silent"}': "0+5x300"},
    "UcmWitnessDown": {"ucm_provision_witness_up": "0"},
    "UcmCertificateEndsSoon": {"ucm_provision_certificate_earliest_end_timestamp_seconds": str(3 * 86400)},
    "UcmCampaignPaused": {'ucm_provision_campaign_open{kind="change",state="paused"}': "1"},
    "UcmDiskNearlyFull": {"ucm_provision_state_free_bytes": "5e7"},
    "UcmEventLoopLate": {"ucm_provision_event_loop_lag_seconds": "2.5"},
    "UcmMemoryHigh": {'process_resident_memory_bytes{job="ucm-provisiond"}': "9e8"},
    "UcmClockNotSynchronized": {"ucm_provision_clock_synchronized": "0"},
    "UcmFleetDown": {"ucm_provision_fleet_up": "0"},
    "UcmFleetEventsDropped": {"ucm_provision_fleet_dropped_events_total": "0+1x300"},
}


def scenario(changed: dict[str, str], raised: str | None) -> dict[str, Any]:
    """Four hours of it, then a look at who is firing. A value stays unless it says how it goes on."""
    series = [
        {"series": name, "values": value if "x" in value else f"{value}x300"}
        for name, value in (QUIET | changed).items()
    ]
    count = (
        f'count(ALERTS{{alertstate="firing",alertname="{raised}"}})' if raised else 'count(ALERTS{alertstate="firing"})'
    )
    others = f'count(ALERTS{{alertstate="firing",alertname!="{raised}"}})'
    return {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [
            {"expr": count, "eval_time": "4h", "exp_samples": [{"labels": "{}", "value": 1}] if raised else []},
            {"expr": others, "eval_time": "4h", "exp_samples": []},
        ],
    }


def test_every_alert_is_raised_by_what_it_is_for_and_by_nothing_else(tmp_path: Path) -> None:
    assert RAISED.keys() == {rule["alert"] for rule in rules()}
    scenarios = [scenario({}, None), *(scenario(changed, alert) for alert, changed in RAISED.items())]
    tests = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": scenarios}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests))
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "tests.yml")


def test_the_scrape_configuration_names_the_job_that_the_alerts_go_by(tmp_path: Path) -> None:
    jobs = yaml.safe_load((FOLDER / "prometheus-scrape.yml").read_text())
    assert [job["job_name"] for job in jobs] == ["ucm-provisiond"]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": jobs, "rule_files": [str(RULES)]}))
    promtool("check", "config", tmp_path / "prometheus.yml")

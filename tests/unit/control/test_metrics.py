"""What Prometheus is told: every sign under its name, and no series that grows with the site."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.control.known_modules import control_api, own_page, plant
from tests.unit.control.sample_signs import BOX, ENGINE
from ucm_provision.control.exposition import expose
from ucm_provision.control.listening import serving
from ucm_provision.control.metrics import BoxSigns, MetricsRoutes
from ucm_provision.core.errors import Code
from ucm_provision.core.machine import Waits
from ucm_provision.engine.vital_signs import VitalSigns

Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(text: str) -> Samples:
    """By name without our prefix, and the values of the labels, which are told in the order of their names."""
    return {
        (sample.name.removeprefix("ucm_provision_"), tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def exposed(engine: VitalSigns = ENGINE, box: BoxSigns = BOX) -> Samples:
    return samples(expose(engine, box).decode())


def test_every_sign_stands_under_its_name() -> None:
    expected = {
        ("modules", ("VERIFIED",)): 4,
        ("modules", ("SEEN",)): 0,
        ("modules_waiting", ("pop_missing", "operator")): 2,
        ("modules_waiting", ("api_failed", "retry_at")): 3,
        ("modules_unwell", ("not_online",)): 1,
        ("modules_outdated", ()): 6,
        ("candidates", ()): 5,
        ("endpoints", ("http",)): 30,
        ("sessions_under_way", ("push",)): 2,
        ("session_failures_total", ("api_failed",)): 7,
        ("certificate_earliest_end_timestamp_seconds", ()): 1_800_000_000,
        ("api_up", ()): 0,
        ("paused", ("api_unreachable",)): 1,
        ("orders", ("refused",)): 1,
        ("campaign_open", ("change", "running")): 1,
        ("campaign_members", ("done",)): 2,
        ("build_info", ("0.1.0",)): 1,
        ("journal_bytes", ()): 4096,
        ("state_free_bytes", ()): 10**9,
        ("event_loop_lag_seconds", ()): 0.25,
        ("clock_synchronized", ()): 1,
        ("witness_up", ()): 0,
        ("fleet_up", ()): 1,
        ("fleet_dropped_events_total", ()): 9,
    }
    found = exposed()
    assert {key: found.get(key) for key in expected} == expected
    assert found["process_resident_memory_bytes", ()] > 1e6
    assert found["process_open_fds", ()] > 0


def test_what_is_not_there_is_told_by_nothing() -> None:
    engine = replace(ENGINE, paused="", certificate_ends_at=None, campaign=None, waiting={}, unwell={}, failures={})
    names = {name for name, _ in exposed(engine, replace(BOX, witness_up=None, fleet_up=None))}
    assert not names & {
        "paused",
        "certificate_earliest_end_timestamp_seconds",
        "campaign_open",
        "campaign_members",
        "modules_waiting",
        "modules_unwell",
        "session_failures_total",
        "witness_up",
        "fleet_up",
        "fleet_dropped_events_total",
    }
    assert {"modules", "api_up", "build_info"} <= names


def test_no_site_makes_more_series_than_there_are_failures() -> None:
    """However many modules there are, and in whatever state."""
    every = {
        "waiting": {(waits.value, code.value): 1000 for waits in Waits for code in Code},
        "unwell": {code.value: 1000 for code in Code},
        "failures": {code.value: 1000 for code in Code},
    }
    assert len(exposed(replace(ENGINE, **every))) < (len(Waits) + 2) * len(Code) + 80


@asynccontextmanager
async def served() -> AsyncIterator[aiohttp.ClientSession]:
    async def signs() -> tuple[VitalSigns, BoxSigns]:
        return ENGINE, BOX

    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with (
            serving(own_page(control_api(plant(), readable=[MetricsRoutes(signs)])), listener.dup()),
            aiohttp.ClientSession(f"http://127.0.0.1:{listener.getsockname()[1]}") as session,
        ):
            yield session


async def test_it_is_scraped_on_this_box_only() -> None:
    async with served() as client:
        async with client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"}) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert samples(await answer.text()).keys() == exposed().keys()
        async with client.get("/metrics", headers={"Host": "box.example"}) as answer:
            assert answer.status == 403
            assert "ucm_provision" not in await answer.text()


async def test_a_daemon_that_nobody_scrapes_and_that_prints_no_report_loads_nothing_for_it() -> None:
    """Memory and time at start belong to what every box does."""
    check = (
        "import sys, ucm_provision.app; "
        "late = ('prometheus_client', 'segno', 'ucm_provision.site.report.page'); "
        "print([name for name in late if name in sys.modules])"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", check, stdout=asyncio.subprocess.PIPE)
    out, _ = await child.communicate()
    assert out.decode().strip() == "[]"

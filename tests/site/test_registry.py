"""The registry by itself: commits that are shared, constraints, and databases of earlier versions."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.site.harness import new_hardware_id
from ucm_site_api.commits import commit_together
from ucm_site_api.errors import ApiError
from ucm_site_api.records import CredentialDraft, DeviceDraft, Issue, Site
from ucm_site_api.registry import Registry
from ucm_site_api.schema import _MIGRATIONS

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DRAFT = DeviceDraft("VIRTUAL_UCM", None, "n", hardware_id="A" * 32, channel_id="ucm")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    registry = await Registry.open(tmp_path / "registry.sqlite")
    await registry.found(Site("s", "Site", "UTC"), b"digest", "INSTALLER", NOW)
    yield registry
    await registry.close()


def traced(registry: Registry) -> list[str]:
    statements: list[str] = []
    registry._writer.set_trace_callback(statements.append)
    return statements


async def test_calls_at_the_same_time_share_a_commit(registry: Registry) -> None:
    statements = traced(registry)
    drafts = [replace(DRAFT, hardware_id=new_hardware_id(), name=f"Relay {n}") for n in range(100)]
    made = await asyncio.gather(*(registry.enrol(draft, NOW) for draft in drafts))
    assert len({device.id for device in made}) == 100
    # The first call is written by itself, and everybody who came meanwhile after it.
    assert statements.count("COMMIT") == 2


async def test_a_group_has_an_end(registry: Registry) -> None:
    statements = traced(registry)
    await asyncio.gather(*(registry.enrol(replace(DRAFT, hardware_id=new_hardware_id()), NOW) for _ in range(300)))
    assert statements.count("COMMIT") == 4


async def test_sixty_four_at_once_for_one_hardware_id(registry: Registry) -> None:
    made = await asyncio.gather(*(registry.enrol(DRAFT, NOW) for _ in range(64)))
    assert len({device.id for device in made}) == 1
    assert (await registry.devices(None, 0, 10)).total == 1


async def test_who_fails_undoes_its_own_and_nobody_elses(registry: Registry) -> None:
    first = await registry.enrol(DRAFT, NOW)
    issue = Issue(1, CredentialDraft("MQTT", password_digest=b"x"), NOW, timedelta(hours=1))
    await registry.renew(first.id, issue)

    def fails_late(db: sqlite3.Connection) -> None:
        db.execute("UPDATE device SET name = 'half'")
        raise RuntimeError("late")

    outcomes = await asyncio.gather(
        registry.enrol(replace(DRAFT, hardware_id="B" * 32), NOW),
        registry._write(fails_late),
        registry.renew(first.id, issue),  # the number is taken
        registry.enrol(replace(DRAFT, type="LINK_MASTER_UCM"), NOW),
        registry.enrol(replace(DRAFT, hardware_id="C" * 32), NOW),
        return_exceptions=True,
    )
    kinds = [type(outcome).__name__ for outcome in outcomes]
    assert kinds == ["Device", "RuntimeError", "IntegrityError", "ApiError", "Device"]
    page = await registry.devices(None, 0, 10)
    assert [device.hardware_id for device in page.items] == ["A" * 32, "B" * 32, "C" * 32]
    assert {device.name for device in page.items} == {"n"}
    assert len(await registry.credentials("A" * 32)) == 1


async def test_a_write_is_seen_by_the_next_read(registry: Registry) -> None:
    for n in range(50):
        made = await registry.enrol(replace(DRAFT, hardware_id=new_hardware_id(), name=f"Relay {n}"), NOW)
        assert await registry.device(made.id) == made
        assert (await registry.devices(None, 0, 1)).total == n + 1


async def test_caller_that_was_cancelled_keeps_nobody_waiting(registry: Registry) -> None:
    calls = [asyncio.create_task(registry.enrol(replace(DRAFT, hardware_id=new_hardware_id()), NOW)) for _ in range(9)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False] * 4 + [True]
    assert (await registry.device(outcomes[1].id)) == outcomes[1]  # type: ignore[union-attr]


async def test_database_that_is_busy_fails_the_group_and_no_more(registry: Registry, tmp_path: Path) -> None:
    registry._writer.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(tmp_path / "registry.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    calls = (registry.enrol(replace(DRAFT, hardware_id=new_hardware_id()), NOW) for _ in range(3))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, sqlite3.OperationalError) for outcome in outcomes)
    other.execute("ROLLBACK")
    other.close()
    assert (await registry.enrol(DRAFT, NOW)).hardware_id == "A" * 32


def test_transaction_that_sqlite_ended_is_nobodys(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None)
    db.execute("CREATE TABLE t (x INTEGER UNIQUE)")

    def ends_it(db: sqlite3.Connection) -> None:
        db.execute("ROLLBACK")  # as a full disk does
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(sqlite3.OperationalError, match="full"):
        commit_together(db, [lambda db: db.execute("INSERT INTO t VALUES (1)"), ends_it])
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert not db.in_transaction
    db.close()


CONSTRAINED = [
    (
        "INSERT INTO device (id, site_id, type, hardware_id, name, slug, created_at, updated_at)"
        " SELECT 'other', site_id, type, hardware_id, name, 'other', created_at, updated_at FROM device"
    ),
    (
        "INSERT INTO device (id, site_id, type, name, slug, created_at, updated_at)"
        " SELECT 'other', site_id, type, name, slug, created_at, updated_at FROM device"
    ),
    (
        "INSERT INTO device (id, site_id, type, name, slug, created_at, updated_at)"
        " SELECT id, site_id, type, name, 'other', created_at, updated_at FROM device"
    ),
    (
        "INSERT INTO device (id, site_id, type, name, slug, created_at, updated_at)"
        " SELECT 'other', 'nowhere', type, name, slug, created_at, updated_at FROM device"
    ),
    "DELETE FROM site",
    "UPDATE device SET upstream_id = 'nobody'",
]


@pytest.mark.parametrize("statement", CONSTRAINED)
async def test_rules_are_the_databases_own(registry: Registry, statement: str) -> None:
    await registry.enrol(DRAFT, NOW)

    def run(db: sqlite3.Connection) -> Any:
        return db.execute(statement).fetchall()

    with pytest.raises(sqlite3.IntegrityError):
        await registry._write(run)


async def test_upstream_device_cannot_be_deleted_behind_our_back(registry: Registry) -> None:
    runtime = await registry.enrol(DRAFT, NOW)
    await registry.enrol_lua(DeviceDraft("LUA", None, "n", upstream_id=runtime.id, blueprint_id="b"), NOW)
    with pytest.raises(ApiError):
        await registry.delete_device(runtime.id, NOW)

    def run(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM device WHERE id = ?", (runtime.id,))

    with pytest.raises(sqlite3.IntegrityError):
        await registry._write(run)


async def test_pages_and_totals_beside_deleted_devices_and_other_sites(registry: Registry) -> None:
    alone = await registry.enrol(DRAFT, NOW)
    assert (await registry.devices("s", 0, 3)).items == [alone]
    assert (await registry.devices("nobody", 0, 3)).total == 0
    await registry.delete_device(alone.id, NOW)
    await registry.add_site(Site("other", "Other", "UTC"), NOW)
    drafts = [replace(DRAFT, hardware_id=new_hardware_id(), site_id=("s", "other")[n % 2]) for n in range(20)]
    added = [await registry.enrol(draft, NOW) for draft in drafts]
    for gone in (0, 5, 6, 19):
        await registry.delete_device(added[gone].id, NOW)
    left = [device for n, device in enumerate(added) if n not in {0, 5, 6, 19}]
    for site_id in (None, "s", "other"):
        expected = [device for device in left if site_id in {None, device.site_id}]
        for offset in range(len(expected) + 2):
            page = await registry.devices(site_id, offset, 3)
            assert page.items == expected[offset : offset + 3]
            assert page.total == len(expected)


@pytest.mark.parametrize("version", range(1, len(_MIGRATIONS)))
async def test_database_of_an_earlier_version_keeps_everything(tmp_path: Path, version: int) -> None:
    db = sqlite3.connect(tmp_path / "registry.sqlite")
    db.executescript("".join(_MIGRATIONS[:version]))
    db.execute(f"PRAGMA user_version = {version}")
    moment = "2026-01-01T00:00:00.000000Z"
    db.execute(f"INSERT INTO site (id, name, timezone, created_at) VALUES ('s', 'Site', 'UTC', '{moment}')")
    db.execute(f"INSERT INTO token (digest, role, created_at) VALUES (x'00ff', 'OWNER', '{moment}')")
    for n in range(3):
        device = (f"d{n}", "s", "HARDWARE_UCM", f"{n}" * 32, "ucm", "Relay", f"relay-{n}", "MQTTS", moment, moment)
        db.execute(
            "INSERT INTO device (id, site_id, type, hardware_id, channel_id, name, slug, protocol, created_at,"
            " updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            device,
        )
        db.execute(
            "INSERT INTO credential (subject, number, device_id, protocol, serial, issued_at, not_after)"
            " VALUES (?, 1, ?, 'MQTTS', ?, ?, ?)",
            (f"{n}" * 32, f"d{n}", f"{n}", moment, moment),
        )
    db.commit()
    db.close()
    registry = await Registry.open(tmp_path / "registry.sqlite")
    page = await registry.devices("s", 0, 10)
    assert [(device.id, device.slug, device.protocol) for device in page.items] == [
        (f"d{n}", f"relay-{n}", "MQTTS") for n in range(3)
    ]
    assert [len(await registry.credentials(f"{n}" * 32)) for n in range(3)] == [1, 1, 1]
    (kept,) = await registry.tokens()
    assert (kept.role, kept.site_id, kept.name) == ("OWNER", None, "")
    await registry.delete_device("d1", NOW)
    again = await registry.enrol(replace(DRAFT, type="HARDWARE_UCM", hardware_id="2" * 32), NOW)
    assert again.id == "d2"
    await registry.close()

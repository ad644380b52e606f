"""The daemon as systemd starts it: what it says to its manager, and how it ends. No systemd is needed for that."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.e2e.station import BIN, DEADLINE, Station, site_settings, station_at, ucmctl
from tests.service_manager import Manager, manager
from tests.unit.store.old_journals import restore, schema
from ucm_provision.core import policy
from ucm_provision.host import config
from ucm_provision.host.systemd import ServiceManager
from ucm_provision.service import Service
from ucm_site_api import SiteApi

pytestmark = pytest.mark.system


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    async with SiteApi(site_settings(tmp_path)) as site:
        yield station_at(site, tmp_path)


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[Manager]:
    with manager(tmp_path / "notify.sock") as listening:
        yield listening


@asynccontextmanager
async def service(
    station: Station, notified: Manager, *wrapper: str, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """``wrapper``: a command that starts the daemon."""
    command = [*wrapper, str(BIN / "ucm-provisiond"), "--config", str(station.configure())]
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | {"NOTIFY_SOCKET": notified.address} | environment,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        print(await words(process))  # shown when the test fails


async def words(process: asyncio.subprocess.Process) -> str:
    """Everything it has said, once it has ended."""
    async with asyncio.timeout(DEADLINE):
        _, said = await process.communicate()
    return said.decode()


async def test_from_start_to_stop(station: Station, notified: Manager) -> None:
    async with service(station, notified) as process:
        await notified.until("READY=1")
        assert (await ucmctl(station.socket, "status"))[0] == 0
        if "STATUS=no modules yet" not in notified.heard:
            await notified.until("STATUS=no modules yet")
        async with station.module():
            await notified.until("STATUS=1 verified")
        process.terminate()
        await notified.until("STOPPING=1")
        said = await words(process)
    assert process.returncode == 0
    assert [json.loads(line)["event"] for line in said.splitlines()][-1] == "daemon stopped"


async def test_signs_of_life(station: Station, notified: Manager) -> None:
    async with service(station, notified, WATCHDOG_USEC="600000"):
        for _ in range(3):
            await notified.until("WATCHDOG=1")
        assert "READY=1" in notified.heard


async def test_sockets_that_systemd_opened(station: Station, notified: Manager, unused_tcp_port: int) -> None:
    """They are served and, when the daemon stops, still there for the next one."""
    control, web = station.folder / "systemd.sock", f"127.0.0.1:{unused_tcp_port}"
    wrapper = ["systemd-socket-activate", f"--listen={control}", f"--listen={web}", "--fdname=control:web"]
    wrapper += [f"--setenv=NOTIFY_SOCKET={notified.address}"]
    async with service(station, notified, *wrapper) as process:
        assert process.stderr is not None
        while b"Listening on" not in await asyncio.wait_for(process.stderr.readline(), DEADLINE):
            pass
        while b"Listening on" not in await asyncio.wait_for(process.stderr.readline(), DEADLINE):
            pass
        async with aiohttp.ClientSession() as browser, browser.get(f"http://{web}/v1/status") as answer:
            assert answer.status == 200
        assert (await ucmctl(control, "status"))[0] == 0
        assert not station.socket.exists()
        process.terminate()
        await words(process)
    assert control.is_socket()


async def test_a_missing_token_is_said_in_words(station: Station, notified: Manager) -> None:
    """With what the unit hands over where there is no token."""
    configuration = station.configure()
    configuration.write_text("\n".join(line for line in configuration.read_text().splitlines() if "token" not in line))
    credentials = station.folder / "credentials"
    credentials.mkdir()
    (credentials / "api-token").write_text("\n")
    process = await asyncio.create_subprocess_exec(
        BIN / "ucm-provisiond",
        "--config",
        configuration,
        env=os.environ | {"NOTIFY_SOCKET": notified.address, "CREDENTIALS_DIRECTORY": str(credentials)},
        stderr=asyncio.subprocess.PIPE,
    )
    said = await words(process)
    assert process.returncode == 78
    assert said.startswith("TOKEN_MISSING: There is no token for the provisioning API.")
    assert f"STATUS={' '.join(said.split())}" in notified.drain()
    assert "READY=1" not in notified.heard


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 4 MiB; a file in it that fills it."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "none", folder], check=True, timeout=DEADLINE)
    try:
        ballast = folder / "ballast"
        ballast.write_bytes(b"x" * (4 * 1024 * 1024 - 64 * 1024))
        yield ballast
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=DEADLINE)


def fill(ballast: Path) -> None:
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(descriptor, b"x" * 4096):
            pass
    os.close(descriptor)


async def test_a_full_disk_is_waited_out(station: Station, notified: Manager) -> None:
    with small_disk(station.folder / "state") as ballast:
        async with service(station, notified, WATCHDOG_USEC="30000000") as process, station.module():
            assert "DISK_FULL: The disk with the state folder is full" in await notified.until("STATUS=")
            await notified.until("READY=1")
            status, said = await ucmctl(station.socket, "status")
            assert (status, said.split(":")[0]) == (5, "DISK_FULL")
            ballast.unlink()
            await notified.until("STATUS=1 verified")
            assert process.returncode is None


async def test_a_disk_that_fills_up_in_the_middle(station: Station, notified: Manager) -> None:
    """The first event that cannot be written down ends everything; with room again the module is provisioned."""
    with small_disk(station.folder / "state") as ballast:
        ballast.unlink()
        async with service(station, notified):
            await notified.until("READY=1")
            fill(ballast)
            async with station.module() as module:
                await notified.until("STATUS=DISK_FULL")
                assert module.executed("commit") == 0
                ballast.unlink()
                await notified.until("STATUS=1 verified")
                assert module.executed("commit") == 1


async def test_a_disk_without_room_for_the_copy_of_an_older_journal(station: Station, notified: Manager) -> None:
    with small_disk(station.folder / "state") as ballast:
        journal = ballast.with_name("journal.sqlite3")
        ballast.unlink()
        restore(journal, "schema-1.sql")
        ballast.write_bytes(b"x" * (shutil.disk_usage(ballast.parent).free - policy.JOURNAL_ROOM - 8192))
        async with service(station, notified) as process:
            said = await words(process)
        assert process.returncode == 78
        assert "no room for a copy before its schema changes" in said
        assert schema(journal) == 1


async def test_without_progress_there_are_no_signs_of_life(station: Station, notified: Manager) -> None:
    """A daemon whose journal does not answer any more, as on a disk that hangs."""

    class Hanging:
        async def prove_life(self) -> None:
            await asyncio.Event().wait()

    running = Service(config.load(station.configure()), ServiceManager(notified.address, 0.3), {})
    with capture_logs() as said:

        async def complained(times: int) -> None:
            while [entry["event"] for entry in said].count("no progress") < times:  # noqa: ASYNC110 -- a log has no event to wait for
                await asyncio.sleep(0)

        signs = asyncio.create_task(running._give_signs_of_life(0.1))
        await notified.until("WATCHDOG=1")
        running._daemon = Hanging()  # type: ignore[assignment]
        async with asyncio.timeout(DEADLINE):
            await complained(1)
            notified.drain().clear()
            await complained(3)
        assert notified.drain() == []
        signs.cancel()

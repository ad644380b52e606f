"""The image, run as documented: it starts, answers, says what it lacks, and ends when told."""

from __future__ import annotations

import json
import time

from tests.image import documented
from tests.image.box import USER, Box, Container
from ucm_provision.core.errors import Exit

# Docker waits ten seconds before it kills.
STOPS_WITHIN = 5.0
PRIVILEGES = """
import os
print(os.getuid(), os.getgid(), *sorted({*os.getgroups()} - {os.getgid()}))
print(*[place for place in ("/", "/etc", "/opt", "/tmp") if os.access(place, os.W_OK)])
print(*{line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")})
"""


def test_the_compose_file_says_what_the_manual_says() -> None:
    assert documented.compose_line() == documented.run_line()


async def test_it_starts_answers_its_health_check_and_stops_when_told(box: Box) -> None:
    async with box.running() as container:
        await container.healthy()
        first = (await container.ask("cat", "/proc/1/cmdline")).out.split("\0")
        assert first[1].endswith("/ucm-provisiond")
        checked = await container.ask("ucm-provisiond", "check-config")
        assert checked.status == 0, checked.said
        began = time.monotonic()
        assert await container.stop() == 0
        assert time.monotonic() - began < STOPS_WITHIN
        log = await container.log()
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert (events.count("daemon started"), events[-1]) == (1, "daemon stopped")


async def test_what_it_knows_outlives_the_container(box: Box) -> None:
    async with box.running() as container:
        await container.healthy()
        added = await container.ask("ucmctl", "wifi", "add", "plant-new", "--open")
        assert added.status == 0, added.said
    async with box.running() as container:
        await container.healthy()
        assert "plant-new" in (await container.ask("ucmctl", "wifi", "show")).out


async def test_it_is_a_user_without_privileges_who_writes_nowhere_but_in_its_own_places(box: Box) -> None:
    async with box.running() as container:
        await container.healthy()
        who, writable, capabilities = (await container.ask("python3", "-c", PRIVILEGES)).out.splitlines()
    assert who == f"{USER} {USER} 20 {box.group}"
    assert (writable, capabilities) == ("", "0" * 16)


async def test_a_daemon_that_does_not_answer_is_unhealthy(box: Box) -> None:
    async with box.running(None, "sleep", "60") as container:
        assert not await container.is_healthy()


async def refused(container: Container) -> str:
    """Its last words, of one that does not start and that no restart would help."""
    assert await container.ended() == Exit.CONFIG
    return await container.log()


async def test_without_a_token_it_does_not_start_and_says_so(box: Box) -> None:
    (box.folder / "etc" / "secrets" / "api-token").unlink()
    async with box.running() as container:
        assert "(/run/secrets/api-token: No such file or directory)" in await refused(container)


async def test_a_token_for_root_alone_is_told_from_none(box: Box) -> None:
    (box.folder / "etc" / "secrets" / "api-token").chmod(0o400)
    async with box.running() as container:
        assert "(/run/secrets/api-token: Permission denied)" in await refused(container)


async def test_a_box_without_a_name_of_its_own_is_refused(box: Box) -> None:
    """The image brings no machine id, which every box that runs it would share."""
    async with box.running(box.line().without("/etc/machine-id")) as container:
        assert "set box.id" in await refused(container)


async def test_an_unreadable_configuration_is_named(box: Box) -> None:
    (box.folder / "etc" / "ucm-provision.toml").write_text("[usb]\nglob = []\n")
    async with box.running() as container:
        assert "/etc/ucm-provision/ucm-provision.toml, line 2, usb.glob: unknown key" in await refused(container)

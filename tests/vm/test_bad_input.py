"""What a person or a machine gets wrong is said in words, by systemctl and in the journal, and never restarted at."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.vm.box import CONFIG, SERVICE, STATE, TOKEN, Box
from tests.vm.cables import FtdiCable
from tests.vm.machine.guest import GuestError

_EX_CONFIG = "78"
_UNAVAILABLE = 5


@pytest.fixture(scope="module", autouse=True)
async def recovered(box: Box) -> AsyncIterator[None]:
    """In the end every cause has been put right and the service runs again."""
    yield
    await box.restart()


async def assert_stays_down(box: Box, words: str) -> None:
    """The service does not start, says why, and does not try again, whoever asks for it."""
    since = await box.now()
    with pytest.raises(GuestError):
        await box.restart()
    assert await box.show("ActiveState") == "failed"
    assert await box.show("ExecMainStatus") == _EX_CONFIG
    assert await box.show("NRestarts") == "0"
    assert words in await box.show("StatusText")
    assert words in await box.said(since)
    assert words in (await box.guest.attempt(f"systemctl status --no-pager {SERVICE}")).out


@asynccontextmanager
async def moved_away(box: Box, path: str) -> AsyncIterator[None]:
    await box.guest.run(f"mv {path} {path}.aside")
    try:
        yield
    finally:
        await box.guest.run(f"mv {path}.aside {path}")


async def test_a_missing_token(box: Box) -> None:
    async with moved_away(box, TOKEN):
        await assert_stays_down(box, "There is no token for the provisioning API.")
        since = await box.now()
        # The control socket is systemd's: whoever connects starts the service, once, and is turned away with it.
        answer = await box.guest.attempt("ucmctl status", within=120)
        assert (answer.status, "does not answer" in answer.err) == (_UNAVAILABLE, True)
        await box.until_shown("ActiveState", "^failed$")
        assert (await box.said(since)).count("There is no token") <= 1
        assert await box.guest.run("systemctl is-active ucm-provisiond.socket") == "active\n"


async def test_a_configuration_that_cannot_be_read(box: Box) -> None:
    async with moved_away(box, CONFIG):
        await box.guest.run(f"install -m 600 {CONFIG}.aside {CONFIG}")
        await assert_stays_down(box, "Permission denied")


async def test_a_configuration_that_cannot_be_understood(box: Box) -> None:
    async with moved_away(box, CONFIG):
        await box.guest.write(CONFIG, "[usb]\nbaud = true\n")
        await assert_stays_down(box, f"{CONFIG}, line 2, usb.baud")


async def test_a_journal_that_is_newer_than_the_program(box: Box) -> None:
    journal = f"{STATE}/journal.sqlite3"
    await box.stop()
    async with moved_away(box, journal):
        later = f'import sqlite3; sqlite3.connect("{journal}").execute("PRAGMA user_version = 99")'
        await box.guest.run(f"runuser -u ucm-provision -- python3 -c '{later}'")
        await assert_stays_down(box, "The journal was written by a newer version of the daemon.")


async def test_a_full_disk_is_waited_out(box: Box) -> None:
    async with small_state_folder(box):
        await box.guest.run(f"head --bytes 64M /dev/zero > {STATE}/filler 2> /dev/null || true")
        since = await box.now()
        await box.restart()
        assert "The disk with the state folder is full" in await box.show("StatusText")
        assert "The disk with the state folder is full" in await box.said(since)
        answer = await box.guest.attempt("ucmctl status")
        assert answer.status != 0
        assert "Make room" in answer.err
        await box.guest.run(f"rm {STATE}/filler")
        await box.until_shown("StatusText", "^no modules yet$")
        assert await box.show("NRestarts") == "0"


@asynccontextmanager
async def small_state_folder(box: Box) -> AsyncIterator[None]:
    """A state folder on a disk of its own. Leaves the service stopped."""
    await box.guest.run(
        f"systemctl stop {SERVICE} && truncate --size 16M /var/tmp/disk && mke2fs -q /var/tmp/disk"
        f" && mount -o loop /var/tmp/disk {STATE} && chown ucm-provision: {STATE}"
    )
    try:
        yield
    finally:
        await box.guest.run(f"systemctl stop {SERVICE} && umount {STATE} && rm /var/tmp/disk")


async def test_a_port_that_another_program_holds(box: Box) -> None:
    """One of a name that is known for it, which was quicker than the daemon."""
    module = box.plant.module()
    await box.stop()
    async with FtdiCable(box.guest, module).plugged():
        await box.guest.until("ls /dev", "^ttyUSB0$")
        async with held(box, "/dev/ttyUSB0"):
            since = await box.now()
            await box.restart()
            await box.until_shown("StatusText", r"1 to be tried again \(port_busy\)")
            assert "Another program holds the port." in await box.said(since)
            assert module.frames == 0
        await box.until_verified(module.identity.hardware_id)


@asynccontextmanager
async def held(box: Box, node: str) -> AsyncIterator[None]:
    """A root's program that is the only one to have the port, as brltty has it."""
    hold = f"import fcntl, signal, termios; port = open({node!r}); fcntl.ioctl(port, termios.TIOCEXCL); signal.pause()"
    await box.guest.run(
        "install /usr/bin/python3 /run/brltty && "
        f"systemd-run --quiet --collect --unit brltty --property Type=exec /run/brltty -c {shlex.quote(hold)}"
    )
    await box.guest.until("ls -l /proc/$(systemctl show --property MainPID --value brltty)/fd", node)
    try:
        yield
    finally:
        await box.guest.run("systemctl stop brltty; rm /run/brltty")


@pytest.mark.parametrize("years", [30, -30])
async def test_a_clock_that_jumps_by_years(box: Box, years: int) -> None:
    """The broker's certificate has not begun yet, or is long over."""
    await box.guest.run(f"systemctl start {SERVICE}")
    invocation, since = await box.show("InvocationID"), await box.now()
    module = box.plant.module()
    cable = FtdiCable(box.guest, module)
    async with cable.plugged():
        async with jumped(box, years):
            await box.until_shown("StatusText", r"1 waiting for you \(broker_tls_expired\)")
            assert "Check the broker's certificate, and this box's clock." in await box.said(since)
            assert module.executed("begin") == 0
        await cable.unplug()
        await cable.plug()
        await box.until_verified(module.identity.hardware_id)
    assert await box.show("InvocationID") == invocation


@asynccontextmanager
async def jumped(box: Box, years: int) -> AsyncIterator[None]:
    """The guest's clock is off by so many years, and right again in the end."""
    offset = years * 365 * 24 * 3600
    await box.guest.run(f"date --set @$(($(date +%s) + {offset}))")
    try:
        yield
    finally:
        await box.guest.run(f"date --set @$(($(date +%s) - {offset}))")

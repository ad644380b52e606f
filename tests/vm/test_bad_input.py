"""What a person or a machine gets wrong is said in words, by systemctl and in the journal, and never restarted at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.vm.box import CONFIG, SERVICE, STATE, TOKEN, Box

_EX_CONFIG = "78"


async def assert_stays_down(box: Box, words: str) -> None:
    """The service does not start, says why, and does not try again, whoever asks for it."""
    since = await box.now()
    assert (await box.guest.attempt(f"systemctl restart {SERVICE}")).status != 0
    assert await box.show("ActiveState") == "failed"
    assert await box.show("ExecMainStatus") == _EX_CONFIG
    assert await box.show("NRestarts") == "0"
    assert words in await box.show("StatusText")
    assert words in await box.said(since)
    assert words in (await box.guest.attempt(f"systemctl status --no-pager {SERVICE}")).out


@asynccontextmanager
async def recovering(box: Box) -> AsyncIterator[None]:
    """In the end the cause has been put right and the service starts again."""
    try:
        yield
    finally:
        await box.restart()


@asynccontextmanager
async def moved_away(box: Box, path: str) -> AsyncIterator[None]:
    await box.guest.run(f"mv {path} {path}.aside")
    try:
        yield
    finally:
        await box.guest.run(f"mv {path}.aside {path}")


async def test_a_missing_token(box: Box) -> None:
    async with recovering(box), moved_away(box, TOKEN):
        await assert_stays_down(box, "There is no token for the provisioning API.")


async def test_a_configuration_that_cannot_be_read(box: Box) -> None:
    async with recovering(box), moved_away(box, CONFIG):
        await box.guest.run(f"install -m 600 {CONFIG}.aside {CONFIG}")
        await assert_stays_down(box, "Permission denied")


async def test_a_configuration_that_cannot_be_understood(box: Box) -> None:
    async with recovering(box), moved_away(box, CONFIG):
        await box.guest.write(CONFIG, "[usb]\nbaud = true\n")
        await assert_stays_down(box, f"{CONFIG}, line 2, usb.baud")


async def test_a_journal_that_is_newer_than_the_program(box: Box) -> None:
    async with recovering(box), moved_away(box, f"{STATE}/journal.sqlite3"):
        await box.guest.run(
            f"systemctl stop {SERVICE} && runuser -u ucm-provision -- python3 -c "
            f'\'import sqlite3; sqlite3.connect("{STATE}/journal.sqlite3").execute("PRAGMA user_version = 99")\''
        )
        await assert_stays_down(box, "The journal was written by a newer version of the daemon.")


async def test_a_question_does_not_wake_what_cannot_work(box: Box) -> None:
    """Each question over the control socket would start the service anew."""
    async with recovering(box), moved_away(box, TOKEN):
        await box.guest.attempt(f"systemctl restart {SERVICE}")
        since = await box.now()
        answer = await box.guest.attempt("ucmctl status", within=120)
        assert answer.status != 0
        print(
            answer,
            await box.said(since),
            await box.show("ActiveState"),
            await box.guest.attempt("systemctl status ucm-provisiond.socket"),
        )

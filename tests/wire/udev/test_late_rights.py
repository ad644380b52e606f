"""A node that the kernel has made and udev has not yet given away, met by a daemon without privileges."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ucm_provision.core.errors import Code, UcmError
from ucm_provision.transports import serial as transport
from ucm_provision.transports.serial import open_port

NOBODY = 65534
BAUD = 115200


@contextmanager
def unprivileged() -> Iterator[None]:
    """Rights count in here, for all threads, even where the tests run as root."""
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)


@pytest.fixture
def closed_node() -> Iterator[Path]:
    """A serial port that nobody may open, and whose owner, who may change that, is whoever tests."""
    master, slave = os.openpty()
    node = Path(os.ttyname(slave))
    if os.geteuid() == 0:
        os.chown(node, NOBODY, -1)
    node.chmod(0)
    yield node
    os.close(master)
    os.close(slave)


async def test_it_is_opened_once_the_rights_are_there(closed_node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denied, really = threading.Event(), transport._open

    def observed(address: str, baud: int) -> Any:
        try:
            return really(address, baud)
        except PermissionError:
            denied.set()
            raise

    monkeypatch.setattr(transport, "_open", observed)
    with unprivileged():
        opening = asyncio.ensure_future(open_port(str(closed_node), BAUD))
        assert await asyncio.to_thread(denied.wait, 5)
        await asyncio.to_thread(closed_node.chmod, 0o600)
        await (await opening).close()


async def test_it_is_reported_when_they_do_not_come(closed_node: Path) -> None:
    with unprivileged(), pytest.raises(UcmError) as caught:
        await open_port(str(closed_node), BAUD, retry_for=0.3)
    assert caught.value.code is Code.PORT_DENIED

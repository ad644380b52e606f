"""Espressif's client, and simulated modules for it to talk to."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from tests.oracle.espressif import Espressif, NotInstalledError, load
from tests.oracle.sample import HARDWARE_ID
from ucm_sim import Identity, SerialModule, Verifier


class Running(Protocol):
    """A module that runs while it is entered; its verifier is the given one, or its own for `pop`."""

    def __call__(self, pop: str, verifier: Verifier | None = None) -> AbstractAsyncContextManager[SerialModule]: ...


@pytest.fixture(scope="session")
def espressif() -> Espressif:
    try:
        return load()
    except NotInstalledError as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture
def running(tmp_path: Path) -> Running:
    @asynccontextmanager
    async def run(pop: str, verifier: Verifier | None = None) -> AsyncIterator[SerialModule]:
        identity = Identity(HARDWARE_ID, pop, verifier=verifier)
        async with SerialModule(identity, tmp_path / "flash", tmp_path / "ttyUCM0", baud=0, boot_s=0) as module:
            await module.until(lambda module: module.answers, timeout=10)
            yield module

    return run

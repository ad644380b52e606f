"""Lines that are unplugged at a test's end, and a check that no file descriptor outlives it."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.wire.link.scripted import Request, ScriptedLine

MakeLine = Callable[[Callable[[Request], list[bytes]]], ScriptedLine]


@pytest.fixture
async def make_line() -> AsyncIterator[MakeLine]:
    lines: list[ScriptedLine] = []

    def make(answer: Callable[[Request], list[bytes]]) -> ScriptedLine:
        lines.append(ScriptedLine(answer))
        return lines[-1]

    yield make
    for line in lines:
        line.unplug()


def terminals() -> list[str]:
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            target = str(fd.readlink())
        except FileNotFoundError:  # the descriptor of this very listing
            continue
        if target.startswith(("/dev/pts/", "/dev/ptmx")):
            found.append(target)
    return sorted(found)


@pytest.fixture(autouse=True)
def no_terminal_is_left_open() -> Iterator[None]:
    before = terminals()
    yield
    assert terminals() == before

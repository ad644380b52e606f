"""The console's tail: bounded, printable, and without what may be a secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucm_provision.core import policy
from ucm_provision.link.console import Console


def shown(*lines: str) -> str:
    console = Console()
    console.add("\r\n".join(lines).encode())
    return console.text()


@pytest.mark.parametrize(
    "dump",
    [
        "I (412) security2: 4d 3d 2b 0c e4 41 f0 55 76 3e d6 46 27 6b 11 9b",
        "I (412) security2: 0x3ffb4280   4d 3d 2b 0c e4 41 f0 55  76 3e d6 46 27 6b 11 9b  |M=+..A.Uv>.F'k..|",
        "nonce c4115fe09d3276ab00000001",
        "4d:3d:2b:0c:e4",
        "0x4d, 0x3d, 0x2b, 0x0c",
        "4d3d2b0c e441f055 763ed646",
    ],
)
def test_hex_dumps_are_dropped(dump: str) -> None:
    assert shown("before", dump, "after") == "before\nafter"


@pytest.mark.parametrize(
    "line",
    [
        '{"ver":"v1","name":"PROV_12","pop":"abcd1234","transport":"softap"}',
        "I (900) wifi: connecting with passphrase hunter22",
        "PSK=hunter22",
        "api token: 1234",
    ],
)
def test_lines_that_may_name_a_secret_are_dropped(line: str) -> None:
    assert shown("before", line, "after") == "before\nafter"


@pytest.mark.parametrize(
    "line",
    [
        "rst:0x1 (POWERON),boot:0xd (SPI_FAST_FLASH_BOOT)",
        "load:0x3fff0030,len:1344",
        "Backtrace: 0x400d1234:0x3ffb1234 0x400d5678:0x3ffb5678",
        "Guru Meditation Error: Core 0 panic'ed (LoadProhibited)",
    ],
)
def test_what_tells_a_fault_stays(line: str) -> None:
    assert shown(line) == line


def test_colours_and_control_characters_are_made_visible() -> None:
    assert shown("\x1b[0;32mI (312) ucm: ready\x1b[0m") == ".[0;32mI (312) ucm: ready.[0m"


def test_the_line_that_the_bound_cut_is_dropped() -> None:
    """What is left of it could be the last three bytes of a hex dump."""
    console = Console()
    console.add(b"aa bb cc\n" + b"x" * (policy.CONSOLE_TAIL - 6))
    assert console.text() == "x" * (policy.CONSOLE_TAIL - 6)


@given(st.lists(st.binary(max_size=3000), max_size=8))
def test_bounded_and_printable(pieces: list[bytes]) -> None:
    console = Console()
    for piece in pieces:
        console.add(piece)
    text = console.text()
    assert len(text) <= policy.CONSOLE_TAIL
    assert all(line.isascii() and line.isprintable() for line in text.split("\n"))
    assert console.count == sum(map(len, pieces))

"""The client's share of the SRP handshake: what it costs, and against the same powers by CPython's own pow."""

from __future__ import annotations

import json
import secrets
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.result import Result
from ucm_provision.core.secret import Secret
from ucm_provision.link.srp import Form, SrpClient

ROUNDS = 15
MILLISECONDS = 12.0
TIMES_FASTER = 3.5
VECTORS = Path(__file__).parents[2] / "hardware" / "link" / "vectors.json"


def measure() -> list[Result]:
    """Milliseconds for one handshake's arithmetic, and how many times faster than pow that is."""
    sample = _Sample()
    ours, theirs = _milliseconds(sample.handshake), _milliseconds(sample.by_pow)
    measured = f"{ours:.1f} ms for one handshake, {theirs:.1f} ms with CPython's pow"
    return [
        Result("SRP client, milliseconds", measured, ours, MILLISECONDS),
        Result("SRP client, times faster than pow", measured, theirs / ours, TIMES_FASTER, at_most=False),
    ]


def handshake_milliseconds() -> float:
    """The arithmetic of one handshake, median."""
    return _milliseconds(_Sample().handshake)


class _Sample:
    """A module's answer to a handshake, from the golden vectors."""

    def __init__(self) -> None:
        vectors = json.loads(VECTORS.read_text())
        exchange, group = vectors["handshakes"][0], vectors["srp_group"]
        self._salt, self._public = bytes.fromhex(exchange["salt"]), bytes.fromhex(exchange["B"])
        self._prime, self._generator = int(group["N"], 16), int(group["g"])

    def handshake(self) -> None:
        SrpClient("wifiprov", Secret("bench")).prove(self._salt, self._public, Form.STANDARD)

    def by_pow(self) -> None:
        """The same three powers: A, the verifier, and the shared secret."""
        pow(self._generator, secrets.randbits(256), self._prime)
        pow(self._generator, secrets.randbits(512), self._prime)
        pow(int.from_bytes(self._public), secrets.randbits(1024), self._prime)


def _milliseconds(work: Callable[[], None]) -> float:
    def once() -> float:
        started = time.perf_counter()
        work()
        return (time.perf_counter() - started) * 1000

    return statistics.median(once() for _ in range(ROUNDS))

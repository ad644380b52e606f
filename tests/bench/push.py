"""Begin to commit, over a serial line at 115200 baud, for a configuration with an RSA-2048 key.

The peer is the wire itself: ten bits a byte for everything that crosses it in either direction, nothing
else. What is above that ratio of 1 is the protocol's turns, the encryption and the flash.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from tests.bench import sample_credentials
from tests.bench.result import Result
from tests.bench.sample_credentials import HARDWARE_ID
from ucm_provision.core.model import (
    Carrier,
    Connection,
    Endpoint,
    ModuleConfiguration,
    ProofOfPossession,
    TimeProtocol,
    TimeSource,
    TlsCredentials,
    WifiNetwork,
)
from ucm_provision.core.ports import DeviceLink
from ucm_provision.core.secret import Secret
from ucm_provision.link.client import SerialLinks
from ucm_provision.transports.serial import SerialStream, open_port
from ucm_sim import Identity, SerialModule

BAUD = 115200
ROUNDS = 5
OVERHEAD_LIMIT = 1.20
TIME_LIMIT = 1.5
POP = "bench"


class CountingStream:
    """A serial stream that counts what crosses it, in bytes."""

    def __init__(self, stream: SerialStream) -> None:
        self._stream = stream
        self.crossed = 0

    @property
    def bits_per_second(self) -> int:
        return self._stream.bits_per_second

    async def read(self) -> bytes:
        data = await self._stream.read()
        self.crossed += len(data)
        return data

    async def write(self, data: bytes) -> None:
        self.crossed += len(data)
        await self._stream.write(data)

    async def close(self) -> None:
        await self._stream.close()


async def measure(folder: Path) -> list[Result]:
    """Bytes on the wire for each byte of configuration, and the median time of a few pushes onto new modules."""
    payload = SerialLinks(open_port).pack(_configuration())
    seconds, crossed = [], []
    for number in range(ROUNDS):
        taken, count = await _push(folder / f"module-{number}", payload)
        seconds.append(taken)
        crossed.append(count)
    median, wire = statistics.median(seconds), statistics.median(crossed)
    alone = wire * 10 / BAUD
    return [
        Result(
            "push, bytes on the wire over bytes of configuration",
            f"{wire} bytes in both directions from begin to commit, for {len(payload)}",
            wire / len(payload),
            OVERHEAD_LIMIT,
        ),
        Result(
            "push over 115200 baud, time over that of the wire alone",
            f"{median:.3f} s from begin to commit, the wire alone needs {alone:.3f} s",
            median / alone,
            TIME_LIMIT,
        ),
    ]


async def _push(path: Path, payload: bytes) -> tuple[float, int]:
    """Seconds from begin to the answer to commit, and the bytes that crossed the wire for it."""
    streams: list[CountingStream] = []

    async def open_counting(address: str, baud: int) -> CountingStream:
        streams.append(CountingStream(await open_port(address, baud)))
        return streams[-1]

    pop = ProofOfPossession(Secret(POP))
    module = SerialModule(Identity(hardware_id=HARDWARE_ID, pop=POP), path.with_suffix(".flash"), path, baud=BAUD)
    async with module, SerialLinks(open_counting).dial(_endpoint(path), lambda _: pop) as link:
        await link.reserve("bench", 300)
        before, started = streams[0].crossed, time.monotonic()
        await _transfer(link, payload)
        return time.monotonic() - started, streams[0].crossed - before


async def _transfer(link: DeviceLink, payload: bytes) -> None:
    transaction = b"bench-transactio"
    offset = await link.begin(transaction, payload, 0)
    while offset < len(payload):
        offset = await link.chunk(transaction, payload, offset)
    await link.commit(transaction, trial_s=30, now_unix_ms=0)


def _endpoint(path: Path) -> Endpoint:
    return Endpoint(Carrier.SERIAL, str(path), "")


def _configuration() -> ModuleConfiguration:
    """An RSA-2048 key, its certificate, and a chain of two."""
    chain = (sample_credentials.INTERMEDIATE, sample_credentials.ROOT)
    credentials = TlsCredentials(Secret(sample_credentials.PRIVATE_KEY), sample_credentials.CERTIFICATE, chain)
    time_source = TimeSource(TimeProtocol.NTP, "192.0.2.1", 123)
    connection = Connection(HARDWARE_ID, "ucm", "192.0.2.10", 8883, credentials, time_source)
    wifi = (WifiNetwork("plant-wifi", Secret("correct horse battery")),)
    return ModuleConfiguration("2435dc40-875b-473e-88a9-29be291a137c", connection, wifi)

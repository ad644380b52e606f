"""Begin to commit, over a serial line at 115200 baud, for a configuration with an RSA-2048 key.

The peer is the wire itself: ten bits a byte for everything that crosses it in either direction, nothing
else. What is above that ratio of 1 is the protocol's turns, the encryption and the flash.
"""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.bench.result import Result
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
LIMIT = 1.5
HARDWARE_ID = "C8795CBA5375484E829105E959663C8B"
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


async def measure(folder: Path) -> Result:
    """The median of a few pushes, each onto a new module."""
    payload = SerialLinks(open_port).pack(_configuration())
    seconds, wire = [], []
    for number in range(ROUNDS):
        taken, crossed = await _push(folder / f"module-{number}", payload)
        seconds.append(taken)
        wire.append(crossed * 10 / BAUD)
    median, alone = statistics.median(seconds), statistics.median(wire)
    measured = f"{len(payload)} bytes in {median:.3f} s, the wire alone needs {alone:.3f} s"
    return Result("push over 115200 baud, begin to commit", measured, median / alone, LIMIT)


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
    key = rsa.generate_private_key(65537, 2048)
    root, intermediate = _certificate(key, "root"), _certificate(key, "intermediate")
    credentials = TlsCredentials(
        Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())),
        _certificate(key, HARDWARE_ID),
        (intermediate, root),
    )
    time_source = TimeSource(TimeProtocol.NTP, "192.0.2.1", 123)
    connection = Connection(HARDWARE_ID, "ucm", "192.0.2.10", 8883, credentials, time_source)
    wifi = (WifiNetwork("plant-wifi", Secret("correct horse battery")),)
    return ModuleConfiguration("2435dc40-875b-473e-88a9-29be291a137c", connection, wifi)


def _certificate(key: rsa.RSAPrivateKey, name: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)

"""Provisioning calls for MQTT over TLS: 64 connections, a new module each time, answered with a fresh certificate.

The server is what an operator starts, in a process of its own; the clients are this process. The peer is the least
that such a call can be, in this process, one after the other in one thread and nothing else: an EC P-256 key, a
certificate with no extensions signed by another, and one row committed to SQLite with its write-ahead log synced.
"""

from __future__ import annotations

import secrets
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.bench.http_load import calls_a_second
from tests.bench.result import Result
from tests.bench.site_server import site_server

CONNECTIONS = 64
ROUNDS = 5
CALLS = 1500
CALLS_A_SECOND = 500.0
SHARE = 0.5
ANY_PORTS = ("--mqtt-listen", "127.0.0.1:0", "--mqtts-listen", "127.0.0.1:0")


async def measure(folder: Path) -> list[Result]:
    """Calls a second beside the raw limit, in turns; enough is half of that, or 500."""
    modules, calls, limits = new_modules("MQTTS"), [], []
    async with site_server(folder / "state", *ANY_PORTS) as server:
        for number in range(ROUNDS):
            limits.append(_raw_a_second(folder / f"raw-{number}.sqlite"))
            bodies = islice(modules, CALLS)
            calls.append(await calls_a_second(server, "/v3/provisioning/ucm", bodies, CONNECTIONS))
    ours, raw = statistics.median(calls), statistics.median(limits)
    return [
        Result(
            f"MQTTS provisioning calls at {CONNECTIONS} connections, over key, signature and commit one by one",
            f"{ours:.0f} calls a second, the raw limit is {raw:.0f}; {CALLS_A_SECOND:.0f} would do",
            ours / raw,
            min(SHARE, CALLS_A_SECOND / raw),
            at_most=False,
        )
    ]


def new_modules(protocol: str) -> Iterator[dict[str, Any]]:
    """Bodies of calls, without end, each for a module of its own."""
    for number in count():
        yield {"hardware_id": secrets.token_hex(16).upper(), "name": f"UCM {number}", "protocol": protocol}


def _raw_a_second(path: Path) -> float:
    authority, issuer = ec.generate_private_key(ec.SECP256R1()), _name("bench authority")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE credential (subject TEXT PRIMARY KEY, serial TEXT)")
        started = time.perf_counter()
        for _ in range(CALLS):
            subject = secrets.token_hex(16).upper()
            serial = _certificate(subject, issuer, authority).serial_number
            db.execute("INSERT INTO credential VALUES (?, ?)", (subject, f"{serial:x}"))
        return CALLS / (time.perf_counter() - started)


def _certificate(subject: str, issuer: x509.Name, authority: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=365))
        .sign(authority, hashes.SHA256())
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])

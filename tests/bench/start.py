"""From the execution of the daemon to its READY=1, as systemd sees it."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import time
from pathlib import Path

from tests.bench.result import Result
from tests.e2e.station import BIN

RUNS = 11
LIMIT = 1.0
DEADLINE = 60.0


def measure(folder: Path) -> list[Result]:
    """With an empty journal, and with udev and mDNS as the configuration has them by default."""
    (folder / "token").write_text("a token\n")
    configuration = folder / "ucm-provision.toml"
    configuration.write_text(
        '[box]\nid = "bench-box"\n[api]\nurl = "http://127.0.0.1:9"\ntoken_file = "token"\n'
        '[control]\nsocket = "control.sock"\n[state]\ndir = "state"\n'
    )
    seconds = [_start(configuration) for _ in range(RUNS)]
    told = f"median of {RUNS} starts, {min(seconds):.2f} to {max(seconds):.2f} s"
    return [Result("the daemon's start to READY=1, seconds", told, statistics.median(seconds), LIMIT)]


def _start(configuration: Path) -> float:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = configuration.with_name("notify.sock")
        address.unlink(missing_ok=True)
        manager.bind(str(address))
        manager.settimeout(DEADLINE)
        started = time.monotonic()
        process = subprocess.Popen(
            [BIN / "ucm-provisiond", "--config", configuration],
            env=os.environ | {"NOTIFY_SOCKET": str(address)},
            stderr=subprocess.DEVNULL,
        )
        try:
            while manager.recv(4096) != b"READY=1":
                pass
            return time.monotonic() - started
        finally:
            process.terminate()
            process.wait(DEADLINE)

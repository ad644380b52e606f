"""Announces modules that nobody has: ``flood_process.py ADDRESS COUNT RATE``, so many, so many a second (0: at once).

``RATE again`` announces the same ones over and over instead, as many modules do that are really there.
"""

from __future__ import annotations

import itertools
import sys
import time

from tests.wire.mdns import packets


def main(address: str, count: str, rate: str, again: str = "") -> None:
    numbers = itertools.cycle(range(int(count))) if again else iter(range(int(count)))
    pause = 1 / float(rate) if float(rate) else 0.0
    due = time.monotonic()
    with packets.sender(address) as out:
        for number in numbers:
            out.send(packets.module(f"{number:032X}", f"198.51.{number // 250 % 250}.{number % 250 + 1}"))
            due += pause
            time.sleep(max(due - time.monotonic(), 0) if pause else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Appends to the journal that its argument names until it is killed, and says so after every acknowledgement."""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

from ucm_provision.core.events import HoldCleared, Seen
from ucm_provision.core.machine import evolve
from ucm_provision.core.model import Carrier, Endpoint
from ucm_provision.store.journal import Journal


async def write_for_ever(path: Path) -> None:
    journal = await Journal.open(path)
    session = None
    for number in count(1):
        event = Seen(Endpoint(Carrier.SERIAL, "/dev/ttyUSB0", "key-0")) if session is None else HoldCleared("again")
        session = evolve(session, event, session_id="s", at=float(number))
        print(await journal.append(session, event, float(number)), flush=True)


asyncio.run(write_for_ever(Path(sys.argv[1])))

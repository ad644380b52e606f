"""Memory that nobody uses any more goes back to the system: the box has other things to do with it.

A thousand modules that are provisioned leave some ten megabytes behind which Python and the C library would keep for
the next time: closed connections, which refer to themselves and so wait for the collector, and free pages in between.
"""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path
from typing import Final

from ucm_provision.core import policy
from ucm_provision.core.ports import Clock

_STATM: Final = Path("/proc/self/statm")


async def keep_low(clock: Clock) -> None:
    """Until cancelled. Gives back after the process has grown, and once more when what made it grow may have ended."""
    times, resident = 2, resident_bytes()
    while True:
        await clock.sleep(policy.MEMORY_EVERY)
        if resident_bytes() > resident + policy.MEMORY_GROWTH:
            times = 2
        if times:
            give_back()
            times, resident = times - 1, resident_bytes()


def give_back() -> None:
    """Takes some fifty milliseconds."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
    if trim is not None:
        trim(0)


def resident_bytes() -> int:
    """What this process occupies of the machine's memory."""
    return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")

"""`ucm-site-api serve` in a process of its own, as an operator starts it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

DEADLINE = 20.0


@dataclass(frozen=True)
class SiteServer:
    """A server that is ready."""

    url: str
    token: str


@asynccontextmanager
async def site_server(state: Path, *options: str) -> AsyncIterator[SiteServer]:
    """Serve a state folder without a rate limit; the log goes to a file beside it, as a service's goes to a journal."""
    with state.with_suffix(".log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ucm_site_api.main", "serve", "--state", state),
            *("--listen", "127.0.0.1:0", "--rate-limit", "0", *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        url = await _ready(process)
        yield SiteServer(url.removesuffix("/v3"), (state / "api-token").read_text().strip())
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    said = {}
    async with asyncio.timeout(DEADLINE):
        async for line in process.stdout:
            name, _, value = line.decode().rstrip().partition("  ")
            said[name] = value.strip()
            if name.startswith("ready"):
                return said["HTTP API"]
    raise RuntimeError("the server has ended; its log says why")

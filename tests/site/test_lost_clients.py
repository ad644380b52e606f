"""A client loses the answer, or is killed in the middle of its call; asked again there is one device."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.site.harness import plant_in
from tests.site.test_crash import CASES, ask, body_of, referred_to

DEADLINE = 20.0
CALLS = [kind for kind, case in CASES.items() if case.path.startswith("/provisioning/")]

# In the head, in the body, and after the last byte.
CUTS = (0.3, 0.95, 1.0)

CLIENT = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
connection.sendall(sys.stdin.buffer.read())
print("sent", flush=True)
while True:
    connection.recv(1 << 16)
"""


def test_all_eight_calls_are_here() -> None:
    assert len(CALLS) == 8


@pytest.mark.parametrize("kind", CALLS)
async def test_answer_that_is_lost(tmp_path: Path, kind: str) -> None:
    case = CASES[kind]
    async with plant_in(tmp_path, role=case.role) as plant:
        ids = await referred_to(plant, case.role)
        before = len(await plant.site.devices())
        async with swallowing_answers(plant.site.url) as url:
            assert await ask(url, tmp_path / "state", case, ids) is None
        assert len(await plant.site.devices()) == before + 1
        assert await ask(plant.site.url, tmp_path / "state", case, ids) == case.again
        assert len(await plant.site.devices()) == before + 1


@pytest.mark.parametrize("kind", CALLS)
async def test_client_that_is_killed(tmp_path: Path, kind: str) -> None:
    case = CASES[kind]
    async with plant_in(tmp_path, role=case.role) as plant:
        ids = await referred_to(plant, case.role)
        before = len(await plant.site.devices())
        token = plant.site.token_file.read_text().strip()
        body = json.dumps(body_of(case, ids))
        request = (
            f"{case.method} /v3{case.path} HTTP/1.1\r\nHost: localhost\r\nX-Enapter-Auth-Token: {token}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        for cut in CUTS:
            assert len(await plant.site.devices()) == before, "nothing comes of half a call"
            await killed_after(plant.site.url, request[: int(len(request) * cut)])
        assert await ask(plant.site.url, tmp_path / "state", case, ids) in {200, case.again}
        assert len(await plant.site.devices()) == before + 1


async def killed_after(url: str, sent: bytes) -> None:
    """A client that is gone, with SIGKILL, once so much is on its way."""
    address = urlsplit(url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, str(address.hostname), str(address.port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE):
        process.stdin.write(sent)
        process.stdin.write_eof()
        assert await process.stdout.readline() == b"sent\n"
        process.kill()
        await process.communicate()


@asynccontextmanager
async def swallowing_answers(url: str) -> AsyncIterator[str]:
    """A way to the server on which no answer comes back: the connection breaks when one does."""
    address = urlsplit(url)

    async def carry(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        answers, server = await asyncio.open_connection(address.hostname, address.port)
        answered = asyncio.create_task(answers.read(1))
        asking = asyncio.create_task(_pipe(client, server))
        await answered
        asking.cancel()
        back.transport.abort()
        server.transport.abort()

    async with await asyncio.start_server(carry, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(1 << 16):
        sink.write(data)

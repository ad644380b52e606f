"""A device that somebody left in the provisioning API, which is why one of the modules fails at first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp

from ucm_provision.core.errors import Code
from ucm_provision.engine.feed import Feed


class Leftover:
    """A LINK master in the API that has a module's hardware id; removed once the module has failed because of it."""

    def __init__(self, url: str, token_file: Path, hardware_id: str) -> None:
        self._url = url
        self._token_file = token_file
        self._hardware_id = hardware_id
        self._device_id = ""

    async def leave(self) -> None:
        async with self._client() as client:
            site = await _json(client, "GET", "site")
            body = {"site_id": site["site"]["id"], "hardware_id": self._hardware_id, "name": "Test bench"}
            self._device_id = (await _json(client, "POST", "provisioning/link_master", body))["device_id"]

    async def remove_when_met(self, feed: Feed) -> None:
        """As the operator does who reads what the daemon says."""
        with feed.listen() as changes:
            async for view in changes:
                hold = view["hold"]
                if view["hardware_id"] == self._hardware_id and hold and hold["code"] == Code.API_CONFLICT:
                    break
        async with self._client() as client:
            await _json(client, "DELETE", f"devices/{self._device_id}")

    def _client(self) -> aiohttp.ClientSession:
        token = self._token_file.read_text(encoding="ascii").strip()
        return aiohttp.ClientSession(f"{self._url}/v3/", headers={"X-Enapter-Auth-Token": token}, raise_for_status=True)


async def _json(client: aiohttp.ClientSession, method: str, path: str, body: object = None) -> dict[str, Any]:
    async with client.request(method, path, json=body) as answer:
        decoded: dict[str, Any] = await answer.json()
        return decoded

"""Which provisioning API is asked: what was seen, what was chosen, and an operator's choice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from ucm_provision.control.routes import json_answer, json_request
from ucm_provision.core import policy
from ucm_provision.core.secret import Secret
from ucm_provision.wire import ApiChoice

Choice = Callable[[], ApiChoice]
# Takes a Gateway's name, a token for it and its CA as PEM ("": it speaks plain HTTP).
Accept = Callable[[str, Secret[str], str], Awaitable[None]]


class _Accept(msgspec.Struct, forbid_unknown_fields=True):
    gateway: str
    token: str
    ca: str = ""


class ChoiceRoutes:
    """``choice`` tells what is, ``accept`` changes it."""

    def __init__(self, choice: Choice, accept: Accept) -> None:
        self._choice = choice
        self._accept = accept

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/v1/api", self._show)
        app.router.add_post("/v1/api/accept", self._choose)

    async def _show(self, _: web.Request) -> web.Response:
        return json_answer(self._choice())

    async def _choose(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _Accept, policy.PEM_LARGEST)
        await self._accept(asked.gateway, Secret(asked.token), asked.ca)
        return json_answer(self._choice())

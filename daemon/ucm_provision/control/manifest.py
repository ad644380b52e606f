"""The manifest on the control socket: imported as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import msgspec
from aiohttp import web

from ucm_provision.control.peer import actor
from ucm_provision.control.routes import json_answer, json_request
from ucm_provision.core import policy
from ucm_provision.site import manifest
from ucm_provision.site.expected import ExpectedModules
from ucm_provision.wire import ManifestAnswer, ManifestText

# JSON may take six characters for one of the file's.
_BODY_LARGEST = 6 * policy.MANIFEST_LARGEST


class _Import(msgspec.Struct, forbid_unknown_fields=True):
    csv: str
    dry_run: bool = False


# Takes the hardware ids of which an import brought another proof of possession, and the operator's name.
Imported = Callable[[Collection[str], str], Awaitable[None]]


class ManifestRoutes:
    """``imported`` is called after every import, so that it takes effect at once."""

    def __init__(self, expected: ExpectedModules, imported: Imported) -> None:
        self._expected = expected
        self._imported = imported

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/v1/manifest", self._export)
        app.router.add_post("/v1/manifest", self._import)

    async def _export(self, _: web.Request) -> web.Response:
        return json_answer(ManifestText(csv=manifest.render(self._expected.values())))

    async def _import(self, request: web.Request) -> web.Response:
        asked = await json_request(request, _Import, _BODY_LARGEST)
        modules, problems = manifest.parse(asked.csv)
        if not problems and not asked.dry_run:
            proofs = await self._expected.take_over(modules)
            await self._imported(proofs, actor(request))
        return json_answer(ManifestAnswer(modules=len(modules), problems=[str(problem) for problem in problems]))

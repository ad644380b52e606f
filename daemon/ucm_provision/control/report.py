"""The commissioning report: read by whoever may see the modules."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import get_args

from aiohttp import web

from ucm_provision.core import policy
from ucm_provision.core.errors import Code, UcmError
from ucm_provision.site.report import Asked, Facts, Format, box_time, compose, content_security_policy, render

Gather = Callable[[], Awaitable[Facts]]

_TYPES = {"html": "text/html", "csv": "text/csv", "json": "application/json"}
_FORMATS: tuple[Format, ...] = get_args(Format)
_PARAMETERS = {"format", "engineer", "since"}


class ReportRoutes:
    """``gather`` tells what the daemon knows now."""

    def __init__(self, gather: Gather) -> None:
        self._gather = gather
        # Drawing a thousand codes takes a core for seconds; more than one core nobody shall take.
        self._one_at_a_time = asyncio.Lock()

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/v1/report", self._report)

    async def _report(self, request: web.Request) -> web.Response:
        asked, kind = _asked(request.query)
        async with self._one_at_a_time:
            facts = await self._gather()
            body = await asyncio.to_thread(lambda: render(compose(asked, facts), kind))
        name = f"commissioning-report-{box_time(facts.now):%Y-%m-%d-%H%M}.{kind}"
        return web.Response(body=body, content_type=_TYPES[kind], charset="utf-8", headers=_headers(kind, name))


def _headers(kind: Format, name: str) -> dict[str, str]:
    """A page is shown, and can be printed from there; everything else is saved."""
    how = "inline" if kind == "html" else "attachment"
    headers = {"Content-Disposition": f'{how}; filename="{name}"', "Cache-Control": "no-store"}
    return headers | ({"Content-Security-Policy": content_security_policy()} if kind == "html" else {})


def _asked(query: Mapping[str, str]) -> tuple[Asked, Format]:
    """Raises UcmError(request_invalid)."""
    if unknown := set(query) - _PARAMETERS:
        raise UcmError(Code.REQUEST_INVALID, f"a report takes no {min(unknown)[:64]}")
    return Asked(_engineer(query.get("engineer", "")), _since(query.get("since", ""))), _format(query)


def _format(query: Mapping[str, str]) -> Format:
    wanted = query.get("format", "html")
    for kind in _FORMATS:
        if kind == wanted:
            return kind
    raise UcmError(Code.REQUEST_INVALID, f"format is one of {', '.join(_FORMATS)}")


def _engineer(name: str) -> str:
    name = " ".join(name.split())
    if len(name) > policy.ENGINEER_LONGEST or not name.isprintable():
        raise UcmError(Code.REQUEST_INVALID, f"engineer is a name of at most {policy.ENGINEER_LONGEST} characters")
    return name


def _since(text: str) -> float | None:
    if not text:
        return None
    try:
        since = float(text)
    except ValueError:
        since = math.nan
    if not 0 <= since <= policy.TIME_LATEST:
        raise UcmError(Code.REQUEST_INVALID, "since is a time in seconds since the Unix epoch")
    return since

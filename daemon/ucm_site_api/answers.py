"""Answers as the platform's clients compare them: always 200 on success, and a bare `application/json`."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer without a charset, which one of the platform's clients would not take for JSON."""
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json", headers=headers)

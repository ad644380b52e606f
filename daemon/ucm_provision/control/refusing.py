"""What answers on the control socket while the daemon cannot work: why it cannot."""

from __future__ import annotations

from aiohttp import web

from ucm_provision.control.api import error_answer
from ucm_provision.core.errors import UcmError


def refusing(error: UcmError) -> web.Application:
    """Gives the one answer to whatever is asked."""

    async def answer(_: web.Request) -> web.Response:
        return error_answer(error)

    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", answer)
    return app
